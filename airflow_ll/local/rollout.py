"""Updating an endpoint: bring up a new fleet, shift the traffic to it, and go back when that does not work.

Without a DeploymentConfig all traffic moves at once when the new fleet answers. Blue/green policies move it in steps
with a baking time after each; a rolling update replaces the old fleet's instances in batches.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from airflow_ll.local.fleet import Fleet, FleetError
from airflow_ll.local.resources import ENDPOINT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow_ll.local.runtime import Runtime

__all__ = ["RollbackFailedError", "RolledBackError", "Rollout"]


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
        self._blue_green: dict[str, Any] = config.get("BlueGreenUpdatePolicy", {})

    def run(self) -> Fleet:
        """Update, and return the fleet that serves now; the old one is still to be stopped.

        :raises RolledBackError: the old fleet serves again, the new one is gone.
        :raises RollbackFailedError: both serve.
        :raises InterruptedError: the runtime is closing.
        """
        try:
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
        self._phase("Creating")
        self._new.scale()
        for share in self._steps():
            self._phase("ActivatingTraffic")
            self._route([(self._old, 1 - share), (self._new, share)] if share < 1 else [(self._new, 1.0)])

    def _steps(self) -> Iterator[float]:
        """Yield the shares of the traffic that the new fleet gets."""
        yield 1.0

    def _roll(self, policy: dict[str, Any]) -> None:
        """Replace the old fleet's instances by new ones in batches."""

    def _roll_back(self, reason: str) -> None:
        """Let the old fleet serve alone again."""
        self._route([(self._old, 1.0)])
        self._new.stop()

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
