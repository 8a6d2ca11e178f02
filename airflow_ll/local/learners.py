"""One learner that does a job's work and ends: within a time limit, stoppable, its log read as it comes."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from airflow_ll.local.jobs import JobHandle
    from airflow_ll.local.processes import Child
    from airflow_ll.local.runtime import Runtime

__all__ = ["Limit", "run_learner"]


@dataclass(frozen=True)
class Limit:
    """After ``seconds`` the job is stopped for ``reason``."""

    seconds: float
    reason: str


def run_learner(
    runtime: Runtime,
    handle: JobHandle,
    command: Sequence[str],
    on_lines: Callable[[list[str]], None],
    limit: Limit,
    plan: Callable[[Child], list[threading.Timer]] | None = None,
    memory: int | None = None,
) -> int:
    """Run ``airflow-ll COMMAND``, whose last argument is its tree, and return its exit code.

    :param plan: what else is to happen to the process while it runs.
    :param memory: the bytes of data that it may hold.
    :raises StopJobError: the job was stopped meanwhile, or its time is over.
    :raises InterruptedError: the runtime is closing; what the process left is no result.
    """
    child = runtime.processes.start(command, Path(command[-1]), memory=memory)
    handle.attach(child)
    timers = [threading.Timer(limit.seconds, handle.stop, [limit.reason]), *(plan(child) if plan else [])]
    for timer in timers:
        timer.daemon = True
        timer.start()
    try:
        for lines in child.lines():
            on_lines(lines)
        code = child.process.wait()
    finally:
        for timer in timers:
            timer.cancel()
        handle.detach()
        if child.alive():  # its log could not be written
            child.end(0)
        runtime.processes.forget(child)
    handle.check()
    if runtime.closing.is_set():
        raise InterruptedError
    return code
