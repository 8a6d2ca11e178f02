"""Triggers: a deferred task's wait, in the triggerer."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_ll.triggers.compilation import LinearLearnerCompilationTrigger
    from airflow_ll.triggers.endpoint import LinearLearnerEndpointTrigger
    from airflow_ll.triggers.record_set import LinearLearnerRecordSetTrigger
    from airflow_ll.triggers.training import LinearLearnerTrainingTrigger
    from airflow_ll.triggers.transform import LinearLearnerTransformTrigger
    from airflow_ll.triggers.tuning import LinearLearnerTuningTrigger

__all__ = [
    "LinearLearnerCompilationTrigger",
    "LinearLearnerEndpointTrigger",
    "LinearLearnerRecordSetTrigger",
    "LinearLearnerTrainingTrigger",
    "LinearLearnerTransformTrigger",
    "LinearLearnerTuningTrigger",
]

_EXPORTS = {
    "LinearLearnerCompilationTrigger": "airflow_ll.triggers.compilation",
    "LinearLearnerEndpointTrigger": "airflow_ll.triggers.endpoint",
    "LinearLearnerRecordSetTrigger": "airflow_ll.triggers.record_set",
    "LinearLearnerTrainingTrigger": "airflow_ll.triggers.training",
    "LinearLearnerTransformTrigger": "airflow_ll.triggers.transform",
    "LinearLearnerTuningTrigger": "airflow_ll.triggers.tuning",
}


def __getattr__(name: str) -> Any:
    if name in _EXPORTS:
        return getattr(import_module(_EXPORTS[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
