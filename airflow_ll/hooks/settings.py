"""What operators and the hook's methods have in common: arguments in Airflow's terms become the settings of a spec."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any, TypeVar, cast

from airflow_ll.exceptions import RequestError
from airflow_ll.hooks.resources import COMPILATION_JOB, TRAINING_JOB

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airflow_ll.hooks.linear_learner import LinearLearnerHook
    from airflow_ll.hyperparameters import LinearLearnerHyperparameters

__all__ = [
    "DEFAULT_MAX_RUN",
    "compilation_settings",
    "finished_compilation_job",
    "finished_training_job",
    "model_settings",
    "rendered_hyperparameters",
    "specify",
    "training_settings",
]

DEFAULT_MAX_RUN = 24 * 60 * 60

_Spec = TypeVar("_Spec")


def specify(kind: Callable[..., _Spec], **settings: Any) -> _Spec:
    """Return the spec with these settings.

    :raises RequestError: for a setting that it does not have, or a wrong one.
    """
    known = [field.name for field in fields(cast("Any", kind))]
    unknown = sorted(settings.keys() - set(known))
    if unknown:
        name = kind.__name__
        raise RequestError(f"{name} has no {', '.join(unknown)}: its fields are {', '.join(known)}.")
    return kind(**settings)


def training_settings(
    hook: LinearLearnerHook,
    *,
    role: str,
    hyperparameters: Any,
    records: Any,
    output_path: str | None = None,
    image_uri: str | None = None,
    instance_type: str = "ml.m5.xlarge",
    instance_count: int | str = 1,
    mini_batch_size: int | str | None = None,
    volume_size: int | str = 30,
    max_run: int | str = DEFAULT_MAX_RUN,
    use_spot_instances: bool = False,
    max_wait: int | str | None = None,
    environment: Mapping[str, str] | None = None,
    tags: Any = None,
    job_options: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the settings of a :class:`airflow_ll.requests.TrainingJobSpec`, all but its name.

    :param role: name or ARN of the IAM role.
    :param hyperparameters: by name, as templates leave them, or a ``LinearLearnerHyperparameters``.
    :param records: record sets, channels or their flat JSON; one or a list.
    :param output_path: S3 URI; SageMaker's default bucket by default.
    :param job_options: further fields of the spec.
    """
    from airflow_ll.requests import channel_from_dict
    from airflow_ll.requests.images import image_uri as default_image

    several = records if isinstance(records, (list, tuple)) else [records]
    return {
        # its faults are told before AWS is asked anything
        "hyperparameters": rendered_hyperparameters(hyperparameters, mini_batch_size),
        "channels": [channel_from_dict(one) if isinstance(one, dict) else one for one in several],
        "role": hook.role_arn(role),
        "output_path": hook.location(output_path, default=""),
        "image_uri": image_uri or default_image(hook.region),
        "instance_type": instance_type,
        "instance_count": int(instance_count),
        "volume_size": int(volume_size),
        "max_run": int(max_run),
        "use_spot_instances": use_spot_instances,
        "max_wait": None if max_wait is None else int(max_wait),
        "environment": dict(environment or {}),
        "tags": hook.default_tags(tags),
        **(job_options or {}),
    }


def rendered_hyperparameters(given: Any, mini_batch_size: int | str | None = None) -> LinearLearnerHyperparameters:
    """Return the hyperparameters that a template has left, with the mini-batch size that was given apart."""
    from airflow_ll.hyperparameters import LinearLearnerHyperparameters

    values = dict(given.given if isinstance(given, LinearLearnerHyperparameters) else given)
    if mini_batch_size is not None:
        values["mini_batch_size"] = mini_batch_size
    return LinearLearnerHyperparameters.from_rendered(values)


def compilation_settings(
    hook: LinearLearnerHook,
    *,
    training_job_name: str | None = None,
    model_data: str | None = None,
    role: str | None = None,
    feature_dim: int | str | None = None,
    input_shape: Mapping[str, Any] | None = None,
    **settings: Any,
) -> dict[str, Any]:
    """Return the settings of a :class:`airflow_ll.requests.CompilationJobSpec`, all but its name and output path.

    :param training_job_name: a finished training job, for what is not given.
    :raises RequestError: neither the job nor the arguments tell the artifact, the role or the shape.
    """
    job = finished_training_job(hook, training_job_name) if training_job_name else {}
    model_data = model_data or _artifact(job)
    role = role or job.get("RoleArn")
    told = job.get("HyperParameters", {}).get("feature_dim", "")
    feature_dim = feature_dim or (told if told.isdigit() else None)  # it may be "auto"
    if not model_data or not role or not (input_shape or feature_dim):
        raise RequestError(
            "A compilation job needs training_job_name, or else model_data, role and feature_dim (or input_shape), "
            f"got {model_data!r}, {role!r} and {feature_dim!r}."
        )
    return {
        "model_data": model_data,
        "role": hook.role_arn(role),
        "input_shape": input_shape or {"data": [1, int(feature_dim or 0)]},
        **settings,
    }


def finished_training_job(hook: LinearLearnerHook, name: str) -> dict[str, Any]:
    """Return the description of a training job that has left a model.

    :raises RequestError: there is none of this name, or it has no model.
    """
    description = hook.describe(TRAINING_JOB, name)
    if description is None:
        raise RequestError(f"There is no training job {name!r} in {hook.region}: correct the name or the connection.")
    if "S3ModelArtifacts" not in description.get("ModelArtifacts", {}):
        raise RequestError(
            f"The training job {name!r} has no model: it is {description['TrainingJobStatus']}; wait for its end."
        )
    return description


def model_settings(
    hook: LinearLearnerHook,
    *,
    model_data: str | None = None,
    role: str | None = None,
    image_uri: str | None = None,
    environment: Mapping[str, str] | None = None,
    training_job_name: str | None = None,
    compilation_job_name: str | None = None,
    vpc_config: Mapping[str, Any] | None = None,
    enable_network_isolation: bool | None = None,
    tags: Any = None,
) -> dict[str, Any]:
    """Return the settings of a :class:`airflow_ll.requests.ModelSpec`, all but its name.

    :param training_job_name: a finished training job, for what is not given: artifact, role, image, VPC, network
        isolation and tags.
    :param compilation_job_name: a finished compilation job, for the artifact and the image.
    :param vpc_config: ``{"Subnets": [...], "SecurityGroupIds": [...]}``, ``{}`` for none; the job's by default.
    :raises RequestError: the artifact or the role is not told.
    """
    from airflow_ll.requests.images import image_uri as default_image
    from airflow_ll.requests.names import user_tags

    job = finished_training_job(hook, training_job_name) if training_job_name else {}
    compiled = finished_compilation_job(hook, compilation_job_name) if compilation_job_name else {}
    model_data = model_data or _artifact(compiled) or _artifact(job)
    role = role or job.get("RoleArn") or compiled.get("RoleArn")
    if not model_data or not role:
        raise RequestError(
            f"A model needs model_data (the S3 URI of model.tar.gz) and role, got {model_data!r} and {role!r}: give "
            "them, or training_job_name."
        )
    image = image_uri or compiled.get("InferenceImage") or job.get("AlgorithmSpecification", {}).get("TrainingImage")
    vpc = vpc_config if vpc_config is not None else job.get("VpcConfig", {})
    isolated = enable_network_isolation if enable_network_isolation is not None else job.get("EnableNetworkIsolation")
    inherited = user_tags(hook.tags(job["TrainingJobArn"])) if job and tags is None else []
    return {
        "role": hook.role_arn(role),
        "image_uri": image or default_image(hook.region),
        "model_data": model_data,
        "environment": dict(environment or {}),
        "subnets": list(vpc.get("Subnets", ())),
        "security_group_ids": list(vpc.get("SecurityGroupIds", ())),
        "enable_network_isolation": bool(isolated),
        "tags": hook.default_tags(tags) or inherited,
    }


def finished_compilation_job(hook: LinearLearnerHook, name: str, instance_type: str | None = None) -> dict[str, Any]:
    """Return the description of a compilation job that has left a model.

    :param instance_type: what the model is to run on.
    :raises RequestError: there is none of this name, it has no model, or it has one for another device.
    """
    from airflow_ll.requests.compilation import target_device

    description = hook.describe(COMPILATION_JOB, name)
    if description is None:
        raise RequestError(
            f"There is no compilation job {name!r} in {hook.region}: correct the name or the connection."
        )
    if not COMPILATION_JOB.is_good(description):
        raise RequestError(
            f"The compilation job {name!r} has no model: it is {description['CompilationJobStatus']}; wait for its end."
        )
    device = description["OutputConfig"].get("TargetDevice")
    if instance_type and device and device != target_device(instance_type):
        raise RequestError(
            f"The compilation job {name!r} compiled for {device}, and instance_type is {instance_type!r}: compile for "
            f"{target_device(instance_type)}, or deploy on ml.{device.removeprefix('ml_')} instances."
        )
    return description


def _artifact(description: Mapping[str, Any]) -> str | None:
    uri: str | None = description.get("ModelArtifacts", {}).get("S3ModelArtifacts")
    return uri
