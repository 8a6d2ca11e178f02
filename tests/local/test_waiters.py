"""boto3's own waiters end on what the runtime describes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import WaiterError

from tests.local.support import IMAGE, ROLE, long_training_request, training_request, upload_training_data

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Runtime

SOON = {"Delay": 1, "MaxAttempts": 120}


def test_training_jobs(fresh_runtime: Callable[[], Runtime]) -> None:
    runtime = fresh_runtime()
    upload_training_data(runtime)
    sagemaker = runtime.client("sagemaker")
    ended = sagemaker.get_waiter("training_job_completed_or_stopped")

    sagemaker.create_training_job(**training_request("completes"))
    ended.wait(TrainingJobName="completes", WaiterConfig=SOON)
    sagemaker.create_training_job(**long_training_request("is-stopped"))
    sagemaker.stop_training_job(TrainingJobName="is-stopped")
    ended.wait(TrainingJobName="is-stopped", WaiterConfig=SOON)
    wrong = training_request("fails")["HyperParameters"] | {"feature_dim": "99"}
    sagemaker.create_training_job(**training_request("fails", HyperParameters=wrong))
    with pytest.raises(WaiterError, match="terminal failure state"):
        ended.wait(TrainingJobName="fails", WaiterConfig=SOON)

    assert sagemaker.describe_training_job(TrainingJobName="completes")["TrainingJobStatus"] == "Completed"
    assert sagemaker.describe_training_job(TrainingJobName="is-stopped")["TrainingJobStatus"] == "Stopped"


def test_endpoints_and_transform_jobs(fresh_runtime: Callable[[], Runtime]) -> None:
    runtime = fresh_runtime()
    upload_training_data(runtime)
    sagemaker = runtime.client("sagemaker")
    sagemaker.create_training_job(**training_request("done"))
    sagemaker.get_waiter("training_job_completed_or_stopped").wait(TrainingJobName="done", WaiterConfig=SOON)
    model_data = sagemaker.describe_training_job(TrainingJobName="done")["ModelArtifacts"]["S3ModelArtifacts"]
    container = {"Image": IMAGE, "ModelDataUrl": model_data}
    sagemaker.create_model(ModelName="scorer", ExecutionRoleArn=ROLE, PrimaryContainer=container)

    runtime.client("s3").put_object(Bucket="data", Key="new/rows.csv", Body=b"1,2,3,4,5\n")
    sagemaker.create_transform_job(**transform_request("scores"))
    sagemaker.get_waiter("transform_job_completed_or_stopped").wait(TransformJobName="scores", WaiterConfig=SOON)
    size = {"InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}
    variant = {"VariantName": "AllTraffic", "ModelName": "scorer", **size}
    sagemaker.create_endpoint_config(EndpointConfigName="scorer", ProductionVariants=[variant])
    sagemaker.create_endpoint(EndpointName="scorer", EndpointConfigName="scorer")
    sagemaker.get_waiter("endpoint_in_service").wait(EndpointName="scorer", WaiterConfig=SOON)
    sagemaker.delete_endpoint(EndpointName="scorer")
    sagemaker.get_waiter("endpoint_deleted").wait(EndpointName="scorer", WaiterConfig=SOON)

    assert sagemaker.describe_transform_job(TransformJobName="scores")["TransformJobStatus"] == "Completed"
    assert sagemaker.list_endpoints()["Endpoints"] == []


def transform_request(name: str) -> dict[str, Any]:
    return {
        "TransformJobName": name,
        "ModelName": "scorer",
        "TransformInput": {
            "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://data/new/"}},
            "ContentType": "text/csv",
            "SplitType": "Line",
        },
        "TransformOutput": {"S3OutputPath": "s3://data/scores/", "AssembleWith": "Line"},
        "TransformResources": {"InstanceCount": 1, "InstanceType": "ml.m5.large"},
    }
