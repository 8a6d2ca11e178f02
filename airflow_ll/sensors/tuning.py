"""Wait until a tuning job is completed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_ll.hooks.resources import TUNING_JOB
from airflow_ll.sensors.base import LinearLearnerResourceSensor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_ll.triggers.tuning import LinearLearnerTuningTrigger

__all__ = ["LinearLearnerTuningSensor"]


class LinearLearnerTuningSensor(LinearLearnerResourceSensor):
    """Wait until a tuning job is completed.

    The result has ``tuning_job_name`` and ``status``.

    :param tuning_job_name: the job's name; it need not exist yet.
    """

    resource = TUNING_JOB
    template_fields: Sequence[str] = ("tuning_job_name", *LinearLearnerResourceSensor.template_fields)

    def __init__(self, *, tuning_job_name: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.tuning_job_name = tuning_job_name

    def trigger(self, **settings: Any) -> LinearLearnerTuningTrigger:
        """Return the trigger that waits for the tuning job."""
        from airflow_ll.triggers.tuning import LinearLearnerTuningTrigger

        return LinearLearnerTuningTrigger(self.tuning_job_name, **settings)
