"""What a retry cannot fix fails at once; what passes by itself is waited out."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowException, AirflowFailException
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError, ReadTimeoutError

from airflow_ll.exceptions import DataError, JobFailedError, JobStoppedError, ResourceConflictError
from airflow_ll.hooks.failures import airflow_failure, is_name_taken, is_not_found, is_transient
from airflow_ll.hooks.resources import ENDPOINT, TRAINING_JOB
from airflow_ll.hooks.waiting import Looks, outcome


def refusal(code: str, message: str = "", status: int = 400) -> ClientError:
    answer: Any = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, "CreateTrainingJob")


LOST = EndpointConnectionError(endpoint_url="http://127.0.0.1:9/")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (refusal("ThrottlingException"), AirflowException),
        (refusal("ResourceLimitExceeded"), AirflowException),
        (refusal("Whatever", status=503), AirflowException),
        (LOST, AirflowException),
        (ReadTimeoutError(endpoint_url="http://127.0.0.1:9/"), AirflowException),
        (JobFailedError("capacity"), AirflowException),
        (JobStoppedError("stopped"), AirflowException),
        (refusal("ValidationException", "1 validation error detected"), AirflowFailException),
        (refusal("AccessDeniedException"), AirflowFailException),
        (refusal("NoSuchBucket"), AirflowFailException),
        (NoCredentialsError(), AirflowFailException),
        (DataError("rows"), AirflowFailException),
        (ResourceConflictError("taken"), AirflowFailException),
        (JobFailedError("customer error", retryable=False), AirflowFailException),
    ],
    ids=lambda value: getattr(value, "__name__", None) or str(value)[:60],
)
def test_failures_are_classified(error: Exception, kind: type[Exception]) -> None:
    assert type(airflow_failure(error, aws_conn_id="aws_default")) is kind


def test_a_fault_in_the_code_stays_what_it_is() -> None:
    assert airflow_failure(KeyError("name"), aws_conn_id=None) is None


def test_messages_name_the_connection_and_the_endpoint() -> None:
    assert "http://127.0.0.1:9/, the endpoint of the Airflow connection 'ours'" in str(
        airflow_failure(LOST, aws_conn_id="ours")
    )


def test_sagemaker_says_not_found_and_taken_in_several_ways() -> None:
    assert is_not_found(refusal("ValidationException", "Requested resource not found."))
    assert is_not_found(refusal("ValidationException", 'Could not find endpoint "arn:aws:x".'))
    assert is_not_found(refusal("ResourceNotFound"))
    assert not is_not_found(refusal("ValidationException", "1 validation error detected"))
    assert is_name_taken(refusal("ResourceInUse"))
    assert is_name_taken(refusal("ValidationException", 'Cannot create already existing endpoint "arn:aws:x".'))
    assert not is_name_taken(refusal("ThrottlingException"))


def test_pauses_grow_from_one_second_to_the_longest() -> None:
    looks = Looks(10)
    pauses = [looks.pause() for _ in range(10)]
    assert pauses[0] == 1
    assert pauses == sorted(pauses)
    assert pauses[-1] == 10


def test_only_transient_failures_of_a_look_are_forgiven() -> None:
    Looks().failed(refusal("ThrottlingException"))
    with pytest.raises(ClientError):
        Looks().failed(refusal("AccessDeniedException"))
    assert not is_transient(ValueError())


@pytest.mark.parametrize("status", ["Failed", "OutOfService", "UpdateRollbackFailed"])
def test_an_endpoint_that_does_not_serve_is_a_failure(status: str) -> None:
    with pytest.raises(JobFailedError, match=f"ended as {status}: no space"):
        outcome(ENDPOINT, "live", {"EndpointStatus": status, "FailureReason": "no space"})


@pytest.mark.parametrize(
    ("reason", "retryable"),
    [
        ("ClientError: Customer Error: labels", False),
        ("AlgorithmError: Customer Error: labels", False),
        ("InternalServerError: We encountered an internal error. Please try again.", True),
        ("CapacityError: Unable to provision requested ML compute capacity", True),
    ],
)
def test_the_failure_reason_says_whether_a_retry_can_help(reason: str, retryable: bool) -> None:
    with pytest.raises(JobFailedError) as told:
        outcome(TRAINING_JOB, "job", {"TrainingJobStatus": "Failed", "FailureReason": reason})
    assert told.value.retryable is retryable


def test_stopped_is_never_success() -> None:
    with pytest.raises(JobStoppedError, match="somebody stopped it"):
        outcome(TRAINING_JOB, "job", {"TrainingJobStatus": "Stopped", "SecondaryStatus": "Stopped"})
    with pytest.raises(JobStoppedError, match="time limit"):
        outcome(TRAINING_JOB, "job", {"TrainingJobStatus": "Stopped", "SecondaryStatus": "MaxRuntimeExceeded"})
