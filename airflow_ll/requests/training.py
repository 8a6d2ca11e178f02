"""The training job."""

from __future__ import annotations

from collections import Counter
from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from airflow_ll.records.record_sets import RecordSet, default_mini_batch_size
from airflow_ll.requests.channels import Channel, FileSystemChannel, channel_request
from airflow_ll.requests.checks import (
    EXPERIMENT,
    FLAG,
    IMAGE,
    INSTANCE_TYPE,
    KMS_KEY,
    NAME,
    ROLE,
    S3_URI,
    SECURITY_GROUPS,
    SUBNETS,
    TAGS,
    TEXT,
    VERBATIM,
    Rule,
    Spec,
    environment,
    one_of,
    present,
    setting,
    vpc_config,
    vpc_faults,
    whole,
)
from airflow_ll.requests.images import image_region

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from airflow_ll.hyperparameters import LinearLearnerHyperparameters
    from airflow_ll.requests.channels import AnyChannel

__all__ = ["DEFAULT_MAX_RUN", "TrainingJobSpec", "hyper_parameters", "training_job"]

DEFAULT_MAX_RUN: Final = 24 * 60 * 60

# Regions where SageMaker knows no profiler, not even to disable it.
_WITHOUT_PROFILER: Final = {
    "ap-south-2",
    "ap-southeast-3",
    "ap-southeast-4",
    "eu-central-2",
    "eu-south-2",
    "me-central-1",
    "us-gov-east-1",
    "us-iso-east-1",
    "us-isob-east-1",
}

_HYPERPARAMETERS: Final = Rule("a LinearLearnerHyperparameters", lambda value: hasattr(value, "to_request"))
_CHANNELS: Final = Rule(
    "a list of record sets and channels",
    lambda value: (
        isinstance(value, (list, tuple))
        and all(isinstance(item, (RecordSet, Channel, FileSystemChannel)) for item in value)
    ),
)


@dataclass(frozen=True)
class TrainingJobSpec(Spec):
    """A training job in the estimator's terms.

    :param channels: record sets, :class:`Channel` and :class:`FileSystemChannel`; one of them is the train channel.
    :param volume_size: GB of each instance's volume.
    :param max_run: seconds after which SageMaker stops the job.
    :param max_wait: seconds to wait for spot capacity and retries, the run itself included.
    :param keep_alive_period: seconds that the instances stay warm for a next job.
    :param debug_hook_config: as the API takes it; absent by default.
    :param profiler_config: as the API takes it; by default the profiler is disabled.
    :raises RequestError: with one sentence for each fault.
    """

    training_job_name: str = setting(NAME)
    role: str = setting(ROLE)
    hyperparameters: LinearLearnerHyperparameters = setting(_HYPERPARAMETERS)
    channels: Sequence[AnyChannel] = setting(_CHANNELS)
    output_path: str = setting(S3_URI)
    image_uri: str = setting(IMAGE)
    instance_type: str = setting(INSTANCE_TYPE, "ml.m5.xlarge")
    instance_count: int = setting(whole(1), 1)
    volume_size: int = setting(whole(1), 30)
    max_run: int = setting(whole(1), DEFAULT_MAX_RUN)
    input_mode: str = setting(one_of("File", "Pipe", "FastFile"), "File")
    output_kms_key: str | None = setting(KMS_KEY, None)
    volume_kms_key: str | None = setting(KMS_KEY, None)
    keep_alive_period: int | None = setting(whole(0, 21600), None)
    use_spot_instances: bool = setting(FLAG, False)
    max_wait: int | None = setting(whole(1), None)
    checkpoint_s3_uri: str | None = setting(S3_URI, None)
    checkpoint_local_path: str | None = setting(TEXT, None)
    max_retry_attempts: int | None = setting(whole(1, 30), None)
    subnets: Sequence[str] = setting(SUBNETS, ())
    security_group_ids: Sequence[str] = setting(SECURITY_GROUPS, ())
    enable_network_isolation: bool = setting(FLAG, False)
    encrypt_inter_container_traffic: bool = setting(FLAG, False)
    environment: Mapping[str, str] = setting(environment(100, 512), factory=dict)
    experiment_config: Mapping[str, str] = setting(EXPERIMENT, factory=dict)
    debug_hook_config: Mapping[str, Any] | None = setting(VERBATIM, None)
    profiler_config: Mapping[str, Any] | None = setting(VERBATIM, None)
    tags: Sequence[Mapping[str, str]] = setting(TAGS, ())

    def conflicts(self) -> Iterator[str]:
        """Yield what the channels, the hyperparameters and the limits of time disagree about."""
        yield from self._channel_faults()
        yield from self._size_faults()
        yield from self._time_faults()
        yield from vpc_faults("TrainingJobSpec", self.subnets, self.security_group_ids)
        if self.checkpoint_local_path and not self.checkpoint_s3_uri:
            yield "TrainingJobSpec.checkpoint_local_path needs checkpoint_s3_uri, got none: say where checkpoints go."

    @property
    def num_records(self) -> int | None:
        """Number of rows of the train channel, when known."""
        return next((one.num_records for one in self.channels if one.channel == "train"), None)

    def _channel_faults(self) -> Iterator[str]:
        names = Counter(channel.channel for channel in self.channels)
        if "train" not in names:
            yield f"TrainingJobSpec.channels must have a train channel, got {', '.join(names) or 'none'}: add one."
        for name in (name for name, count in names.items() if count > 1):
            yield f"TrainingJobSpec.channels must have distinct names, got {name!r} {names[name]} times: merge them."
        if not self.subnets and any(isinstance(channel, FileSystemChannel) for channel in self.channels):
            yield "TrainingJobSpec.subnets must name the file system's VPC, got none: give security_group_ids too."

    def _size_faults(self) -> Iterator[str]:
        given = self.hyperparameters.given
        dims = {one.channel: one.feature_dim for one in self.channels if one.feature_dim is not None}
        if isinstance(feature_dim := given.get("feature_dim"), int):  # it may be "auto"
            dims["the hyperparameters"] = feature_dim
        if len(set(dims.values())) > 1:
            told = ", ".join(f"{dim} in {where}" for where, dim in dims.items())
            yield f"feature_dim must be the same everywhere, got {told}: leave it out to take it from the record sets."
        size, rows = given.get("mini_batch_size"), self.num_records
        if isinstance(size, int) and rows is not None and size > rows:
            yield (
                f"mini_batch_size must be at most the {rows} rows of the train channel, got {size}: "
                f"lower it, or leave it out for {default_mini_batch_size(rows, self.instance_count)}."
            )

    def _time_faults(self) -> Iterator[str]:
        may_wait = self.use_spot_instances or self.max_retry_attempts is not None
        if self.max_wait is not None and not may_wait:
            yield "TrainingJobSpec.max_wait needs use_spot_instances or max_retry_attempts, got neither: drop it."
        if self.max_wait is not None and self.max_wait < self.max_run:
            yield (
                f"TrainingJobSpec.max_wait includes the run and must be at least max_run ({self.max_run} s), "
                f"got {self.max_wait}: raise it or lower max_run."
            )
        if self.use_spot_instances and self.max_wait is None:
            yield "TrainingJobSpec.max_wait must be given with use_spot_instances (at least max_run), got none."


def training_job(spec: TrainingJobSpec) -> dict[str, Any]:
    """Return the request of CreateTrainingJob."""
    return present(
        TrainingJobName=spec.training_job_name,
        AlgorithmSpecification={"TrainingImage": spec.image_uri, "TrainingInputMode": spec.input_mode},
        RoleArn=spec.role,
        InputDataConfig=[channel_request(channel) for channel in spec.channels],
        OutputDataConfig=present(S3OutputPath=spec.output_path, KmsKeyId=spec.output_kms_key),
        ResourceConfig=resource_config(spec),
        StoppingCondition=present(MaxRuntimeInSeconds=spec.max_run, MaxWaitTimeInSeconds=spec.max_wait),
        HyperParameters=hyper_parameters(spec),
        VpcConfig=vpc_config(spec.subnets, spec.security_group_ids),
        Environment=dict(spec.environment),
        ExperimentConfig=dict(spec.experiment_config),
        EnableManagedSpotTraining=spec.use_spot_instances or None,
        EnableNetworkIsolation=spec.enable_network_isolation or None,
        EnableInterContainerTrafficEncryption=spec.encrypt_inter_container_traffic or None,
        CheckpointConfig=checkpoint_config(spec),
        RetryStrategy=retry_strategy(spec),
        DebugHookConfig=deepcopy(spec.debug_hook_config),
        ProfilerConfig=_profiler_config(spec),
        Tags=[dict(tag) for tag in spec.tags],
    )


def hyper_parameters(spec: TrainingJobSpec) -> dict[str, str]:
    """Return HyperParameters: what was given, and what the channels tell when it was not."""
    given, told = spec.hyperparameters.given, {}
    feature_dim = next((one.feature_dim for one in spec.channels if one.feature_dim is not None), None)
    if feature_dim is not None and "feature_dim" not in given:
        told["feature_dim"] = str(feature_dim)
    if spec.num_records is not None and "mini_batch_size" not in given:
        told["mini_batch_size"] = str(default_mini_batch_size(spec.num_records, spec.instance_count))
    return spec.hyperparameters.to_request() | told


def resource_config(spec: TrainingJobSpec) -> dict[str, Any]:
    """Return ResourceConfig."""
    return present(
        InstanceType=spec.instance_type,
        InstanceCount=spec.instance_count,
        VolumeSizeInGB=spec.volume_size,
        VolumeKmsKeyId=spec.volume_kms_key,
        KeepAlivePeriodInSeconds=spec.keep_alive_period,
    )


def checkpoint_config(spec: TrainingJobSpec) -> dict[str, str]:
    """Return CheckpointConfig, empty without checkpoints."""
    return present(S3Uri=spec.checkpoint_s3_uri, LocalPath=spec.checkpoint_local_path)


def retry_strategy(spec: TrainingJobSpec) -> dict[str, int]:
    """Return RetryStrategy, empty without retries."""
    return present(MaximumRetryAttempts=spec.max_retry_attempts)


def _profiler_config(spec: TrainingJobSpec) -> dict[str, Any]:
    if spec.profiler_config is not None:
        return deepcopy(dict(spec.profiler_config))
    return {} if image_region(spec.image_uri) in _WITHOUT_PROFILER else {"DisableProfiler": True}
