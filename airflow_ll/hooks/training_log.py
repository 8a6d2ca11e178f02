"""A training job's log in a task's log, with one short line now and then that says how far the job is."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow_ll.hooks.logs import LogEvent

__all__ = ["TrainingLog"]

_OBJECTIVE = re.compile(r"#quality_metric: host=\S+, epoch=(\d+), (train|validation) \w+_objective <loss>=(\S+)")
_DONE = re.compile(r"#progress_metric: host=\S+, completed (\S+) % of epochs")
_EARLY = "Early stop condition met"


@dataclass
class _Losses:
    """The objective of one channel so far: its last and its best epoch."""

    epoch: int
    loss: float
    best_epoch: int
    best_loss: float

    def note(self, epoch: int, loss: float) -> None:
        """Take in the next epoch."""
        self.epoch, self.loss = epoch, loss
        if loss < self.best_loss:
            self.best_epoch, self.best_loss = epoch, loss


class TrainingLog:
    """Writes what a job writes, and a line of progress after every batch of lines that has news.

    :param log: the task's logger.
    :param hosts: whether lines say which instance wrote them.
    """

    def __init__(self, log: Any, *, hosts: bool = False) -> None:
        self._log, self._hosts = log, hosts
        self._losses: dict[str, _Losses] = {}  # by channel
        self._epochs = self._ended = 0  # as of the last line of progress
        self._begun = self._at = 0.0
        self._early = False
        self._said = ""

    def write(self, events: Iterable[LogEvent]) -> None:
        """Log the lines of a job, in their order, then how far it is."""
        for event in events:
            self._log.info("%s%s", f"[{_host(event.stream)}] " if self._hosts else "", event.message)
            self._note(event)
        line = self._progress()
        if line != self._said:
            self._said = line
            self._log.info("Progress: %s", line)

    def _note(self, event: LogEvent) -> None:
        if found := _OBJECTIVE.search(event.message):
            epoch, loss = int(found[1]), float(found[3])
            self._losses.setdefault(found[2], _Losses(epoch, loss, epoch, loss)).note(epoch, loss)
            self._begun = self._begun or event.time
        elif (found := _DONE.search(event.message)) and float(found[1]) > 0:
            self._ended = self._losses["train"].epoch + 1 if "train" in self._losses else 1
            self._epochs = round(100 * self._ended / float(found[1]))
            self._at = event.time
        elif _EARLY in event.message:
            self._early = True

    def _progress(self) -> str:
        channel = "validation" if "validation" in self._losses else "train"
        if channel not in self._losses:
            return ""
        so_far = self._losses[channel]
        return (
            f"epoch {so_far.epoch + 1}{self._total()}, {channel} objective {so_far.loss:.6g}, "
            f"best {so_far.best_loss:.6g} of epoch {so_far.best_epoch + 1}{self._left()}"
        )

    def _total(self) -> str:
        return f" of {self._epochs}" if self._epochs else ""

    def _left(self) -> str:
        """Return the time that the other epochs take if they are like these; early stopping may leave them out."""
        if self._early:
            return ", stopped early"
        timed = self._ended - 1  # the first epoch's end is where the clock starts
        if timed < 1 or self._ended >= self._epochs:
            return ""
        return f", at most {(self._at - self._begun) / timed * (self._epochs - self._ended):.0f} s left"


def _host(stream: str) -> str:
    return stream.rsplit("/", 1)[-1].rsplit("-", 1)[0]
