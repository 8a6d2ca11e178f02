"""The operations on transform jobs; :mod:`airflow_ll.local.transform` runs the jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_ll.local import data_processing, s3_data, transform
from airflow_ll.local.errors import ValidationError, unsupported
from airflow_ll.local.models import model_data, serving_container
from airflow_ll.local.resources import MODEL, TRANSFORM_JOB
from airflow_ll.local.validation import fault, refuse

if TYPE_CHECKING:
    from airflow_ll.local.runtime import Runtime

__all__ = ["create", "stop"]

_MAX_PAYLOAD_MB, _DEFAULT_PAYLOAD_MB = 100, 6


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
    container = serving_container(model)
    private = {"_ModelData": model_data(model), "_Environment": container.get("Environment", {})}
    answer = TRANSFORM_JOB.create(runtime, {**request, **private}, "InProgress")
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
    """Refuse what the service refuses beyond its model, and what is legal on SageMaker but cannot run here."""
    payload, concurrency = request.get("MaxPayloadInMB"), request.get("MaxConcurrentTransforms", 0)
    if payload == 0:
        raise unsupported("MaxPayloadInMB 0", "Built-in algorithms do not stream on SageMaker either.")
    if payload is not None and payload > _MAX_PAYLOAD_MB:
        raise ValidationError(f"MaxPayloadInMB cannot be greater than {_MAX_PAYLOAD_MB} MB, got {payload}.")
    payload = _DEFAULT_PAYLOAD_MB if payload is None else payload
    if payload * concurrency > _MAX_PAYLOAD_MB:
        raise ValidationError(
            f"The value of (MaxConcurrentTransforms * MaxPayloadInMB) cannot exceed {_MAX_PAYLOAD_MB} MB, "
            f"got {concurrency} * {payload}."
        )
    data_processing.check(request)
    data_type = request["TransformInput"]["DataSource"]["S3DataSource"]["S3DataType"]
    if data_type not in ("S3Prefix", "ManifestFile"):
        raise unsupported(f"the S3DataType {data_type}")
