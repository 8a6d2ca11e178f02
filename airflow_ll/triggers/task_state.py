"""What has become of a trigger's task."""

from __future__ import annotations

from typing import Any

__all__ = ["state_of", "task_state"]


async def task_state(task_instance: Any) -> str | None:
    """Return the state of a task instance as Airflow has it now.

    None when it has none, as after a clear; "removed" when it does not exist any more.

    :param task_instance: that of the trigger.
    :raises LookupError: the trigger belongs to no task.
    """
    if task_instance is None:
        raise LookupError("the trigger belongs to no task")
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance
    from asgiref.sync import sync_to_async

    # In a thread that knows the event loop: the answer comes over a pipe which the loop reads.
    states = await sync_to_async(RuntimeTaskInstance.get_task_states)(
        dag_id=task_instance.dag_id,
        map_index=task_instance.map_index,
        task_ids=[task_instance.task_id],
        run_ids=[task_instance.run_id],
    )
    return state_of(states, task_instance.run_id)


def state_of(states: dict[str, dict[str, Any]], run_id: str) -> str | None:
    """Return the one state of a run's in what Airflow has answered, as :func:`task_state` does."""
    state = next(iter(states.get(run_id, {}).values()), "removed")
    return None if state is None else str(getattr(state, "value", state))
