"""One cell of the fault matrix for every operator and mode; ``make faults`` runs all of them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.faults.subjects import SUBJECTS, World

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(1200)
def test_an_operator_that_is_killed_does_everything_once() -> None:
    # A process of its own: it forks, which a process with threads must not.
    run = subprocess.run(
        [sys.executable, "-m", "benchmarks.faults", "--one"], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert run.returncode == 0, run.stdout + run.stderr[-2000:]
    cells = re.findall(r"^ *\d+ (.+), (sync|deferrable): after \S+ \d+: (\w+) killed$", run.stdout, re.MULTILINE)
    assert [cell[:2] for cell in cells] == [(subject.name, mode) for subject in SUBJECTS for mode in subject.modes]
    assert {who for _, mode, who in cells if mode == "sync"} == {"worker"}
    assert "triggerer" in {who for _, mode, who in cells if mode == "deferrable"}


@pytest.mark.timeout(1200)
def test_throttling_errors_and_resets_fail_and_duplicate_nothing() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "benchmarks.faults", "--bad-day", "6"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert run.returncode == 0, run.stdout + run.stderr[-2000:]
    assert "6 training tasks, 0 failed, 0 duplicated" in run.stdout


def test_every_operator_that_calls_aws_is_in_the_matrix() -> None:
    from airflow_ll import operators

    world = World("rows.npz", "s3://bucket", {}, "job", "s3://bucket/model.tar.gz", "endpoint", "own", "own")
    covered = {type(subject.task(world, subject.modes[0])).__name__ for subject in SUBJECTS}
    # Parts of a record set are written as a whole one is; test_kills.py kills those at every boundary of a call.
    elsewhere = {"LinearLearnerRecordSetShardOperator", "LinearLearnerRecordSetManifestOperator"}
    assert set(operators.__all__) == covered | elsewhere
