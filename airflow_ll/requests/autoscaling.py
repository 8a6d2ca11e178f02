"""Application Auto Scaling of an endpoint's variants: as many instances as the load needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from airflow_ll.requests.checks import FLAG, Spec, number, present, setting, whole

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["AutoScaling", "resource_id", "scalable_target", "scaling_policy"]

POLICY_NAME: Final = "airflow-ll-target-tracking"


@dataclass(frozen=True)
class AutoScaling(Spec):
    """A target to hold.

    :param max_capacity: instances, or provisioned concurrency of a serverless variant.
    :param target_value: invocations a minute and instance, or the used share (0 to 1) of provisioned concurrency.
    :param scale_in_cooldown: seconds between two steps down.
    :param scale_out_cooldown: seconds between two steps up.
    :raises RequestError: with one sentence for each fault.
    """

    max_capacity: int = setting(whole(1))
    target_value: float = setting(number(1e-6, 1e9))
    min_capacity: int = setting(whole(0), 1)
    scale_in_cooldown: int | None = setting(whole(0), None)
    scale_out_cooldown: int | None = setting(whole(0), None)
    disable_scale_in: bool = setting(FLAG, False)

    def conflicts(self) -> Iterator[str]:
        """Yield the fault of an empty range."""
        if self.min_capacity > self.max_capacity:
            allowed = f"at most max_capacity ({self.max_capacity})"
            yield f"AutoScaling.min_capacity must be {allowed}, got {self.min_capacity}."


def resource_id(endpoint_name: str, variant_name: str) -> str:
    """Return what Application Auto Scaling calls a variant."""
    return f"endpoint/{endpoint_name}/variant/{variant_name}"


def scalable_target(endpoint_name: str, variant_name: str, spec: AutoScaling, *, serverless: bool) -> dict[str, Any]:
    """Return the request of RegisterScalableTarget."""
    return _variant(endpoint_name, variant_name, serverless=serverless) | {
        "MinCapacity": spec.min_capacity,
        "MaxCapacity": spec.max_capacity,
    }


def scaling_policy(endpoint_name: str, variant_name: str, spec: AutoScaling, *, serverless: bool) -> dict[str, Any]:
    """Return the request of PutScalingPolicy."""
    metric = "ProvisionedConcurrencyUtilization" if serverless else "InvocationsPerInstance"
    return _variant(endpoint_name, variant_name, serverless=serverless) | {
        "PolicyName": POLICY_NAME,
        "PolicyType": "TargetTrackingScaling",
        "TargetTrackingScalingPolicyConfiguration": present(
            TargetValue=float(spec.target_value),
            PredefinedMetricSpecification={"PredefinedMetricType": f"SageMakerVariant{metric}"},
            ScaleInCooldown=spec.scale_in_cooldown,
            ScaleOutCooldown=spec.scale_out_cooldown,
            DisableScaleIn=spec.disable_scale_in or None,
        ),
    }


def _variant(endpoint_name: str, variant_name: str, *, serverless: bool) -> dict[str, str]:
    capacity = "DesiredProvisionedConcurrency" if serverless else "DesiredInstanceCount"
    return {
        "ServiceNamespace": "sagemaker",
        "ResourceId": resource_id(endpoint_name, variant_name),
        "ScalableDimension": f"sagemaker:variant:{capacity}",
    }
