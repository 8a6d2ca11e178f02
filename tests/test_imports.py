"""Every module imports, and what the provider declares exists; also run on the oldest supported Airflow."""

from __future__ import annotations

import importlib
import pkgutil
from importlib.metadata import entry_points
from typing import Any

import pytest

import airflow_ll
from airflow_ll.provider_info import get_provider_info

# The runtime's own dependencies are an extra, which the environment of the oldest Airflow does not have.
RUNTIME = ("airflow_ll.local",)


def _modules() -> list[str]:
    names = [module.name for module in pkgutil.walk_packages(airflow_ll.__path__, "airflow_ll.")]
    return [name for name in names if not name.startswith((*RUNTIME, "airflow_ll.__main__"))]


@pytest.mark.parametrize("name", _modules())
def test_module_imports_and_exports_what_it_promises(name: str) -> None:
    module = importlib.import_module(name)
    for exported in getattr(module, "__all__", ()):
        assert getattr(module, exported) is not None


def _declared(info: dict[str, Any]) -> list[str]:
    modules = [
        module
        for part in ("operators", "sensors", "hooks", "triggers")
        for one in info[part]
        for module in one["python-modules"]
    ]
    return [*modules, *info["extra-links"], *(one["class-name"] for one in info["task-decorators"])]


def test_what_the_provider_declares_exists() -> None:
    for path in _declared(get_provider_info()):
        module, _, name = path.rpartition(".")
        try:
            importlib.import_module(path)
        except ModuleNotFoundError:
            assert hasattr(importlib.import_module(module), name), path


def test_the_declared_distribution_is_ours() -> None:
    """Airflow refuses all providers when this name is not the distribution's."""
    assert get_provider_info()["package-name"] == "airflow-ll"


def test_airflow_finds_the_provider() -> None:
    (found,) = [one for one in entry_points(group="apache_airflow_provider") if one.value.startswith("airflow_ll.")]
    assert found.load()() == get_provider_info()
