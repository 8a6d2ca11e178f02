"""A bounded pool of workers with a queue, and the handle by which a job is stopped in any phase."""

from __future__ import annotations

import logging
import queue
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_ll.local.processes import Child

__all__ = ["JobHandle", "JobPool", "StopJobError"]

_log = logging.getLogger(__name__)

_GRACE_SECONDS = 3.0


class StopJobError(Exception):
    """The job was asked to stop: leave what it is doing."""


class JobHandle:
    """The running side of one job.

    ``reason`` is ``None`` while nobody stopped it, else the secondary status it ends with.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._children: list[Child] = []
        self._stopped = threading.Event()
        self.reason: str | None = None

    def stop(self, reason: str) -> None:
        """Ask the job to stop, and its processes to end; the first reason counts."""
        with self._lock:
            self.reason = self.reason or reason
            children = list(self._children)
        self._stopped.set()
        for child in children:
            threading.Thread(target=child.end, args=(_GRACE_SECONDS,), daemon=True).start()

    def check(self) -> None:
        """Raise ``StopJobError`` when the job was asked to stop."""
        if self.reason is not None:
            raise StopJobError(self.reason)

    def wait(self, seconds: float) -> None:
        """Let time pass; raise ``StopJobError`` as soon as the job is asked to stop."""
        self._stopped.wait(seconds)
        self.check()

    def attach(self, child: Child) -> None:
        """Name a process that does the job's work now."""
        with self._lock:
            self._children.append(child)
        if self.reason is not None:
            self.stop(self.reason)

    def detach(self) -> None:
        """Note that its processes have ended."""
        with self._lock:
            self._children.clear()


class JobPool:
    """Runs jobs in the order they come, ``workers`` at a time."""

    def __init__(self, workers: int) -> None:
        self._queue: queue.SimpleQueue[tuple[str, Callable[[JobHandle], None]]] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._queued: set[str] = set()
        self._running: dict[str, JobHandle] = {}
        for number in range(workers):
            threading.Thread(target=self._work, name=f"jobs-{number}", daemon=True).start()

    def submit(self, arn: str, run: Callable[[JobHandle], None]) -> None:
        """Queue a job; ``run`` gets the handle and must not raise."""
        with self._lock:
            self._queued.add(arn)
        self._queue.put((arn, run))

    def stop(self, arn: str, reason: str = "Stopped") -> bool:
        """Ask a job to stop; ``False`` when no worker has it, so that there is nothing to wait for."""
        with self._lock:
            handle = self._running.get(arn)
            self._queued.discard(arn)
        if handle is not None:
            handle.stop(reason)
        return handle is not None

    def _work(self) -> None:
        while True:
            arn, run = self._queue.get()
            with self._lock:
                if arn not in self._queued:
                    continue  # stopped while it was waiting
                self._queued.discard(arn)
                handle = self._running[arn] = JobHandle()
            try:
                run(handle)
            except Exception:
                _log.exception("the job %s ended with an unexpected error", arn)
            with self._lock:
                del self._running[arn]
