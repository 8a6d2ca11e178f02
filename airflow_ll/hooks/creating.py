"""Create a resource from Python code, exactly once, and wait for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_ll.exceptions import JobFailedError, RequestError
from airflow_ll.hooks.connected import task_identity
from airflow_ll.hooks.ensuring import ensure
from airflow_ll.hooks.waiting import outcome, wait_until_ended
from airflow_ll.requests.names import TaskIdentity

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_ll.hooks.linear_learner import LinearLearnerHook
    from airflow_ll.hooks.resources import Resource

__all__ = ["create", "current_identity", "settled"]

_PATIENCE = 6 * 24 * 3600.0  # longer than any default limit of a job; Airflow's execution_timeout comes first
_NOBODY = TaskIdentity("python", "python", "python")


def current_identity(label: str = "") -> TaskIdentity:
    """Return who creates things now: the running task, with a label for one of several things; else plain Python."""
    from dataclasses import replace

    from airflow.sdk import get_current_context

    try:
        identity = task_identity(get_current_context())
    except RuntimeError:
        identity = _NOBODY
    return replace(identity, task_id=f"{identity.task_id}.{label}") if label else identity


def create(
    hook: LinearLearnerHook,
    resource: Resource,
    build: Callable[[str], dict[str, Any]],
    name: str | None,
    label: str,
    *,
    wait: bool = False,
) -> dict[str, Any]:
    """Adopt what an earlier attempt has created, or create it; return its description, at its end if told to wait.

    :raises RequestError: there is neither a task nor a name.
    """
    identity = current_identity(label)
    if name is None and identity.dag_id == _NOBODY.dag_id and identity.run_id == _NOBODY.run_id:
        raise RequestError(f"Outside of a task a {resource.title} needs an explicit name.")
    return settled(hook, resource, ensure(hook, resource, identity, build, name=name).name, wait=wait)


def settled(hook: LinearLearnerHook, resource: Resource, name: str, *, wait: bool) -> dict[str, Any]:
    """Return the description of a resource, at its end if told to wait.

    :raises JobFailedError: it failed, or vanished.
    """
    if wait:
        return outcome(resource, name, wait_until_ended(hook, resource, name, timeout=_PATIENCE))
    description = hook.describe(resource, name)
    if description is None:
        raise JobFailedError(f"The {resource.title} {name!r} does not exist any more: somebody deleted it.")
    return description
