"""What a job writes becomes the task's log and a short line that says how far it is."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest

from airflow_ll.hooks.logs import LogEvent
from airflow_ll.hooks.training_log import TrainingLog
from airflow_ll.learner.job_log import JobLog

if TYPE_CHECKING:
    from pathlib import Path


class Lines(list[str]):
    """A logger that keeps what it is told."""

    def info(self, text: str, *arguments: object) -> None:
        self.append(text % arguments)

    @property
    def progress(self) -> list[str]:
        return [line.removeprefix("Progress: ") for line in self if line.startswith("Progress: ")]


def epoch(number: int, seconds: float, epochs: int = 15, **losses: float) -> list[LogEvent]:
    """Return what the learner writes at the end of an epoch."""
    written = io.StringIO()
    log = JobLog("algo-1", written)
    for channel, value in losses.items():
        log.quality(channel, "mse_objective", value, loss=True, epoch=number)
    log.progress(number + 1, epochs)
    return [LogEvent(seconds, "job/algo-1-1", line) for line in written.getvalue().splitlines()]


def test_the_first_epoch_says_how_many_there_are() -> None:
    lines = Lines()
    TrainingLog(lines).write(epoch(0, 100.0, train=0.5))
    assert lines.progress == ["epoch 1 of 15, train objective 0.5, best 0.5 of epoch 1"]


def test_the_validation_objective_counts_when_there_is_one_and_the_best_epoch_is_named() -> None:
    lines = Lines()
    log = TrainingLog(lines)
    for number, value in enumerate((0.5, 0.25, 0.375)):
        log.write(epoch(number, 100.0 + 10 * number, train=0.1, validation=value))
    assert lines.progress[-1] == "epoch 3 of 15, validation objective 0.375, best 0.25 of epoch 2, at most 120 s left"


def test_the_end_has_no_time_left() -> None:
    lines = Lines()
    log = TrainingLog(lines)
    for number in range(3):
        log.write(epoch(number, 10.0 * number, epochs=3, train=1 / (number + 1)))
    assert lines.progress[-1] == "epoch 3 of 3, train objective 0.333333, best 0.333333 of epoch 3"


def test_every_line_is_written_once_and_progress_only_when_there_is_some() -> None:
    lines = Lines()
    log = TrainingLog(lines)
    events = epoch(0, 100.0, train=0.5)
    log.write(events)
    log.write([LogEvent(101.0, "job/algo-1-1", "something else")])
    log.write([])
    assert lines == [*(event.message for event in events), f"Progress: {lines.progress[0]}", "something else"]


@pytest.mark.parametrize(("hosts", "line"), [(False, "hello"), (True, "[algo-2] hello")])
def test_lines_of_several_instances_name_theirs(*, hosts: bool, line: str) -> None:
    lines = Lines()
    TrainingLog(lines, hosts=hosts).write([LogEvent(1.0, "job/algo-2-1700000000", "hello")])
    assert lines == [line]


def test_real_logs_have_the_same_shapes(shared: Path) -> None:
    for path in (shared / "aws-jobs" / "logs").iterdir():
        lines = Lines()
        log = TrainingLog(lines)
        for line in path.read_text().splitlines():
            log.write([LogEvent(0.0, "job/algo-1-1", line)])
        assert " of 15, validation objective " in lines.progress[-1], path.name
        stopped = "Early stop condition met" in path.read_text()
        assert lines.progress[-1].endswith("stopped early") == stopped
