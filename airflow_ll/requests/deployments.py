"""How an update moves an endpoint's traffic to its new config, and what takes it back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from airflow_ll.requests.checks import Spec, list_of, one_of, present, setting, text, whole

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["DeploymentConfig", "deployment_config"]

_ALARM: Final = text(r".*\S.*", "the name of a CloudWatch alarm", 255)


@dataclass(frozen=True)
class DeploymentConfig(Spec):
    """A blue/green deployment.

    :param traffic: "ALL_AT_ONCE", "CANARY" (a first part, then the rest) or "LINEAR" (equal steps).
    :param step_size: the canary, or each linear step: percent of the capacity, or instances.
    :param step_unit: "CAPACITY_PERCENT" or "INSTANCE_COUNT".
    :param wait_interval: seconds to watch the alarms after each step.
    :param termination_wait: seconds to keep the old instances afterwards.
    :param max_execution_timeout: seconds that the update may take.
    :param alarms: CloudWatch alarms; when one goes off, the endpoint goes back to what it served before.
    :raises RequestError: with one sentence for each fault.
    """

    traffic: str = setting(one_of("ALL_AT_ONCE", "CANARY", "LINEAR"), "ALL_AT_ONCE")
    step_size: int | None = setting(whole(1), None)
    step_unit: str = setting(one_of("CAPACITY_PERCENT", "INSTANCE_COUNT"), "CAPACITY_PERCENT")
    wait_interval: int = setting(whole(0, 3600), 0)
    termination_wait: int | None = setting(whole(0, 3600), None)
    max_execution_timeout: int | None = setting(whole(600, 28800), None)
    alarms: Sequence[str] = setting(list_of(_ALARM, "names of alarms", 10), ())

    def conflicts(self) -> Iterator[str]:
        """Yield the faults of the step."""
        if (self.traffic == "ALL_AT_ONCE") != (self.step_size is None):
            yield (
                "DeploymentConfig.step_size must be given for CANARY and LINEAR and only then, "
                f"got {self.step_size} with {self.traffic}."
            )
        elif self.step_unit == "CAPACITY_PERCENT" and (self.step_size or 0) > 50:
            yield (
                "DeploymentConfig.step_size must be at most 50 percent of the capacity, "
                f"got {self.step_size}: lower it, or take ALL_AT_ONCE."
            )


def deployment_config(spec: DeploymentConfig) -> dict[str, Any]:
    """Return the DeploymentConfig member of CreateEndpoint and UpdateEndpoint."""
    member = {"CANARY": "CanarySize", "LINEAR": "LinearStepSize"}.get(spec.traffic)
    step = {member: {"Type": spec.step_unit, "Value": spec.step_size}} if member else {}
    return present(
        BlueGreenUpdatePolicy=present(
            TrafficRoutingConfiguration={"Type": spec.traffic, "WaitIntervalInSeconds": spec.wait_interval, **step},
            TerminationWaitInSeconds=spec.termination_wait,
            MaximumExecutionTimeoutInSeconds=spec.max_execution_timeout,
        ),
        AutoRollbackConfiguration=present(Alarms=[{"AlarmName": name} for name in spec.alarms]),
    )
