"""DeploymentConfig: the rules that its model does not carry, and its sizes as shares of a fleet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_ll.local.errors import ValidationError
from airflow_ll.local.validation import missing, refuse

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["check", "share", "steps"]

_DEFAULT_TIMEOUT = 28_800
_BLUE_GREEN = "deploymentConfig.blueGreenUpdatePolicy.trafficRoutingConfiguration"
_SIZES = {"CANARY": ("CanarySize", 0.0, 0.5), "LINEAR": ("LinearStepSize", 0.1, 0.5)}


def check(config: dict[str, Any], plan: dict[str, Any]) -> None:
    """Refuse a configuration that cannot be carried out for a plan.

    :raises ValidationError: it has both policies, misses a size or has one out of its bounds, or has too little time.
    """
    blue_green, rolling = config.get("BlueGreenUpdatePolicy"), config.get("RollingUpdatePolicy")
    if blue_green and rolling:
        raise ValidationError("DeploymentConfig has BlueGreenUpdatePolicy and RollingUpdatePolicy: give one of them.")
    if blue_green:
        _check_blue_green(blue_green, plan)
    if rolling:
        _check_size("MaximumBatchSize", rolling["MaximumBatchSize"], plan, 0.05, 0.5)
        if "RollbackMaximumBatchSize" in rolling:
            _check_size("RollbackMaximumBatchSize", rolling["RollbackMaximumBatchSize"], plan, 0.0, 1.0)
        batches = len(list(steps(share(rolling["MaximumBatchSize"], plan))))
        _check_time(rolling, batches * rolling["WaitIntervalInSeconds"])
    names = [alarm.get("AlarmName") for alarm in config.get("AutoRollbackConfiguration", {}).get("Alarms", [])]
    if len(set(names)) < len(names):
        raise ValidationError(f"The alarms of AutoRollbackConfiguration must be different, got {names}.")


def _check_blue_green(policy: dict[str, Any], plan: dict[str, Any]) -> None:
    routing = policy["TrafficRoutingConfiguration"]
    kind, count = routing["Type"], 1
    for other, (member, low, high) in _SIZES.items():
        if other != kind and member in routing:
            raise ValidationError(f"{member} is for the traffic routing type {other}, not for {kind}.")
        if other == kind:
            if member not in routing:
                refuse([missing(f"{_BLUE_GREEN}.{member[:1].lower()}{member[1:]}")])
            _check_size(member, routing[member], plan, low, high)
            count = 2 if kind == "CANARY" else len(list(steps(share(routing[member], plan))))
    waits = count * routing["WaitIntervalInSeconds"] + policy.get("TerminationWaitInSeconds", 0)
    _check_time(policy, waits)


def _check_size(member: str, size: dict[str, Any], plan: dict[str, Any], low: float, high: float) -> None:
    part = share(size, plan)
    if not low <= part <= high:
        raise ValidationError(
            f"{member} must be from {low:.0%} to {high:.0%} of the variant's instances, "
            f"got {size['Type']} {size['Value']}, which is {part:.0%}."
        )


def _check_time(policy: dict[str, Any], waits: int) -> None:
    limit = policy.get("MaximumExecutionTimeoutInSeconds", _DEFAULT_TIMEOUT)
    if waits >= limit:
        raise ValidationError(
            f"MaximumExecutionTimeoutInSeconds must be larger than the waiting times of the deployment, got {limit} "
            f"for {waits} seconds of waiting."
        )


def share(size: dict[str, Any], plan: dict[str, Any]) -> float:
    """Return a CapacitySize as a share of the instances of a plan's largest variant."""
    if size["Type"] == "CAPACITY_PERCENT":
        return float(size["Value"]) / 100
    return float(size["Value"] / max(1, *(variant["InstanceCount"] for variant in plan["Variants"])))


def steps(size: float, start: float = 0.0) -> Iterator[float]:
    """Yield the shares that a fleet has after each step of ``size``; the last is 1."""
    done = start
    while done < 1:
        done = done + size if done + size < 1 - 1e-9 else 1.0
        yield done
