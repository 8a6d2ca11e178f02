"""The pytest plugin in a project of somebody else."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import psutil  # type: ignore[import-untyped]
import pytest

from airflow_ll.exceptions import LinearLearnerError
from airflow_ll.testing import start_runtime
from tests.local.support import wait_for

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).parents[2]
TIMEOUT = 800  # a project of its own starts from nothing, next to whatever else the machine does

pytestmark = pytest.mark.timeout(TIMEOUT + 60)


def run_pytest(project: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the tests of a project as its owner would."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "AWS_", "PYTEST"))}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments],
        cwd=project,
        env=clean | environment,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )


def project(folder: Path, files: Mapping[str, str]) -> Path:
    """Write a project."""
    for name, text in {"pytest.ini": "[pytest]\n", **files}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def python_blocks(page: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.airflow
@pytest.mark.xdist_group("airflow")
def test_the_page_about_testing_is_true(tmp_path: Path) -> None:
    conftest, tests = python_blocks("docs/testing.md")
    (dag,) = python_blocks("README.md")
    files = {"dags/breast_cancer.py": dag, "tests/conftest.py": conftest, "tests/test_breast_cancer.py": tests}

    ran = run_pytest(project(tmp_path, files), "-q", "-x")

    assert ran.returncode == 0, ran.stdout[-8000:]
    assert "2 passed" in ran.stdout


TESTS = """
import os

def test_the_connections_lead_to_it(airflow_ll_runtime):
    assert os.environ["AIRFLOW_CONN_ONE"] == os.environ["AIRFLOW_CONN_TWO"] == airflow_ll_runtime.connection
    assert airflow_ll_runtime.url in airflow_ll_runtime.connection
    assert "AIRFLOW_CONN_AWS_DEFAULT" not in os.environ

def test_faults_are_over_with_their_test(airflow_ll_runtime, airflow_ll_faults):
    airflow_ll_faults("throttling")

def test_no_faults_are_left(airflow_ll_runtime):
    airflow_ll_runtime.client("sagemaker").list_models()
    with airflow_ll_runtime.failing("throttling nth=1"):
        try:
            airflow_ll_runtime.client("sagemaker").list_models()
        except Exception as error:
            assert "Rate exceeded" in str(error)
        else:
            raise AssertionError
"""


def test_settings_and_faults(tmp_path: Path) -> None:
    settings = "[pytest]\nairflow_ll_conn_ids = one two\nairflow_ll_options = --speed fast\n"

    ran = run_pytest(project(tmp_path, {"pytest.ini": settings, "test_it.py": TESTS}), "-q")

    assert ran.returncode == 0, ran.stdout[-8000:]
    assert "3 passed" in ran.stdout


def test_the_plugin_costs_others_nothing(tmp_path: Path) -> None:
    test = """
import sys

def test_nothing_heavy_is_imported():
    assert "airflow_ll.testing.plugin" in sys.modules
    assert not {"airflow", "boto3", "botocore", "numpy", "starlette"} & set(sys.modules)
"""

    ran = run_pytest(project(tmp_path, {"test_it.py": test}), "-q")

    assert ran.returncode == 0, ran.stdout[-8000:]


def test_a_runtime_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    program = (
        "import os, pathlib, signal, sys\n"
        "from airflow_ll.testing import start_runtime\n"
        "print(start_runtime(pathlib.Path(sys.argv[1])).process.pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, timeout=TIMEOUT, check=False
    )

    assert killed.returncode == -9
    wait_for(lambda: psutil.pid_exists(int(killed.stdout)), lambda alive: not alive)


def test_a_runtime_that_does_not_start_says_why(tmp_path: Path) -> None:
    with pytest.raises(LinearLearnerError, match=r"did not start: airflow-ll: The fault rule 'melt' begins with"):
        start_runtime(tmp_path, "--fail", "melt")
