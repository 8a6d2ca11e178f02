"""Looking at a resource until it has reached its end, patiently: short pauses first, no alarm over one lost call."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Any

from airflow_ll.exceptions import JobFailedError, JobStoppedError, JobTimeoutError
from airflow_ll.hooks.failures import is_transient
from airflow_ll.hooks.survey import Survey

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_ll.hooks.linear_learner import LinearLearnerHook
    from airflow_ll.hooks.resources import Resource
    from airflow_ll.hooks.survey import Sighting

__all__ = ["DEFAULT_POLL_INTERVAL", "Looks", "outcome", "wait_until_ended", "wait_until_gone"]

DEFAULT_POLL_INTERVAL = 15.0
"""The longest pause between two looks, in seconds."""

_FIRST_PAUSE = 1.0
_GROWTH = 1.5
_LONGEST_BACKOFF = 60.0
_FORGIVEN_SECONDS = 600.0
# What the data, the settings or the permissions cause, another attempt would meet again.
_FINAL_REASONS = ("clienterror", "customer error", "validationexception", "accessdenied", "access denied")


class Looks:
    """The pauses between looks at one resource, and the transient failures forgiven between them.

    :param longest: the longest pause in seconds; pauses start at one second and grow to it. After failures they
        double up to a minute, and vary, so that many waiters do not come back all at once.
    """

    def __init__(self, longest: float = DEFAULT_POLL_INTERVAL) -> None:
        self._longest = longest
        self._pause = min(_FIRST_PAUSE, longest)
        self._failures = 0
        self._answered = time.monotonic()

    def pause(self) -> float:
        """Return the seconds to wait before the next look."""
        if self._failures:
            return min(_LONGEST_BACKOFF, 2.0**self._failures) * random.uniform(0.5, 1.0)  # noqa: S311 - no secret
        current = self._pause
        self._pause = min(self._longest, current * _GROWTH)
        return current

    def answered(self) -> None:
        """Note that a look succeeded."""
        self._failures = 0
        self._answered = time.monotonic()

    def failed(self, error: Exception) -> None:
        """Note that a look failed; raise its error when it will not pass or nothing answered for ten minutes."""
        if not is_transient(error) or time.monotonic() - self._answered > _FORGIVEN_SECONDS:
            raise error
        self._failures = min(self._failures + 1, 16)


def outcome(resource: Resource, name: str, description: dict[str, Any]) -> dict[str, Any]:
    """Return ``description`` when it tells of success, else raise what it tells of.

    :raises JobFailedError: it failed; ``retryable`` is False when its data, settings or permissions are at fault.
    :raises JobStoppedError: it was stopped, by somebody or by its time limit.
    """
    if resource.is_good(description):
        return description
    status = resource.status(description)
    if status in resource.stopped:
        why = description.get("SecondaryStatus", status)
        limit = why in {"MaxRuntimeExceeded", "MaxWaitTimeExceeded"}
        detail = "it ran into its time limit (max_run or max_wait)" if limit else "somebody stopped it"
        raise JobStoppedError(f"The {resource.title} {name!r} was stopped before its end: {detail}.")
    reason = str(description.get("FailureReason") or "SageMaker gave no reason").strip()
    final = any(words in reason.lower() for words in _FINAL_REASONS)
    raise JobFailedError(f"The {resource.title} {name!r} ended as {status}: {reason}", retryable=not final)


def wait_until_ended(
    hook: LinearLearnerHook,
    resource: Resource,
    name: str,
    *,
    timeout: float,
    poll_interval: float = DEFAULT_POLL_INTERVAL,
    after_look: Callable[[], None] | None = None,
) -> dict[str, Any]:
    """Look until the resource has ended, well or not, and return its last description.

    :param timeout: seconds until :class:`JobTimeoutError`.
    :param after_look: called after every look, the last one too.
    :raises JobFailedError: it vanished.
    """
    looks, deadline, survey = Looks(poll_interval), time.monotonic() + timeout, Survey(hook, resource)
    sightings: list[Sighting] = []
    while True:
        try:
            survey.look([name], lambda _, sighting: sightings.append(sighting))
            looks.answered()
        except Exception as error:  # Looks.failed raises what it does not forgive
            looks.failed(error)
        if after_look:
            after_look()
        description = sightings.pop() if sightings else {}
        if isinstance(description, Exception):
            raise description
        if description is None:
            raise JobFailedError(f"The {resource.title} {name!r} does not exist any more.", retryable=True)
        if description and not resource.is_running(description):
            return description
        if time.monotonic() > deadline:
            raise JobTimeoutError(timeout_message(resource, name, timeout))
        time.sleep(looks.pause())


def timeout_message(resource: Resource, name: str, timeout: float) -> str:
    """Say that the wait for a resource was too short."""
    return f"The {resource.title} {name!r} did not end within {timeout:.0f} seconds (wait_timeout)."


def wait_until_gone(hook: LinearLearnerHook, resource: Resource, name: str, *, timeout: float) -> None:
    """Look until the resource does not exist any more."""
    looks, deadline = Looks(), time.monotonic() + timeout
    while time.monotonic() < deadline:
        try:
            if hook.describe(resource, name) is None:
                return
            looks.answered()
        except Exception as error:  # Looks.failed raises what it does not forgive
            looks.failed(error)
        time.sleep(looks.pause())
    raise JobTimeoutError(f"The {resource.title} {name!r} still exists {timeout:.0f} seconds after its deletion.")
