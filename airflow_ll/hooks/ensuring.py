"""Create a resource exactly once: the task's deterministic name finds what an earlier attempt has created."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_ll.exceptions import ResourceConflictError
from airflow_ll.hooks.failures import is_name_taken
from airflow_ll.hooks.waiting import wait_until_ended, wait_until_gone
from airflow_ll.requests.adoption import Action, Existing, IfExists, conflict, decide
from airflow_ll.requests.names import TaskIdentity, fingerprint, fingerprint_from_tags, resource_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_ll.hooks.linear_learner import LinearLearnerHook
    from airflow_ll.hooks.resources import Resource

__all__ = ["Ensured", "ensure", "existing", "newest", "tagged"]

_ENDING_SECONDS = 1800.0
_TURNS = 20


@dataclass(frozen=True)
class Ensured:
    """A resource that exists now.

    :param adopted: whether it was there already.
    """

    name: str
    arn: str
    adopted: bool


@dataclass(frozen=True)
class _Candidate:
    name: str
    generation: int
    description: dict[str, Any] | None


def ensure(
    hook: LinearLearnerHook,
    resource: Resource,
    identity: TaskIdentity,
    build: Callable[[str], dict[str, Any]],
    *,
    name: str | None = None,
    if_exists: IfExists = "adopt",
    before_create: Callable[[str], None] = lambda _: None,
    base_name: str | None = None,
) -> Ensured:
    """Adopt what this task created before, or create it.

    :param build: returns the request for a name.
    :param name: an explicit name, which has one generation only.
    :param if_exists: what to do about a completed resource of the same request.
    :param before_create: called with the name right before anything that costs money exists under it, or is adopted.
    :param base_name: the readable part of a name that is not explicit.
    :raises ResourceConflictError: the name belongs to somebody else.
    """
    generation_name = _generations(resource, identity, base_name)
    for _ in range(_TURNS):
        found = _newest(hook, resource, generation_name, name)
        request = build(found.name)
        known = None if found.description is None else existing(hook, resource, found.description)
        action = decide(identity, fingerprint(request), known, if_exists)
        if action is Action.ADOPT and found.description is not None:
            before_create(found.name)
            hook.log.info("Adopted the %s %s of an earlier attempt", resource.title, found.name)
            return Ensured(found.name, resource.arn(found.description), adopted=True)
        if action is Action.REFUSE and known is not None:
            raise conflict(f"The {resource.title} {found.name!r}", identity, known)
        if action in (Action.WAIT_THEN_NEXT, Action.STOP_THEN_NEXT):
            _end(hook, resource, found.name, stop=action is Action.STOP_THEN_NEXT)
            continue
        if action is Action.NEXT_GENERATION:
            found = _next(resource, generation_name, found, explicit=name is not None)
            request = build(found.name)
        before_create(found.name)
        arn = _create(hook, resource, tagged(request, identity))
        if arn:
            hook.log.info("Created the %s %s", resource.title, found.name)
            return Ensured(found.name, arn, adopted=False)
    raise ResourceConflictError(f"The {resource.title} {name or identity} keeps changing: another process works on it.")


def existing(hook: LinearLearnerHook, resource: Resource, description: dict[str, Any]) -> Existing:
    """Return who owns a resource and what was asked for, from its tags."""
    tags = hook.tags(resource.arn(description))
    status = resource.status(description) if resource.running else None
    return Existing(TaskIdentity.from_tags(tags), fingerprint_from_tags(tags), status)


def newest(
    hook: LinearLearnerHook, resource: Resource, identity: TaskIdentity, name: str | None, base_name: str | None = None
) -> dict[str, Any] | None:
    """Return the description of the resource that the task works on, None when there is none."""
    return _newest(hook, resource, _generations(resource, identity, base_name), name or None).description


def _generations(resource: Resource, identity: TaskIdentity, base_name: str | None) -> Callable[[int], str]:
    return lambda generation: resource_name(identity, resource.kind, generation, base_name=base_name)


def tagged(request: dict[str, Any], identity: TaskIdentity) -> dict[str, Any]:
    """Return the request with the tags that say whose it is and what was asked for."""
    return {**request, "Tags": [*request.get("Tags", []), *identity.tags(fingerprint(request))]}


def _newest(
    hook: LinearLearnerHook, resource: Resource, generation_name: Callable[[int], str], name: str | None
) -> _Candidate:
    """Return the newest generation that exists, or the first one to create."""
    if name is not None:
        return _Candidate(name, 0, hook.describe(resource, name))
    newest = _Candidate(generation_name(0), 0, None)
    generation = 0
    while True:
        candidate = generation_name(generation)
        description = hook.describe(resource, candidate)
        if description is None:
            return newest
        newest = _Candidate(candidate, generation, description)
        generation += 1


def _next(
    resource: Resource, generation_name: Callable[[int], str], found: _Candidate, *, explicit: bool
) -> _Candidate:
    if explicit:
        raise ResourceConflictError(
            f"The {resource.title} {found.name!r} exists already and ended without success or was asked for "
            f"differently: an explicit name can be used once, so change {resource.argument} or leave it out."
        )
    generation = found.generation + 1
    return _Candidate(generation_name(generation), generation, None)


def _create(hook: LinearLearnerHook, resource: Resource, request: dict[str, Any]) -> str | None:
    """Return the new ARN, or None when somebody else took the name in the meantime."""
    try:
        return hook.create(resource, request)
    except Exception as error:
        if is_name_taken(error):
            return None
        raise


def _end(hook: LinearLearnerHook, resource: Resource, name: str, *, stop: bool) -> None:
    if resource.stoppable:
        if stop:
            hook.log.info("Stopping the %s %s: it was asked for differently", resource.title, name)
            hook.stop(resource, name)
        wait_until_ended(hook, resource, name, timeout=_ENDING_SECONDS)
        return
    if stop:
        hook.log.info("Deleting the %s %s: it was asked for differently", resource.title, name)
        wait_until_ended(hook, resource, name, timeout=_ENDING_SECONDS)  # one that still changes cannot be deleted
        hook.delete(resource, name)
    wait_until_gone(hook, resource, name, timeout=_ENDING_SECONDS)
