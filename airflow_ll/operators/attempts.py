"""Whether the attempt of a task that is being killed is still the one that Airflow has in mind."""

from __future__ import annotations

import logging
import threading
from http import HTTPStatus
from typing import Any

from airflow_ll.triggers.task_state import state_of

__all__ = ["is_superseded"]

_LOG = logging.getLogger(__name__)
# A user's clearing says "restarting" until the attempt has ended.
_ON_ITS_WAY = frozenset({None, "scheduled", "queued", "running", "deferred", "up_for_retry", "up_for_reschedule"})


def is_superseded(task_instance: Any, seconds: float) -> bool:
    """Whether Airflow, not a user, has replaced this attempt by another, which adopts what this one has created.

    It does so when a scheduler dies and the next one begins its tasks again, or when heartbeats did not come through;
    a worker that lives on then kills its own attempt. Each attempt has an id of its own, and that of an attempt that
    was replaced is not found any more.

    :param task_instance: that of this attempt.
    :param seconds: how long to wait for the answer; without one, the attempt counts as the current one.
    """
    if getattr(task_instance, "id", None) is None:
        return False
    answer: list[bool] = []

    def ask() -> None:
        try:
            answer.append(not _is_known(task_instance.id) and _state(task_instance) in _ON_ITS_WAY)
        except Exception as error:
            _LOG.warning("Whether another attempt follows cannot be found out: %r", error)

    # In a thread: a signal may come while this process talks to its supervisor, which only one thread can at a time.
    thread = threading.Thread(target=ask, daemon=True, name="airflow-ll attempt")
    thread.start()
    thread.join(seconds)
    return bool(answer and answer[0])


def _is_known(attempt_id: Any) -> bool:
    from airflow.sdk.exceptions import AirflowRuntimeError
    from airflow.sdk.execution_time.comms import ValidateInletsAndOutlets
    from airflow.sdk.execution_time.task_runner import SUPERVISOR_COMMS

    try:
        # Of what a task may ask about its own attempt, this reads only, and is there in every Airflow 3.
        SUPERVISOR_COMMS.send(ValidateInletsAndOutlets(ti_id=attempt_id))
    except AirflowRuntimeError as error:
        if (error.error.detail or {}).get("status_code") == HTTPStatus.NOT_FOUND:
            return False
        raise
    return True


def _state(task_instance: Any) -> str | None:
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    states = RuntimeTaskInstance.get_task_states(
        dag_id=task_instance.dag_id,
        map_index=task_instance.map_index,
        task_ids=[task_instance.task_id],
        run_ids=[task_instance.run_id],
    )
    return state_of(states, task_instance.run_id)
