"""Real deferred training tasks under Airflow's own scheduler: how soon they go on when their jobs have ended."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_ll.requests.names import TaskIdentity, resource_name
from benchmarks.airflow_home import AirflowHome, stop, until

if TYPE_CHECKING:
    from pathlib import Path

    from airflow_ll.testing import LocalRuntime

__all__ = ["Resumed", "resume"]

_PATIENCE = 3600.0
_DAG = """
from datetime import timedelta

from airflow.sdk import DAG

from airflow_ll.operators import LinearLearnerTrainingOperator

with DAG("resume") as dag:
    LinearLearnerTrainingOperator.partial(
        task_id="train",
        role="arn:aws:iam::123456789012:role/learner",
        records={records!r},
        output_path={output!r},
        hyperparameters={{"predictor_type": "regressor", "epochs": 3, "num_models": 1}},
        deferrable=True,
        retries=5,
        retry_delay=timedelta(0),
    ).expand(environment=[{{"NUMBER": str(number)}} for number in range({count})])
"""


@dataclass(frozen=True)
class Resumed:
    """What became of real tasks.

    :param states: how many tasks ended in which.
    :param tries: of all tasks together.
    :param jobs: training jobs created.
    :param from_event: seconds from the trigger's event to the end of the task.
    :param from_end: seconds from the end of the job to the end of the task.
    """

    states: Counter[str]
    tries: int
    jobs: int
    from_event: list[float]
    from_end: list[float]


def resume(runtime: LocalRuntime, folder: Path, records: dict[str, Any], output: str, count: int) -> Resumed:
    """Run that many mapped training tasks, deferred, under ``airflow standalone``."""
    home = AirflowHome(folder, runtime.connection)
    source = _DAG.format(records=records, output=output, count=count)
    (folder / "dags" / "resume.py").write_text(source, encoding="utf-8")
    airflow = home.start("standalone")
    try:
        until(home.healthy, "Airflow did not start", process=airflow)
        until(lambda: home.begin_run("resume", "resume"), "the DAG did not come", process=airflow)
        events, tasks = _follow(home, count)
    finally:
        stop(airflow)
    job_ends = [_job_end(runtime, index) for index in range(count)]
    made = runtime.client("sagemaker").get_paginator("list_training_jobs").paginate(NameContains="resume-train")
    return Resumed(
        states=Counter(task.state for task in tasks.values()),
        tries=sum(task.tries for task in tasks.values()),
        jobs=sum(len(page["TrainingJobSummaries"]) for page in made),
        from_event=sorted(tasks[index].seen - at for index, at in events.items()),
        from_end=sorted(tasks[index].seen - at for index, at in enumerate(job_ends) if at is not None),
    )


class _Task(NamedTuple):
    state: str
    tries: int
    seen: float


def _follow(home: AirflowHome, count: int) -> tuple[dict[int, float], dict[int, _Task]]:
    """Return when each task's trigger fired last, and how each task ended."""
    before: dict[int, str] = {}
    events: dict[int, float] = {}
    ended: dict[int, _Task] = {}
    deadline = time.monotonic() + _PATIENCE
    while len(ended) < count and time.monotonic() < deadline:
        for index, state, tries in home.rows("select map_index, state, try_number from task_instance"):
            if before.get(index) == "deferred" and state != "deferred":
                events[index] = time.time()
            if state in ("success", "failed", "upstream_failed") and index not in ended:
                ended[index] = _Task(state, tries, time.time())
            before[index] = state
        time.sleep(0.2)
    return events, ended


def _job_end(runtime: LocalRuntime, index: int) -> float | None:
    """Return when the task's newest training job ended."""
    client, generation, end = runtime.client("sagemaker"), 0, None
    while True:
        name = resource_name(TaskIdentity("resume", "resume", "train", index), "training", generation)
        try:
            end = client.describe_training_job(TrainingJobName=name)["TrainingEndTime"].timestamp()
        except client.exceptions.ClientError:
            return end
        generation += 1
