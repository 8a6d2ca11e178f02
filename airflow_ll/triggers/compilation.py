"""Wait for a compilation job."""

from __future__ import annotations

from typing import Any

from airflow_ll.hooks.resources import COMPILATION_JOB
from airflow_ll.triggers.base import LinearLearnerTrigger

__all__ = ["LinearLearnerCompilationTrigger"]


class LinearLearnerCompilationTrigger(LinearLearnerTrigger):
    """Wait for a compilation job.

    :param compilation_job_name: the job's name.
    """

    resource = COMPILATION_JOB

    def __init__(self, compilation_job_name: str, **settings: Any) -> None:
        super().__init__(compilation_job_name, **settings)
