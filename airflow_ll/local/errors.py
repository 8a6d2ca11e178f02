"""AWS's errors as exceptions: the code, the HTTP status and the text a client sees."""

from __future__ import annotations

from airflow_ll.exceptions import LinearLearnerError

__all__ = [
    "AccessDeniedError",
    "AccessRefusedError",
    "AwsError",
    "ConflictError",
    "InternalFailureError",
    "InvalidParameterError",
    "InvocationThrottledError",
    "LogResourceExistsError",
    "LogResourceNotFoundError",
    "ModelInvocationError",
    "ResourceInUseError",
    "ResourceNotFoundError",
    "RuntimeValidationError",
    "SerializationError",
    "ServiceUnavailableError",
    "ThrottlingError",
    "UnknownOperationError",
    "ValidationError",
    "unsupported",
]


class AwsError(LinearLearnerError):
    """A refusal that a client sees as a ``ClientError``."""

    code = "InternalFailure"
    status = 400

    def __init__(self, message: str, **members: object) -> None:
        self.message = message
        self.members = members
        super().__init__(message)


class AccessRefusedError(AwsError):
    """The signature of a request does not prove who sent it; the code is in the dialect of the service."""

    status = 403

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class ValidationError(AwsError):
    """The request breaks a rule of the service."""

    code = "ValidationException"


class SerializationError(AwsError):
    """The request is not the JSON that the operation takes."""

    code = "SerializationException"


class UnknownOperationError(AwsError):
    """The service has no such operation."""

    code = "UnknownOperationException"


class ResourceInUseError(AwsError):
    """The name is taken."""

    code = "ResourceInUse"


class ResourceNotFoundError(AwsError):
    """There is no such resource, in the services that do not say so by a ``ValidationException``."""

    code = "ResourceNotFound"


class ConflictError(AwsError):
    """Something else depends on the resource."""

    code = "ConflictException"


class RuntimeValidationError(AwsError):
    """SageMaker Runtime refuses the request; it spells its validation errors ``ValidationError``."""

    code = "ValidationError"


class ModelInvocationError(AwsError):
    """The model's container did not answer with 200."""

    code = "ModelError"
    status = 424


class LogResourceNotFoundError(AwsError):
    """CloudWatch Logs has no such group or stream."""

    code = "ResourceNotFoundException"


class LogResourceExistsError(AwsError):
    """CloudWatch Logs has a group or stream of that name."""

    code = "ResourceAlreadyExistsException"


class InvalidParameterError(AwsError):
    """CloudWatch Logs cannot use a parameter."""

    code = "InvalidParameterException"


class AccessDeniedError(AwsError):
    """The permissions do not allow the call."""

    code = "AccessDeniedException"


class InternalFailureError(AwsError):
    """A fault of the runtime itself."""

    code = "InternalFailure"
    status = 500


class ServiceUnavailableError(AwsError):
    """A fault rule says that the service is down."""

    code = "ServiceUnavailable"
    status = 503


class ThrottlingError(AwsError):
    """A fault rule says that there are too many calls."""

    code = "ThrottlingException"


class InvocationThrottledError(ThrottlingError):
    """A serverless endpoint has as many requests as its MaxConcurrency; SageMaker Runtime answers 429 then."""

    status = 429


def unsupported(what: str, instead: str = "") -> ValidationError:
    """Return the refusal of something that SageMaker does and the embedded runtime does not."""
    return ValidationError(f"The embedded runtime does not support {what} yet.{' ' + instead if instead else ''}")
