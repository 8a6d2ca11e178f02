"""What an endpoint serves: a plan holds all of a configuration and its models that serving needs.

A plan is kept in the endpoint, so that the configuration and the models may be deleted while they are in use.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from airflow_ll.local.models import model_data, serving_container
from airflow_ll.local.resources import ENDPOINT_CONFIG, MODEL

if TYPE_CHECKING:
    from collections.abc import Collection

    from airflow_ll.local.runtime import Runtime

__all__ = ["described", "plan_of", "retain"]

_OPTIONAL = ("DataCaptureConfig", "AsyncInferenceConfig")


def plan_of(runtime: Runtime, config_name: str) -> dict[str, Any]:
    """Return the plan of an endpoint configuration.

    :raises ValidationError: it or one of its models does not exist.
    """
    config = ENDPOINT_CONFIG.describe(runtime, {"EndpointConfigName": config_name})
    variants = []
    for variant in config["ProductionVariants"]:
        model = MODEL.describe(runtime, variant)
        container = serving_container(model)
        variants.append(
            {
                **variant,
                "Weight": variant["InitialVariantWeight"],
                "InstanceCount": variant.get("InitialInstanceCount", 0),
                "ModelData": model_data(model),
                "Image": container["Image"],
                "Environment": container.get("Environment", {}),
            }
        )
    optional = {member: config[member] for member in _OPTIONAL if member in config}
    return {"Id": uuid.uuid4().hex, "EndpointConfigName": config_name, "Variants": variants, **optional}


def retain(plan: dict[str, Any], served: dict[str, Any], excluded: Collection[str]) -> None:
    """Give a new plan the variant properties of the one that is served, except for the ``excluded`` types."""
    old = {variant["VariantName"]: variant for variant in served["Variants"]}
    for variant in plan["Variants"]:
        before = old.get(variant["VariantName"])
        if before is None or "ServerlessConfig" in before or "ServerlessConfig" in variant:
            continue
        if "DesiredWeight" not in excluded:
            variant["Weight"] = before["Weight"]
        if "DesiredInstanceCount" not in excluded:
            variant["InstanceCount"] = before["InstanceCount"]
    if "DataCaptureConfig" not in excluded:
        plan.pop("DataCaptureConfig", None)
        if "DataCaptureConfig" in served:
            plan["DataCaptureConfig"] = served["DataCaptureConfig"]


def described(plan: dict[str, Any]) -> dict[str, Any]:
    """Return the members of an endpoint that show the plan which serves it; ``None`` are those it does not have."""
    return {
        "EndpointConfigName": plan["EndpointConfigName"],
        "ProductionVariants": [_variant(variant) for variant in plan["Variants"]],
        "DataCaptureConfig": _capture(plan["DataCaptureConfig"]) if "DataCaptureConfig" in plan else None,
        "AsyncInferenceConfig": plan.get("AsyncInferenceConfig"),
    }


def _variant(variant: dict[str, Any]) -> dict[str, Any]:
    weight, count, serverless = variant["Weight"], variant["InstanceCount"], variant.get("ServerlessConfig")
    return {
        "VariantName": variant["VariantName"],
        "DeployedImages": [{"SpecifiedImage": variant["Image"], "ResolvedImage": variant["Image"]}],
        "CurrentWeight": weight,
        "DesiredWeight": weight,
        "CurrentInstanceCount": count,
        "DesiredInstanceCount": count if serverless is None else None,
        "CurrentServerlessConfig": serverless,
    }


def _capture(config: dict[str, Any]) -> dict[str, Any]:
    enabled = config.get("EnableCapture", True)
    return {
        "EnableCapture": enabled,
        "CaptureStatus": "Started" if enabled else "Stopped",
        "CurrentSamplingPercentage": config["InitialSamplingPercentage"],
        "DestinationS3Uri": config["DestinationS3Uri"],
        "KmsKeyId": config.get("KmsKeyId", ""),
    }
