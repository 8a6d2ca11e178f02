"""The operations on compilation jobs; :mod:`airflow_ll.local.compilation` runs the jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_ll.exceptions import RequestError
from airflow_ll.local import compilation
from airflow_ll.local.errors import ValidationError, unsupported
from airflow_ll.local.resources import COMPILATION_JOB
from airflow_ll.local.validation import missing, refuse
from airflow_ll.requests.images import neo_image_uri

if TYPE_CHECKING:
    from airflow_ll.local.runtime import Runtime

__all__ = ["create", "delete", "stop"]

_ENDED = ("COMPLETED", "FAILED", "STOPPED")


def create(runtime: Runtime, request: dict[str, Any]) -> dict[str, Any]:
    """Answer CreateCompilationJob."""
    if "ModelPackageVersionArn" in request:
        raise unsupported("ModelPackageVersionArn", "Give the model's archive in InputConfig.")
    if "InputConfig" not in request:
        refuse([missing("inputConfig")])
    output = request["OutputConfig"]
    if ("TargetDevice" in output) == ("TargetPlatform" in output):
        raise ValidationError("Specify either TargetDevice or TargetPlatform in OutputConfig, and not both.")
    job = {
        **request,
        **_summary(output),
        "FailureReason": "",
        "ModelArtifacts": {"S3ModelArtifacts": ""},
        "InferenceImage": _inference_image(runtime, output.get("TargetDevice", "")),
    }
    answer = COMPILATION_JOB.create(runtime, job, "STARTING")
    compilation.submit(runtime, request["CompilationJobName"])
    return answer


def stop(runtime: Runtime, request: dict[str, Any]) -> None:
    """Answer StopCompilationJob: the job leaves INPROGRESS at once."""
    name = request["CompilationJobName"]
    job = COMPILATION_JOB.describe(runtime, request)
    if not COMPILATION_JOB.move(runtime, name, compilation.RUNNING, CompilationJobStatus="STOPPING"):
        status = COMPILATION_JOB.describe(runtime, request)["CompilationJobStatus"]
        raise ValidationError(f"The request was rejected because the compilation job is in status {status}.")
    if not runtime.jobs.stop(job["CompilationJobArn"]):
        compilation.end(runtime, name, "STOPPED")


def delete(runtime: Runtime, request: dict[str, Any]) -> None:
    """Answer DeleteCompilationJob: only what has ended can go."""
    status = COMPILATION_JOB.describe(runtime, request)["CompilationJobStatus"]
    if status not in _ENDED:
        raise ValidationError(
            f"The request was rejected because the compilation job is in status {status}. You can delete a "
            f"compilation job only if its status is {', '.join(_ENDED[:-1])}, or {_ENDED[-1]}."
        )
    COMPILATION_JOB.delete(runtime, request)


def _summary(output: dict[str, Any]) -> dict[str, Any]:
    """Return the members by which a list shows the target."""
    platform = output.get("TargetPlatform", {})
    members = {f"CompilationTargetPlatform{name}": value for name, value in platform.items()}
    return members | ({"CompilationTargetDevice": output["TargetDevice"]} if "TargetDevice" in output else {})


def _inference_image(runtime: Runtime, device: str) -> str | None:
    """Return the image that serves the compiled model; only cloud instances have one."""
    try:
        return neo_image_uri(runtime.region, device) if device.startswith("ml_") else None
    except RequestError:  # a region that Neo has no image in
        return None
