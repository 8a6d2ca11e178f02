"""The only room that talks to AWS: the hook, and what is built on its calls."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_ll.hooks.linear_learner import LinearLearnerHook

__all__ = ["LinearLearnerHook"]

_EXPORTS = {"LinearLearnerHook": "airflow_ll.hooks.linear_learner"}


def __getattr__(name: str) -> Any:
    if name in _EXPORTS:
        return getattr(import_module(_EXPORTS[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
