"""Running tuning jobs: they launch training jobs, learn from their objectives, and end.

One thread takes all decisions, each from what the store says, so that it does not matter when the runtime was killed:
a training job is noted in its tuning job before it is created, and created under that name if it does not exist.
"""

from __future__ import annotations

import functools
import logging
import queue
import secrets
import threading
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_ll.local import early_stopping, training_jobs
from airflow_ll.local.errors import ValidationError
from airflow_ll.local.resources import TRAINING_JOB, TUNING_JOB
from airflow_ll.local.search_space import SearchSpace
from airflow_ll.local.strategies import Tried, propose

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Mapping, Sequence

    from airflow_ll.local.runtime import Runtime

__all__ = ["ENDED", "Trial", "Tuning", "trials"]

ENDED = ("Completed", "Failed", "Stopped")

_log = logging.getLogger(__name__)

_RUNNING = ("InProgress", "Stopping")
_MAX_ATTEMPTS = 3
_RETRYABLE = "InternalServerError"
_SHARED_MEMBERS = (
    *("RoleArn", "InputDataConfig", "OutputDataConfig", "ResourceConfig", "StoppingCondition", "VpcConfig"),
    *("EnableNetworkIsolation", "EnableInterContainerTrafficEncryption", "EnableManagedSpotTraining"),
    *("CheckpointConfig", "RetryStrategy", "Environment", "AlgorithmSpecification"),
)
_SUMMARY_MEMBERS = (
    *("TrainingJobName", "TrainingJobArn", "TrainingJobStatus", "FailureReason"),
    *("CreationTime", "TrainingStartTime", "TrainingEndTime"),
)
_ALL_FAILED = "All training jobs failed. Please take a look at the training jobs failures to get more details."
_NO_OBJECTIVE = (
    "No objective metrics found after running {count} training jobs. Please ensure that the custom algorithm is "
    "emitting the objective metric as defined by the regular expression provided."
)


@dataclass(frozen=True)
class Trial:
    """One training job of a tuning job; ``job`` is empty while it is not created yet, or after it was deleted."""

    name: str
    number: int
    values: Mapping[str, str]
    job: Mapping[str, Any]
    objective_metric: Mapping[str, str]
    definition_name: str | None

    @property
    def status(self) -> str:
        """Its training job's."""
        return str(self.job.get("TrainingJobStatus", "Stopped"))

    @property
    def running(self) -> bool:
        """Whether its training job goes on."""
        return self.status in _RUNNING

    @property
    def retryable(self) -> bool:
        """Whether it failed by no fault of its own."""
        return self.status == "Failed" and str(self.job.get("FailureReason", "")).startswith(_RETRYABLE)

    @property
    def objective(self) -> float | None:
        """The final value of the objective metric, if the job ended with one."""
        if self.status not in ("Completed", "Stopped"):
            return None
        wanted = self.objective_metric["MetricName"]
        found = [one["Value"] for one in self.job.get("FinalMetricDataList", ()) if one["MetricName"] == wanted]
        return float(found[0]) if found else None

    @property
    def cost(self) -> float | None:
        """The objective, turned so that less is better."""
        if self.objective is None:
            return None
        return self.objective if self.objective_metric["Type"] == "Minimize" else -self.objective

    @property
    def objective_status(self) -> str:
        """Succeeded, Pending or Failed."""
        return "Pending" if self.running else "Failed" if self.objective is None else "Succeeded"

    def summary(self) -> dict[str, Any]:
        """Return the API's summary of it."""
        final = None
        if self.objective is not None:
            final = {**self.objective_metric, "Value": self.objective}
        return {
            **{member: self.job[member] for member in _SUMMARY_MEMBERS if member in self.job},
            "TrainingJobDefinitionName": self.definition_name,
            "TunedHyperParameters": dict(self.values),
            "FinalHyperParameterTuningJobObjectiveMetric": final,
            "ObjectiveStatus": self.objective_status,
        }


def trials(runtime: Runtime, tuning_job: Mapping[str, Any]) -> list[Trial]:
    """Return the training jobs of a tuning job in the order they were launched."""
    objective = tuning_job["HyperParameterTuningJobConfig"]["HyperParameterTuningJobObjective"]
    definition_name = tuning_job["TrainingJobDefinition"].get("DefinitionName")
    return [
        Trial(
            one["Name"],
            one["Number"],
            one["Values"],
            runtime.store.get(TRAINING_JOB.key, one["Name"]) or {},
            objective,
            definition_name,
        )
        for one in tuning_job["_Trials"]
    ]


class Tuning:
    """The thread that takes the tuning jobs' decisions."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._queue: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._looking: set[str] = set()

    def go_on(self, name: str) -> None:
        """Let a tuning job take its next decisions: it is new, was stopped, or something happened to its jobs."""
        self._queue.put(name)

    def training_ended(self, job: Mapping[str, Any]) -> None:
        """Tell the tuning job of a training job, if it has one, that the training job ended."""
        if "_TuningJob" in job:
            self.go_on(job["_TuningJob"])

    def epoch_ended(self, job: Mapping[str, Any], metrics: Container[Any]) -> None:
        """Tell the tuning job of a training job that metrics came, if it looks at them while the job runs."""
        if job.get("_StopsEarly") in metrics and job["_TuningJob"] not in self._looking:
            self._looking.add(job["_TuningJob"])  # epochs can be shorter than a look at them
            self.go_on(job["_TuningJob"])

    def recover(self) -> None:
        """Begin, with the tuning jobs that an earlier runtime left: first launch what it had only noted."""
        for job in self._runtime.store.with_status(TUNING_JOB.key, "InProgress", "Stopping"):
            for trial in trials(self._runtime, job):
                if not trial.job and job["HyperParameterTuningJobStatus"] == "InProgress":
                    self._create(job, trial.name, trial.values)
            self._arm(job)
            self.go_on(job["HyperParameterTuningJobName"])
        threading.Thread(target=self._work, name="tuning", daemon=True).start()

    def _work(self) -> None:
        while True:
            name = self._queue.get()
            self._looking.discard(name)
            if self._runtime.closing.is_set():
                return
            try:
                self._decide(name)
            except Exception as error:
                _log.exception("tuning job %s", name)
                if not self._runtime.closing.is_set():
                    self._end(name, "Failed", FailureReason=f"InternalServerError: {error}")

    def _decide(self, name: str) -> None:
        """Launch, stop or end what the state of a tuning job asks for."""
        job = self._runtime.store.get(TUNING_JOB.key, name)
        if job is None or job["HyperParameterTuningJobStatus"] in ENDED:
            return
        if not job["_Trials"]:
            self._arm(job)
        tried = trials(self._runtime, job)
        over = job["HyperParameterTuningJobStatus"] == "Stopping" or self._time_is_over(job)
        if over:
            self._stop([one for one in tried if one.running])
        else:
            if early_stopping.wanted(job):
                self._stop(self._hopeless(tried))
            if not _complete(job, tried):
                tried = self._launch(job, tried)
        self._note(name, job, tried)
        if not any(one.running for one in tried):
            self._finish(name, tried, stopped=over)

    def _launch(self, job: dict[str, Any], tried: list[Trial]) -> list[Trial]:
        """Launch training jobs as far as the limits let, those first that failed by no fault of their own."""
        name, config = job["HyperParameterTuningJobName"], job["HyperParameterTuningJobConfig"]
        limits, space = config["ResourceLimits"], SearchSpace.of(config["ParameterRanges"])
        while sum(one.running for one in tried) < limits["MaxParallelTrainingJobs"]:
            number, values = _again(tried)
            if values is None:
                number = len({one.number for one in tried}) + 1
                if number > limits.get("MaxNumberOfTrainingJobs", space.size):
                    break
                latest = {one.number: Tried(one.values, one.cost) for one in tried}
                values = propose(config["Strategy"], space, list(latest.values()), job["_Seed"])
                if values is None:
                    break
            trial = {"Name": f"{name}-{number:03d}-{secrets.token_hex(4)}", "Number": number, "Values": dict(values)}

            def note(current: dict[str, Any], trial: dict[str, Any] = trial) -> bool:
                if current["HyperParameterTuningJobStatus"] != "InProgress":
                    return False
                current["_Trials"].append(trial)
                return True

            saved = self._runtime.store.update(TUNING_JOB.key, name, TUNING_JOB.status_member, note)
            if saved is None:
                break  # stopped meanwhile
            self._create(job, str(trial["Name"]), values)
            tried = trials(self._runtime, saved)
        return tried

    def _create(self, job: Mapping[str, Any], name: str, values: Mapping[str, str]) -> None:
        definition = job["TrainingJobDefinition"]
        metric = job["HyperParameterTuningJobConfig"]["HyperParameterTuningJobObjective"]["MetricName"]
        request = {member: definition[member] for member in _SHARED_MEMBERS if member in definition}
        training_jobs.start(
            self._runtime,
            {
                **request,
                "TrainingJobName": name,
                "HyperParameters": {
                    **definition.get("StaticHyperParameters", {}),
                    **values,
                    "_tuning_objective_metric": metric,
                },
                "Tags": job["_Tags"],
                "TuningJobArn": job["HyperParameterTuningJobArn"],
                "_TuningJob": job["HyperParameterTuningJobName"],
                **({"_StopsEarly": metric} if early_stopping.wanted(job) else {}),
            },
        )

    def _stop(self, running: Sequence[Trial]) -> None:
        for one in running:
            if one.status == "InProgress":
                try:
                    training_jobs.stop(self._runtime, {"TrainingJobName": one.name})
                except ValidationError:
                    continue  # it ended meanwhile, and says so

    def _hopeless(self, tried: Sequence[Trial]) -> list[Trial]:
        """Return the running training jobs that are worse than those before them."""
        ended = [self._losses(one) for one in tried if one.cost is not None]
        return [one for one in tried if one.running and early_stopping.hopeless(self._losses(one), ended)]

    def _losses(self, trial: Trial) -> list[float]:
        """Return the objective of a training job after each epoch."""
        return self._runtime.store.metric_values(trial.name, trial.objective_metric["MetricName"])

    def _note(self, name: str, job: Mapping[str, Any], tried: Sequence[Trial]) -> None:
        """Keep the counters and the best training job."""
        members: dict[str, Any] = {
            "TrainingJobStatusCounters": dict(_status_counts(tried)),
            "ObjectiveStatusCounters": {
                status: sum(one.objective_status == status for one in tried)
                for status in ("Succeeded", "Pending", "Failed")
            },
            "TuningJobCompletionDetails": {"NumberOfTrainingJobsObjectiveNotImproving": _not_improving(tried)},
            "ConsumedResources": {"RuntimeInSeconds": int(time.time() - job["CreationTime"])},
        }
        best = _best(tried)
        if best is not None:
            members["BestTrainingJob"] = best.summary()
        TUNING_JOB.move(self._runtime, name, _RUNNING, **members)

    def _finish(self, name: str, tried: Sequence[Trial], *, stopped: bool) -> None:
        if stopped:
            self._end(name, "Stopped")
        elif _best(tried) is not None:
            self._end(name, "Completed")
        elif any(one.status == "Completed" for one in tried):
            self._end(name, "Failed", FailureReason=_NO_OBJECTIVE.format(count=len(tried)))
        else:
            self._end(name, "Failed", FailureReason=_ALL_FAILED)

    def _end(self, name: str, status: str, **members: Any) -> None:
        members |= {"HyperParameterTuningJobStatus": status, "HyperParameterTuningEndTime": time.time()}
        TUNING_JOB.move(self._runtime, name, _RUNNING, **members)

    def _arm(self, job: Mapping[str, Any]) -> None:
        """Come back when the time of a tuning job is over."""
        seconds = job["ResourceLimits"].get("MaxRuntimeInSeconds")
        if seconds is not None:
            back = functools.partial(self.go_on, job["HyperParameterTuningJobName"])
            self._runtime.timers.at(job["CreationTime"] + seconds, back)

    @staticmethod
    def _time_is_over(job: Mapping[str, Any]) -> bool:
        seconds = job["ResourceLimits"].get("MaxRuntimeInSeconds")
        return seconds is not None and time.time() >= job["CreationTime"] + seconds


def _again(tried: Sequence[Trial]) -> tuple[int, Mapping[str, str] | None]:
    """Return the number and the values of a training job that is to be repeated, (0, None) when there is none."""
    attempts = Counter(one.number for one in tried)
    latest = {one.number: one for one in tried}
    for one in latest.values():
        if one.retryable and attempts[one.number] < _MAX_ATTEMPTS:
            return one.number, one.values
    return 0, None


def _best(tried: Sequence[Trial]) -> Trial | None:
    completed = [one for one in tried if one.status == "Completed" and one.cost is not None]
    return min(completed, key=lambda one: (one.cost, one.number), default=None)


def _not_improving(tried: Sequence[Trial]) -> int:
    """Return how many training jobs with an objective ended after the best one."""
    costs = [one.cost for one in sorted(tried, key=_ended_at) if one.cost is not None]
    return len(costs) - 1 - costs.index(min(costs)) if costs else 0


def _ended_at(trial: Trial) -> float:
    return float(trial.job.get("TrainingEndTime", 0))


def _complete(job: Mapping[str, Any], tried: Sequence[Trial]) -> bool:
    """Return whether a completion criterion of the request is met."""
    criteria = job["HyperParameterTuningJobConfig"].get("TuningJobCompletionCriteria", {})
    best, target = _best(tried), criteria.get("TargetObjectiveMetricValue")
    if best is not None and best.cost is not None and target is not None:
        sign = 1 if best.objective_metric["Type"] == "Minimize" else -1
        if best.cost <= sign * target:
            return True
    patience = criteria.get("BestObjectiveNotImproving", {}).get("MaxNumberOfTrainingJobsNotImproving")
    return patience is not None and _not_improving(tried) >= patience


def _status_counts(tried: Sequence[Trial]) -> Iterator[tuple[str, int]]:
    yield "Completed", sum(one.status == "Completed" for one in tried)
    yield "InProgress", sum(one.running for one in tried)
    yield "RetryableError", sum(one.retryable for one in tried)
    yield "NonRetryableError", sum(one.status == "Failed" and not one.retryable for one in tried)
    yield "Stopped", sum(one.status == "Stopped" for one in tried)
