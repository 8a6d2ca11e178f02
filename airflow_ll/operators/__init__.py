"""Operators: one module a capability."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_ll.operators.deploy import LinearLearnerDeployOperator
    from airflow_ll.operators.model import LinearLearnerModelOperator
    from airflow_ll.operators.predict import LinearLearnerPredictOperator
    from airflow_ll.operators.record_set import LinearLearnerRecordSetOperator
    from airflow_ll.operators.record_set_parts import (
        LinearLearnerRecordSetManifestOperator,
        LinearLearnerRecordSetShardOperator,
    )
    from airflow_ll.operators.teardown import LinearLearnerTeardownOperator
    from airflow_ll.operators.training import LinearLearnerTrainingOperator
    from airflow_ll.operators.transform import LinearLearnerTransformOperator

__all__ = [
    "LinearLearnerDeployOperator",
    "LinearLearnerModelOperator",
    "LinearLearnerPredictOperator",
    "LinearLearnerRecordSetManifestOperator",
    "LinearLearnerRecordSetOperator",
    "LinearLearnerRecordSetShardOperator",
    "LinearLearnerTeardownOperator",
    "LinearLearnerTrainingOperator",
    "LinearLearnerTransformOperator",
]

_EXPORTS = {
    "LinearLearnerDeployOperator": "airflow_ll.operators.deploy",
    "LinearLearnerModelOperator": "airflow_ll.operators.model",
    "LinearLearnerPredictOperator": "airflow_ll.operators.predict",
    "LinearLearnerRecordSetManifestOperator": "airflow_ll.operators.record_set_parts",
    "LinearLearnerRecordSetOperator": "airflow_ll.operators.record_set",
    "LinearLearnerRecordSetShardOperator": "airflow_ll.operators.record_set_parts",
    "LinearLearnerTeardownOperator": "airflow_ll.operators.teardown",
    "LinearLearnerTrainingOperator": "airflow_ll.operators.training",
    "LinearLearnerTransformOperator": "airflow_ll.operators.transform",
}


def __getattr__(name: str) -> Any:
    if name in _EXPORTS:
        return getattr(import_module(_EXPORTS[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
