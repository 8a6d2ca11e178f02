"""A DAG file with our parts must be cheap to parse: nothing heavy is imported before a task runs."""

from __future__ import annotations

import subprocess
import sys
from textwrap import dedent

import pytest

HEAVY = {"boto3", "botocore", "numpy", "pyarrow", "scipy"}

BASELINE = "import airflow.sdk, airflow.triggers.base"
PARTS = dedent(
    """
    import airflow.sdk, airflow.triggers.base
    from airflow_ll import decorators, links, operators, sensors, triggers
    from airflow_ll.decorators.record_set import linear_learner_record_set_task
    for package in (operators, sensors, triggers):
        for name in package.__all__:
            getattr(package, name)
    """
)
DAG_FILE = dedent(
    """
    from airflow.sdk import DAG
    from airflow_ll.operators import LinearLearnerRecordSetOperator, LinearLearnerTrainingOperator
    with DAG("parsed"):
        records = LinearLearnerRecordSetOperator(task_id="upload", features="rows.npz")
        LinearLearnerTrainingOperator(
            task_id="train", role="learner", records=records.output, hyperparameters={"predictor_type": "regressor"}
        )
    """
)


def imported(program: str) -> set[str]:
    """Return the modules that a fresh interpreter imports for ``program``, by its own account."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-W", "ignore", "-c", program],
        capture_output=True,
        text=True,
        check=True,
    )
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    return {line.rsplit("|", 1)[1].strip() for line in lines}


@pytest.mark.parametrize("program", [PARTS, DAG_FILE], ids=["every part", "a DAG file"])
def test_nothing_heavy_is_imported_beyond_what_airflow_imports(program: str) -> None:
    modules, before = imported(program), imported(BASELINE)

    assert "airflow_ll.operators.base" in modules
    assert {name.split(".")[0] for name in modules - before} & HEAVY == set()
