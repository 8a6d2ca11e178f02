"""Training tasks under a real Airflow whose scheduler and triggerer are killed and started again meanwhile."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from airflow_ll.requests.names import TaskIdentity, resource_name
from benchmarks.airflow_home import AirflowHome, kill_session, until

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

    from airflow_ll.testing import LocalRuntime
    from benchmarks.faults.subjects import World

__all__ = ["DEATHS", "Death", "Restarted", "restarts", "section", "told"]

JOB_SECONDS = 20  # two jobs at a time, so that the last of twelve ends after two minutes
NOTICED_SECONDS = 15
_START_SECONDS, _KILL_SECONDS, _RUN_SECONDS = 240.0, 240.0, 900.0
_DAG_ID = "restarts"
_MODES = ("sync", "deferrable")
_ENDED = ("success", "failed", "upstream_failed", "skipped")
_COMMANDS = ("api-server", "dag-processor", "scheduler", "triggerer")
_SETTINGS = {
    "AIRFLOW__API__WORKERS": "1",
    "AIRFLOW__API_AUTH__JWT_SECRET": "of-one-benchmark-and-its-four-processes-alone",
    "AIRFLOW__CORE__PARALLELISM": "8",
    "AIRFLOW__SCHEDULER__JOB_HEARTBEAT_SEC": "2",
    "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "5",
    "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": str(NOTICED_SECONDS),
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": str(NOTICED_SECONDS),
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "5",
    "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "2",
    "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": str(NOTICED_SECONDS),
}
_DAG = """
from datetime import timedelta

from airflow.sdk import DAG

from airflow_ll.operators import LinearLearnerTrainingOperator

with DAG({dag_id!r}):
    for mode in {modes!r}:
        LinearLearnerTrainingOperator.partial(
            task_id=mode,
            role="arn:aws:iam::123456789012:role/learner",
            records={records!r},
            output_path={output!r},
            hyperparameters={{"predictor_type": "binary_classifier", "epochs": 2, "num_models": 1}},
            deferrable=mode == "deferrable",
            poll_interval=5,
            retries=5,
            retry_delay=timedelta(seconds=1),
        ).expand(environment=[{{"NUMBER": str(number)}} for number in range({count})])
"""

_INTRODUCTION = f"""
## A real Airflow, killed and started again

Scheduler (LocalExecutor, eight workers), triggerer, DAG processor and API server are processes of their own, on
SQLite, each in a session of its own: SIGKILL takes everything that it has started, as the end of a container does.
Each run has mapped training tasks, half of them deferrable, with retries. Their jobs take {JOB_SECONDS} s and more,
two at a time. What dies is killed twice: when half of the jobs were created, and when all were and what was killed
first has gone on with its tasks. It is started again at once; a heartbeat is missed after {NOTICED_SECONDS} s.
*Adopted* are the tasks that ended with the job of an earlier attempt, *stops* are jobs that an acknowledged
StopTrainingJob was about.

| killed | at the two kills | succeeded | tries | adopted | CreateTrainingJob | completed | stops | seconds |
| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"""
_HOW = """\
This takes ten minutes and a dozen processes, so it is no test: `make faults` runs it, and
`python -m benchmarks.faults --only restarts` runs it alone."""


class Death(NamedTuple):
    """What dies twice in a run.

    :param alone: only the scheduler's own process, while its workers live on.
    """

    name: str
    commands: tuple[str, ...]
    alone: bool = False


DEATHS = (
    Death("scheduler and its workers", ("scheduler",)),
    Death("triggerer", ("triggerer",)),
    Death("both at once", ("scheduler", "triggerer")),
    Death("scheduler without its workers", ("scheduler",), alone=True),
)


@dataclass(frozen=True)
class Restarted:
    """What became of a run.

    :param at_kills: how far the jobs and the tasks had come, for each kill.
    :param states: how many tasks ended in which.
    :param tries: of all tasks together.
    :param adopted: how many tasks ended with a job of an earlier attempt.
    :param created: acknowledged CreateTrainingJob calls of each task.
    :param stopped: jobs that somebody stopped.
    :param statuses: of the jobs that there are.
    """

    death: Death
    at_kills: list[str]
    states: Counter[str]
    tries: int
    adopted: int
    created: dict[str, int]
    stopped: list[str]
    statuses: Counter[str]
    seconds: float

    @property
    def faults(self) -> list[str]:
        """Return what is wrong, in sentences."""
        said = []
        if len(self.at_kills) < 2:
            said.append(f"the run ended after {len(self.at_kills)} kills")
        if set(self.states) != {"success"}:
            said.append(f"the tasks ended as {dict(self.states)}")
        said += [f"{count} jobs were created for {task}" for task, count in self.created.items() if count != 1]
        said += [f"{name} was stopped" for name in self.stopped]
        if self.statuses != Counter(Completed=len(self.created)):
            said.append(f"the jobs are {dict(self.statuses)}")
        return said


def restarts(
    runtime: LocalRuntime, world: World, folder: Path, count: int, deaths: tuple[Death, ...]
) -> list[Restarted]:
    """Run ``count`` tasks of each mode for each death."""
    airflow = _Airflow(AirflowHome(folder, runtime.connection, **_SETTINGS))
    source = _DAG.format(
        dag_id=_DAG_ID, modes=_MODES, count=count, records=dict(world.records), output=f"{world.location}/restarts"
    )
    (folder / "dags" / "restarts.py").write_text(source, encoding="utf-8")
    try:
        airflow.start()
        with runtime.failing(f"slow kind=training-job phase=Starting seconds={JOB_SECONDS}"):
            return [_Run(runtime, airflow, count, death).whole() for death in deaths]
    finally:
        airflow.stop()


class _Airflow:
    """Four processes, each in a session of its own, as if in a container."""

    def __init__(self, home: AirflowHome) -> None:
        self.home = home
        self._living: dict[str, subprocess.Popen[bytes]] = {}
        self._left: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        """Start all of them."""
        self.home.migrate()
        for command in _COMMANDS:
            self._living[command] = self.home.start(command)
        until(self.home.healthy, "Airflow did not start", seconds=_START_SECONDS)

    def restart(self, death: Death) -> None:
        """Kill what dies, and start it again."""
        for command in death.commands:
            process = self._living.pop(command)
            if death.alone:
                os.kill(process.pid, signal.SIGKILL)
                process.wait()
                self._left.append(process)
            else:
                kill_session(process)
        for command in death.commands:
            self._living[command] = self.home.start(command)

    def took_over(self, command: str, run_id: str, since: str) -> bool:
        """Whether what was started again has gone on with what had begun before."""
        if command == "triggerer":
            newest = "triggerer_id is (select max(id) from job where job_type = 'TriggererJob' and start_date > ?)"
            ((triggers, taken),) = self.home.rows(f"select count(*), sum({newest}) from trigger", since)
            return bool(triggers and taken == triggers)
        again = "task_id = 'sync' and state = 'running' and try_number > 1 and start_date > ?"
        waiting = "task_id = 'sync' and coalesce(state, 'none') not in ('success', 'failed')"
        counted = f"select sum({again}), sum({waiting}) from task_instance where run_id = ?"
        ((running, unfinished),) = self.home.rows(counted, since, run_id)
        return bool(2 * running >= unfinished)

    def stop(self) -> None:
        """End everything."""
        for process in [*self._living.values(), *self._left]:
            kill_session(process)


class _Run:
    def __init__(self, runtime: LocalRuntime, airflow: _Airflow, count: int, death: Death) -> None:
        self._runtime, self._airflow, self._count, self._death = runtime, airflow, count, death
        self._run_id = death.name.replace(" ", "-")

    def whole(self) -> Restarted:
        begun, home = time.monotonic(), self._airflow.home
        until(partial(home.begin_run, _DAG_ID, self._run_id), "the DAG did not come", seconds=_START_SECONDS)
        at_kills = list(self._kills())
        until(self._ended, f"the run did not end: {self._states()}", seconds=_RUN_SECONDS)
        tasks = home.rows("select state, try_number from task_instance where run_id = ?", self._run_id)
        adopted = home.rows("select value from xcom where run_id = ? and key = 'adopted'", self._run_id)
        names = self._names("CreateTrainingJob")
        describe = self._runtime.client("sagemaker").describe_training_job
        return Restarted(
            self._death,
            at_kills,
            Counter(str(state) for state, _ in tasks),
            sum(tries for _, tries in tasks),
            sum(value in ("true", 1, True) for (value,) in adopted),
            self._created(names),
            sorted(set(self._names("StopTrainingJob"))),
            Counter(describe(TrainingJobName=name)["TrainingJobStatus"] for name in sorted(set(names))),
            time.monotonic() - begun,
        )

    def _kills(self) -> Iterator[str]:
        """Kill while jobs are submitted, and again when what was killed first has gone on with all of them."""
        until(lambda: self._ended() or self._under_way(), "no jobs were created", seconds=_KILL_SECONDS)
        for _ in range(2):
            if self._ended():
                return
            so_far, since = self._so_far(), time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())
            print(f"{self._death.name} killed: {so_far}", flush=True)
            self._airflow.restart(self._death)
            yield so_far
            until(partial(self._gone_on, since), f"{self._death.name}: nothing went on", seconds=_KILL_SECONDS)

    def _so_far(self) -> str:
        states = ", ".join(f"{count} {state}" for state, count in sorted(self._states().items()))
        return f"{len(self._names('CreateTrainingJob'))} jobs created; tasks {states}"

    def _under_way(self) -> bool:
        """Whether half of the jobs were created, and a task waits in each process that is to die."""
        states, half = self._states(), self._count * len(_MODES) // 2
        wanted = {"scheduler": "running", "triggerer": "deferred"}
        return len(self._names("CreateTrainingJob")) >= half and all(
            states[wanted[command]] for command in self._death.commands
        )

    def _gone_on(self, since: str) -> bool:
        created = len(self._names("CreateTrainingJob")) >= self._count * len(_MODES)
        return self._ended() or (
            created and all(self._airflow.took_over(command, self._run_id, since) for command in self._death.commands)
        )

    def _states(self) -> Counter[str]:
        query = "select coalesce(state, 'none') from task_instance where run_id = ?"
        return Counter(state for (state,) in self._airflow.home.rows(query, self._run_id))

    def _ended(self) -> bool:
        states = self._states()
        return sum(states[state] for state in _ENDED) == self._count * len(_MODES)

    def _created(self, names: list[str]) -> dict[str, int]:
        made = Counter(name.rsplit("-", 1)[0] for name in names)
        created = {}
        for mode in _MODES:
            for index in range(self._count):
                name = resource_name(TaskIdentity(_DAG_ID, self._run_id, mode, index), "training")
                created[f"{mode} [{index}]"] = made[name.rsplit("-", 1)[0]]
        return created

    def _names(self, operation: str) -> list[str]:
        """Return whose jobs the acknowledged calls of an operation in this run were about."""
        run_hash = TaskIdentity(_DAG_ID, self._run_id, "").run_hash
        log = (self._runtime.data_dir / "access.log").read_text(encoding="utf-8").splitlines()
        calls = [line.split(" ") for line in log if f" {operation} " in line and run_hash in line]
        return [call[3] for call in calls if int(call[4]) < 300]


def told(one: Restarted) -> str:
    """Return a run in one line."""
    fine = f"{one.states['success']} of {len(one.created)} succeeded in {one.tries} tries, {one.adopted} adopted"
    return f"{one.death.name}: {fine}, {one.seconds:.0f} s: {'; '.join(one.faults) or 'nothing wrong'}"


def section(runs: list[Restarted]) -> str:
    """Return the runs as a part of a Markdown page."""
    wrong = [f"- {one.death.name}: {'; '.join(one.faults)}" for one in runs if one.faults]
    rows = [
        f"| {one.death.name} | {'<br>'.join(one.at_kills)} | {one.states['success']} of {len(one.created)} "
        f"| {one.tries} | {one.adopted} | {sum(one.created.values())} | {one.statuses['Completed']} "
        f"| {len(one.stopped)} | {one.seconds:.0f} |"
        for one in runs
    ]
    verdict = wrong or ["**Nothing is wrong: one job a task, and nobody stopped one.**"]
    return "\n".join([_INTRODUCTION, *rows, "", *verdict, "", _HOW]) + "\n"
