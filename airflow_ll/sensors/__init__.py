"""Sensors: wait for what another DAG, or another system, has started."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_ll.sensors.endpoint import LinearLearnerEndpointSensor
    from airflow_ll.sensors.record_set import LinearLearnerRecordSetSensor
    from airflow_ll.sensors.training import LinearLearnerTrainingSensor
    from airflow_ll.sensors.transform import LinearLearnerTransformSensor

__all__ = [
    "LinearLearnerEndpointSensor",
    "LinearLearnerRecordSetSensor",
    "LinearLearnerTrainingSensor",
    "LinearLearnerTransformSensor",
]

_EXPORTS = {
    "LinearLearnerEndpointSensor": "airflow_ll.sensors.endpoint",
    "LinearLearnerRecordSetSensor": "airflow_ll.sensors.record_set",
    "LinearLearnerTrainingSensor": "airflow_ll.sensors.training",
    "LinearLearnerTransformSensor": "airflow_ll.sensors.transform",
}


def __getattr__(name: str) -> Any:
    if name in _EXPORTS:
        return getattr(import_module(_EXPORTS[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
