"""A model version is registered once, with its quality, and approved by whoever may."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from airflow.sdk import DAG, task, timezone

from airflow_ll.hooks import LinearLearnerHook
from airflow_ll.operators import LinearLearnerRegisterOperator
from tests.operators.conftest import RUNS_A_DAG, calls, run_dag

if TYPE_CHECKING:
    from tests.conftest import Runtime

pytestmark = RUNS_A_DAG


def registered(dag_id: str, model_data: str, **settings: Any) -> Any:
    """Return a DAG that registers a model."""
    with DAG(dag_id) as dag:
        LinearLearnerRegisterOperator(
            task_id="register",
            model_package_group_name=dag_id.replace("_", "-"),
            model_data=model_data,
            metrics={"auc": 0.75},
            description="a version",
            group_description="a group",
            metadata={"git-commit": "abc"},
            tags={"team": "ml"},
            **settings,
        )
    return dag


def test_a_version_is_registered_once(aws: Runtime, dag_id: str, model_data: str) -> None:
    moment, sagemaker, group = timezone.utcnow(), aws.client("sagemaker"), dag_id.replace("_", "-")
    when: dict[str, Any] = {"logical_date": moment, "run_after": moment}
    first = run_dag(registered(dag_id, model_data), **when).result("register")
    LinearLearnerHook().approve_model(first["model_package_arn"], description="good enough")
    again = run_dag(registered(dag_id, model_data), **when).result("register")
    other = run_dag(registered(dag_id, model_data, approval_status="Approved")).result("register")

    assert (first["adopted"], again["adopted"], other["adopted"]) == (False, True, False)
    assert again["model_package_arn"] == first["model_package_arn"]
    assert (first["model_package_version"], other["model_package_version"]) == (1, 2)
    assert (first["approval_status"], again["approval_status"]) == ("PendingManualApproval", "Approved")
    assert len(calls(aws, "CreateModelPackage", group)) == 2
    listed = sagemaker.list_model_packages(ModelPackageGroupName=group)["ModelPackageSummaryList"]
    assert len(listed) == 2
    described = sagemaker.describe_model_package(ModelPackageName=first["model_package_arn"])
    assert described["CustomerMetadataProperties"]["git-commit"] == "abc"
    (container,) = described["InferenceSpecification"]["Containers"]
    assert container["ModelDataUrl"] == model_data
    quality = described["ModelMetrics"]["ModelQuality"]["Statistics"]["S3Uri"]
    assert json.loads(LinearLearnerHook().read(quality)) == {"model_quality": {"auc": {"value": 0.75}}}


def test_a_task_registers_through_the_hook(aws: Runtime, dag_id: str, model_data: str) -> None:
    moment, group = timezone.utcnow(), dag_id.replace("_", "-")

    def registering() -> Any:
        with DAG(dag_id) as dag:

            @task
            def register() -> str:
                hook = LinearLearnerHook()
                return hook.register_model(group, image_uri=IMAGE, model_data=model_data)

            register()
        return dag

    first, again = (run_dag(registering(), logical_date=moment, run_after=moment).result("register") for _ in range(2))
    assert first == again
    assert first.endswith(f"model-package/{group}/1")


IMAGE = "382416733822.dkr.ecr.us-east-1.amazonaws.com/linear-learner:1"
