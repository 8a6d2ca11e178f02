"""Which DAG run a data directory is at.

An unfinished run is continued under its own run id, so that it finds the jobs it has started; after a finished one
comes a new run.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from demo.errors import DemoError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["DAG_ID", "RunIdentity", "exclusive", "finish", "next_run"]

DAG_ID = "flights_retraining"


@dataclass(frozen=True)
class RunIdentity:
    """One run of the DAG. ``continued``: an earlier process has begun it."""

    logical_date: str
    continued: bool = False

    @property
    def run_id(self) -> str:
        """The id that Airflow gives a manual run of this date."""
        return f"manual__{self.logical_date}"

    @property
    def date(self) -> datetime:
        """The logical date as Airflow takes it."""
        return datetime.fromisoformat(self.logical_date)


@contextlib.contextmanager
def exclusive(data_dir: Path) -> Iterator[None]:
    """Hold the data directory; the system lets go of it however this process ends.

    :raises DemoError: another process holds it.
    """
    data_dir.mkdir(parents=True, exist_ok=True)
    with (data_dir / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DemoError(
                f"Another demo is using {data_dir}: wait for it, stop it, or choose another with --data-dir "
                "(make: DATA_DIR=...)."
            ) from None
        yield


def next_run(data_dir: Path) -> RunIdentity:
    """Return the run to continue, or a new one, and remember it."""
    path = data_dir / "state.json"
    state: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"finished": True}
    if not state["finished"]:
        return RunIdentity(state["logical_date"], continued=True)
    new = RunIdentity(datetime.now(UTC).replace(microsecond=0).isoformat())
    _write(data_dir, new, finished=False)
    return new


def finish(data_dir: Path, run: RunIdentity) -> None:
    """Note that the run has ended well: the next one is a new one."""
    _write(data_dir, run, finished=True)


def _write(data_dir: Path, run: RunIdentity, *, finished: bool) -> None:
    state = {"logical_date": run.logical_date, "run_id": run.run_id, "finished": finished}
    fresh = data_dir / "state.json.new"
    fresh.write_text(json.dumps(state))
    fresh.replace(data_dir / "state.json")
