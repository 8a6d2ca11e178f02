"""What went wrong, in one sentence, and whether another attempt can help.

Nothing heavy is imported before something fails.
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Protocol, TypeVar

from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException

from airflow_ll.exceptions import DataError, JobFailedError, JobStoppedError, JobTimeoutError, LinearLearnerError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = [
    "TRANSIENT_CODES",
    "airflow_failure",
    "clear_failures",
    "is_denied",
    "is_name_taken",
    "is_not_found",
    "is_out_of_capacity",
    "is_transient",
    "told_as_missing",
]

TRANSIENT_CODES = frozenset(
    {
        "InternalError",
        "InternalFailure",
        "InternalServerError",
        "InternalServerException",
        "PriorRequestNotComplete",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "RequestTimeout",
        "RequestTimeoutException",
        "ServiceUnavailable",
        "ServiceUnavailableException",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "ThrottledException",
        "TooManyRequestsException",
    }
)
# A quota frees itself when other jobs end, so another attempt can succeed.
_RETRYABLE_CODES = TRANSIENT_CODES | {"ResourceLimitExceeded", "ExpiredToken", "ExpiredTokenException"}
_CAPACITY_CODES = frozenset({"ResourceLimitExceeded", "CapacityError"})
_CAPACITY_TEXTS = ("capacityerror", "insufficientinstancecapacity", "insufficient capacity", "unable to provision")
_NOT_FOUND_CODES = frozenset({"404", "NoSuchKey", "NotFound", "ResourceNotFound", "ResourceNotFoundException"})
_NOT_FOUND_TEXTS = ("not found", "could not find", "does not exist")
_DENIED_CODES = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"})
_TAKEN_CODES = frozenset({"ResourceInUse", "ResourceInUseException"})
_HTTP_SERVER_ERROR = 500

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


class _Connected(Protocol):
    aws_conn_id: str | None


_Part = TypeVar("_Part", bound=_Connected)


def is_transient(error: BaseException) -> bool:
    """Whether the same call can succeed a moment later: throttling, a 5xx, a lost connection."""
    from botocore.exceptions import ClientError, HTTPClientError, IncompleteReadError
    from botocore.exceptions import ConnectionError as LostConnectionError

    if isinstance(error, ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return _code(error) in TRANSIENT_CODES or status >= _HTTP_SERVER_ERROR
    return isinstance(error, (LostConnectionError, HTTPClientError, IncompleteReadError))


def is_not_found(error: BaseException) -> bool:
    """Whether the resource or object does not exist (SageMaker says so with a ValidationException)."""
    from botocore.exceptions import ClientError

    if not isinstance(error, ClientError):
        return False
    text = error.response.get("Error", {}).get("Message", "").lower()
    refused = _code(error) in {"ValidationException", "ValidationError"}
    return _code(error) in _NOT_FOUND_CODES or (refused and any(words in text for words in _NOT_FOUND_TEXTS))


@contextmanager
def told_as_missing(sentence: str) -> Iterator[None]:
    """Raise a DataError that says ``sentence`` for a file or an object that does not exist."""
    try:
        yield
    except Exception as error:  # of botocore's, which is imported when there is one
        if not isinstance(error, FileNotFoundError) and not is_not_found(error):
            raise
        raise DataError(sentence) from None


def is_denied(error: BaseException) -> bool:
    """Whether the permissions do not allow the call."""
    from botocore.exceptions import ClientError

    return isinstance(error, ClientError) and _code(error) in _DENIED_CODES


def is_out_of_capacity(failure: BaseException | str | None) -> bool:
    """Whether instances of another type may be had: by the error of a Create, or by the FailureReason of a job."""
    if isinstance(failure, BaseException):
        from botocore.exceptions import ClientError

        return isinstance(failure, ClientError) and _code(failure) in _CAPACITY_CODES
    text = (failure or "").lower()
    return any(words in text for words in _CAPACITY_TEXTS)


def is_name_taken(error: BaseException) -> bool:
    """Whether a Create was refused because the name exists already."""
    from botocore.exceptions import ClientError

    if not isinstance(error, ClientError):
        return False
    text = error.response.get("Error", {}).get("Message", "").lower()
    return _code(error) in _TAKEN_CODES or (_code(error) == "ValidationException" and "already exist" in text)


def airflow_failure(error: Exception, *, aws_conn_id: str | None) -> AirflowException | None:
    """Return the Airflow exception that says what ``error`` means, or None when it is not ours to explain.

    What another attempt cannot fix becomes ``AirflowFailException``, which Airflow does not retry.
    """
    if isinstance(error, JobFailedError):
        return AirflowException(str(error)) if error.retryable else AirflowFailException(str(error))
    if isinstance(error, (JobStoppedError, JobTimeoutError)):
        return AirflowException(str(error))
    if isinstance(error, LinearLearnerError):
        return AirflowFailException(str(error))
    return _aws_failure(error, aws_conn_id)


def _aws_failure(error: Exception, aws_conn_id: str | None) -> AirflowException | None:
    from botocore.exceptions import (
        BotoCoreError,
        ClientError,
        ConnectTimeoutError,
        EndpointConnectionError,
        HTTPClientError,
        NoCredentialsError,
        NoRegionError,
    )

    connection = f"the Airflow connection {aws_conn_id!r}" if aws_conn_id else "the default AWS credentials"
    if isinstance(error, ClientError):
        again = _code(error) in _RETRYABLE_CODES or is_transient(error)
        return (AirflowException if again else AirflowFailException)(_refusal(error, connection))
    if isinstance(error, (EndpointConnectionError, ConnectTimeoutError)):
        url = error.kwargs.get("endpoint_url", "the endpoint")
        return AirflowException(
            f"Nothing answers at {url}, the endpoint of {connection}: "
            "start the service there, or correct endpoint_url or region_name in the connection."
        )
    if isinstance(error, NoCredentialsError):
        return AirflowFailException(f"No AWS credentials were found in {connection}: add them to the connection.")
    if isinstance(error, NoRegionError):
        return AirflowFailException(f"No region is set: give region_name to the task or to {connection}.")
    if isinstance(error, HTTPClientError):
        return AirflowException(f"The call over {connection} broke off: {error}")
    if isinstance(error, BotoCoreError):
        return AirflowFailException(f"The call over {connection} could not be made: {error}")
    return None


def _refusal(error: Any, connection: str) -> str:
    details = error.response.get("Error", {})
    if _code(error) == "NoSuchBucket":
        bucket = details.get("BucketName") or "named here"
        return (
            f"The S3 bucket {bucket!r} does not exist for {connection} ({error.operation_name}): create it, or correct "
            "the S3 URI or the connection."
        )
    return f"AWS refused {error.operation_name} over {connection}: {_code(error)}: {details.get('Message', '')}"


def _code(error: Any) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def clear_failures(
    method: Callable[Concatenate[_Part, _Arguments], _Result],
) -> Callable[Concatenate[_Part, _Arguments], _Result]:
    """Let a method of an operator or sensor fail with the exception of :func:`airflow_failure`."""

    @wraps(method)
    def explained(self: _Part, /, *args: _Arguments.args, **kwargs: _Arguments.kwargs) -> _Result:
        try:
            return method(self, *args, **kwargs)
        except AirflowException:
            raise
        except Exception as error:
            failure = airflow_failure(error, aws_conn_id=self.aws_conn_id)
            if failure is None:
                raise
            raise failure from None  # the sentence says it all; a stack of client code would hide it

    return explained
