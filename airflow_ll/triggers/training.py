"""Wait for a training job."""

from __future__ import annotations

import asyncio
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow_ll.hooks.resources import TRAINING_JOB
from airflow_ll.triggers.base import LinearLearnerTrigger

if TYPE_CHECKING:
    from airflow_ll.hooks.logs import JobLogs

__all__ = ["LinearLearnerTrainingTrigger"]


class LinearLearnerTrainingTrigger(LinearLearnerTrigger):
    """Wait for a training job and log what it writes.

    :param training_job_name: the job's name.
    :param instance_count: how many instances write logs; 0 logs nothing.
    """

    resource = TRAINING_JOB

    def __init__(self, training_job_name: str, *, instance_count: int = 0, **settings: Any) -> None:
        super().__init__(training_job_name, **settings)
        self.instance_count = instance_count

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return what another triggerer needs to go on."""
        path, settings = super().serialize()
        return path, {**settings, "instance_count": self.instance_count}

    @cached_property
    def _logs(self) -> JobLogs:
        from airflow_ll.hooks.logs import JobLogs

        return JobLogs(self.hook, self.name, instance_count=self.instance_count)

    async def look_once(self) -> bool:
        """Whether the job has ended; log what is new."""
        ended = await super().look_once()
        if self.instance_count:
            for line in await asyncio.to_thread(self._logs.new_lines):
                self.log.info(line)
        return ended
