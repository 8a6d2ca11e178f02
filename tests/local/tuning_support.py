"""Requests for tuning jobs."""

from __future__ import annotations

from typing import Any

from tests.local.support import IMAGE, ROLE, channel, training_request

WD = {"Name": "wd", "MinValue": "1e-7", "MaxValue": "1", "ScalingType": "Logarithmic"}
USE_BIAS = {"Name": "use_bias", "Values": ["True", "False"]}
BATCH = {"Name": "mini_batch_size", "MinValue": "100", "MaxValue": "200"}


def tuning_request(name: str, *, definition: dict[str, Any] | None = None, **config: Any) -> dict[str, Any]:
    """Return a tuning job of four small training jobs, with changes to its definition and configuration."""
    training = training_request("unused")
    static = {key: value for key, value in training["HyperParameters"].items() if key != "mini_batch_size"}
    settings = {
        "Strategy": "Random",
        "HyperParameterTuningJobObjective": {"Type": "Minimize", "MetricName": "validation:objective_loss"},
        "ResourceLimits": {"MaxNumberOfTrainingJobs": 4, "MaxParallelTrainingJobs": 2},
        "ParameterRanges": {
            "ContinuousParameterRanges": [WD],
            "CategoricalParameterRanges": [USE_BIAS],
            "IntegerParameterRanges": [BATCH],
        },
        "TrainingJobEarlyStoppingType": "Off",
    } | config
    return {
        "HyperParameterTuningJobName": name,
        "HyperParameterTuningJobConfig": {key: value for key, value in settings.items() if value is not None},
        "TrainingJobDefinition": {
            "AlgorithmSpecification": {"TrainingImage": IMAGE, "TrainingInputMode": "File"},
            "RoleArn": ROLE,
            "InputDataConfig": [channel("train", "s3://data/train/"), channel("validation", "s3://data/train/")],
            "OutputDataConfig": {"S3OutputPath": "s3://data/tuned/"},
            "ResourceConfig": training["ResourceConfig"],
            "StoppingCondition": {"MaxRuntimeInSeconds": 600},
            "StaticHyperParameters": static,
        }
        | (definition or {}),
        "Tags": [{"Key": "owner", "Value": "tests"}],
    }
