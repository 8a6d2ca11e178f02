"""Run a record set task in processes that die at every boundary of a call to S3; a program of test_kills.

``kill SOURCE LOCATION`` prints how many boundaries there are; run ``n`` was killed at number ``n``.
``retry COUNT LOCATION SOURCE OTHER`` runs each of them again, the even ones with other data.
"""

from __future__ import annotations

import itertools
import os
import signal
import sys
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_ll.operators import LinearLearnerRecordSetOperator
from airflow_ll.requests.names import TaskIdentity

if TYPE_CHECKING:
    from airflow_ll.hooks.storage import ObjectSettings


class SmallParts(LinearLearnerRecordSetOperator):
    """A task whose first shard is large enough for a multipart upload."""

    def object_settings(self) -> ObjectSettings:
        return replace(super().object_settings(), part_size=5 << 20, multipart_threshold=5 << 20)


def record_set_task(source: str, location: str) -> SmallParts:
    """Return the task, its client ready."""
    task = SmallParts(
        task_id="rows",
        features=source,
        label_column=0,
        split={"train": 0.9, "validation": 0.1},
        data_location=location,
        target_shard_size=5_600_000,
    )
    task.hook.client("s3")
    return task


def attempt(task: SmallParts, run: int) -> None:
    """Run the task once."""
    task.execute({"ti": TaskIdentity("killed", f"run-{run}", "rows")})


def die_at(task: SmallParts, boundary: int) -> None:
    """Let this process die at a boundary: before a call is sent, or after its answer."""
    boundaries, lock = itertools.count(1), threading.Lock()

    def count(**_: Any) -> None:
        with lock:
            if next(boundaries) == boundary:
                os.kill(os.getpid(), signal.SIGKILL)

    for event in ("before-send.s3", "after-call.s3"):
        task.hook.client("s3").meta.events.register(event, count)


def kill(task: SmallParts) -> int:
    """Kill one run at each boundary and return how many there were: the run after the last one ends by itself."""
    for run in itertools.count(1):
        child = os.fork()
        if child == 0:
            die_at(task, run)
            attempt(task, run)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            assert os.waitstatus_to_exitcode(status) == 0
            return run - 1
    raise AssertionError


if __name__ == "__main__":
    verb, *arguments = sys.argv[1:]
    if verb == "kill":
        print(kill(record_set_task(*arguments)))
    else:
        last, location, *sources = arguments
        tasks = [record_set_task(source, location) for source in sources]
        for number in range(1, int(last) + 1):
            attempt(tasks[number % 2 == 0], number)
