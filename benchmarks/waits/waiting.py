"""Many triggers in one triggerer process: calls a minute, CPU, memory, and the delay from a job's end to the event."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.airflow_home import AirflowHome, stop, until, usage

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_ll.testing import LocalRuntime

__all__ = ["Waited", "our_trigger", "their_trigger", "wait"]

AIOBOTOCORE = Path(__file__).parents[2] / ".venvs" / "aiobotocore" / "bin" / "python"
_PATIENCE = 1800.0


@dataclass(frozen=True)
class Waited:
    """What many waits cost.

    :param calls: SageMaker calls by operation while all waited, and ``seconds`` of that.
    :param at_the_end: the same while jobs ended, and the seconds of that.
    :param cpu: share of one core, while all waited.
    :param memory: bytes of the triggerer and its child.
    :param delays: seconds from a job's end to its trigger's event.
    """

    triggers: int
    calls: Counter[str]
    seconds: float
    at_the_end: Counter[str]
    end_seconds: float
    cpu: float
    memory: int
    delays: list[float]

    def a_minute(self, *operations: str) -> float:
        """Return the calls a minute while all waited."""
        return sum(self.calls[one] for one in operations or self.calls) / self.seconds * 60


def our_trigger(name: str) -> tuple[str, dict[str, Any]]:
    """Return class path and arguments of this provider's trigger, without logs."""
    from airflow_ll.triggers import LinearLearnerTrainingTrigger

    return LinearLearnerTrainingTrigger(name).serialize()


def their_trigger(name: str) -> tuple[str, dict[str, Any]]:
    """Return those of the Amazon provider's, as its operator makes it."""
    from airflow.providers.amazon.aws.triggers.sagemaker import SageMakerTrigger

    path, arguments = SageMakerTrigger(job_name=name, job_type="training", waiter_delay=30).serialize()
    return path, arguments


def wait(
    runtime: LocalRuntime,
    folder: Path,
    names: list[str],
    trigger: Callable[[str], tuple[str, dict[str, Any]]],
    *,
    python: str,
    seconds: float,
    ending: float,
) -> Waited:
    """Let a triggerer wait, first ``seconds`` in peace, then while the jobs end over ``ending`` seconds."""
    home = AirflowHome(folder, runtime.connection)
    home.migrate()
    home.defer([trigger(name) for name in names])
    triggerer = home.start("triggerer", python=python)
    try:
        waiting = "select count(*) from trigger where triggerer_id is null"
        until(lambda: home.rows(waiting)[0][0] == 0, "the triggerer did not take its triggers", process=triggerer)
        time.sleep(60)  # all have had their first look
        before, used, begun = _calls(runtime), usage(triggerer), time.monotonic()
        time.sleep(seconds)
        after, now, passed = _calls(runtime), usage(triggerer), time.monotonic() - begun
        begun = time.monotonic()
        delays = _end_jobs(runtime, home, names, ending)
        ended = _calls(runtime) - after
    finally:
        stop(triggerer)
    share = (now.cpu - used.cpu) / passed
    return Waited(
        len(names), after - before, passed, ended, time.monotonic() - begun, share, now.memory, sorted(delays)
    )


def _end_jobs(runtime: LocalRuntime, home: AirflowHome, names: list[str], ending: float) -> list[float]:
    """Stop all jobs, evenly over the time, and return how long after its end each trigger's event was there."""
    client = runtime.client("sagemaker")
    ended: dict[int, float] = {}
    seen: dict[int, float] = {}
    begun, left = time.time(), list(names)
    order = {name: index for index, name in enumerate(names)}
    deadline = begun + ending + _PATIENCE
    while len(seen) < len(names):
        due = (time.time() - begun) / ending * len(names)
        while left and len(ended) < due:
            name = left.pop()
            client.stop_training_job(TrainingJobName=name)
            ended[order[name]] = time.time()
        for (index,) in home.rows("select map_index from task_instance where state != 'deferred'"):
            seen.setdefault(index, time.time())
        if time.time() > deadline:
            raise RuntimeError(f"only {len(seen)} of {len(names)} triggers fired")
        time.sleep(0.2)
    return [seen[index] - at for index, at in ended.items()]


def _calls(runtime: LocalRuntime) -> Counter[str]:
    """Return the calls so far, by operation; those that this benchmark makes itself are left out."""
    counts: Counter[str] = Counter()
    for line in (runtime.data_dir / "access.log").read_text(encoding="utf-8").splitlines():
        _, service, operation, *_ = line.split(" ")
        if service in ("sagemaker", "logs") and not operation.startswith(("Create", "Stop")):
            counts[operation] += 1
    return counts
