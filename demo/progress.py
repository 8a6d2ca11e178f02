"""Live progress of a run: a table on a terminal, a line for each change elsewhere."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table

from demo.observer import TaskState
from demo.training_log import how_far

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

    from rich.console import Console, RenderableType

    from demo.observer import Observer
    from demo.resources import RunResources

__all__ = ["Progress"]

PERIOD = 0.5
MARKS = {
    "success": "[green]✓[/]",
    "failed": "[red]✗[/]",
    "upstream_failed": "[red]-[/]",
    "skipped": "-",
    "up_for_retry": "[yellow]↻[/]",
}
RUNNING = ("running", "deferred")


class Progress:
    """Watches a run from a thread of its own while the run occupies this one."""

    def __init__(self, console: Console, observer: Observer, resources: RunResources, task_ids: Sequence[str]) -> None:
        self._console, self._observer, self._resources = console, observer, resources
        self._tasks = {task_id: TaskState(task_id, "waiting", None) for task_id in task_ids}
        self._spinner = Spinner("dots")
        self._note = ""
        self._live = (
            Live(console=console, get_renderable=self._table, redirect_stdout=False, redirect_stderr=False)
            if console.is_terminal
            else None
        )
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="progress", daemon=True)

    def __enter__(self) -> Progress:
        """Begin to watch."""
        if self._live:
            self._live.start()
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Show the last state and give the terminal back."""
        self._ended.set()
        self._thread.join(timeout=10)
        self._look()
        self.close()

    def close(self) -> None:
        """Give the terminal back."""
        if self._live:
            self._live.stop()

    def _watch(self) -> None:
        while not self._ended.wait(PERIOD):
            self._look()

    def _look(self) -> None:
        # The database may be locked, or the runtime be restarting: there is another look in half a second.
        with contextlib.suppress(sqlite3.OperationalError):
            self._update(self._observer.tasks())
        if self._tasks.get("train", TaskState("train", "", None)).state in RUNNING:
            with contextlib.suppress(BotoCoreError, ClientError):
                self._note = how_far(self._resources.training_log_end())

    def _update(self, found: Mapping[str, TaskState]) -> None:
        for task_id in self._tasks:
            new = found.get(task_id, self._tasks[task_id])
            if self._live is None and new.state != self._tasks[task_id].state:
                self._print(new)
            self._tasks[task_id] = new

    def _print(self, task: TaskState) -> None:
        if task.state in (*RUNNING, *MARKS):
            seconds = f" {task.seconds:.1f} s" if task.seconds is not None and task.state not in RUNNING else ""
            self._console.print(f"  {task.task_id}: {task.state}{seconds}", highlight=False)

    def _table(self) -> Table:
        table = Table.grid(padding=(0, 2))
        for task in self._tasks.values():
            seconds = f"{task.seconds:.1f} s" if task.seconds is not None else ""
            note = self._note if task.task_id == "train" else ""
            table.add_row(self._mark(task), task.task_id, seconds, f"[dim]{note}[/]")
        return table

    def _mark(self, task: TaskState) -> RenderableType:
        return self._spinner if task.state in RUNNING else MARKS.get(task.state, "[dim]·[/]")
