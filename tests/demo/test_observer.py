"""What the demo sees of a run in the metadata database."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from demo.observer import Observer

if TYPE_CHECKING:
    from pathlib import Path

RUN = ("flights_retraining", "manual__1")


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "airflow.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript(
            """
            CREATE TABLE task_instance (id, dag_id, run_id, task_id, state, start_date, end_date);
            CREATE TABLE xcom (dag_id, run_id, task_id, key, value);
            CREATE TABLE dag_run (dag_id, run_id, state);
            """
        )
        times = ("2026-01-01 10:00:00.000000", "2026-01-01 10:00:02.500000")
        connection.execute("INSERT INTO task_instance VALUES ('a', ?, ?, 'train', 'success', ?, ?)", (*RUN, *times))
        connection.execute("INSERT INTO task_instance VALUES ('b', ?, ?, 'deploy', NULL, NULL, NULL)", RUN)
        connection.execute(
            "INSERT INTO task_instance VALUES ('c', 'other', ?, 'deploy', 'failed', NULL, NULL)", RUN[1:]
        )
        connection.execute("INSERT INTO xcom VALUES (?, ?, 'train', 'return_value', ?)", (*RUN, json.dumps({"n": 1})))
        connection.execute("INSERT INTO dag_run VALUES (?, ?, 'running')", RUN)
    connection.close()
    return path


def test_tasks_have_airflows_states_and_their_seconds(database: Path) -> None:
    tasks = Observer(database, RUN[1]).tasks()
    assert set(tasks) == {"train", "deploy"}
    assert (tasks["train"].state, tasks["train"].seconds) == ("success", 2.5)
    assert (tasks["deploy"].state, tasks["deploy"].seconds) == ("waiting", None)


def test_results_are_json_and_missing_ones_none(database: Path) -> None:
    observer = Observer(database, RUN[1])
    assert observer.result("train") == {"n": 1}
    assert observer.result("deploy") is None
    assert observer.state() == "running"
    assert Observer(database, "manual__2").state() is None


def test_what_an_earlier_process_left_is_forgotten(database: Path) -> None:
    observer = Observer(database, RUN[1])
    observer.forget_earlier()
    assert observer.tasks() == {}
