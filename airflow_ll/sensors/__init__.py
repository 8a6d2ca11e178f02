"""Sensors: wait for what another DAG, or another system, has started."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_ll.sensors.compilation import LinearLearnerCompilationSensor
    from airflow_ll.sensors.endpoint import LinearLearnerEndpointSensor
    from airflow_ll.sensors.record_set import LinearLearnerRecordSetSensor
    from airflow_ll.sensors.training import LinearLearnerTrainingSensor
    from airflow_ll.sensors.transform import LinearLearnerTransformSensor
    from airflow_ll.sensors.tuning import LinearLearnerTuningSensor

__all__ = [
    "LinearLearnerCompilationSensor",
    "LinearLearnerEndpointSensor",
    "LinearLearnerRecordSetSensor",
    "LinearLearnerTrainingSensor",
    "LinearLearnerTransformSensor",
    "LinearLearnerTuningSensor",
]

_EXPORTS = {
    "LinearLearnerCompilationSensor": "airflow_ll.sensors.compilation",
    "LinearLearnerEndpointSensor": "airflow_ll.sensors.endpoint",
    "LinearLearnerRecordSetSensor": "airflow_ll.sensors.record_set",
    "LinearLearnerTrainingSensor": "airflow_ll.sensors.training",
    "LinearLearnerTransformSensor": "airflow_ll.sensors.transform",
    "LinearLearnerTuningSensor": "airflow_ll.sensors.tuning",
}


def __getattr__(name: str) -> Any:
    if name in _EXPORTS:
        return getattr(import_module(_EXPORTS[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
