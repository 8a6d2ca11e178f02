"""What to do when the name of a resource is taken: one pure decision.

=========  ===========  ==========================  =====================================================
owner      fingerprint  state                       then
=========  ===========  ==========================  =====================================================
(none)                  the name is free            create
ours       same         in progress                 adopt
ours       same         completed                   adopt; ``if_exists`` can override this case only
ours       same         failed, stopped             next generation
ours       same         stopping                    wait until it ended, then the next generation
ours       other        ended                       next generation
ours       other        running                     stop it, wait until it ended, then the next generation
ours       other        stopping                    wait until it ended, then the next generation
another's               any                         refuse
=========  ===========  ==========================  =====================================================

An endpoint in service is complete and still runs (and costs): asked for differently, it is stopped (deleted) before its
successor is made. Models and endpoint configs have no status: the same one is always adopted, another one has a next
generation.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, get_args

from airflow_ll.exceptions import RequestError, ResourceConflictError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_ll.requests.names import TaskIdentity

__all__ = ["Action", "Existing", "IfExists", "State", "conflict", "decide", "state_of"]

IfExists: TypeAlias = Literal["adopt", "new_generation", "fail"]


class Action(Enum):
    """What a task does about a name."""

    CREATE = "create"
    ADOPT = "adopt"
    NEXT_GENERATION = "next generation"
    WAIT_THEN_NEXT = "wait until it ended, then next generation"
    STOP_THEN_NEXT = "stop it, wait until it ended, then next generation"
    REFUSE = "refuse"


class State(Enum):
    """What the statuses of all kinds of resources come down to."""

    RUNNING = "running"
    COMPLETED = "completed"
    IN_SERVICE = "in service"
    ENDED_BADLY = "ended badly"
    ENDING = "ending"
    TIMELESS = "timeless"


@dataclass(frozen=True)
class Existing:
    """The resource that has the name.

    :param owner: what its tags say (:meth:`TaskIdentity.from_tags`).
    :param fingerprint: what its tags say (:func:`fingerprint_from_tags`).
    :param status: as SageMaker spells it; None for a model or an endpoint config, which have none.
    """

    owner: TaskIdentity | None
    fingerprint: str | None
    status: str | None = None


_STATES: Final[Mapping[str, State]] = {
    # training, transform and tuning jobs
    "InProgress": State.RUNNING,
    "Completed": State.COMPLETED,
    "Failed": State.ENDED_BADLY,
    "Stopped": State.ENDED_BADLY,
    "Stopping": State.ENDING,
    "Deleting": State.ENDING,
    "DeleteFailed": State.ENDED_BADLY,
    # compilation jobs
    "STARTING": State.RUNNING,
    "INPROGRESS": State.RUNNING,
    "COMPLETED": State.COMPLETED,
    "FAILED": State.ENDED_BADLY,
    "STOPPED": State.ENDED_BADLY,
    "STOPPING": State.ENDING,
    # endpoints
    "Creating": State.RUNNING,
    "Updating": State.RUNNING,
    "SystemUpdating": State.RUNNING,
    "RollingBack": State.RUNNING,
    "InService": State.IN_SERVICE,
    "OutOfService": State.ENDED_BADLY,
    "UpdateRollbackFailed": State.ENDED_BADLY,
}

_SAME: Final[Mapping[State, Action]] = {
    State.RUNNING: Action.ADOPT,
    State.COMPLETED: Action.ADOPT,
    State.IN_SERVICE: Action.ADOPT,
    State.TIMELESS: Action.ADOPT,
    State.ENDED_BADLY: Action.NEXT_GENERATION,
    State.ENDING: Action.WAIT_THEN_NEXT,
}

_OTHER: Final[Mapping[State, Action]] = {
    State.RUNNING: Action.STOP_THEN_NEXT,
    State.COMPLETED: Action.NEXT_GENERATION,
    State.IN_SERVICE: Action.STOP_THEN_NEXT,
    State.TIMELESS: Action.NEXT_GENERATION,
    State.ENDED_BADLY: Action.NEXT_GENERATION,
    State.ENDING: Action.WAIT_THEN_NEXT,
}


def state_of(status: str | None) -> State:
    """Return what ``status`` comes down to.

    :raises RequestError: for a status that is not in SageMaker's model: guessing could start a second job.
    """
    if status is None:
        return State.TIMELESS
    try:
        return _STATES[status]
    except KeyError:
        raise RequestError(f"status must be one of {', '.join(_STATES)}, got {status!r}.") from None


def decide(
    identity: TaskIdentity, expected_fingerprint: str, existing: Existing | None, if_exists: IfExists = "adopt"
) -> Action:
    """Return what the task ``identity`` does about a name, by the table above.

    A job that ended Stopped though the task did not stop it gets a next generation whenever it is asked about; that
    this happens only once is the caller's to count.

    :param expected_fingerprint: of the request that the task would send.
    :param existing: what has the name now; None when it is free.
    :param if_exists: about a completed resource of this very request: "adopt" it, make a "new_generation", or "fail".
    :raises RequestError: for another ``if_exists`` or an unknown status.
    """
    if if_exists not in get_args(IfExists):
        raise RequestError(f"if_exists must be 'adopt', 'new_generation' or 'fail', got {if_exists!r}.")
    if existing is None:
        return Action.CREATE
    if not identity.is_owner(existing.owner):
        return Action.REFUSE
    state = state_of(existing.status)
    if existing.fingerprint != expected_fingerprint:
        return _OTHER[state]
    if state in (State.COMPLETED, State.IN_SERVICE):
        if if_exists == "fail":
            return Action.REFUSE
        if if_exists == "new_generation":
            return _OTHER[state]
    return _SAME[state]


def conflict(name: str, identity: TaskIdentity, existing: Existing) -> ResourceConflictError:
    """Return the error to raise for :attr:`Action.REFUSE`."""
    if identity.is_owner(existing.owner):
        return ResourceConflictError(
            f"{name} exists already, made by this same task ({identity}), and if_exists='fail' forbids to adopt it: "
            "clear it with if_exists='adopt' or 'new_generation'."
        )
    owner = str(existing.owner) if existing.owner else "nobody that airflow-ll knows (it has no airflow-ll: tags)"
    return ResourceConflictError(
        f"{name} exists already and belongs to {owner}, not to {identity}: choose another name, or delete it first."
    )
