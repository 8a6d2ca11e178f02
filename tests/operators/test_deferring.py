"""What a task does around its deferral: look first, keep the deadline, stop what took too long, stay killed."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, TaskDeferred

from airflow_ll.hooks.resources import ENDPOINT, TRAINING_JOB
from airflow_ll.hooks.waiting import outcome
from airflow_ll.operators import LinearLearnerTrainingOperator
from airflow_ll.requests.names import TaskIdentity
from tests.hooks.conftest import hook, location
from tests.operators.conftest import ROLE, calls
from tests.operators.test_adoption_and_killing import ENDLESS, wait_for

if TYPE_CHECKING:
    from airflow_ll.hooks import LinearLearnerHook
    from tests.conftest import Runtime

__all__ = ["hook", "location"]

QUICK = {"predictor_type": "regressor", "epochs": 1, "num_models": 1}


@dataclass(frozen=True)
class Instance(TaskIdentity):
    """A task instance without Airflow's database."""

    def xcom_push(self, key: str, value: Any) -> None:
        """Links are kept nowhere."""


@pytest.fixture
def context() -> dict[str, Any]:
    """The context of a task in a run of this test's own."""
    return {"ti": Instance("deferring", uuid.uuid4().hex, "train")}


@pytest.fixture
def make(hook: LinearLearnerHook, location: str) -> Any:
    """A function that makes attempts of one and the same task; what they started is stopped in the end."""
    rows = hook.upload_record_set(np.eye(40, 3), np.arange(40.0) % 2, data_location=location).record_set
    made: list[LinearLearnerTrainingOperator] = []

    def make(hyperparameters: dict[str, Any] = QUICK, **settings: Any) -> LinearLearnerTrainingOperator:
        task = LinearLearnerTrainingOperator(
            task_id="train",
            role=ROLE,
            records=rows,
            output_path=location,
            hyperparameters=hyperparameters,
            poll_interval=0.5,
            **settings,
        )
        made.append(task)
        return task

    yield make
    for task in made:
        if task._at_work:
            hook.stop(TRAINING_JOB, task._at_work)


def deferred(task: LinearLearnerTrainingOperator, context: dict[str, Any]) -> TaskDeferred:
    """Return what the task defers to."""
    with pytest.raises(TaskDeferred) as raised:
        task.execute(context)
    return raised.value


def test_what_has_ended_is_not_waited_for_in_the_triggerer(make: Any, context: dict[str, Any]) -> None:
    first = make().execute(context)
    again = make(deferrable=True).execute(context)  # raises nothing: a deferral this short is what Airflow 3.3 fails

    assert again["training_job_name"] == first["training_job_name"]
    assert (first["adopted"], again["adopted"]) == (False, True)


def test_a_completed_job_is_adopted_made_again_or_refused_as_the_task_says(make: Any, context: dict[str, Any]) -> None:
    names = [make(if_exists=choice).execute(context)["training_job_name"] for choice in ("adopt", "new_generation")]
    assert [name[-3:] for name in names] == ["-g0", "-g1"]
    with pytest.raises(AirflowFailException, match="if_exists='fail' forbids to adopt it"):
        make(if_exists="fail").execute(context)


def test_the_deadline_follows_the_jobs_own_limits_and_the_tasks(make: Any, context: dict[str, Any]) -> None:
    by_job = deferred(make(ENDLESS, deferrable=True, job_options={"max_run": 1000}), context)
    by_task = deferred(
        make(ENDLESS, deferrable=True, job_options={"max_run": 1000}, execution_timeout=timedelta(seconds=50)),
        context,
    )
    by_hand = deferred(make(ENDLESS, deferrable=True, job_options={"max_run": 1000}, wait_timeout=70), context)

    waits = [one.trigger.carry["timeout"] for one in (by_job, by_task, by_hand)]
    assert waits == [1000 + 3600, 50, 70]
    for one, seconds in zip((by_job, by_task, by_hand), waits, strict=True):
        assert one.trigger.deadline <= time.time() + seconds
        assert one.timeout is not None
        assert one.timeout > timedelta(seconds=seconds), "Airflow's own timeout comes after the trigger's"


def test_a_deferral_that_airflow_timed_out_stops_the_job(runtime: Runtime, make: Any, context: dict[str, Any]) -> None:
    name = deferred(make(ENDLESS, deferrable=True), context).trigger.name

    with pytest.raises(AirflowException) as raised:
        make(ENDLESS, deferrable=True).resume_execution("__fail__", {"error": "Trigger timeout"}, context)
    assert type(raised.value).__name__ == "TaskDeferralTimeout"
    assert wait_for(runtime, name, "Stopped") == "Stopped"


def test_a_job_that_ended_just_before_the_deadline_counts(make: Any, context: dict[str, Any]) -> None:
    done = make().execute(context)
    event = {"status": "timeout", "name": done["training_job_name"], "adopted": True, "renewed": False, "facts": {}}

    assert make().execute_complete(context, event | {"timeout": 1.0})["status"] == "Completed"


def test_a_killed_task_does_not_start_once_more_what_it_had_adopted(
    runtime: Runtime, make: Any, context: dict[str, Any]
) -> None:
    name = deferred(make(ENDLESS, deferrable=True), context).trigger.name
    again = make(ENDLESS)
    look = again.after_look

    def killed(job: str) -> Any:
        """What Airflow does with SIGTERM, at the first look."""
        after = look(job)
        return lambda: (after(), again._killed or again.on_kill())

    again.after_look = killed
    with pytest.raises(AirflowException, match="The task was killed, and with it the training job"):
        again.execute(context)
    assert wait_for(runtime, name, "Stopped") == "Stopped"
    assert len(calls(runtime, "CreateTrainingJob", name[:-3])) == 1


@pytest.mark.parametrize("status", ["OutOfService", "UpdateRollbackFailed", "Failed"])
def test_an_endpoint_in_no_service_is_a_failure(status: str) -> None:
    description = {"EndpointName": "any", "EndpointStatus": status}
    assert not ENDPOINT.is_running(description)
    with pytest.raises(Exception, match=f"The endpoint 'any' ended as {status}"):
        outcome(ENDPOINT, "any", description)
