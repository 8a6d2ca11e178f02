"""The status of a training job: how it moves from phase to phase, and to its end."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from airflow_ll.local.resources import TRAINING_JOB

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_ll.local.runtime import Runtime

__all__ = ["end", "end_stopped", "enter", "mark_stopping"]

_ON_INSTANCES = ("Downloading", "Training", "Stopping", "Uploading")
_MESSAGES = {
    "Starting": "Preparing the instances for training",
    "Downloading": "Downloading input data",
    "Training": "Training image download completed. Training in progress.",
    "Uploading": "Uploading generated training model",
    "Completed": "Training job completed",
    "Failed": "Training job failed",
    "Interrupted": "The managed spot training instances were interrupted",
    "Restarting": "Restarting the training job",
    "Stopping": "Stopping the training job",
    "Stopped": "Training job stopped",
    "MaxWaitTimeExceeded": "Training job wait time exceeded MaxWaitTimeInSeconds provided",
    "MaxRuntimeExceeded": "Training job runtime exceeded MaxRuntimeInSeconds provided",
}


def mark_stopping(runtime: Runtime, name: str) -> bool:
    """Move a job from InProgress to Stopping; ``False`` when it is not InProgress."""

    def change(job: dict[str, Any]) -> bool:
        if job["TrainingJobStatus"] != "InProgress":
            return False
        job["TrainingJobStatus"] = "Stopping"
        _advance(job, "Stopping", time.time())
        return True

    return _update(runtime, name, change)


def end_stopped(runtime: Runtime, name: str, secondary: str, **members: Any) -> None:
    """End a job as Stopped; ``secondary`` says why."""
    end(runtime, name, "Stopped", secondary, **members)


def _update(runtime: Runtime, name: str, change: Callable[[dict[str, Any]], bool]) -> bool:
    return runtime.store.update(TRAINING_JOB.key, name, TRAINING_JOB.status_member, change) is not None


def _advance(job: dict[str, Any], secondary: str, now: float, left: float | None = None) -> None:
    """Close the current transition, which ended at ``left`` if not now, and open the next."""
    job["SecondaryStatus"] = secondary
    job["SecondaryStatusTransitions"][-1]["EndTime"] = now if left is None else left
    job["SecondaryStatusTransitions"].append(
        {"Status": secondary, "StartTime": now, "StatusMessage": _MESSAGES[secondary]}
    )


def end(runtime: Runtime, name: str, status: str, secondary: str, *, left: float | None = None, **members: Any) -> None:
    """Bring a job to its end, unless it is there, and tell its tuning job.

    :param secondary: says why it ended so.
    :param left: when its last phase ended, if not now.
    """
    latest = {metric: (value, at) for metric, value, at in runtime.store.metrics(name)}

    def change(job: dict[str, Any]) -> bool:
        if job["TrainingJobStatus"] not in ("InProgress", "Stopping"):
            return False
        now = time.time()
        _advance(job, secondary, now, left)
        job["SecondaryStatusTransitions"][-1]["EndTime"] = now
        job.setdefault("TrainingStartTime", now)
        seconds = round(sum(map(_seconds_on_instances, job["SecondaryStatusTransitions"])))
        job |= {"TrainingJobStatus": status, "TrainingEndTime": now, "TrainingTimeInSeconds": seconds}
        job |= {"BillableTimeInSeconds": max(1, seconds), **members}
        job["FinalMetricDataList"] = [
            {"MetricName": metric, "Value": value, "Timestamp": at} for metric, (value, at) in sorted(latest.items())
        ]
        return True

    ended = runtime.store.update(TRAINING_JOB.key, name, TRAINING_JOB.status_member, change)
    if ended is not None:
        runtime.tuning.training_ended(ended)


def _seconds_on_instances(phase: dict[str, Any]) -> float:
    """Return how long a phase had instances: neither waiting for them nor a time without the runtime counts."""
    return float(phase["EndTime"] - phase["StartTime"]) if phase["Status"] in _ON_INSTANCES else 0.0


def enter(runtime: Runtime, name: str, secondary: str, *, left: float | None = None, **members: Any) -> bool:
    """Move a job to its next phase and set members; ``False`` when it is not InProgress.

    :param left: when it left the phase before, if not now.
    """

    def change(job: dict[str, Any]) -> bool:
        if job["TrainingJobStatus"] != "InProgress":
            return False
        job |= members
        _advance(job, secondary, time.time(), left)
        return True

    return _update(runtime, name, change)
