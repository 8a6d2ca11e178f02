"""Wait for a training job."""

from __future__ import annotations

import asyncio
from typing import Any

from airflow_ll.hooks.resources import TRAINING_JOB
from airflow_ll.triggers.base import LinearLearnerTrigger
from airflow_ll.triggers.poller import hook_for, in_thread

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

    async def wait(self) -> None:
        """Wait for the job's end; log what is new on the way."""
        if not self.instance_count:
            return await super().wait()
        from airflow_ll.hooks.logs import JobLogs

        logs = JobLogs(await hook_for(self.connection), self.name, instance_count=self.instance_count)
        ended = asyncio.ensure_future(super().wait())
        try:
            while not ended.done():
                await asyncio.wait({ended}, timeout=self.poll_interval)
                for line in await in_thread(logs.new_lines):
                    self.log.info(line)
            return ended.result()
        finally:
            ended.cancel()
