"""The model artifact of LinearLearner, ``model.tar.gz`` and ``model_algo-1`` in the service's layout, and scoring."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_ll.artifacts.archive import pack_model
    from airflow_ll.artifacts.compiled import CompiledModel
    from airflow_ll.artifacts.model import LinearModel, Predictions

__all__ = ["CompiledModel", "LinearModel", "Predictions", "pack_model"]

_EXPORTS = {
    "CompiledModel": "airflow_ll.artifacts.compiled",
    "LinearModel": "airflow_ll.artifacts.model",
    "Predictions": "airflow_ll.artifacts.model",
    "pack_model": "airflow_ll.artifacts.archive",
}


def __getattr__(name: str) -> object:
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_EXPORTS[name]), name)
