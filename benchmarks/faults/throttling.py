"""Training tasks while AWS is having a bad day: refusals, errors and lost connections at every call."""

from __future__ import annotations

import asyncio
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import TaskDeferred

from benchmarks.faults.processes import TaskInstance
from benchmarks.faults.subjects import SUBJECTS

if TYPE_CHECKING:
    from airflow_ll.testing import LocalRuntime
    from benchmarks.faults.subjects import World

__all__ = ["RULES", "BadDay", "bad_day"]

RULES = (
    "throttling rate=0.3 seed=1",
    "server-error rate=0.05 seed=2",
    "reset rate=0.005 when=before seed=3",
    "reset rate=0.005 when=after seed=4",
)
_WORKERS = 10
_RUN = "bad-day"


@dataclass(frozen=True)
class BadDay:
    """What became of the tasks.

    :param calls: all that AWS answered or did not, and how many of them went wrong.
    """

    tasks: int
    failed: list[str]
    duplicated: list[str]
    calls: int
    refused: int

    @property
    def well(self) -> bool:
        """Whether all tasks ended, each with one training job."""
        return not self.failed and not self.duplicated


def bad_day(runtime: LocalRuntime, world: World, tasks: int) -> BadDay:
    """Run training tasks, every other one deferred, while the runtime refuses calls."""
    before = len(_log(runtime))
    with runtime.failing(*RULES):
        failed = asyncio.run(_run(world, tasks))
    lines = [line.split(" ") for line in _log(runtime)[before:]]
    ours = [line for line in lines if line[1] == "sagemaker"]
    created = Counter(line[3] for line in ours if line[2] == "CreateTrainingJob" and int(line[4]) < 300)
    owners = Counter(name.rsplit("-", 1)[0] for name in created.elements())
    return BadDay(
        tasks,
        failed,
        [name for name, count in owners.items() if count > 1],
        len(ours),
        sum(int(line[4]) >= 400 for line in ours),
    )


async def _run(world: World, tasks: int) -> list[str]:
    loop, threads = asyncio.get_running_loop(), ThreadPoolExecutor(_WORKERS)
    (training,) = (subject for subject in SUBJECTS if subject.name == "training")

    def work(number: int, event: dict[str, Any] | None = None) -> Any:
        """Do what a worker does, and return the trigger if the task was deferred."""
        task = training.task(world, "deferrable" if number % 2 else "sync")
        context = {"ti": TaskInstance("faults", _RUN, f"train_{number:02d}")}
        try:
            return task.execute(context) if event is None else task.execute_complete(context, event)
        except TaskDeferred as deferred:
            return deferred.trigger

    async def whole(number: int) -> str:
        try:
            told = await loop.run_in_executor(threads, work, number)
            while not isinstance(told, dict):
                event = (await anext(told.run())).payload
                told = await loop.run_in_executor(threads, work, number, event)
        except Exception as error:
            return f"{number}: {error!r}"
        return "" if told["status"] == "Completed" else f"{number}: {told['status']}"

    with threads:
        ended = await asyncio.gather(*(whole(number) for number in range(tasks)))
    return [said for said in ended if said]


def _log(runtime: LocalRuntime) -> list[str]:
    return (runtime.data_dir / "access.log").read_text(encoding="utf-8").splitlines()
