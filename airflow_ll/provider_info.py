"""What Airflow's provider discovery reads; it runs before Airflow is configured, so nothing is imported here."""

from __future__ import annotations

from typing import Any

__all__ = ["get_provider_info"]

_INTEGRATION = "Amazon SageMaker LinearLearner"


def get_provider_info() -> dict[str, Any]:
    """Describe this provider in the terms of Airflow's ``provider_info.schema.json``."""
    return {
        "package-name": "airflow-ll",
        "name": _INTEGRATION,
        "description": "Amazon SageMaker LinearLearner as Airflow operators, sensors, hooks and triggers.",
        "integrations": [
            {
                "integration-name": _INTEGRATION,
                "external-doc-url": "https://docs.aws.amazon.com/sagemaker/latest/dg/linear-learner.html",
                "tags": ["aws"],
            }
        ],
        "operators": [_modules("airflow_ll.operators", *_CAPABILITIES)],
        "sensors": [_modules("airflow_ll.sensors", *_WAITS)],
        "hooks": [_modules("airflow_ll.hooks", "linear_learner")],
        "triggers": [_modules("airflow_ll.triggers", *_WAITS)],
        "extra-links": [
            "airflow_ll.links.CompilationJobLink",
            "airflow_ll.links.EndpointLink",
            "airflow_ll.links.TrainingJobLink",
            "airflow_ll.links.TrainingJobLogsLink",
            "airflow_ll.links.TrainingJobMetricsLink",
            "airflow_ll.links.TransformJobLink",
            "airflow_ll.links.TransformJobLogsLink",
            "airflow_ll.links.TuningJobLink",
        ],
        "task-decorators": [
            {
                "name": "linear_learner_record_set",
                "class-name": "airflow_ll.decorators.record_set.linear_learner_record_set_task",
            },
            {
                "name": "linear_learner_record_set_shard",
                "class-name": "airflow_ll.decorators.record_set.linear_learner_record_set_shard_task",
            },
        ],
    }


_CAPABILITIES = (
    "analytics",
    "attach",
    "compilation",
    "deploy",
    "model",
    "predict",
    "record_set",
    "record_set_parts",
    "register",
    "teardown",
    "training",
    "transform",
    "tuning",
)
_WAITS = ("compilation", "endpoint", "record_set", "training", "transform", "tuning")


def _modules(package: str, *names: str) -> dict[str, Any]:
    return {"integration-name": _INTEGRATION, "python-modules": [f"{package}.{name}" for name in names]}
