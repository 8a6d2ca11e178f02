"""Wait for a tuning job."""

from __future__ import annotations

from typing import Any

from airflow_ll.hooks.resources import TUNING_JOB
from airflow_ll.triggers.base import LinearLearnerTrigger

__all__ = ["LinearLearnerTuningTrigger"]


class LinearLearnerTuningTrigger(LinearLearnerTrigger):
    """Wait for a tuning job.

    :param tuning_job_name: the job's name.
    """

    resource = TUNING_JOB

    def __init__(self, tuning_job_name: str, **settings: Any) -> None:
        super().__init__(tuning_job_name, **settings)
