"""What a task would ask of AWS, worked out without AWS: ``airflow-ll render DAG TASK``."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_ll.rendering.tasks import Rendering, render

__all__ = ["Rendering", "render"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module("airflow_ll.rendering.tasks"), name)
