"""Everything this package raises on purpose.

::

    LinearLearnerError
    ├── HyperparameterError (ValueError)    a hyperparameter is unknown, missing, out of range or in conflict
    ├── RequestError (ValueError)           a setting cannot be turned into a SageMaker request
    ├── DataError (ValueError)              rows or labels that the algorithm would refuse
    │   └── RecordFormatError               bytes that are not RecordIO-protobuf
    ├── ArtifactError (ValueError)          bytes that are not a LinearLearner model
    ├── MissingExtraError (ImportError)     an optional dependency is not installed
    ├── FaultRuleError (ValueError)         a rule for faults of the embedded runtime is none
    ├── ExpectationError                    predictions are not what they must be
    ├── ResourceConflictError               the name is taken by somebody else's resource
    └── JobError                            a SageMaker job or endpoint did not end well
        ├── JobFailedError                  it failed; ``retryable`` says whether another attempt can help
        ├── JobStoppedError                 it was stopped, or ran into its time limit
        └── JobTimeoutError                 it did not end within the time that a task waits

Messages are sentences: what is wrong and where, what is allowed, what was given, what to do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "ArtifactError",
    "DataError",
    "ExpectationError",
    "FaultRuleError",
    "HyperparameterError",
    "JobError",
    "JobFailedError",
    "JobStoppedError",
    "JobTimeoutError",
    "LinearLearnerError",
    "MissingExtraError",
    "RecordFormatError",
    "RequestError",
    "ResourceConflictError",
]


class LinearLearnerError(Exception):
    """The base of all errors of this package."""


class HyperparameterError(LinearLearnerError, ValueError):
    """One or more hyperparameters are wrong; ``faults`` has one sentence for each."""

    def __init__(self, faults: Sequence[str]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(self.faults))

    def __reduce__(self) -> tuple[type[HyperparameterError], tuple[tuple[str, ...]]]:
        return type(self), (self.faults,)


class RequestError(LinearLearnerError, ValueError):
    """A setting cannot be turned into a SageMaker request."""


class DataError(LinearLearnerError, ValueError):
    """Rows or labels that the algorithm would refuse."""


class RecordFormatError(DataError):
    """Bytes that are not RecordIO-protobuf; the message names the offset."""


class ArtifactError(LinearLearnerError, ValueError):
    """Bytes that are not a LinearLearner model artifact."""


class MissingExtraError(LinearLearnerError, ImportError):
    """An optional dependency is not installed."""


class FaultRuleError(LinearLearnerError, ValueError):
    """A rule for faults of the embedded runtime is none."""


class ExpectationError(LinearLearnerError):
    """Predictions are not what they must be: an endpoint fails its smoke test."""


class ResourceConflictError(LinearLearnerError):
    """A resource of the wanted name exists and belongs to somebody else."""


class JobError(LinearLearnerError):
    """A SageMaker job or endpoint did not end well."""


class JobFailedError(JobError):
    """The job or endpoint failed.

    :param message: what failed and the service's reason.
    :param retryable: whether another attempt can end differently (capacity, internal errors); an
        error in the data or the hyperparameters cannot.
    """

    def __init__(self, message: str, *, retryable: bool = True) -> None:
        super().__init__(message)
        self.retryable = retryable


class JobStoppedError(JobError):
    """The job was stopped by somebody or by its StoppingCondition."""


class JobTimeoutError(JobError):
    """The job or endpoint did not end within the time that a task waits for it."""
