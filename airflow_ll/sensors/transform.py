"""Wait until a transform job is completed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_ll.hooks.resources import TRANSFORM_JOB
from airflow_ll.sensors.base import LinearLearnerResourceSensor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_ll.triggers.transform import LinearLearnerTransformTrigger

__all__ = ["LinearLearnerTransformSensor"]


class LinearLearnerTransformSensor(LinearLearnerResourceSensor):
    """Wait until a transform job is completed.

    The result has ``transform_job_name`` and ``status``.

    :param transform_job_name: the job's name; it need not exist yet.
    """

    resource = TRANSFORM_JOB
    template_fields: Sequence[str] = ("transform_job_name", *LinearLearnerResourceSensor.template_fields)

    def __init__(self, *, transform_job_name: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.transform_job_name = transform_job_name

    def trigger(self, **settings: Any) -> LinearLearnerTransformTrigger:
        """Return the trigger that waits for the transform job."""
        from airflow_ll.triggers.transform import LinearLearnerTransformTrigger

        return LinearLearnerTransformTrigger(self.transform_job_name, **settings)
