"""The operations on transform jobs; :mod:`airflow_ll.local.transform` runs the jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_ll.local import s3_data, transform
from airflow_ll.local.errors import ValidationError, unsupported
from airflow_ll.local.models import model_data
from airflow_ll.local.resources import MODEL, TRANSFORM_JOB
from airflow_ll.local.validation import fault, refuse

if TYPE_CHECKING:
    from airflow_ll.local.runtime import Runtime

__all__ = ["create", "stop"]

_NEUTRAL_PROCESSING = {"InputFilter": "$", "OutputFilter": "$", "JoinSource": "None"}


def create(runtime: Runtime, request: dict[str, Any]) -> dict[str, Any]:
    """Answer CreateTransformJob."""
    if request["TransformResources"]["InstanceCount"] < 1:
        path = "transformResources.instanceCount"
        refuse([fault(path, 0, "Member must have value greater than or equal to 1")])
    _check_supported(request)
    model = MODEL.describe(runtime, request)
    if runtime.store.get(TRANSFORM_JOB.key, request["TransformJobName"]) is None:
        s3_data.check_exists(
            runtime, request["TransformInput"]["DataSource"]["S3DataSource"], model["ExecutionRoleArn"]
        )
    answer = TRANSFORM_JOB.create(runtime, {**request, "_ModelData": model_data(model)}, "InProgress")
    transform.submit(runtime, request["TransformJobName"])
    return answer


def stop(runtime: Runtime, request: dict[str, Any]) -> None:
    """Answer StopTransformJob: the job leaves InProgress at once."""
    name = request["TransformJobName"]
    job = TRANSFORM_JOB.describe(runtime, request)
    if not transform.mark_stopping(runtime, name):
        status = TRANSFORM_JOB.describe(runtime, request)["TransformJobStatus"]
        raise ValidationError(f"The request was rejected because the transform job is in status {status}.")
    if not runtime.jobs.stop(job["TransformJobArn"]):
        transform.end(runtime, name, "Stopped")


def _check_supported(request: dict[str, Any]) -> None:
    """Refuse what is legal on SageMaker but cannot run here."""
    for member, value in request.get("DataProcessing", {}).items():
        if value != _NEUTRAL_PROCESSING[member]:
            raise unsupported(f"DataProcessing.{member} {value}")
    if "DataCaptureConfig" in request:
        raise unsupported("DataCaptureConfig")
    if request.get("MaxPayloadInMB") == 0:
        raise unsupported("MaxPayloadInMB 0", "Built-in algorithms do not stream on SageMaker either.")
    data = request["TransformInput"]
    if data.get("SplitType") == "TFRecord":
        raise unsupported("SplitType TFRecord")
    if data["DataSource"]["S3DataSource"]["S3DataType"] not in ("S3Prefix", "ManifestFile"):
        raise unsupported(f"the S3DataType {data['DataSource']['S3DataSource']['S3DataType']}")
