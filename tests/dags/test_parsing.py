"""The DAG files as the DAG processor sees them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

DAGS = Path(__file__).parents[2] / "dags"
HEAVY = ("numpy", "pandas", "scipy", "pyarrow", "boto3", "botocore", "sklearn")
READS_AIRFLOWIGNORE = pytest.mark.filterwarnings("ignore:GitWildMatchPattern")  # Airflow's own use of pathspec
PARSE = """
import importlib, json, sys
import airflow.sdk
before = set(sys.modules)
importlib.import_module(sys.argv[1])
print(json.dumps(sorted({name.partition(".")[0] for name in set(sys.modules) - before})))
"""


@pytest.mark.parametrize("name", ["flights_retraining", "flights_batch_scoring", "mapped_record_set"])
def test_parsing_a_dag_file_imports_nothing_heavy(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PARSE, name],
        env=os.environ | {"PYTHONPATH": str(DAGS)},
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = json.loads(done.stdout.splitlines()[-1])
    assert name in loaded
    assert not set(HEAVY) & set(loaded)


def load(name: str) -> Any:
    """Return a DAG of its file as Airflow loads it, with params of its own."""
    from airflow.dag_processing.dagbag import BundleDagBag

    bag = BundleDagBag(DAGS / f"{name}.py", bundle_path=DAGS, bundle_name="dags-folder")
    assert not bag.import_errors
    return bag.dags[name]


@READS_AIRFLOWIGNORE
def test_the_folder_has_exactly_these_dags() -> None:
    from airflow.dag_processing.dagbag import BundleDagBag

    bag = BundleDagBag(DAGS, bundle_path=DAGS, bundle_name="dags-folder")
    assert not bag.import_errors
    assert set(bag.dags) == {"flights_retraining", "flights_batch_scoring", "mapped_record_set"}


def test_retraining_tears_down_whatever_happens_and_fails_if_it_cannot() -> None:
    dag = load("flights_retraining")
    teardown = dag.get_task("teardown")
    assert teardown.is_teardown
    assert teardown.on_failure_fail_dagrun
    # The training, not the deployment: one that fails halfway must be torn down too.
    assert dag.get_task("train").is_setup
    assert not dag.get_task("deploy").is_setup
    assert {"train", "predict", "transform"} <= teardown.upstream_task_ids
    assert all(task.retries == 2 for task in dag.tasks)


def test_a_model_is_published_only_after_its_check_and_the_endpoints_answer() -> None:
    dag = load("flights_retraining")
    assert {"check_quality", "predict"} <= dag.get_task("publish").upstream_task_ids
