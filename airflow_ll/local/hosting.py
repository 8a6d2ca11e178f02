"""Serving endpoints: which fleets answer for each, and bringing them up, updating, scaling and ending them."""

from __future__ import annotations

import logging
import os
import random
import shutil
import threading
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_ll.local.async_inference import AsyncInvocations
from airflow_ll.local.capture import EndpointCaptures
from airflow_ll.local.errors import RuntimeValidationError
from airflow_ll.local.fleet import Fleet, FleetError
from airflow_ll.local.jobs import JobHandle
from airflow_ll.local.plans import described
from airflow_ll.local.resources import ENDPOINT
from airflow_ll.local.rollout import RollbackFailedError, RolledBackError, Rollout
from airflow_ll.local.speed import NoCapacityError, provision

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_ll.local.fleet import Variant
    from airflow_ll.local.runtime import Runtime

__all__ = ["Hosting", "Route"]

_log = logging.getLogger(__name__)

_RECOVERY_SECONDS = 60


@dataclass(frozen=True)
class Route:
    """The fleets that answer for an endpoint, each with its share of the traffic: one, or two during an update."""

    fleets: tuple[tuple[Fleet, float], ...]

    @property
    def capture(self) -> dict[str, Any] | None:
        """The DataCaptureConfig of what serves, when it is enabled."""
        config: dict[str, Any] | None = self.fleets[0][0].plan.get("DataCaptureConfig")
        return config if config and config.get("EnableCapture", True) else None

    @property
    def asynchronous(self) -> dict[str, Any] | None:
        """The AsyncInferenceConfig of what serves."""
        config: dict[str, Any] | None = self.fleets[0][0].plan.get("AsyncInferenceConfig")
        return config

    @property
    def instances(self) -> int:
        """How many processes serve."""
        return sum(variant.instances for fleet, _ in self.fleets for variant in fleet.variants)

    def choose(self, target: str | None) -> Variant:
        """Return the variant that a request goes to."""
        fleets, shares = zip(*self.fleets, strict=True)
        fleet: Fleet = random.choices(fleets, shares)[0]  # noqa: S311
        return fleet.choose(target)


class Hosting:
    """All endpoints of a runtime."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._changed = threading.Condition()
        self._routes: dict[str, Route] = {}
        self._working: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self.captures = EndpointCaptures(runtime)
        self.asynchronous = AsyncInvocations(runtime)
        self.starting = threading.BoundedSemaphore(max(2, os.cpu_count() or 1))

    def recover(self) -> None:
        """Serve again what an earlier runtime served, and go on with what it had begun."""
        for endpoint in self._runtime.store.with_status(ENDPOINT.key, "Deleting"):
            self._runtime.store.delete(ENDPOINT.key, endpoint["EndpointName"])
        wanted = set()
        served = ("Creating", "InService", "Updating", "UpdateRollbackFailed")
        for endpoint in self._runtime.store.with_status(ENDPOINT.key, *served):
            plans = [endpoint[member] for member in ("_Deployment", "_Pending") if endpoint.get(member)]
            wanted |= {(endpoint["EndpointName"], plan["Id"]) for plan in plans}
        for tree in (self._runtime.data_dir / "endpoints").glob("*/*"):
            if (tree.parent.name, tree.name) not in wanted:
                shutil.rmtree(tree, ignore_errors=True)
        for name in sorted({name for name, _ in wanted}):
            self.work(name)
        self.asynchronous.recover()

    def close(self) -> None:
        """Let those go who wait for an endpoint to come back: the runtime is closing."""
        with self._changed:
            self._changed.notify_all()

    def work(self, name: str) -> None:
        """Bring an endpoint into the state that it is said to have, in the background."""
        threading.Thread(target=self._work, args=(name,), name=f"endpoint-{name}", daemon=True).start()

    def remove(self, name: str, seconds: float = 0.0) -> None:
        """Stop serving an endpoint; one that is shown as Deleting is gone after ``seconds``."""
        if seconds:
            threading.Thread(target=self._forget, args=(name, seconds), daemon=True).start()
        with self._changed:
            route = self._routes.pop(name, None)
        for fleet, _ in route.fleets if route else ():
            threading.Thread(target=fleet.stop, daemon=True).start()

    def _forget(self, name: str, seconds: float) -> None:
        if not self._runtime.closing.wait(seconds):
            self._runtime.store.delete(ENDPOINT.key, name)

    def route(self, name: str) -> Route:
        """Return what serves an endpoint; right after a restart, wait until it is served again.

        :raises RuntimeValidationError: nothing does.
        """

        def settled() -> bool:
            if name in self._routes or self._runtime.closing.is_set():
                return True
            endpoint = self._runtime.store.get(ENDPOINT.key, name)
            ended = ("Failed", "Deleting")
            return endpoint is None or endpoint.get("_Deployment") is None or endpoint["EndpointStatus"] in ended

        with self._changed:
            self._changed.wait_for(settled, _RECOVERY_SECONDS)
            if name in self._routes:
                return self._routes[name]
        account = self._runtime.account_id
        raise RuntimeValidationError(f"Endpoint {name} of account {account} not found.")

    def _work(self, name: str) -> None:
        with self._changed:
            working = self._working[name]
        with working:  # an update may come while the endpoint is brought up again
            self._do_work(name)

    def _do_work(self, name: str) -> None:
        try:
            endpoint = self._runtime.store.get(ENDPOINT.key, name) or {}
            if endpoint.get("_Deployment") and name not in self._routes:
                self._serve_again(name, endpoint["_Deployment"], alone=endpoint.get("_Pending") is None)
            if endpoint.get("_Pending"):
                self._deploy(name, endpoint["_Pending"])
            elif endpoint.get("_Capacities"):
                self._scale(name, endpoint["_Capacities"])
        except InterruptedError:
            return  # the runtime is closing: the next one goes on
        except Exception:
            _log.exception("endpoint %s", name)
            self._fail(name, "InternalServerError: the embedded runtime failed; its runtime.log says how.")

    def _serve_again(self, name: str, plan: dict[str, Any], *, alone: bool) -> None:
        """Bring up what served before a restart; when that fails and no update is to come, the endpoint failed."""
        fleet = Fleet(self._runtime, name, plan)
        try:
            fleet.scale()
        except FleetError as error:
            if alone:
                self._fail(name, str(error))
            return
        with self._changed:
            current = (self._runtime.store.get(ENDPOINT.key, name) or {}).get("_Deployment") or {}
            wanted = current.get("Id") == plan["Id"] and not self._runtime.closing.is_set()
            if wanted:
                self._routes[name] = Route(((fleet, 1.0),))
            self._changed.notify_all()
        if not wanted:  # deleted meanwhile
            fleet.stop()

    def _deploy(self, name: str, plan: dict[str, Any]) -> None:
        """Bring up a new plan: the first one of an endpoint, or an update."""
        served = self._routes.get(name)
        if served is None:
            fleet = Fleet(self._runtime, name, plan)
            try:
                self._provision(name, "Creating")
                fleet.scale()
            except FleetError as error:
                fleet.stop()
                self._fail(name, str(error))
                return
            self._serve(name, plan, fleet)
            return
        old = max(served.fleets, key=lambda one: one[1])[0]
        rollout = Rollout(self._runtime, name, plan, old, lambda fleets: self._publish(name, fleets))
        try:
            self._provision(name, "Updating")
            fleet = rollout.run()
        except (FleetError, RolledBackError) as error:
            self._finish(
                name, EndpointStatus="InService", FailureReason=str(error), _Deployment=old.plan, **described(old.plan)
            )
        except RollbackFailedError as error:
            self._finish(name, EndpointStatus="UpdateRollbackFailed", FailureReason=str(error))
        else:
            self._serve(name, plan, fleet)
            for one, _ in served.fleets:
                one.stop()

    def _provision(self, name: str, phase: str) -> None:
        """Take the time that new instances take; a fault rule may say that there are none.

        :raises FleetError: it says so.
        """
        try:
            provision(self._runtime, JobHandle(), ENDPOINT.key, name, phase)
        except NoCapacityError as error:
            raise FleetError(str(error)) from error

    def _serve(self, name: str, plan: dict[str, Any], fleet: Fleet) -> None:
        """Make a fleet the one that serves an endpoint."""
        with self._changed:
            if self._finish(name, EndpointStatus="InService", _Deployment=plan, **described(plan)):
                self._routes[name] = Route(((fleet, 1.0),))
            self._changed.notify_all()

    def _scale(self, name: str, wanted: list[dict[str, Any]]) -> None:
        """Apply UpdateEndpointWeightsAndCapacities; what does not come up leaves the variants as they were."""
        fleet = self.route(name).fleets[0][0]
        variants = {variant.name: variant for variant in fleet.variants}
        plan = (self._runtime.store.get(ENDPOINT.key, name) or {})["_Deployment"]
        planned = {variant["VariantName"]: variant for variant in plan["Variants"]}
        try:
            for change in wanted:
                if "DesiredInstanceCount" in change:
                    variants[change["VariantName"]].scale(change["DesiredInstanceCount"])
        except FleetError as error:
            for variant in fleet.variants:
                variant.scale(planned[variant.name]["InstanceCount"])
            self._finish(name, EndpointStatus="InService", FailureReason=str(error), **described(plan))
            return
        for change in wanted:
            variants[change["VariantName"]].apply(change)
        self._finish(name, EndpointStatus="InService", _Deployment=fleet.plan, **described(fleet.plan))

    def _publish(self, name: str, fleets: list[tuple[Fleet, float]]) -> None:
        with self._changed:
            self._routes[name] = Route(tuple(fleets))
            self._changed.notify_all()

    def _fail(self, name: str, reason: str) -> None:
        self._finish(name, EndpointStatus="Failed", FailureReason=reason)
        with self._changed:
            self._changed.notify_all()

    def _finish(self, name: str, **members: Any) -> bool:
        """Note the end of what was under way; ``False`` when the endpoint is gone or the runtime is closing."""
        if self._runtime.closing.is_set():
            return False

        def change(endpoint: dict[str, Any]) -> None:
            pending = endpoint.pop("_Pending", None) or {}
            endpoint.pop("_Capacities", None)
            endpoint.pop("PendingDeploymentSummary", None)
            if "DeploymentConfig" in pending:
                endpoint["LastDeploymentConfig"] = pending["DeploymentConfig"]
            endpoint.update(members)

        edit: Callable[[dict[str, Any]], bool | None] = change
        return self._runtime.store.update(ENDPOINT.key, name, ENDPOINT.status_member, edit) is not None
