"""A cancelled trigger stops its job when, and only when, a user has ended the task."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from airflow.models.taskinstance import TaskInstance
from airflow.sdk import DAG
from airflow.sdk.execution_time.supervisor import InProcessTestSupervisor
from airflow.triggers.base import BaseTrigger
from airflow.utils.session import create_session

from airflow_ll.hooks import LinearLearnerHook
from airflow_ll.hooks.resources import TRAINING_JOB
from airflow_ll.operators import LinearLearnerRecordSetOperator, LinearLearnerTrainingOperator
from airflow_ll.triggers import LinearLearnerTrainingTrigger
from airflow_ll.triggers.task_state import task_state
from tests.operators.conftest import ROLE, RUNS_A_DAG, aws, calls, dag_id, location, metadata, rows, run_dag
from tests.operators.test_adoption_and_killing import ENDLESS, wait_for

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.conftest import Runtime

__all__ = ["aws", "dag_id", "location", "metadata", "rows"]

pytestmark = RUNS_A_DAG


@pytest.fixture
def waiting(aws: Runtime, dag_id: str, rows: str, location: str) -> Any:
    """The task instance of a training job that runs, and its name."""
    with DAG(dag_id) as dag:
        records = LinearLearnerRecordSetOperator(task_id="upload", features=rows, data_location=location)
        LinearLearnerTrainingOperator(
            task_id="train",
            role=ROLE,
            records=records.output,
            output_path=location,
            hyperparameters=ENDLESS,
            wait_for_completion=False,
        )
    ran = run_dag(dag)
    name = ran.result("train")["training_job_name"]
    yield ran.run.get_task_instance("train"), name
    LinearLearnerHook().stop(TRAINING_JOB, name)


def set_state(ti: Any, state: str | None) -> None:
    """Set the state of a task instance as Airflow's API and scheduler do."""
    with create_session() as session:
        session.get_one(TaskInstance, ti.id).state = state


class Cancelled:
    """A trigger that its triggerer cancels: Airflow does so when a user ends the task and when the trigger moves."""

    def __init__(self, trigger: LinearLearnerTrainingTrigger) -> None:
        self.trigger = trigger

    async def run(self) -> AsyncIterator[None]:
        await task_state(self.trigger.task_instance)  # lets Airflow's API start in this process, which takes seconds
        waiting: Any = asyncio.ensure_future(anext(self.trigger.run()))
        await asyncio.sleep(0.2)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        if hasattr(BaseTrigger, "on_kill"):  # older triggerers only cancel
            await self.trigger.on_kill()
        yield


def cancel(ti: Any, name: str, *, stop_on_kill: bool = True) -> None:
    """Cancel a trigger of the task in this process, with Airflow's API beside it."""
    trigger = LinearLearnerTrainingTrigger(name, stop_on_kill=stop_on_kill)
    trigger.task_instance = ti
    supervisor: Any = InProcessTestSupervisor
    supervisor.run_trigger_in_process(trigger=Cancelled(trigger), ti=ti)


@pytest.mark.parametrize("ended", ["failed", "removed", None], ids=["failed", "deleted", "cleared"])
def test_a_job_is_stopped_when_its_task_was_ended_and_never_when_the_trigger_moved(
    aws: Runtime, waiting: tuple[Any, str], ended: str | None
) -> None:
    ti, name = waiting
    for alive in ("deferred", "running"):
        set_state(ti, alive)
        cancel(ti, name)
    set_state(ti, ended)
    cancel(ti, name, stop_on_kill=False)
    assert wait_for(aws, name, "InProgress") == "InProgress"
    cancel(ti, name)
    assert wait_for(aws, name, "Stopped") == "Stopped"
    assert len(calls(aws, "StopTrainingJob", name)) == 1


def test_a_job_goes_on_when_nobody_can_say_what_became_of_its_task(aws: Runtime, waiting: tuple[Any, str]) -> None:
    _, name = waiting
    asyncio.run(LinearLearnerTrainingTrigger(name, stop_on_kill=True).on_kill())
    assert wait_for(aws, name, "InProgress") == "InProgress"
