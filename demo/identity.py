"""Which DAG run a data directory is at.

An unfinished run is continued under its own run id, so that it finds the jobs it has started; after a finished one
comes a new run.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
from dataclasses import dataclass, field
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
    """One run of the DAG and its params. ``continued``: an earlier process has begun it."""

    logical_date: str
    conf: dict[str, Any] = field(default_factory=dict)
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

    :raises DemoError: it cannot be made or written to, or another process holds it.
    """
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        opened = (data_dir / "lock").open("w")
    except OSError as error:
        raise DemoError(
            f"The demo cannot keep its data in {data_dir} ({error.strerror}): choose another folder with --data-dir "
            "(make: DATA_DIR=...)."
        ) from error
    with opened as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DemoError(
                f"Another demo is using {data_dir}: wait for it, stop it, or choose another with --data-dir "
                "(make: DATA_DIR=...)."
            ) from None
        yield


def next_run(data_dir: Path, conf: dict[str, Any] | None = None) -> RunIdentity:
    """Return the run to continue, or a new one, and remember it.

    :param conf: params of the DAG; without them an unfinished run keeps its own.
    """
    path = data_dir / "state.json"
    state: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"finished": True}
    if state["finished"]:
        run = RunIdentity(datetime.now(UTC).replace(microsecond=0).isoformat(), conf or {})
    else:
        run = RunIdentity(state["logical_date"], state["conf"] if conf is None else conf, continued=True)
    _write(data_dir, run, finished=False)
    return run


def finish(data_dir: Path, run: RunIdentity) -> None:
    """Note that the run has ended well: the next one is a new one."""
    _write(data_dir, run, finished=True)


def _write(data_dir: Path, run: RunIdentity, *, finished: bool) -> None:
    state = {"run_id": run.run_id, "logical_date": run.logical_date, "conf": run.conf, "finished": finished}
    fresh = data_dir / "state.json.new"
    fresh.write_text(json.dumps(state))
    fresh.replace(data_dir / "state.json")
