"""The decision table about a name that is taken."""

from __future__ import annotations

from itertools import product

import pytest

from airflow_ll.exceptions import RequestError, ResourceConflictError
from airflow_ll.requests import Action, Existing, IfExists, State, TaskIdentity, conflict, decide, state_of
from tests.requests.service_model import sagemaker

OURS = TaskIdentity("dag", "run ~1", "task", 2)
OTHER = TaskIdentity("dag", "run ~2", "task", 2)
OWNER = TaskIdentity.from_tags(OURS.tags("same"))

RUNNING = ["InProgress", "INPROGRESS", "STARTING", "Creating", "Updating", "SystemUpdating", "RollingBack"]
COMPLETED = ["Completed", "COMPLETED"]
ENDED_BADLY = ["Failed", "Stopped", "FAILED", "STOPPED", "OutOfService", "UpdateRollbackFailed", "DeleteFailed"]
ENDING = ["Stopping", "STOPPING", "Deleting"]
ALL = [*RUNNING, *COMPLETED, *ENDED_BADLY, *ENDING, "InService", None]
POLICIES: list[IfExists] = ["adopt", "new_generation", "fail"]


def decided(status: str | None, fingerprint: str = "same", if_exists: IfExists = "adopt") -> Action:
    return decide(OURS, "same", Existing(OWNER, fingerprint, status), if_exists)


@pytest.mark.parametrize("if_exists", POLICIES)
def test_a_free_name_is_created(if_exists: IfExists) -> None:
    assert decide(OURS, "same", None, if_exists) is Action.CREATE


@pytest.mark.parametrize(("status", "if_exists"), list(product(RUNNING, POLICIES)))
def test_the_same_request_in_progress_is_adopted(status: str, if_exists: IfExists) -> None:
    assert decided(status, if_exists=if_exists) is Action.ADOPT


@pytest.mark.parametrize("status", COMPLETED)
def test_the_same_request_completed_follows_if_exists(status: str) -> None:
    assert [decided(status, if_exists=one) for one in POLICIES] == [Action.ADOPT, Action.NEXT_GENERATION, Action.REFUSE]


def test_an_endpoint_in_service_follows_if_exists_and_never_serves_beside_its_successor() -> None:
    actions = [decided("InService", if_exists=one) for one in POLICIES]
    assert actions == [Action.ADOPT, Action.STOP_THEN_NEXT, Action.REFUSE]
    assert decided("InService", "other") is Action.STOP_THEN_NEXT


@pytest.mark.parametrize(("status", "if_exists", "print_"), list(product(ENDED_BADLY, POLICIES, ["same", "other"])))
def test_what_ended_badly_has_a_next_generation(status: str, if_exists: IfExists, print_: str) -> None:
    assert decided(status, print_, if_exists) is Action.NEXT_GENERATION


@pytest.mark.parametrize(("status", "if_exists", "print_"), list(product(ENDING, POLICIES, ["same", "other"])))
def test_what_is_ending_is_waited_for(status: str, if_exists: IfExists, print_: str) -> None:
    assert decided(status, print_, if_exists) is Action.WAIT_THEN_NEXT


@pytest.mark.parametrize(("status", "if_exists"), list(product(RUNNING, POLICIES)))
def test_another_request_that_runs_is_stopped_first(status: str, if_exists: IfExists) -> None:
    assert decided(status, "other", if_exists) is Action.STOP_THEN_NEXT


@pytest.mark.parametrize(("status", "if_exists"), list(product(COMPLETED, POLICIES)))
def test_another_request_that_completed_has_a_next_generation(status: str, if_exists: IfExists) -> None:
    assert decided(status, "other", if_exists) is Action.NEXT_GENERATION


@pytest.mark.parametrize("if_exists", POLICIES)
def test_models_and_endpoint_configs_are_adopted_or_replaced(if_exists: IfExists) -> None:
    assert decided(None, if_exists=if_exists) is Action.ADOPT
    assert decided(None, "other", if_exists) is Action.NEXT_GENERATION


@pytest.mark.parametrize(("status", "if_exists", "owner"), list(product(ALL, POLICIES, [OTHER, None])))
def test_what_belongs_to_another_is_refused(
    status: str | None, if_exists: IfExists, owner: TaskIdentity | None
) -> None:
    existing = Existing(owner, "same", status)
    assert decide(OURS, "same", existing, if_exists) is Action.REFUSE
    message = str(conflict("name", OURS, existing))
    assert "name exists already" in message
    assert ("run ~2" in message) == (owner is not None)


def test_a_fingerprint_that_is_not_known_is_another_request() -> None:
    assert decide(OURS, "same", Existing(OWNER, None, "Completed")) is Action.NEXT_GENERATION


def test_the_refusal_of_our_own_resource_names_if_exists() -> None:
    error = conflict("job-1", OURS, Existing(OWNER, "same", "Completed"))
    assert isinstance(error, ResourceConflictError)
    assert "job-1 exists already, made by this same task" in str(error)
    assert "if_exists='fail'" in str(error)


def test_unknown_words_are_refused() -> None:
    with pytest.raises(RequestError, match="status must be one of"):
        decided("Sleeping")
    with pytest.raises(RequestError, match="if_exists must be"):
        decided("Completed", if_exists="maybe")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "enum",
    [
        "TrainingJobStatus",
        "TransformJobStatus",
        "CompilationJobStatus",
        "HyperParameterTuningJobStatus",
        "EndpointStatus",
    ],
)
def test_every_status_of_sagemakers_model_is_known(enum: str) -> None:
    for status in sagemaker().shape_for(enum).metadata["enum"]:
        assert state_of(status) is not State.TIMELESS
        assert status in ALL
