"""Operators: one module a capability."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_ll.operators.analytics import LinearLearnerAnalyticsOperator
    from airflow_ll.operators.attach import LinearLearnerAttachOperator
    from airflow_ll.operators.compilation import LinearLearnerCompileOperator
    from airflow_ll.operators.deploy import LinearLearnerDeployOperator
    from airflow_ll.operators.model import LinearLearnerModelOperator
    from airflow_ll.operators.predict import LinearLearnerPredictOperator
    from airflow_ll.operators.record_set import LinearLearnerRecordSetOperator
    from airflow_ll.operators.record_set_parts import (
        LinearLearnerRecordSetManifestOperator,
        LinearLearnerRecordSetShardOperator,
    )
    from airflow_ll.operators.register import LinearLearnerRegisterOperator
    from airflow_ll.operators.teardown import LinearLearnerTeardownOperator
    from airflow_ll.operators.training import LinearLearnerTrainingOperator
    from airflow_ll.operators.transform import LinearLearnerTransformOperator
    from airflow_ll.operators.tuning import LinearLearnerTuningOperator

__all__ = [
    "LinearLearnerAnalyticsOperator",
    "LinearLearnerAttachOperator",
    "LinearLearnerCompileOperator",
    "LinearLearnerDeployOperator",
    "LinearLearnerModelOperator",
    "LinearLearnerPredictOperator",
    "LinearLearnerRecordSetManifestOperator",
    "LinearLearnerRecordSetOperator",
    "LinearLearnerRecordSetShardOperator",
    "LinearLearnerRegisterOperator",
    "LinearLearnerTeardownOperator",
    "LinearLearnerTrainingOperator",
    "LinearLearnerTransformOperator",
    "LinearLearnerTuningOperator",
]

_EXPORTS = {
    "LinearLearnerAnalyticsOperator": "airflow_ll.operators.analytics",
    "LinearLearnerAttachOperator": "airflow_ll.operators.attach",
    "LinearLearnerCompileOperator": "airflow_ll.operators.compilation",
    "LinearLearnerDeployOperator": "airflow_ll.operators.deploy",
    "LinearLearnerModelOperator": "airflow_ll.operators.model",
    "LinearLearnerPredictOperator": "airflow_ll.operators.predict",
    "LinearLearnerRecordSetManifestOperator": "airflow_ll.operators.record_set_parts",
    "LinearLearnerRecordSetOperator": "airflow_ll.operators.record_set",
    "LinearLearnerRecordSetShardOperator": "airflow_ll.operators.record_set_parts",
    "LinearLearnerRegisterOperator": "airflow_ll.operators.register",
    "LinearLearnerTeardownOperator": "airflow_ll.operators.teardown",
    "LinearLearnerTrainingOperator": "airflow_ll.operators.training",
    "LinearLearnerTransformOperator": "airflow_ll.operators.transform",
    "LinearLearnerTuningOperator": "airflow_ll.operators.tuning",
}


def __getattr__(name: str) -> Any:
    if name in _EXPORTS:
        return getattr(import_module(_EXPORTS[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
