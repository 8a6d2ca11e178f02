"""pytest's fixtures; pytest loads this module in every project that has airflow-ll, so it imports nothing heavy."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow_ll.testing.runtime import LocalRuntime

__all__ = ["airflow_ll_faults", "airflow_ll_runtime", "pytest_addoption"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add our settings to pytest's."""
    parser.addini(
        "airflow_ll_conn_ids",
        "Airflow connections that lead to the embedded runtime during the tests",
        type="args",
        default=["aws_default"],
    )
    parser.addini("airflow_ll_options", "options of the embedded runtime, as --speed real", default="")


@pytest.fixture(scope="session")
def airflow_ll_runtime(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRuntime]:
    """Yield a fresh embedded runtime for this test session (each worker of pytest-xdist has its own).

    The connections in the setting ``airflow_ll_conn_ids`` lead to it as long as the session lasts.
    """
    from airflow_ll.testing.runtime import start_runtime

    options = shlex.split(pytestconfig.getini("airflow_ll_options"))
    runtime = start_runtime(tmp_path_factory.mktemp("airflow-ll"), *options)
    names = [f"AIRFLOW_CONN_{name.upper()}" for name in pytestconfig.getini("airflow_ll_conn_ids")]
    try:
        with pytest.MonkeyPatch.context() as patch:
            for name in names:
                patch.setitem(os.environ, name, runtime.connection)
            yield runtime
    finally:
        runtime.stop()


@pytest.fixture
def airflow_ll_faults(airflow_ll_runtime: LocalRuntime) -> Iterator[Callable[..., None]]:
    """Yield a function that makes the runtime fail by the given rules until the test ends."""
    yield airflow_ll_runtime.fail
    airflow_ll_runtime.fail()
