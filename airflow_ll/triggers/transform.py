"""Wait for a transform job."""

from __future__ import annotations

from typing import Any

from airflow_ll.hooks.resources import TRANSFORM_JOB
from airflow_ll.triggers.base import LinearLearnerTrigger

__all__ = ["LinearLearnerTransformTrigger"]


class LinearLearnerTransformTrigger(LinearLearnerTrigger):
    """Wait for a transform job.

    :param transform_job_name: the job's name.
    """

    resource = TRANSFORM_JOB

    def __init__(self, transform_job_name: str, **settings: Any) -> None:
        super().__init__(transform_job_name, **settings)
