"""The demo as its user runs it: killed, continued, interrupted."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

TIMEOUT = 800  # a demo starts Airflow and trains, next to whatever else the machine does

pytestmark = [pytest.mark.airflow, pytest.mark.xdist_group("demo"), pytest.mark.timeout(TIMEOUT + 60)]

ROOT = Path(__file__).parents[2]
SMALL = {"train_months": [1], "held_out_month": 2, "min_auc": 0.8, "min_accuracy": 0.85}
KEYS = {
    "rows_uploaded",
    "best_model",
    "training_jobs",
    "auc",
    "accuracy",
    "majority_accuracy",
    "predictions",
    "endpoints_left",
    "seconds",
    "total_seconds",
}


class Demo:
    """A data directory and the processes on it."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "demo", "--data-dir", str(self.data_dir), *arguments],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def calls(self, operation: str) -> list[str]:
        log = self.data_dir / "runtime" / "access.log"
        return [line for line in log.read_text().splitlines() if f" {operation} " in line] if log.exists() else []

    def runtime_pid(self) -> int | None:
        note = self.data_dir / "runtime" / "runtime.json"
        return int(json.loads(note.read_text())["pid"]) if note.exists() else None

    def wait_for(self, operation: str, process: subprocess.Popen[str]) -> None:
        while not self.calls(operation):
            assert process.poll() is None, process.communicate()[0]
            time.sleep(0.02)


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    one = Demo(tmp_path)
    yield one
    if (pid := one.runtime_pid()) is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)


def test_a_killed_demo_is_continued_and_its_training_job_adopted(demo: Demo) -> None:
    first = demo.start("--conf", json.dumps(SMALL))
    demo.wait_for("CreateTrainingJob", first)
    first.kill()
    first.communicate()
    runtime = demo.runtime_pid()
    assert runtime is not None  # it goes on training

    second = demo.start()
    said, _ = second.communicate(timeout=TIMEOUT)
    assert second.returncode == 0, said
    assert "Continuing" in said
    assert "make demo" in said
    assert len(demo.calls("CreateTrainingJob")) == 1
    assert demo.runtime_pid() is None
    with pytest.raises(ProcessLookupError):
        os.kill(runtime, 0)

    figures = json.loads((demo.data_dir / "demo.json").read_text())
    assert set(figures) == KEYS
    assert figures["rows_uploaded"] == 26398 + 23611
    assert figures["training_jobs"] == 1
    assert figures["endpoints_left"] == 0
    assert figures["predictions"] == 23611
    assert figures["accuracy"] > figures["majority_accuracy"]
    assert 0 <= figures["best_model"]["index"] < 32
    assert figures["best_model"]["hyperparameters"]["optimizer"] == "adam"
    assert {"start", "train", "transform"} <= set(figures["seconds"])


def test_an_interrupted_demo_stops_what_it_has_started(demo: Demo) -> None:
    process = demo.start("--conf", json.dumps(SMALL))
    demo.wait_for("CreateTrainingJob", process)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 130
    assert said.rstrip().endswith("Stopped; the same command continues the run.")
    assert demo.runtime_pid() is None


def test_an_interrupted_demo_is_continued_with_the_ui(demo: Demo) -> None:
    process = demo.start("--conf", json.dumps(SMALL))
    demo.wait_for("CreateTrainingJob", process)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=TIMEOUT)

    process = demo.start("up")
    assert process.stdout is not None
    said = "".join(itertools.takewhile(lambda line: line != "Ctrl-C stops everything.\n", process.stdout))
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=TIMEOUT)[0].endswith("Stopped.\n")
    assert process.returncode == 0
    assert "endpoints left  0" in said
    assert json.loads((demo.data_dir / "demo.json").read_text())["predictions"] == 23611
    assert demo.runtime_pid() is None


def test_a_failed_task_and_its_reason_are_one_sentence(demo: Demo) -> None:
    process = demo.start("--conf", json.dumps(SMALL | {"min_auc": 0.999}))
    said, _ = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 1
    assert "The task check_quality failed: The AUC is 0." in said
    assert "Traceback" not in said
    assert demo.runtime_pid() is None
    assert not (demo.data_dir / "demo.json").exists()
