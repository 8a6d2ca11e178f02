"""Test your own DAGs on the embedded runtime; the pytest plugin of this package brings the fixtures.

``docs/testing.md`` shows how; :func:`start_runtime` serves tests that are not pytest's.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_ll.testing.runtime import LocalRuntime, start_runtime

__all__ = ["LocalRuntime", "start_runtime"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module("airflow_ll.testing.runtime"), name)
