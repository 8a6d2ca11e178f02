"""An Airflow of a benchmark's own: a metadata database, and the processes that work on it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil  # type: ignore[import-untyped]  # Airflow's own

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["BUNDLE", "AirflowHome", "Usage", "kill_session", "stop", "until", "usage"]

#: Name of the bundle with the folder's DAGs.
BUNDLE = "benchmark"
_DATABASE_SECONDS = 60.0


@dataclass(frozen=True)
class Usage:
    """What a process and its children have used so far.

    :param cpu: seconds.
    :param memory: bytes, resident.
    """

    cpu: float
    memory: int


class AirflowHome:
    """A home folder with a SQLite database.

    :param connection: value of ``AIRFLOW_CONN_AWS_DEFAULT``.
    :param settings: further environment variables of its processes.
    """

    def __init__(self, folder: Path, connection: str, **settings: str) -> None:
        self.folder = folder
        (folder / "dags").mkdir(parents=True, exist_ok=True)
        bundle = {
            "name": BUNDLE,
            "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
            "kwargs": {"path": str(folder / "dags")},
        }
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")} | {
            "AIRFLOW_HOME": str(folder),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps([bundle]),
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            "AIRFLOW__CORE__PARALLELISM": "4",
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
            "AIRFLOW__TRIGGERER__CAPACITY": "2000",
            "AIRFLOW__TRIGGERER__MAX_TRIGGER_TO_SELECT_PER_LOOP": "2000",
            "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(_free_port()),
            "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(_free_port()),
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__PORT": str(_free_port()),
            "AIRFLOW_CONN_AWS_DEFAULT": connection,
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        self.api = f"http://127.0.0.1:{self.environment['AIRFLOW__API__PORT']}"
        self.environment["AIRFLOW__API__BASE_URL"] = self.api
        self.environment["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"  # standalone starts "airflow"
        self.environment.pop("PYTHONDONTWRITEBYTECODE", None)
        self.environment |= settings

    def migrate(self) -> None:
        """Create the metadata database."""
        with (self.folder / "migrate.log").open("wb") as log:
            command = [sys.executable, "-m", "airflow", "db", "migrate"]
            subprocess.run(command, env=self.environment, stdout=log, stderr=log, check=True)

    def defer(self, triggers: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
        """Create as many deferred tasks, each waiting for its trigger."""
        command = [sys.executable, "-m", "benchmarks.waits.rows"]
        with (self.folder / "rows.log").open("wb") as log:
            subprocess.run(
                command, input=json.dumps(triggers).encode(), env=self.environment, stdout=log, stderr=log, check=True
            )

    def start(self, *arguments: str, python: str = sys.executable) -> subprocess.Popen[bytes]:
        """Start an ``airflow`` command in a session of its own."""
        with (self.folder / f"{arguments[0]}.log").open("ab") as log:
            return subprocess.Popen(
                [python, "-m", "airflow", *arguments],
                env=self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def healthy(self) -> bool:
        """Whether the API server answers, and knows a scheduler and a triggerer that live."""
        try:
            with urllib.request.urlopen(f"{self.api}/api/v2/monitor/health", timeout=10) as answer:
                parts = json.load(answer)
        except OSError:
            return False
        return all(parts[name]["status"] == "healthy" for name in ("metadatabase", "scheduler", "triggerer"))

    def begin_run(self, dag_id: str, run_id: str) -> bool:
        """Begin a run of a DAG; False when Airflow has not read the DAG's file yet."""
        with urllib.request.urlopen(f"{self.api}/auth/token", timeout=30) as answer:
            token = json.load(answer)["access_token"]
        request = urllib.request.Request(
            f"{self.api}/api/v2/dags/{dag_id}/dagRuns",
            json.dumps({"logical_date": None, "dag_run_id": run_id}).encode(),
            {"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=30):
                return True
        except urllib.error.HTTPError as error:
            if error.code == HTTPStatus.NOT_FOUND:
                return False
            raise

    def rows(self, query: str, *arguments: Any) -> list[tuple[Any, ...]]:
        """Ask the metadata database."""
        deadline = time.monotonic() + _DATABASE_SECONDS
        while True:
            try:
                return self._ask(query, arguments)
            except sqlite3.OperationalError:  # a killed process's journal waits for a writer to roll it back
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.5)

    def _ask(self, query: str, arguments: Sequence[Any]) -> list[tuple[Any, ...]]:
        database = sqlite3.connect(f"file:{self.folder / 'airflow.db'}?mode=ro", uri=True, timeout=_DATABASE_SECONDS)
        try:
            return list(database.execute(query, arguments))
        finally:
            database.close()


def until(
    condition: Callable[[], bool],
    otherwise: str,
    *,
    seconds: float = 1800.0,
    process: subprocess.Popen[bytes] | None = None,
) -> None:
    """Wait until a condition holds, so many seconds and as long as a process lives.

    :raises RuntimeError: it does not; with the words of ``otherwise``.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline or (process is not None and process.poll() is not None):
            raise RuntimeError(otherwise)
        time.sleep(0.3)


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a process and everything of its session."""
    os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(timeout=60)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def kill_session(process: subprocess.Popen[bytes]) -> None:
    """Kill everything that a process has started, at once and without a warning, as the end of its container does.

    A task runs in a process group of its own, so the group is not enough.
    """
    while members := _session(process.pid):
        for pid in members:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.poll()
    process.wait()


def _session(leader: int) -> list[int]:
    members = []
    for one in psutil.process_iter():
        with contextlib.suppress(ProcessLookupError, psutil.NoSuchProcess):
            if os.getsid(one.pid) == leader and one.status() != psutil.STATUS_ZOMBIE:
                members.append(one.pid)
    return members


def usage(process: subprocess.Popen[bytes]) -> Usage:
    """Return what a process and its children have used."""
    parent = psutil.Process(process.pid)
    family = [parent, *parent.children(recursive=True)]
    times = [one.cpu_times() for one in family]
    return Usage(sum(one.user + one.system for one in times), sum(one.memory_info().rss for one in family))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
