"""Wait for a training job."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from airflow_ll.hooks.log_survey import JobLog
from airflow_ll.hooks.resources import TRAINING_JOB
from airflow_ll.hooks.training_log import TrainingLog
from airflow_ll.triggers.base import LinearLearnerTrigger
from airflow_ll.triggers.poller import subscribe_to_log

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
        """Wait for the job's end; log what it writes until then."""
        if not self.instance_count:
            return await super().wait()
        ended = asyncio.ensure_future(super().wait())
        try:
            await self._log_until(ended)
            return await ended
        finally:
            ended.cancel()

    async def _log_until(self, ended: asyncio.Future[None]) -> None:
        """Follow the log up to a reading that began after the job's end; without permission, say so and leave it."""
        end: list[float] = []

        def note_end(_: object) -> None:
            end.append(time.monotonic())
            readings.hurry()

        log = TrainingLog(self.log, hosts=self.instance_count > 1)
        try:
            job_log = JobLog(self.name, self.instance_count)
            async with subscribe_to_log(job_log, self.connection, self.poll_interval) as readings:
                ended.add_done_callback(note_end)
                while True:
                    begun, events = await readings.next()
                    log.write(events)
                    if end and begun is not None and begun >= end[0]:
                        return
        except Exception as error:
            self.log.warning("The log of %s cannot be read: %s", self.name, error)
