"""The operations on models and endpoint configurations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from airflow_ll.local import packages, s3_data
from airflow_ll.local.errors import ValidationError, unsupported
from airflow_ll.local.resources import ENDPOINT_CONFIG, MODEL
from airflow_ll.local.validation import fault, missing, refuse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_ll.local.runtime import Runtime

__all__ = ["create", "create_endpoint_config", "model_data", "serving_container"]

_GIGABYTE = 1024
_VARIANT_UNSUPPORTED = ("InstancePools", "ManagedInstanceScaling")
_CONFIG_UNSUPPORTED = ("ExplainerConfig", "ShadowProductionVariants")


def create(runtime: Runtime, request: dict[str, Any]) -> dict[str, Any]:
    """Answer CreateModel."""
    if "ExecutionRoleArn" not in request:
        refuse([missing("executionRoleArn")])
    container = serving_container(request)
    private = {}
    if "ModelPackageName" in container:
        registered = packages.deployable_container(runtime, container["ModelPackageName"])
        environment = {**registered.get("Environment", {}), **container.get("Environment", {})}
        private["_Container"] = container = {**registered, "Environment": environment}
    if "Image" not in container:
        refuse([missing("primaryContainer.image")])
    s3_data.check_image(container["Image"], serving=True)
    uri = model_data(request | private)
    bucket, key = s3_data.split(uri)
    try:
        runtime.s3.head_object(Bucket=bucket, Key=key)
    except (ClientError, BotoCoreError) as error:
        raise ValidationError(f"Could not find model data at {uri}.") from error
    return MODEL.create(runtime, {"EnableNetworkIsolation": False, **request, **private})


def model_data(model: dict[str, Any]) -> str:
    """Return the URI of a model's archive.

    :raises ValidationError: the model has none, or has it in a form that cannot be served here.
    """
    container = serving_container(model)
    source = container.get("ModelDataSource", {}).get("S3DataSource")
    if source is not None:
        if (source["S3DataType"], source["CompressionType"]) != ("S3Object", "Gzip"):
            raise unsupported("uncompressed model data", "Give the URI of a model.tar.gz.")
        return str(source["S3Uri"])
    if "ModelDataUrl" not in container:
        raise unsupported("models without ModelDataUrl")
    return str(container["ModelDataUrl"])


def serving_container(model: dict[str, Any]) -> dict[str, Any]:
    """Return the one container of a model, that of the model package it was made of if there is one.

    :raises ValidationError: it has none, or several.
    """
    if "_Container" in model:
        registered: dict[str, Any] = model["_Container"]
        return registered
    containers = model.get("Containers", [])
    if "PrimaryContainer" in model:
        containers = [model["PrimaryContainer"], *containers]
    if len(containers) != 1:
        if not containers:
            refuse([missing("primaryContainer")])
        raise unsupported("inference pipelines", "Give one container.")
    container: dict[str, Any] = containers[0]
    return container


def create_endpoint_config(runtime: Runtime, request: dict[str, Any]) -> dict[str, Any]:
    """Answer CreateEndpointConfig."""
    for member in _CONFIG_UNSUPPORTED:
        if member in request:
            raise unsupported(member)
    variants = request["ProductionVariants"]
    for variant in variants:
        for member in _VARIANT_UNSUPPORTED:
            if member in variant:
                raise unsupported(member, "Give an InstanceType and an InitialInstanceCount.")
    refuse([one for number, variant in enumerate(variants, 1) for one in _variant_faults(number, variant)])
    names = [variant["VariantName"] for variant in variants]
    if len(set(names)) < len(names):
        raise ValidationError(f"Production variant names must be unique within an endpoint configuration, got {names}.")
    _check_serverless(request)
    _check_async(request)
    for variant in variants:
        variant.setdefault("InitialVariantWeight", 1.0)
        MODEL.describe(runtime, variant)
    return ENDPOINT_CONFIG.create(runtime, request)


def _variant_faults(number: int, variant: dict[str, Any]) -> Iterator[str]:
    path = f"productionVariants.{number}.member"
    required = ["ModelName"]
    if "ServerlessConfig" not in variant:
        required += ["InstanceType", "InitialInstanceCount"]
    for member in required:
        if member not in variant:
            yield missing(f"{path}.{member[:1].lower()}{member[1:]}")
    if variant.get("InitialInstanceCount") == 0:
        yield fault(f"{path}.initialInstanceCount", 0, "Member must have value greater than or equal to 1")


def _check_serverless(request: dict[str, Any]) -> None:
    """Refuse what serverless endpoints do not have; a configuration is serverless as a whole."""
    variants = request["ProductionVariants"]
    serverless = [variant for variant in variants if "ServerlessConfig" in variant]
    if not serverless:
        return
    if len(variants) > 1:
        raise ValidationError("A serverless endpoint has one production variant: several cannot be combined.")
    (variant,) = serverless
    for member in ("InstanceType", "InitialInstanceCount", "AcceleratorType", "VolumeSizeInGB"):
        if member in variant:
            raise ValidationError(f"The variant {variant['VariantName']} has a ServerlessConfig, so no {member}.")
    memory = variant["ServerlessConfig"]["MemorySizeInMB"]
    if memory % _GIGABYTE:
        allowed = ", ".join(str(number * _GIGABYTE) for number in range(1, 7))
        raise ValidationError(f"The MemorySizeInMB of a ServerlessConfig must be one of {allowed}, got {memory}.")
    provisioned = variant["ServerlessConfig"].get("ProvisionedConcurrency", 0)
    if provisioned > variant["ServerlessConfig"]["MaxConcurrency"]:
        raise ValidationError("ProvisionedConcurrency must be less than or equal to MaxConcurrency.")
    for member in ("AsyncInferenceConfig", "DataCaptureConfig"):
        if member in request:
            raise ValidationError(f"A serverless endpoint does not support {member}.")


def _check_async(request: dict[str, Any]) -> None:
    """Refuse what an asynchronous endpoint cannot do, on SageMaker or here."""
    output = request.get("AsyncInferenceConfig", {}).get("OutputConfig")
    if output is None:
        return
    if "S3OutputPath" not in output:
        refuse([missing("asyncInferenceConfig.outputConfig.s3OutputPath")])
    if output.get("NotificationConfig"):
        raise unsupported("NotificationConfig", "There is no SNS here: look for the results in S3.")
    if len(request["ProductionVariants"]) > 1:
        raise ValidationError("An asynchronous endpoint has one production variant: several cannot be combined.")
