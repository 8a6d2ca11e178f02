"""The way back: the description of a training job becomes the spec that would make it again."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

from airflow_ll.exceptions import RequestError
from airflow_ll.hyperparameters import HYPERPARAMETERS, LinearLearnerHyperparameters
from airflow_ll.requests.channels import CHANNEL_NAMES, AnyChannel, Channel, FileSystemChannel
from airflow_ll.requests.training import TrainingJobSpec

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["AttachedTrainingJob", "attach_training_job"]

# What AttachedTrainingJob.to_dict tells in another form, or not at all.
_APART = {"hyperparameters", "channels", "environment"}


@dataclass(frozen=True)
class AttachedTrainingJob:
    """What a description tells of a training job.

    :param spec: what was asked for; ``training_job(spec)`` asks for the same again.
    :param status: TrainingJobStatus.
    :param training_job_arn: ARN of the job.
    :param model_data: URI of the artifact; None until the job is completed.
    :param model_uri: URI of the model that the job went on from, if any.
    :param tuning_job_arn: ARN of the tuning job that made it, if any.
    :param unknown_hyperparameters: what the algorithm was given that this package does not know; not in ``spec``.
    """

    spec: TrainingJobSpec
    status: str
    training_job_arn: str
    model_data: str | None
    model_uri: str | None
    tuning_job_arn: str | None
    unknown_hyperparameters: Mapping[str, str]

    def to_dict(self) -> dict[str, Any]:
        """Return the job's settings as JSON; without environment variables, which may be secrets.

        ``hyperparameters`` are typed; ``channels`` are what :func:`airflow_ll.requests.channel_from_dict` takes, so
        that they can be the ``records`` of another job.
        """
        spec = self.spec
        settings = {one.name: getattr(spec, one.name) for one in fields(spec) if one.name not in _APART}
        return {
            **{name: list(value) if isinstance(value, tuple) else value for name, value in settings.items()},
            "hyperparameters": spec.hyperparameters.given,
            "feature_dim": spec.hyperparameters.given.get("feature_dim"),
            "mini_batch_size": spec.hyperparameters.given.get("mini_batch_size"),
            "channels": [_channel_dict(channel) for channel in spec.channels],
            "model_uri": self.model_uri,
            "tuning_job_arn": self.tuning_job_arn,
            "unknown_hyperparameters": dict(self.unknown_hyperparameters),
        }


def attach_training_job(
    description: Mapping[str, Any], tags: Iterable[Mapping[str, str]] = (), model_channel_name: str = "model"
) -> AttachedTrainingJob:
    """Rebuild a training job from its description.

    :param description: the answer of DescribeTrainingJob.
    :param tags: the answer of ListTags.
    :param model_channel_name: the channel, if the job has it, that held a model to go on from.
    :raises RequestError: the job is not one that a spec can describe.
    :raises HyperparameterError: the hyperparameters are not LinearLearner's.
    """
    entries = description.get("InputDataConfig", [])
    known, unknown = _split(description.get("HyperParameters", {}))
    spec = TrainingJobSpec(
        training_job_name=description["TrainingJobName"],
        role=description["RoleArn"],
        hyperparameters=LinearLearnerHyperparameters.from_request(known),
        channels=[_channel(entry) for entry in entries if _belongs(entry["ChannelName"], model_channel_name)],
        tags=[dict(tag) for tag in tags],
        **_placement(description),
        **_protection(description),
        **_observation(description),
    )
    return AttachedTrainingJob(
        spec=spec,
        status=description["TrainingJobStatus"],
        training_job_arn=description["TrainingJobArn"],
        model_data=description.get("ModelArtifacts", {}).get("S3ModelArtifacts"),
        model_uri=next((_location(entry) for entry in entries if entry["ChannelName"] == model_channel_name), None),
        tuning_job_arn=description.get("TuningJobArn"),
        unknown_hyperparameters=unknown,
    )


def _split(hyperparameters: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Return the algorithm's own hyperparameters and the rest; names with an underscore first are the service's."""
    known = {name: value for name, value in hyperparameters.items() if name in HYPERPARAMETERS}
    unknown = {name: hyperparameters[name] for name in hyperparameters if name not in known and name[0] != "_"}
    return known, unknown


def _belongs(channel_name: str, model_channel_name: str) -> bool:
    """Whether a channel is part of the spec: a model channel of another name is only told as ``model_uri``."""
    return channel_name in CHANNEL_NAMES or channel_name != model_channel_name


def _placement(description: Mapping[str, Any]) -> dict[str, Any]:
    """Return what runs, where, how long and where the result goes."""
    resources, stopping = description["ResourceConfig"], description["StoppingCondition"]
    if "InstanceType" not in resources:
        raise RequestError(
            f"Training job {description['TrainingJobName']!r} must have one instance type to be rebuilt, "
            f"got a ResourceConfig with {', '.join(resources)}: jobs with instance groups are not supported."
        )
    algorithm, output = description["AlgorithmSpecification"], description["OutputDataConfig"]
    return {
        "image_uri": algorithm.get("TrainingImage", ""),
        "input_mode": algorithm["TrainingInputMode"],
        "output_path": output["S3OutputPath"],
        "output_kms_key": output.get("KmsKeyId") or None,
        "instance_type": resources["InstanceType"],
        "instance_count": resources["InstanceCount"],
        "volume_size": resources["VolumeSizeInGB"],
        "volume_kms_key": resources.get("VolumeKmsKeyId") or None,
        "keep_alive_period": resources.get("KeepAlivePeriodInSeconds"),
        "max_run": stopping["MaxRuntimeInSeconds"],
        "max_wait": stopping.get("MaxWaitTimeInSeconds"),
        "use_spot_instances": description.get("EnableManagedSpotTraining", False),
        "max_retry_attempts": description.get("RetryStrategy", {}).get("MaximumRetryAttempts"),
        "environment": dict(description.get("Environment", {})),
    }


def _protection(description: Mapping[str, Any]) -> dict[str, Any]:
    vpc = description.get("VpcConfig", {})
    return {
        "subnets": list(vpc.get("Subnets", ())),
        "security_group_ids": list(vpc.get("SecurityGroupIds", ())),
        "enable_network_isolation": description.get("EnableNetworkIsolation", False),
        "encrypt_inter_container_traffic": description.get("EnableInterContainerTrafficEncryption", False),
    }


def _observation(description: Mapping[str, Any]) -> dict[str, Any]:
    checkpoints = description.get("CheckpointConfig", {})
    profiler = description.get("ProfilerConfig", {})  # an empty one keeps it absent
    return {
        "checkpoint_s3_uri": checkpoints.get("S3Uri"),
        "checkpoint_local_path": checkpoints.get("LocalPath"),
        "experiment_config": dict(description.get("ExperimentConfig", {})),
        "debug_hook_config": description.get("DebugHookConfig"),
        "profiler_config": None if profiler == {"DisableProfiler": True} else profiler,
    }


def _location(entry: Mapping[str, Any]) -> str | None:
    uri = entry["DataSource"].get("S3DataSource", {}).get("S3Uri")
    return None if uri is None else str(uri)


def _channel_dict(channel: AnyChannel) -> dict[str, Any]:
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in asdict(channel).items()
        if value is not None and value != ()
    }


def _channel(entry: Mapping[str, Any]) -> AnyChannel:
    name, source = entry["ChannelName"], entry["DataSource"]
    if "FileSystemDataSource" in source:
        system = source["FileSystemDataSource"]
        return FileSystemChannel(
            file_system_id=system["FileSystemId"],
            file_system_type=system["FileSystemType"],
            directory_path=system["DirectoryPath"],
            file_system_access_mode=system["FileSystemAccessMode"],
            channel=name,
            content_type=entry.get("ContentType"),
        )
    if "S3DataSource" not in source:
        raise RequestError(f"Channel {name!r} must read from S3 or a file system, got {', '.join(source)}.")
    data = source["S3DataSource"]
    return Channel(
        s3_data=data["S3Uri"],
        channel=name,
        content_type=entry.get("ContentType"),
        s3_data_type=data["S3DataType"],
        distribution=data.get("S3DataDistributionType", "FullyReplicated"),
        compression_type=entry.get("CompressionType"),
        record_wrapper_type=entry.get("RecordWrapperType"),
        input_mode=entry.get("InputMode"),
        shuffle_seed=entry.get("ShuffleConfig", {}).get("Seed"),
        attribute_names=tuple(data.get("AttributeNames", ())),
    )
