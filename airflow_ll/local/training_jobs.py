"""The operations on training jobs; :mod:`airflow_ll.local.training` runs the jobs."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from airflow_ll.local import s3_data, training, training_status
from airflow_ll.local.errors import ValidationError, unsupported
from airflow_ll.local.metrics import METRIC_DEFINITIONS
from airflow_ll.local.resources import TRAINING_JOB
from airflow_ll.local.validation import fault, missing, refuse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_ll.local.runtime import Runtime

__all__ = ["check", "check_data", "create", "start", "stop"]

_REQUIRED = ("AlgorithmSpecification", "InputDataConfig", "ResourceConfig", "StoppingCondition")
_UNSUPPORTED = (
    ("ResourceConfig", "InstanceGroups"),
    ("AlgorithmSpecification", "AlgorithmName"),
    ("AlgorithmSpecification", "ContainerEntrypoint"),
)


def create(runtime: Runtime, request: dict[str, Any]) -> dict[str, Any]:
    """Answer CreateTrainingJob."""
    check(request)
    if runtime.store.get(TRAINING_JOB.key, request["TrainingJobName"]) is None:
        check_data(runtime, request)
    return start(runtime, request)


def check(request: dict[str, Any], path: str = "") -> None:
    """Refuse what no training job can be; ``path`` is where the members are in the request, in front of theirs."""
    refuse(list(_faults(request, path)))
    _check_supported(request)


def check_data(runtime: Runtime, request: dict[str, Any]) -> None:
    """Refuse channels without objects."""
    for channel in request["InputDataConfig"]:
        s3_data.check_exists(runtime, channel["DataSource"]["S3DataSource"], request["RoleArn"])


def start(runtime: Runtime, request: dict[str, Any]) -> dict[str, Any]:
    """Save and queue a training job that passed the checks; return the answer of CreateTrainingJob."""
    now = time.time()
    job = {
        "EnableNetworkIsolation": False,
        "EnableInterContainerTrafficEncryption": False,
        "EnableManagedSpotTraining": False,
        **request,
        "AlgorithmSpecification": {
            "EnableSageMakerMetricsTimeSeries": False,
            **request["AlgorithmSpecification"],
            "MetricDefinitions": list(METRIC_DEFINITIONS),
        },
        "OutputDataConfig": {"KmsKeyId": "", "CompressionType": "GZIP", **request["OutputDataConfig"]},
        "ModelArtifacts": {},
        "SecondaryStatus": "Starting",
        "SecondaryStatusTransitions": [
            {"Status": "Starting", "StartTime": now, "StatusMessage": "Preparing the instances for training"}
        ],
    }
    answer = TRAINING_JOB.create(runtime, job, "InProgress")
    training.submit(runtime, request["TrainingJobName"])
    return answer


def stop(runtime: Runtime, request: dict[str, Any]) -> None:
    """Answer StopTrainingJob: the job leaves InProgress at once."""
    name = request["TrainingJobName"]
    job = TRAINING_JOB.describe(runtime, request)
    if not training_status.mark_stopping(runtime, name):
        status = TRAINING_JOB.describe(runtime, request)["TrainingJobStatus"]
        raise ValidationError(f"The request was rejected because the training job is in status {status}.")
    if not runtime.jobs.stop(job["TrainingJobArn"]):
        training_status.end_stopped(runtime, name, "Stopped")


def _faults(request: dict[str, Any], path: str) -> Iterator[str]:
    """Yield what the service refuses beyond its model: members a training job needs, and no empty cluster."""
    for name in _REQUIRED:
        if not request.get(name):
            yield missing(f"{path}{name[:1].lower()}{name[1:]}")
    resources = request.get("ResourceConfig")
    if resources and "InstanceGroups" not in resources:
        for name in ("InstanceType", "InstanceCount", "VolumeSizeInGB"):
            if name not in resources:
                yield missing(f"{path}resourceConfig.{name[:1].lower()}{name[1:]}")
        if resources.get("InstanceCount") == 0:
            constraint = "Member must have value greater than or equal to 1"
            yield fault(f"{path}resourceConfig.instanceCount", 0, constraint)
    algorithm = request.get("AlgorithmSpecification")
    if algorithm and not algorithm.keys() & {"TrainingImage", "AlgorithmName"}:
        yield missing(f"{path}algorithmSpecification.trainingImage")


def _check_supported(request: dict[str, Any]) -> None:
    """Refuse what is legal on SageMaker but cannot run here, and what LinearLearner does not allow."""
    for group, member in _UNSUPPORTED:
        if member in request[group]:
            raise unsupported(f"{group}.{member}")
    _check_waiting(request)
    algorithm = request["AlgorithmSpecification"]
    s3_data.check_image(algorithm["TrainingImage"])
    if algorithm.get("MetricDefinitions"):
        raise ValidationError(
            "You can't override the metric definitions for Amazon SageMaker algorithms. "
            "Please retry the request without specifying metric definitions."
        )
    _check_channel_names([channel["ChannelName"] for channel in request["InputDataConfig"]])
    for channel in request["InputDataConfig"]:
        if "S3DataSource" not in channel["DataSource"]:
            raise unsupported("data sources other than S3DataSource")
        if channel["DataSource"]["S3DataSource"]["S3DataType"] not in ("S3Prefix", "ManifestFile"):
            raise unsupported(f"the S3DataType {channel['DataSource']['S3DataSource']['S3DataType']}")
        if channel.get("RecordWrapperType", "None") != "None":
            raise unsupported("RecordWrapperType RecordIO", "Upload RecordIO files instead.")


def _check_channel_names(names: list[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise ValidationError(
                f"InputDataConfig has more than one channel named {name}: channel names must be unique."
            )
        if not name.strip("."):
            raise ValidationError(f"{name} is no name of a channel: it would be another folder than its own.")


def _check_waiting(request: dict[str, Any]) -> None:
    """Refuse a time to wait for spot instances that the service refuses."""
    stopping = request["StoppingCondition"]
    wait, runtime = stopping.get("MaxWaitTimeInSeconds"), stopping.get("MaxRuntimeInSeconds", training.DEFAULT_SECONDS)
    spot = request.get("EnableManagedSpotTraining", False)
    if wait is not None and not spot:
        raise ValidationError(
            "Invalid MaxWaitTimeInSeconds. It is only supported when EnableManagedSpotTraining is set to true"
        )
    if spot and (wait is None or wait < runtime):
        raise ValidationError(
            "Invalid MaxWaitTimeInSeconds. It must be present and be greater than or equal to MaxRuntimeInSeconds"
        )
