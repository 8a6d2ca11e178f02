"""A killed attempt leaves its job to the attempt that has replaced it, and stops it else."""

from __future__ import annotations

import threading
import uuid
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
from airflow.sdk.execution_time import task_runner
from airflow.sdk.execution_time.comms import ErrorResponse, TaskStatesResult, ValidateInletsAndOutlets

from airflow_ll.operators import LinearLearnerTrainingOperator, base
from tests.operators.conftest import ROLE

if TYPE_CHECKING:
    from collections.abc import Callable

ATTEMPT = SimpleNamespace(id=uuid.uuid4(), dag_id="dag", run_id="run", task_id="train", map_index=3)


class Supervisor:
    """What Airflow's supervisor answers a killed attempt.

    :param status_code: of the question about the attempt's id.
    :param state: of the task.
    """

    def __init__(self, status_code: int, state: str | None) -> None:
        self.status_code, self.state = status_code, state
        self.asked: list[Any] = []

    def send(self, message: Any) -> Any:
        self.asked.append(message)
        if not isinstance(message, ValidateInletsAndOutlets):
            return TaskStatesResult(task_states={"run": {"train_3": self.state}})
        if self.status_code == 200:
            return None
        detail = {"status_code": self.status_code, "message": "Server returned error"}
        raise AirflowRuntimeError(ErrorResponse(error=ErrorType.API_SERVER_ERROR, detail=detail))


@pytest.fixture
def stops(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], bool]:
    """A function that kills a task whose supervisor answers so, and tells whether its job was stopped."""

    def killed(supervisor: Any, attempt: Any = ATTEMPT) -> bool:
        monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", supervisor, raising=False)
        records = {"s3_data": "s3://b/train/", "num_records": 400, "feature_dim": 5, "s3_data_type": "S3Prefix"}
        task = LinearLearnerTrainingOperator(
            task_id="train", role=ROLE, records=records, hyperparameters={"predictor_type": "regressor"}
        )
        stopped: list[str] = []
        monkeypatch.setattr(task, "stop_paid", stopped.append)
        task._at_work, task._attempt = "job", attempt
        task.on_kill()
        return stopped == ["job"]

    return killed


@pytest.mark.parametrize("state", [None, "scheduled", "queued", "running", "deferred", "up_for_retry"])
def test_the_job_of_an_attempt_that_was_replaced_goes_on(stops: Callable[[Any], bool], state: str | None) -> None:
    supervisor = Supervisor(404, state)
    assert not stops(supervisor)
    assert supervisor.asked[0].ti_id == ATTEMPT.id
    assert supervisor.asked[1].map_index == ATTEMPT.map_index


@pytest.mark.parametrize(
    ("status_code", "state"),
    [(200, "running"), (200, "failed"), (404, "restarting"), (404, "failed"), (404, "success"), (500, "scheduled")],
)
def test_the_job_of_an_attempt_that_a_user_ended_stops(
    stops: Callable[[Any], bool], status_code: int, state: str
) -> None:
    assert stops(Supervisor(status_code, state))


def test_the_job_of_a_task_outside_of_airflow_stops(stops: Callable[..., bool]) -> None:
    assert stops(None, SimpleNamespace())


def test_without_an_answer_in_time_the_job_stops(stops: Callable[[Any], bool], monkeypatch: pytest.MonkeyPatch) -> None:
    never = threading.Event()
    monkeypatch.setattr(base, "_ASKING_SECONDS", 0.1)
    assert stops(SimpleNamespace(send=lambda _: never.wait(30)))
    never.set()
