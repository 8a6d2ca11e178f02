"""Say in the task's log how far a conversion has come."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["Progress"]

_SECONDS_BETWEEN_LINES = 10.0


class Progress:
    """Rows, MB/s and, where the total is known, the time that is left.

    :param total_rows: when it is known.
    :param clock: seconds, monotonic.
    """

    def __init__(self, log: Any, total_rows: int | None = None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.log, self.total_rows, self.clock = log, total_rows, clock
        self.rows = 0
        self._begin = self._last = clock()

    def add(self, rows: int, size: int) -> None:
        """Count rows that were read; ``size`` is the bytes of all finished shards so far."""
        self.rows += rows
        now = self.clock()
        if now - self._last >= _SECONDS_BETWEEN_LINES:
            self._last = now
            self.log.info("%s%s", self._so_far(now, size), self._left(now))

    def end(self, size: int) -> None:
        """Say what it came to."""
        self.log.info("Done: %s", self._so_far(self.clock(), size))

    def _so_far(self, now: float, size: int) -> str:
        seconds = max(now - self._begin, 1e-3)
        share = f" of {self.total_rows:,}" if self.total_rows else ""
        return f"{self.rows:,}{share} rows, {size / 1e6:,.1f} MB, {size / 1e6 / seconds:,.1f} MB/s"

    def _left(self, now: float) -> str:
        if not self.total_rows or not self.rows:
            return ""
        left = (now - self._begin) * max(0, self.total_rows - self.rows) / self.rows
        return f", {left:,.0f} s left"
