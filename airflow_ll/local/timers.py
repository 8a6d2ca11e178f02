"""Calls that are due at a time: one thread for all of them, however far away they are."""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Timers"]

_log = logging.getLogger(__name__)


class Timers:
    """Deadlines of jobs. What is called must be quick, for the others wait; what it raises is only logged."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._due: list[tuple[float, int, Callable[[], object]]] = []
        self._numbers = itertools.count()
        threading.Thread(target=self._work, name="timers", daemon=True).start()

    def at(self, when: float, action: Callable[[], object]) -> None:
        """Call ``action`` at ``when``, seconds since the epoch; at once when that is over."""
        with self._changed:
            heapq.heappush(self._due, (when, next(self._numbers), action))
            self._changed.notify()

    def _work(self) -> None:
        while True:
            action = self._next()
            try:
                action()
            except Exception:
                _log.exception("a deadline")

    def _next(self) -> Callable[[], object]:
        """Wait for the first one that is due."""
        with self._changed:
            while not self._due or self._due[0][0] > time.time():
                left = self._due[0][0] - time.time() if self._due else threading.TIMEOUT_MAX
                self._changed.wait(min(max(0.0, left), threading.TIMEOUT_MAX))
            return heapq.heappop(self._due)[2]
