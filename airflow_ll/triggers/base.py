"""What all triggers share: look at one resource until it has ended, then hand everything over in one event."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_ll.triggers.poller import hook_for, in_thread, subscribe
from airflow_ll.triggers.task_state import task_state

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from airflow_ll.hooks.resources import Resource

__all__ = ["LinearLearnerTrigger"]

_STATE_SECONDS = 30.0
# Deferred: only the trigger moved, or a newer try waits for the job. Running: a newer try has adopted the job, or will.
_ALIVE = frozenset({"deferred", "running"})


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

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield one event at the end of the resource, or of the patience."""
        try:
            status = await self._ended()
        except asyncio.CancelledError:
            if not hasattr(BaseTrigger, "on_kill"):  # Airflow 3.1 and 3.2 say no more than this
                await asyncio.shield(self.on_kill())
            raise
        except Exception as error:
            yield self._event("error", **self._explain(error))
        else:
            yield self._event(status)

    async def _ended(self) -> str:
        left = None if self.deadline is None else max(0.0, self.deadline - time.time())
        try:
            async with asyncio.timeout(left) as patience:
                await self.wait()
        except TimeoutError:
            if not patience.expired():
                raise
            return "timeout"
        return "ended"

    async def wait(self) -> None:
        """Wait until the resource has ended or does not exist any more."""
        async with subscribe(self.resource, self.name, self.connection, self.poll_interval) as subscription:
            while True:
                description = await subscription.next()
                if description is None:
                    if not self.wait_for_creation:
                        return
                elif not self.resource.is_running(description):
                    return

    def _event(self, status: str, **facts: Any) -> TriggerEvent:
        payload = {**self.carry, "status": status, "name": self.name, **facts}
        return TriggerEvent(payload)  # type: ignore[no-untyped-call]

    def _explain(self, error: Exception) -> dict[str, Any]:
        from airflow.providers.common.compat.sdk import AirflowFailException

        from airflow_ll.hooks.failures import airflow_failure

        failure = airflow_failure(error, aws_conn_id=self.connection["aws_conn_id"]) or error
        return {"message": str(failure), "retryable": not isinstance(failure, AirflowFailException)}

    async def on_kill(self) -> None:
        """Stop the job when a user has ended its task.

        Airflow cancels a trigger also when it gives the trigger to another triggerer, so the task's state decides.
        """
        if not self.stop_on_kill or not self.resource.stoppable:
            return
        try:
            async with asyncio.timeout(_STATE_SECONDS):
                state = await task_state(self.task_instance)
        except Exception as error:
            self.log.warning(
                "The %s %s goes on, as the state of its task cannot be read: %r", self.resource.title, self.name, error
            )
            return
        if state in _ALIVE:
            self.log.info("The %s %s goes on: its task is %s", self.resource.title, self.name, state)
            return
        self.log.info("Stopping the %s %s: its task was ended (%s)", self.resource.title, self.name, state)
        hook = await hook_for(self.connection)
        await in_thread(hook.stop, self.resource, self.name)
