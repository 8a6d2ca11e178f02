"""What serves an endpoint: a fleet of variants, each with a serving process for each of its instances."""

from __future__ import annotations

import logging
import random
import shutil
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from airflow_ll.local.errors import InvocationThrottledError, RuntimeValidationError
from airflow_ll.local.s3_data import CustomerDataError
from airflow_ll.local.serving import ContainerError, ServingProcess, fetch_model

if TYPE_CHECKING:
    from pathlib import Path

    from airflow_ll.local.runtime import Runtime

__all__ = ["MAX_WORKERS", "Fleet", "FleetError", "Variant", "instances", "log_group"]

_log = logging.getLogger(__name__)

MAX_WORKERS = 8
"""How many processes stand for the instances of one variant at most."""

_DRAIN_SECONDS = 60


class FleetError(Exception):
    """A variant does not come up; the text is a FailureReason."""


def log_group(endpoint: str) -> str:
    """Return the log group of an endpoint."""
    return f"/aws/sagemaker/Endpoints/{endpoint}"


class _Worker:
    """One instance: a serving process, started again by the next request when it died."""

    def __init__(self, variant: Variant) -> None:
        self._variant = variant
        self._stream = f"{variant.name}/i-{uuid.uuid4().hex[:17]}"
        self._idle = threading.Condition()
        self._stopped = False
        self.outstanding = 0
        self._process = self._start()

    def _start(self) -> ServingProcess:
        variant = self._variant

        def write(lines: list[str]) -> None:
            variant.runtime.logs.write(log_group(variant.endpoint), self._stream, lines)

        return ServingProcess(variant.runtime, variant.root, write, environment=variant.plan.get("Environment"))

    def invoke(self, body: bytes, headers: dict[str, str], seconds: float) -> tuple[int, bytes, str]:
        """Score a request that :attr:`outstanding` already counts."""
        try:
            with self._idle:
                if not self._process.alive and not self._stopped:
                    self._restart()
                process = self._process
            return process.invoke(body, headers, seconds)
        finally:
            with self._idle:
                self.outstanding -= 1
                self._idle.notify_all()

    def _restart(self) -> None:
        try:
            self._process = self._start()
        except InterruptedError as error:
            raise ContainerError(f"did not answer: {error}") from error

    def take(self) -> None:
        """Count a request that is about to come."""
        with self._idle:
            self.outstanding += 1

    def stop(self) -> None:
        """End the process when it has answered what it was asked."""
        with self._idle:
            self._idle.wait_for(lambda: self.outstanding == 0, _DRAIN_SECONDS)
            self._stopped = True
        self._process.stop()


class Variant:
    """One production variant; its model is in ``root/model``."""

    def __init__(self, runtime: Runtime, endpoint: str, root: Path, plan: dict[str, Any]) -> None:
        self.runtime, self.endpoint, self.root, self.plan = runtime, endpoint, root, plan
        self.name: str = plan["VariantName"]
        self.weight: float = plan["Weight"]
        serverless = plan.get("ServerlessConfig")
        self.max_concurrency: int | None = serverless["MaxConcurrency"] if serverless else None
        self._lock = threading.Lock()
        self._workers: list[_Worker] = []

    @property
    def instances(self) -> int:
        """How many processes serve it."""
        return len(self._workers)

    def scale(self, count: int) -> None:
        """Start or stop processes until ``count`` serve, at most :data:`MAX_WORKERS`.

        :raises FleetError: a new one does not come up; those that served go on.
        """
        count = min(count, MAX_WORKERS)
        missing = count - len(self._workers)
        if missing > 0:
            self._add(missing)
        with self._lock:
            retired = self._workers[count:]
            del self._workers[count:]
        for worker in retired:
            worker.stop()

    def apply(self, wanted: dict[str, Any]) -> None:
        """Take over a weight and note a capacity, from UpdateEndpointWeightsAndCapacities."""
        self.plan["Weight"] = self.weight = wanted.get("DesiredWeight", self.weight)
        self.plan["InstanceCount"] = wanted.get("DesiredInstanceCount", self.plan["InstanceCount"])
        if "ServerlessUpdateConfig" in wanted:
            self.plan["ServerlessConfig"] |= wanted["ServerlessUpdateConfig"]
            self.max_concurrency = self.plan["ServerlessConfig"]["MaxConcurrency"]

    def _add(self, number: int) -> None:
        try:
            fetch_model(self.runtime, self.plan["ModelData"], self.root)
        except CustomerDataError as error:
            text = f"Failed to download model data for production variant {self.name}: {error}"
            raise FleetError(text) from error
        with ThreadPoolExecutor(number) as starts:
            started = [starts.submit(self._start_worker) for _ in range(number)]
        failures = [one.exception() for one in started if one.exception() is not None]
        fresh = [one.result() for one in started if one.exception() is None]
        if failures:
            for worker in fresh:
                worker.stop()
            raise self._failed(failures[0]) from failures[0]
        with self._lock:
            self._workers += fresh

    def _start_worker(self) -> _Worker:
        with self.runtime.hosting.starting:
            return _Worker(self)

    def _failed(self, error: BaseException | None) -> FleetError:
        if isinstance(error, ContainerError):
            return FleetError(f"The primary container for production variant {self.name} {error} for this endpoint.")
        if not isinstance(error, InterruptedError):  # the runtime is closing
            _log.error("endpoint %s", self.endpoint, exc_info=error)
        return FleetError(f"InternalServerError: {error}")

    def invoke(self, body: bytes, headers: dict[str, str], seconds: float) -> tuple[int, bytes, str]:
        """Score a request by the process with the least to do.

        :raises InvocationThrottledError: a serverless variant has as many requests as its MaxConcurrency.
        :raises ContainerError: the process does not answer.
        """
        with self._lock:
            if not self._workers:
                raise ContainerError("has no instances")
            running = sum(worker.outstanding for worker in self._workers)
            if self.max_concurrency is not None and running >= self.max_concurrency:
                raise InvocationThrottledError("Rate exceeded")
            worker = min(self._workers, key=lambda one: (one.outstanding, random.random()))  # noqa: S311
            worker.take()
        return worker.invoke(body, headers, seconds)


class Fleet:
    """The variants of a plan; ``root`` holds their models."""

    def __init__(self, runtime: Runtime, endpoint: str, plan: dict[str, Any]) -> None:
        self.plan = plan
        self._root = runtime.data_dir / "endpoints" / endpoint / plan["Id"]
        self.variants = [
            Variant(runtime, endpoint, self._root / variant["VariantName"], variant) for variant in plan["Variants"]
        ]

    def scale(self, share: float = 1.0) -> None:
        """Bring every variant to a share of its instances.

        :raises FleetError: one of them does not come up.
        """
        for variant in self.variants:
            variant.scale(instances(variant.plan, share))

    def choose(self, target: str | None) -> Variant:
        """Return the variant that a request goes to, by name or by weight."""
        if target is None:
            weights = [variant.weight for variant in self.variants]
            return random.choices(self.variants, weights if any(weights) else None)[0]  # noqa: S311
        for variant in self.variants:
            if variant.name == target:
                return variant
        raise RuntimeValidationError(f"Could not find variant {target} of the endpoint.")

    def stop(self) -> None:
        """End all serving processes and forget their files."""
        for variant in self.variants:
            variant.scale(0)
        shutil.rmtree(self._root, ignore_errors=True)


def instances(variant: dict[str, Any], share: float = 1.0) -> int:
    """Return a share of the instances of a planned variant, rounded up; a serverless one has a single process."""
    count = 1 if "ServerlessConfig" in variant else variant["InstanceCount"]
    return min(count, -int(-count * share // 1))
