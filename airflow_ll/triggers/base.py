"""What all triggers share: look at one resource until it has ended, then hand everything over in one event."""

from __future__ import annotations

import asyncio
import time
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.triggers.base import BaseTrigger, TriggerEvent

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from airflow_ll.hooks.linear_learner import LinearLearnerHook
    from airflow_ll.hooks.resources import Resource

__all__ = ["LinearLearnerTrigger"]


class LinearLearnerTrigger(BaseTrigger):
    """Wait for a resource.

    The event has ``status`` (``ended``, well or not; ``timeout``; ``error`` with ``message`` and ``retryable``),
    ``name`` and what ``carry`` holds.

    :param name: the resource's name.
    :param poll_interval: the longest pause between two looks, in seconds.
    :param deadline: when to give up, in seconds since the epoch; it survives a move to another triggerer.
    :param stop_on_kill: whether to stop a job when a user fails, clears or marks its deferred task.
    :param wait_for_creation: whether a resource that does not exist yet is waited for.
    :param carry: what the resumed task needs to know.
    """

    resource: ClassVar[Resource]

    def __init__(
        self,
        name: str,
        *,
        aws_conn_id: str | None = "aws_default",
        region_name: str | None = None,
        verify: bool | str | None = None,
        botocore_config: dict[str, Any] | None = None,
        poll_interval: float = 15.0,
        deadline: float | None = None,
        stop_on_kill: bool = False,
        wait_for_creation: bool = False,
        carry: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.name = name
        self.connection: dict[str, Any] = {
            "aws_conn_id": aws_conn_id,
            "region_name": region_name,
            "verify": verify,
            "botocore_config": botocore_config,
        }
        self.poll_interval = poll_interval
        self.deadline = deadline
        self.stop_on_kill = stop_on_kill
        self.wait_for_creation = wait_for_creation
        self.carry = carry or {}

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return what another triggerer needs to go on."""
        return f"{type(self).__module__}.{type(self).__qualname__}", {
            self.resource.argument: self.name,
            **self.connection,
            "poll_interval": self.poll_interval,
            "deadline": self.deadline,
            "stop_on_kill": self.stop_on_kill,
            "wait_for_creation": self.wait_for_creation,
            "carry": self.carry,
        }

    @cached_property
    def hook(self) -> LinearLearnerHook:
        """The hook; to be used in a thread, as it blocks."""
        from airflow_ll.hooks.linear_learner import LinearLearnerHook

        return LinearLearnerHook(**self.connection)

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield one event at the end of the resource, or of the patience."""
        try:
            status = await self._ended()
        except Exception as error:
            yield self._event("error", **self._explain(error))
        else:
            yield self._event(status)

    async def _ended(self) -> str:
        from airflow_ll.hooks.waiting import Looks

        looks = Looks(self.poll_interval)
        while True:
            try:
                if await self.look_once():
                    return "ended"
                looks.answered()
            except Exception as error:  # Looks.failed raises what it does not forgive
                looks.failed(error)
            if self.deadline is not None and time.time() > self.deadline:
                return "timeout"
            await asyncio.sleep(looks.pause())

    async def look_once(self) -> bool:
        """Whether the resource has ended or does not exist any more."""
        description = await asyncio.to_thread(self._describe)
        if description is None:
            return not self.wait_for_creation
        return not self.resource.is_running(description)

    def _describe(self) -> dict[str, Any] | None:
        return self.hook.describe(self.resource, self.name)  # the first use of the hook blocks, too

    def _event(self, status: str, **facts: Any) -> TriggerEvent:
        payload = {**self.carry, "status": status, "name": self.name, **facts}
        return TriggerEvent(payload)  # type: ignore[no-untyped-call]

    def _explain(self, error: Exception) -> dict[str, Any]:
        from airflow.providers.common.compat.sdk import AirflowFailException

        from airflow_ll.hooks.failures import airflow_failure

        failure = airflow_failure(error, aws_conn_id=self.connection["aws_conn_id"]) or error
        return {"message": str(failure), "retryable": not isinstance(failure, AirflowFailException)}

    async def on_kill(self) -> None:
        """Stop the job: Airflow calls this only when a user ends the task, never when the trigger moves."""
        if self.stop_on_kill and self.resource.stoppable:
            self.log.info("Stopping the %s %s: its task was ended", self.resource.title, self.name)
            await asyncio.to_thread(self.hook.stop, self.resource, self.name)
