"""Wait until a training job is completed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_ll.hooks.resources import TRAINING_JOB
from airflow_ll.sensors.base import LinearLearnerResourceSensor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_ll.triggers.training import LinearLearnerTrainingTrigger

__all__ = ["LinearLearnerTrainingSensor"]


class LinearLearnerTrainingSensor(LinearLearnerResourceSensor):
    """Wait until a training job is completed.

    The result has ``training_job_name`` and ``status``.

    :param training_job_name: the job's name; it need not exist yet.
    """

    resource = TRAINING_JOB
    template_fields: Sequence[str] = ("training_job_name", *LinearLearnerResourceSensor.template_fields)

    def __init__(self, *, training_job_name: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.training_job_name = training_job_name

    def trigger(self, **settings: Any) -> LinearLearnerTrainingTrigger:
        """Return the trigger that waits for the training job."""
        from airflow_ll.triggers.training import LinearLearnerTrainingTrigger

        return LinearLearnerTrainingTrigger(self.training_job_name, **settings)
