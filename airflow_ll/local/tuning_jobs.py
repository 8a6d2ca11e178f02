"""The operations on hyperparameter tuning jobs; :mod:`airflow_ll.local.tuning` runs them."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

from airflow_ll.local import training_jobs, tuning_rules
from airflow_ll.local.errors import ValidationError
from airflow_ll.local.paging import page
from airflow_ll.local.resources import TRAINING_JOB, TUNING_JOB
from airflow_ll.local.tuning import ENDED, Trial, trials

if TYPE_CHECKING:
    from airflow_ll.local.runtime import Runtime

__all__ = ["create", "delete", "list_training_jobs", "stop"]

_SEED_BITS = 31
_NO_COUNTS = {"Completed": 0, "InProgress": 0, "RetryableError": 0, "NonRetryableError": 0, "Stopped": 0}
_NO_OBJECTIVES = {"Succeeded": 0, "Pending": 0, "Failed": 0}


def create(runtime: Runtime, request: dict[str, Any]) -> dict[str, Any]:
    """Answer CreateHyperParameterTuningJob."""
    tuning_rules.check(request)
    definition, config = request["TrainingJobDefinition"], request["HyperParameterTuningJobConfig"]
    if runtime.store.get(TUNING_JOB.key, request["HyperParameterTuningJobName"]) is None:
        training_jobs.check_data(runtime, definition)
    tags = request.get("Tags", [])
    body = {
        **request,
        "Strategy": config["Strategy"],
        "ResourceLimits": config["ResourceLimits"],
        "TrainingJobStatusCounters": dict(_NO_COUNTS),
        "ObjectiveStatusCounters": dict(_NO_OBJECTIVES),
        "_Seed": config.get("RandomSeed", secrets.randbits(_SEED_BITS)),
        "_Tags": tags,
        "_Trials": [],
    }
    answer = TUNING_JOB.create(runtime, body, "InProgress")
    runtime.tuning.go_on(request["HyperParameterTuningJobName"])
    return answer


def stop(runtime: Runtime, request: dict[str, Any]) -> None:
    """Answer StopHyperParameterTuningJob: it launches no more training jobs and stops those that run."""
    name = request["HyperParameterTuningJobName"]
    status = TUNING_JOB.describe(runtime, request)["HyperParameterTuningJobStatus"]
    if not TUNING_JOB.move(runtime, name, ("InProgress",), HyperParameterTuningJobStatus="Stopping"):
        raise ValidationError(f"The request was rejected because the hyperparameter tuning job is in status {status}.")
    runtime.tuning.go_on(name)


def delete(runtime: Runtime, request: dict[str, Any]) -> None:
    """Answer DeleteHyperParameterTuningJob: its training jobs stay."""
    status = TUNING_JOB.describe(runtime, request)["HyperParameterTuningJobStatus"]
    if status not in ENDED:
        raise ValidationError(f"The request was rejected because the hyperparameter tuning job is in status {status}.")
    TUNING_JOB.delete(runtime, request)


def list_training_jobs(runtime: Runtime, request: dict[str, Any]) -> dict[str, Any]:
    """Answer ListTrainingJobsForHyperParameterTuningJob; sorted by objective it shows only jobs that have one."""
    job = TUNING_JOB.describe(runtime, request)
    found = [one for one in trials(runtime, job) if one.job]
    if "StatusEquals" in request:
        found = [one for one in found if one.job[TRAINING_JOB.status_member] == request["StatusEquals"]]
    sort = request.get("SortBy", "Name")
    if sort == "FinalObjectiveMetricValue":
        found = [one for one in found if one.objective is not None]
    keyed = [(_sort_key(one, sort), one.name, one.summary()) for one in found]
    shown, token = page(keyed, request, descending=request.get("SortOrder") == "Descending")
    return {"TrainingJobSummaries": shown, "NextToken": token}


def _sort_key(trial: Trial, sort: str) -> str | float:
    if sort == "FinalObjectiveMetricValue":
        return trial.objective or 0.0
    if sort == "CreationTime":
        return float(trial.job["CreationTime"])
    return str(trial.job[TRAINING_JOB.status_member]) if sort == "Status" else trial.name
