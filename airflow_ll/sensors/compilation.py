"""Wait until a compilation job is completed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_ll.hooks.resources import COMPILATION_JOB
from airflow_ll.sensors.base import LinearLearnerResourceSensor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_ll.triggers.compilation import LinearLearnerCompilationTrigger

__all__ = ["LinearLearnerCompilationSensor"]


class LinearLearnerCompilationSensor(LinearLearnerResourceSensor):
    """Wait until a compilation job is completed.

    The result has ``compilation_job_name`` and ``status``.

    :param compilation_job_name: the job's name; it need not exist yet.
    """

    resource = COMPILATION_JOB
    template_fields: Sequence[str] = ("compilation_job_name", *LinearLearnerResourceSensor.template_fields)

    def __init__(self, *, compilation_job_name: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.compilation_job_name = compilation_job_name

    def trigger(self, **settings: Any) -> LinearLearnerCompilationTrigger:
        """Return the trigger that waits for the compilation job."""
        from airflow_ll.triggers.compilation import LinearLearnerCompilationTrigger

        return LinearLearnerCompilationTrigger(self.compilation_job_name, **settings)
