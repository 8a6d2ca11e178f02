"""Scale an endpoint's variants with its load, and stop doing so where SageMaker wants that first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_ll.requests.autoscaling import AutoScaling, resource_id, scalable_target, scaling_policy
from airflow_ll.requests.names import TAG_PREFIX

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from airflow_ll.hooks.linear_learner import LinearLearnerHook

__all__ = ["SCALES", "hold_target", "let_go", "variants_in_the_way"]

SCALES = f"{TAG_PREFIX}scales"
_SERVICE = "application-autoscaling"


def hold_target(
    hook: LinearLearnerHook, endpoint: Mapping[str, Any], variants: Iterable[Mapping[str, Any]], spec: AutoScaling
) -> None:
    """Register each variant and its policy; doing so again changes nothing.

    A tag of the endpoint says so, that its deletion need not ask.

    :param endpoint: its description.
    :param variants: ProductionVariants of its endpoint config.
    """
    client, endpoint_name = hook.client(_SERVICE), endpoint["EndpointName"]
    tag = {"Key": SCALES, "Value": "true"}
    hook.client("sagemaker").add_tags(ResourceArn=endpoint["EndpointArn"], Tags=[tag])
    for variant in variants:
        serverless = "ServerlessConfig" in variant
        client.register_scalable_target(
            **scalable_target(endpoint_name, variant["VariantName"], spec, serverless=serverless)
        )
        client.put_scaling_policy(**scaling_policy(endpoint_name, variant["VariantName"], spec, serverless=serverless))
        hook.log.info(
            "The variant %s of %s scales from %d to %d",
            variant["VariantName"],
            endpoint_name,
            spec.min_capacity,
            spec.max_capacity,
        )


def let_go(hook: LinearLearnerHook, endpoint_name: str, variant_names: Sequence[str]) -> list[str]:
    """Deregister the variants that are registered, with their policies; return their names."""
    if not variant_names:
        return []
    client = hook.client(_SERVICE)
    ids = {resource_id(endpoint_name, name): name for name in variant_names}
    found = client.describe_scalable_targets(ServiceNamespace="sagemaker", ResourceIds=list(ids))["ScalableTargets"]
    for target in found:
        client.deregister_scalable_target(
            ServiceNamespace="sagemaker",
            ResourceId=target["ResourceId"],
            ScalableDimension=target["ScalableDimension"],
        )
    return [ids[target["ResourceId"]] for target in found]


def variants_in_the_way(old: Iterable[Mapping[str, Any]], new: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the variants that SageMaker does not update while they scale: removed ones, and on other instances."""
    types = {variant["VariantName"]: variant.get("InstanceType") for variant in new}
    return [one["VariantName"] for one in old if types.get(one["VariantName"], "") != one.get("InstanceType")]
