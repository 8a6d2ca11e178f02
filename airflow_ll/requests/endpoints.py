"""The endpoint and its config: variants, serverless, asynchronous inference, data capture."""

from __future__ import annotations

from collections import Counter
from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from airflow_ll.requests.checks import (
    FLAG,
    INSTANCE_TYPE,
    KMS_KEY,
    NAME,
    TAGS,
    VERBATIM,
    Rule,
    Spec,
    instance_of,
    list_of,
    number,
    one_of,
    present,
    s3_uri,
    setting,
    text,
    whole,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = [
    "AsyncInference",
    "DataCapture",
    "EndpointConfigSpec",
    "EndpointSpec",
    "Serverless",
    "Variant",
    "endpoint",
    "endpoint_config",
    "endpoint_update",
]

_MEMORY_SIZES: Final = (1024, 2048, 3072, 4096, 5120, 6144)
_ACCELERATOR: Final = text(r"ml\.eia[12]\.(medium|large|xlarge)", "an accelerator such as 'ml.eia2.medium'", 32)
_TIMEOUT: Final = whole(60, 3600)
_CAPTURED: Final = list_of(one_of("Input", "Output"), "of the modes 'Input' and 'Output'", 2, 1)
_PART: Final = "[a-zA-Z0-9](-*[a-zA-Z0-9.])*"
_MEDIA_TYPES: Final = list_of(text(rf"{_PART}\/{_PART}", "a media type", 256), "media types", 10)


@dataclass(frozen=True)
class Serverless(Spec):
    """A variant without instances of its own.

    :param memory_size: MB; a multiple of 1024 from 1024 to 6144.
    """

    memory_size: int = setting(Rule(f"one of {_MEMORY_SIZES}", lambda value: value in _MEMORY_SIZES), 2048)
    max_concurrency: int = setting(whole(1, 200), 5)
    provisioned_concurrency: int | None = setting(whole(1, 200), None)


@dataclass(frozen=True)
class Variant(Spec):
    """One model behind an endpoint: on instances, or serverless.

    :param initial_weight: its share of the requests, relative to the other variants.
    :param volume_size: GB.
    :param model_data_download_timeout: seconds.
    :param container_startup_health_check_timeout: seconds.
    """

    model_name: str = setting(NAME)
    instance_type: str | None = setting(INSTANCE_TYPE, None)
    initial_instance_count: int = setting(whole(1), 1)
    variant_name: str = setting(NAME, "AllTraffic")
    initial_weight: float = setting(number(0, 1e9), 1.0)
    serverless: Serverless | None = setting(instance_of(Serverless), None)
    accelerator_type: str | None = setting(_ACCELERATOR, None)
    volume_size: int | None = setting(whole(1, 512), None)
    model_data_download_timeout: int | None = setting(_TIMEOUT, None)
    container_startup_health_check_timeout: int | None = setting(_TIMEOUT, None)

    def conflicts(self) -> Iterator[str]:
        """Yield the fault of instances and serverless at once, or neither."""
        if (self.instance_type is None) == (self.serverless is None):
            yield (
                f"Variant {self.variant_name!r} must have either instance_type or serverless, "
                f"got {'neither' if self.serverless is None else 'both'}."
            )
        elif self.serverless and (self.accelerator_type or self.volume_size):
            yield f"Variant {self.variant_name!r} is serverless and must have no accelerator_type and no volume_size."


@dataclass(frozen=True)
class DataCapture(Spec):
    """What an endpoint keeps of its requests and answers.

    :param sampling_percentage: of the requests.
    :param capture: "Input", "Output" or both.
    """

    destination_s3_uri: str = setting(s3_uri(512))
    enable_capture: bool = setting(FLAG, True)
    sampling_percentage: int = setting(whole(0, 100), 100)
    capture: Sequence[str] = setting(_CAPTURED, ("Input", "Output"))
    kms_key: str | None = setting(KMS_KEY, None)
    csv_content_types: Sequence[str] = setting(_MEDIA_TYPES, ())
    json_content_types: Sequence[str] = setting(_MEDIA_TYPES, ())


@dataclass(frozen=True)
class AsyncInference(Spec):
    """Requests that wait in a queue and answers that go to S3."""

    output_path: str = setting(s3_uri(512))
    failure_path: str | None = setting(s3_uri(512), None)
    kms_key: str | None = setting(KMS_KEY, None)
    success_topic: str | None = setting(text("arn:aws.*:sns:.+", "the ARN of an SNS topic", 2048), None)
    error_topic: str | None = setting(text("arn:aws.*:sns:.+", "the ARN of an SNS topic", 2048), None)
    max_concurrent_invocations_per_instance: int | None = setting(whole(1, 1000), None)


@dataclass(frozen=True)
class EndpointConfigSpec(Spec):
    """An endpoint config.

    :raises RequestError: with one sentence for each fault.
    """

    endpoint_config_name: str = setting(NAME)
    variants: Sequence[Variant] = setting(list_of(instance_of(Variant), "Variants", 10, 1))
    kms_key: str | None = setting(KMS_KEY, None)
    data_capture: DataCapture | None = setting(instance_of(DataCapture), None)
    async_inference: AsyncInference | None = setting(instance_of(AsyncInference), None)
    tags: Sequence[Mapping[str, str]] = setting(TAGS, ())

    def conflicts(self) -> Iterator[str]:
        """Yield the faults between variants."""
        names = Counter(variant.variant_name for variant in self.variants)
        for name in (name for name, count in names.items() if count > 1):
            yield f"EndpointConfigSpec.variants must have distinct names, got {name!r} {names[name]} times."
        if self.async_inference and any(variant.serverless for variant in self.variants):
            yield "EndpointConfigSpec.async_inference needs instances, got a serverless variant: drop one of the two."
        if self.variants and not any(variant.initial_weight for variant in self.variants):
            yield "EndpointConfigSpec.variants must have a positive initial_weight among them, got 0 for all."


@dataclass(frozen=True)
class EndpointSpec(Spec):
    """An endpoint.

    :param deployment_config: how an update moves the traffic, as the API takes it (DeploymentConfig).
    :param retain_variant_properties: whether an update keeps the instances and weights that the variants have now.
    """

    endpoint_name: str = setting(NAME)
    endpoint_config_name: str = setting(NAME)
    tags: Sequence[Mapping[str, str]] = setting(TAGS, ())
    deployment_config: Mapping[str, Any] | None = setting(VERBATIM, None)
    retain_variant_properties: bool = setting(FLAG, False)


def endpoint_config(spec: EndpointConfigSpec) -> dict[str, Any]:
    """Return the request of CreateEndpointConfig."""
    return present(
        EndpointConfigName=spec.endpoint_config_name,
        ProductionVariants=[_variant(variant) for variant in spec.variants],
        KmsKeyId=spec.kms_key,
        DataCaptureConfig=_data_capture(spec.data_capture) if spec.data_capture else None,
        AsyncInferenceConfig=_async_inference(spec.async_inference) if spec.async_inference else None,
        Tags=[dict(tag) for tag in spec.tags],
    )


def endpoint(spec: EndpointSpec) -> dict[str, Any]:
    """Return the request of CreateEndpoint."""
    return _endpoint(spec) | present(Tags=[dict(tag) for tag in spec.tags])


def endpoint_update(spec: EndpointSpec) -> dict[str, Any]:
    """Return the request of UpdateEndpoint, which takes no tags."""
    return _endpoint(spec) | present(RetainAllVariantProperties=spec.retain_variant_properties or None)


def _endpoint(spec: EndpointSpec) -> dict[str, Any]:
    return present(
        EndpointName=spec.endpoint_name,
        EndpointConfigName=spec.endpoint_config_name,
        DeploymentConfig=deepcopy(spec.deployment_config),
    )


def _variant(variant: Variant) -> dict[str, Any]:
    common = {
        "VariantName": variant.variant_name,
        "ModelName": variant.model_name,
        "InitialVariantWeight": variant.initial_weight,
    }
    timeouts = present(
        ModelDataDownloadTimeoutInSeconds=variant.model_data_download_timeout,
        ContainerStartupHealthCheckTimeoutInSeconds=variant.container_startup_health_check_timeout,
    )
    if variant.serverless:
        return common | timeouts | {"ServerlessConfig": _serverless(variant.serverless)}
    return (
        common
        | timeouts
        | present(
            InitialInstanceCount=variant.initial_instance_count,
            InstanceType=variant.instance_type,
            AcceleratorType=variant.accelerator_type,
            VolumeSizeInGB=variant.volume_size,
        )
    )


def _serverless(serverless: Serverless) -> dict[str, int]:
    return present(
        MemorySizeInMB=serverless.memory_size,
        MaxConcurrency=serverless.max_concurrency,
        ProvisionedConcurrency=serverless.provisioned_concurrency,
    )


def _data_capture(capture: DataCapture) -> dict[str, Any]:
    return present(
        EnableCapture=capture.enable_capture,
        InitialSamplingPercentage=capture.sampling_percentage,
        DestinationS3Uri=capture.destination_s3_uri,
        KmsKeyId=capture.kms_key,
        CaptureOptions=[{"CaptureMode": mode} for mode in capture.capture],
        CaptureContentTypeHeader=present(
            CsvContentTypes=list(capture.csv_content_types), JsonContentTypes=list(capture.json_content_types)
        ),
    )


def _async_inference(inference: AsyncInference) -> dict[str, Any]:
    return present(
        OutputConfig=present(
            S3OutputPath=inference.output_path,
            S3FailurePath=inference.failure_path,
            KmsKeyId=inference.kms_key,
            NotificationConfig=present(SuccessTopic=inference.success_topic, ErrorTopic=inference.error_topic),
        ),
        ClientConfig=present(MaxConcurrentInvocationsPerInstance=inference.max_concurrent_invocations_per_instance),
    )
