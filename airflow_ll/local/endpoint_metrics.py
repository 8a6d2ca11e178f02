"""The metrics of invocations, in the namespace AWS/SageMaker: summed up in memory, kept in the store."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from airflow_ll.local.store import EndpointMetric

if TYPE_CHECKING:
    from airflow_ll.local.store import Store

__all__ = ["EndpointMetrics"]

_FLUSH_SECONDS = 5.0
_COUNT, _MICROSECONDS = "Count", "Microseconds"


class EndpointMetrics:
    """What CloudWatch is told of each variant; a few seconds of it are in memory only."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._sums: dict[tuple[str, str, str, str], list[float]] = {}
        self._timer: threading.Timer | None = None

    def record(
        self, endpoint: str, variant: str, *, instances: int, status: int, model_seconds: float, overhead_seconds: float
    ) -> None:
        """Count one invocation: the container's status, its time, and the time that the runtime added to it."""
        values = (
            ("Invocations", _COUNT, 1.0),
            ("InvocationsPerInstance", _COUNT, 1.0 / max(instances, 1)),
            ("Invocation4XXErrors", _COUNT, float(400 <= status < 500)),
            ("Invocation5XXErrors", _COUNT, float(status >= 500)),
            ("InvocationModelErrors", _COUNT, float(status != 200)),
            ("ModelLatency", _MICROSECONDS, model_seconds * 1e6),
            ("OverheadLatency", _MICROSECONDS, overhead_seconds * 1e6),
        )
        with self._lock:
            for name, unit, value in values:
                sums = self._sums.setdefault((endpoint, variant, name, unit), [0.0, 0.0, value, value])
                sums[0] += 1
                sums[1] += value
                sums[2] = min(sums[2], value)
                sums[3] = max(sums[3], value)
            if self._timer is None:
                self._timer = threading.Timer(_FLUSH_SECONDS, self.flush)
                self._timer.daemon = True
                self._timer.start()

    def flush(self) -> None:
        """Keep what was counted so far."""
        with self._lock:
            sums, self._sums = self._sums, {}
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            now = time.time()
            self._store.add_endpoint_metrics(
                [EndpointMetric(0, *key, now, *statistics) for key, statistics in sums.items()]
            )
