"""Updating an endpoint: bring up a new fleet, shift the traffic to it, and go back when that does not work.

Without a DeploymentConfig all traffic moves at once when the new fleet answers. Blue/green policies move it in steps
with a baking time after each; a rolling update replaces the old fleet's instances in batches.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from airflow_ll.local.alarms import MissingAlarmsError, triggered
from airflow_ll.local.deployment_config import share, steps
from airflow_ll.local.fleet import Fleet, FleetError
from airflow_ll.local.resources import ENDPOINT

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_ll.local.runtime import Runtime

__all__ = ["RollbackFailedError", "RolledBackError", "Rollout"]

_ALL_AT_ONCE = {"TrafficRoutingConfiguration": {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 0}}
_LONGEST_SECONDS = 28_800
_POLL_SECONDS = 0.5


class RolledBackError(Exception):
    """The update did not work and the old fleet serves again; the text is a FailureReason."""


class RollbackFailedError(Exception):
    """The update did not work, and the old fleet did not come back either; the text is a FailureReason."""


class Rollout:
    """One update of an endpoint from the fleet that serves it to the fleet of a plan.

    :param route: called with the fleets that share the traffic from now on, and the share of each.
    """

    def __init__(
        self,
        runtime: Runtime,
        endpoint: str,
        plan: dict[str, Any],
        old: Fleet,
        route: Callable[[list[tuple[Fleet, float]]], None],
    ) -> None:
        self._runtime, self._endpoint, self._plan, self._old, self._route = runtime, endpoint, plan, old, route
        self._new = Fleet(runtime, endpoint, plan)
        config = plan.get("DeploymentConfig", {})
        self._rolling: dict[str, Any] | None = config.get("RollingUpdatePolicy")
        self._blue_green: dict[str, Any] = config.get("BlueGreenUpdatePolicy", _ALL_AT_ONCE)
        alarms = config.get("AutoRollbackConfiguration", {}).get("Alarms", [])
        self._alarms = [alarm["AlarmName"] for alarm in alarms if "AlarmName" in alarm]
        limit = (self._rolling or self._blue_green).get("MaximumExecutionTimeoutInSeconds", _LONGEST_SECONDS)
        self._deadline = time.monotonic() + limit
        self._old_share = 1.0

    def run(self) -> Fleet:
        """Update, and return the fleet that serves now; the old one is still to be stopped.

        :raises RolledBackError: the old fleet serves again, the new one is gone.
        :raises RollbackFailedError: what serves is a mix of both.
        :raises InterruptedError: the runtime is closing.
        """
        try:
            self._check()
            if self._rolling is None:
                self._shift()
            else:
                self._roll(self._rolling)
        except FleetError as error:
            self._roll_back(str(error))
            raise RolledBackError(str(error)) from error
        return self._new

    def _shift(self) -> None:
        """Bring up the whole new fleet, then move the traffic to it in steps."""
        routing = self._blue_green["TrafficRoutingConfiguration"]
        self._phase("Creating")
        self._new.scale()
        for part in self._traffic_steps(routing):
            self._phase("ActivatingTraffic")
            self._share(1 - part)
            self._bake(routing["WaitIntervalInSeconds"])
        self._bake(self._blue_green.get("TerminationWaitInSeconds", 0))

    def _traffic_steps(self, routing: dict[str, Any]) -> list[float]:
        """Return the shares of the traffic that the new fleet gets, one after the other."""
        if routing["Type"] == "CANARY":
            return [share(routing["CanarySize"], self._plan), 1.0]
        if routing["Type"] == "LINEAR":
            return list(steps(share(routing["LinearStepSize"], self._plan)))
        return [1.0]

    def _roll(self, policy: dict[str, Any]) -> None:
        """Replace the old fleet's instances by new ones in batches."""
        for part in steps(share(policy["MaximumBatchSize"], self._plan)):
            self._phase("Creating")
            self._new.scale(part)
            self._phase("ActivatingTraffic")
            self._share(1 - part)
            self._old.scale(1 - part)
            self._bake(policy["WaitIntervalInSeconds"])

    def _roll_back(self, reason: str) -> None:
        """Let the old fleet serve alone again; a rolling update has to bring it up again first."""
        size = (self._rolling or {}).get("RollbackMaximumBatchSize")
        try:
            for part in steps(share(size, self._plan) if size else 1.0, self._old_share):
                if self._rolling is not None:
                    self._old.scale(part)
                self._share(part)
        except FleetError as error:
            raise RollbackFailedError(f"{reason} The rollback failed too: {error}") from error
        self._new.stop()

    def _share(self, old: float) -> None:
        """Give the old fleet that share of the traffic and the new one the rest."""
        fleets = [(self._old, old), (self._new, 1 - old)]
        self._route([(fleet, part) for fleet, part in fleets if part > 0])
        self._old_share = old

    def _bake(self, seconds: int) -> None:
        """Wait, and watch the alarms meanwhile.

        :raises FleetError: an alarm went off, or the deployment takes too long.
        """
        if seconds:
            self._phase("Baking")
        end = time.monotonic() + seconds * self._runtime.speed.scale
        self._check()
        while (left := end - time.monotonic()) > 0:
            if self._runtime.closing.wait(min(left, _POLL_SECONDS)):
                raise InterruptedError
            self._check()

    def _check(self) -> None:
        if time.monotonic() > self._deadline:
            raise FleetError("The deployment exceeded its MaximumExecutionTimeoutInSeconds.")
        if not self._alarms:
            return
        try:
            rang = triggered(self._runtime.cloudwatch, self._alarms)
        except MissingAlarmsError as error:
            raise FleetError(f"The alarms of AutoRollbackConfiguration do not exist in CloudWatch: {error}.") from error
        if rang:
            raise FleetError(
                f"One or more configured alarm(s) have been triggered during deployment: [{', '.join(rang)}]"
            )

    def _phase(self, status: str) -> None:
        """Show in the endpoint how far the deployment is."""
        summary = {
            "EndpointConfigName": self._plan["EndpointConfigName"],
            "StartTime": self._plan["StartTime"],
            "ProductionVariants": [self._variant(number, status) for number in range(len(self._new.variants))],
        }

        def change(endpoint: dict[str, Any]) -> bool:
            if (endpoint.get("_Pending") or {}).get("Id") != self._plan["Id"]:
                return False
            endpoint["PendingDeploymentSummary"] = summary
            return True

        self._runtime.store.update(ENDPOINT.key, self._endpoint, ENDPOINT.status_member, change)

    def _variant(self, number: int, status: str) -> dict[str, Any]:
        planned, serving = self._plan["Variants"][number], self._new.variants[number]
        return {
            "VariantName": planned["VariantName"],
            "DeployedImages": [{"SpecifiedImage": planned["Image"], "ResolvedImage": planned["Image"]}],
            "CurrentWeight": planned["Weight"],
            "DesiredWeight": planned["Weight"],
            "CurrentInstanceCount": serving.instances,
            "DesiredInstanceCount": planned["InstanceCount"],
            "InstanceType": planned.get("InstanceType"),
            "CurrentServerlessConfig": planned.get("ServerlessConfig"),
            "VariantStatus": [{"Status": status, "StartTime": time.time()}],
        }
