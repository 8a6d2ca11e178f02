"""An Airflow of the benchmark's own: a metadata database with deferred tasks, and the processes that work on it."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["AirflowHome", "Usage", "stop", "until", "usage"]

_BUNDLE = "waits"


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
    """

    def __init__(self, folder: Path, connection: str) -> None:
        self.folder = folder
        (folder / "dags").mkdir(parents=True, exist_ok=True)
        bundle = {
            "name": _BUNDLE,
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
        with (self.folder / f"{arguments[0]}.log").open("wb") as log:
            return subprocess.Popen(
                [python, "-m", "airflow", *arguments],
                env=self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Ask the metadata database."""
        database = sqlite3.connect(f"file:{self.folder / 'airflow.db'}?mode=ro", uri=True, timeout=60)
        try:
            return list(database.execute(query))
        finally:
            database.close()


def until(
    condition: Callable[[], bool], process: subprocess.Popen[bytes], otherwise: str, seconds: float = 1800.0
) -> None:
    """Wait until a condition holds, as long as the process lives."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline or process.poll() is not None:
            raise RuntimeError(otherwise)
        time.sleep(0.5)


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a process and everything of its session."""
    os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(timeout=60)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def usage(process: subprocess.Popen[bytes]) -> Usage:
    """Return what a process and its children have used."""
    import psutil  # type: ignore[import-untyped]  # Airflow's own

    parent = psutil.Process(process.pid)
    family = [parent, *parent.children(recursive=True)]
    times = [one.cpu_times() for one in family]
    return Usage(sum(one.user + one.system for one in times), sum(one.memory_info().rss for one in family))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
