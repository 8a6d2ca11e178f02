"""How long the phases take in which SageMaker prepares machines and the runtime has nothing to do."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_ll.local.resources import COMPILATION_JOB, ENDPOINT, TRAINING_JOB, TRANSFORM_JOB

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_ll.local.jobs import JobHandle
    from airflow_ll.local.runtime import Runtime

__all__ = ["SPEEDS", "NoCapacityError", "Speed", "hold", "provision"]


@dataclass(frozen=True)
class Speed:
    """The seconds of each simulated phase, by the kind of the resource and the name of the phase; else none.

    ``scale`` is how long a second lasts of the waiting times that a request names itself, as deployments do.
    """

    name: str
    phases: Mapping[tuple[str, str], float] = field(default_factory=dict)
    scale: float = 1.0

    def seconds(self, kind: str, phase: str) -> float:
        """Return how long a phase takes."""
        return self.phases.get((kind, phase), 0.0)


_REAL = {
    (TRAINING_JOB.key, "Starting"): 90.0,
    (TRAINING_JOB.key, "Downloading"): 20.0,
    (TRAINING_JOB.key, "Uploading"): 10.0,
    (TRANSFORM_JOB.key, "Starting"): 180.0,
    (COMPILATION_JOB.key, "STARTING"): 60.0,
    (COMPILATION_JOB.key, "INPROGRESS"): 120.0,
    (ENDPOINT.key, "Creating"): 180.0,
    (ENDPOINT.key, "Updating"): 180.0,
    (ENDPOINT.key, "Deleting"): 10.0,
}
"""What users of small instances see, rounded; AWS promises no times."""

SPEEDS = {"fast": Speed("fast", scale=0.01), "real": Speed("real", _REAL)}


class NoCapacityError(Exception):
    """A fault rule keeps the instances away; the text is a FailureReason."""


def hold(runtime: Runtime, handle: JobHandle, kind: str, name: str, phase: str) -> None:
    """Stay in a phase as long as the speed and the fault rules say.

    :raises StopJobError: the job was stopped meanwhile.
    :raises InterruptedError: the runtime is closing.
    """
    handle.wait(runtime.speed.seconds(kind, phase) + runtime.faults.seconds(kind, name, phase))
    if runtime.closing.is_set():
        raise InterruptedError


def provision(runtime: Runtime, handle: JobHandle, kind: str, name: str, phase: str = "Starting") -> None:
    """Get the instances of a job or an endpoint: :func:`hold`, unless a fault rule says that there are none.

    :raises NoCapacityError: it says so, or that the job fails for another reason.
    """
    hold(runtime, handle, kind, name, phase)
    for rule in runtime.faults.take(["capacity", "failure"], kind=kind, resource=name):
        reason = "Unable to provision requested ML compute capacity"
        if rule.effect == "failure":
            reason = rule["reason"]
        elif kind == ENDPOINT.key:
            reason += " due to InsufficientInstanceCapacity error. Please retry using a different ML instance type."
        else:
            reason = f"CapacityError: {reason}. Please retry using a different ML instance type."
        raise NoCapacityError(reason)
