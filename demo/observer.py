"""What the metadata database knows of a run: the states of its tasks and their results.

Read from SQLite, so that a run in this process and one under a scheduler are watched in the same way, and the
watching thread shares nothing with the DAG.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from demo.identity import DAG_ID

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Observer", "TaskState"]


@dataclass(frozen=True)
class TaskState:
    """A task of the run: its state in Airflow's words and how long it has run."""

    task_id: str
    state: str
    seconds: float | None


class Observer:
    """Reads one run from the metadata database."""

    def __init__(self, database: Path, run_id: str) -> None:
        self.database, self.run_id = database, run_id
        self._earlier: set[str] = set()

    def forget_earlier(self) -> None:
        """Leave out the tasks as an earlier process left them: the run is about to begin anew under the same id."""
        self._earlier = {row[0] for row in self._query("SELECT id FROM task_instance")}

    def tasks(self) -> dict[str, TaskState]:
        """Return the tasks by id; empty before the run exists."""
        rows = self._query("SELECT id, task_id, state, start_date, end_date FROM task_instance")
        return {
            task_id: TaskState(task_id, state or "waiting", _seconds(*dates))
            for key, task_id, state, *dates in rows
            if key not in self._earlier
        }

    def result(self, task_id: str) -> Any:
        """Return what the task returned; None if it returned nothing."""
        rows = self._query("SELECT task_id, value FROM xcom", "AND key = 'return_value'")
        values = dict(rows)
        return json.loads(values[task_id]) if values.get(task_id) is not None else None

    def state(self) -> str | None:
        """Return the state of the run; None before it exists."""
        rows = self._query("SELECT state FROM dag_run")
        return str(rows[0][0]) if rows else None

    def _query(self, select: str, also: str = "") -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True, timeout=5)) as connection:
            parameters = (DAG_ID, self.run_id)
            return connection.execute(f"{select} WHERE dag_id = ? AND run_id = ? {also}", parameters).fetchall()


def _seconds(start: str | None, end: str | None) -> float | None:
    if start is None:
        return None
    began = datetime.fromisoformat(start).replace(tzinfo=UTC)
    ended = datetime.fromisoformat(end).replace(tzinfo=UTC) if end else datetime.now(UTC)
    return max(0.0, (ended - began).total_seconds())
