"""Pure builders: specs in SageMaker's terms become the requests that boto3 takes; nothing here talks to AWS.

>>> from airflow_ll.requests import EndpointSpec, endpoint
>>> endpoint(EndpointSpec("flights", "flights-config"))
{'EndpointName': 'flights', 'EndpointConfigName': 'flights-config'}
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_ll.requests.adoption import Action, Existing, IfExists, State, conflict, decide, state_of
    from airflow_ll.requests.analytics import metric_names, metric_statistics
    from airflow_ll.requests.attach import AttachedTrainingJob, attach_training_job
    from airflow_ll.requests.autoscaling import AutoScaling, scalable_target, scaling_policy
    from airflow_ll.requests.channels import Channel, FileSystemChannel, channel_from_dict
    from airflow_ll.requests.compilation import CompilationJobSpec, compilation_job, target_device
    from airflow_ll.requests.deployments import DeploymentConfig, deployment_config
    from airflow_ll.requests.endpoints import (
        AsyncInference,
        DataCapture,
        EndpointConfigSpec,
        EndpointSpec,
        Serverless,
        Variant,
        endpoint,
        endpoint_config,
        endpoint_update,
    )
    from airflow_ll.requests.images import image_uri
    from airflow_ll.requests.models import ModelSpec, model
    from airflow_ll.requests.names import TaskIdentity, fingerprint, fingerprint_from_tags, resource_name, user_tags
    from airflow_ll.requests.registry import (
        ModelPackageGroupSpec,
        ModelPackageSpec,
        model_package,
        model_package_group,
    )
    from airflow_ll.requests.training import TrainingJobSpec, training_job
    from airflow_ll.requests.transforms import BatchDataCapture, TransformJobSpec, transform_job
    from airflow_ll.requests.tuning import (
        CategoricalRange,
        ContinuousRange,
        IntegerRange,
        TuningJobSpec,
        range_from_json,
        tuning_job,
    )

_EXPORTS = {
    "Action": "adoption",
    "AsyncInference": "endpoints",
    "AttachedTrainingJob": "attach",
    "AutoScaling": "autoscaling",
    "BatchDataCapture": "transforms",
    "CategoricalRange": "tuning",
    "Channel": "channels",
    "CompilationJobSpec": "compilation",
    "ContinuousRange": "tuning",
    "DataCapture": "endpoints",
    "DeploymentConfig": "deployments",
    "EndpointConfigSpec": "endpoints",
    "EndpointSpec": "endpoints",
    "Existing": "adoption",
    "FileSystemChannel": "channels",
    "IfExists": "adoption",
    "IntegerRange": "tuning",
    "ModelPackageGroupSpec": "registry",
    "ModelPackageSpec": "registry",
    "ModelSpec": "models",
    "Serverless": "endpoints",
    "State": "adoption",
    "TaskIdentity": "names",
    "TrainingJobSpec": "training",
    "TransformJobSpec": "transforms",
    "TuningJobSpec": "tuning",
    "Variant": "endpoints",
    "attach_training_job": "attach",
    "channel_from_dict": "channels",
    "compilation_job": "compilation",
    "conflict": "adoption",
    "decide": "adoption",
    "deployment_config": "deployments",
    "endpoint": "endpoints",
    "endpoint_config": "endpoints",
    "endpoint_update": "endpoints",
    "fingerprint": "names",
    "fingerprint_from_tags": "names",
    "image_uri": "images",
    "metric_names": "analytics",
    "metric_statistics": "analytics",
    "model": "models",
    "model_package": "registry",
    "model_package_group": "registry",
    "range_from_json": "tuning",
    "resource_name": "names",
    "scalable_target": "autoscaling",
    "scaling_policy": "autoscaling",
    "state_of": "adoption",
    "target_device": "compilation",
    "training_job": "training",
    "transform_job": "transforms",
    "tuning_job": "tuning",
    "user_tags": "names",
}

__all__ = [
    "Action",
    "AsyncInference",
    "AttachedTrainingJob",
    "AutoScaling",
    "BatchDataCapture",
    "CategoricalRange",
    "Channel",
    "CompilationJobSpec",
    "ContinuousRange",
    "DataCapture",
    "DeploymentConfig",
    "EndpointConfigSpec",
    "EndpointSpec",
    "Existing",
    "FileSystemChannel",
    "IfExists",
    "IntegerRange",
    "ModelPackageGroupSpec",
    "ModelPackageSpec",
    "ModelSpec",
    "Serverless",
    "State",
    "TaskIdentity",
    "TrainingJobSpec",
    "TransformJobSpec",
    "TuningJobSpec",
    "Variant",
    "attach_training_job",
    "channel_from_dict",
    "compilation_job",
    "conflict",
    "decide",
    "deployment_config",
    "endpoint",
    "endpoint_config",
    "endpoint_update",
    "fingerprint",
    "fingerprint_from_tags",
    "image_uri",
    "metric_names",
    "metric_statistics",
    "model",
    "model_package",
    "model_package_group",
    "range_from_json",
    "resource_name",
    "scalable_target",
    "scaling_policy",
    "state_of",
    "target_device",
    "training_job",
    "transform_job",
    "tuning_job",
    "user_tags",
]


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_EXPORTS[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_EXPORTS})
