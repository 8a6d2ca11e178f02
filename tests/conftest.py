"""Shared fixtures: a private Airflow home, one embedded runtime a test process, the reference data."""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from airflow_ll.testing import LocalRuntime as Runtime
from airflow_ll.testing import start_runtime

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Before the first import of Airflow, which reads its home once.
_HOME = Path(tempfile.mkdtemp(prefix="airflow-ll-tests-"))
atexit.register(shutil.rmtree, _HOME, ignore_errors=True)
for _name in [name for name in os.environ if name.startswith(("AIRFLOW", "AWS_"))]:
    del os.environ[_name]
os.environ |= {
    "AIRFLOW_HOME": str(_HOME),
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__DAGS_FOLDER": str(Path(__file__).parents[1] / "dags"),
    "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_DEFAULT_REGION": "us-east-1",
}

__all__ = ["SHARED", "Runtime", "start_runtime"]

# How long an example takes says more about the machine's other work than about ours. A CI tries the same examples each
# time, so what it finds is of the change that it looks at; by hand they are new ones.
settings.register_profile(
    "no timing is asserted",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize="CI" in os.environ,
)
settings.load_profile("no timing is asserted")

SHARED = Path(__file__).parents[2] / "shared"


def pytest_make_parametrize_id(val: object) -> str | None:
    """Name long bytes by their kind: an archive holds the time, and all test processes must collect the same names."""
    return "bytes" if isinstance(val, bytes) and len(val) > 32 else None


def pytest_runtest_teardown(item: pytest.Item) -> None:
    """Blame the test that leaves a DAG's context open, not those after it, whose tasks would land in that DAG."""
    contexts = sys.modules.get("airflow.sdk.definitions._internal.contextmanager")
    assert contexts is None or not contexts.DagContext.active, f"{item.nodeid} left a DAG open"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of recorded AWS behaviour that the developers have; tests that need it skip without it."""
    if not SHARED.is_dir():
        pytest.skip("the reference data (../shared) is not here")
    return SHARED


@pytest.fixture(scope="session")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    """The embedded runtime, one for a test process."""
    started = start_runtime(tmp_path_factory.mktemp("runtime"))
    yield started
    started.stop()


@pytest.fixture
def fresh_runtime(tmp_path: Path) -> Iterator[Callable[[], Runtime]]:
    """A function that starts a runtime on this test's own data directory."""
    started: list[Runtime] = []

    def start() -> Runtime:
        started.append(start_runtime(tmp_path / "runtime"))
        return started[-1]

    yield start
    for one in started:
        one.stop()
