"""The kinds of resources the control plane keeps, and what all kinds have in common."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_ll.local.errors import AwsError, ResourceInUseError, ResourceNotFoundError, ValidationError
from airflow_ll.local.store import Query

if TYPE_CHECKING:
    from collections.abc import Collection

    from airflow_ll.local.runtime import Runtime

__all__ = [
    "COMPILATION_JOB",
    "ENDPOINT",
    "ENDPOINT_CONFIG",
    "KINDS",
    "MODEL",
    "TRAINING_JOB",
    "TRANSFORM_JOB",
    "Kind",
]


@dataclass(frozen=True)
class Kind:
    """A kind of resource.

    ``key`` is the resource type in its ARN, ``term`` what error texts call it; ``prefix`` begins the names of its
    members (``EndpointConfigName``, ``EndpointConfigArn``), ``summaries`` is the member of its List answer.
    """

    key: str
    term: str
    prefix: str
    summaries: str
    status_member: str = ""
    is_job: bool = False
    default_order: str = "Descending"

    @property
    def name_member(self) -> str:
        """The member that holds its name."""
        return f"{self.prefix}Name"

    @property
    def arn_member(self) -> str:
        """The member that holds its ARN."""
        return f"{self.prefix}Arn"

    def create(self, runtime: Runtime, body: dict[str, Any], status: str = "") -> dict[str, str]:
        """Save a new resource and return the answer of its Create operation.

        :raises AwsError: the name is taken.
        """
        name = body[self.name_member]
        arn = runtime.arn(self.key, name)
        body |= {self.arn_member: arn}
        if self.status_member:
            body[self.status_member] = status
        if not runtime.store.create(self.key, name, arn, status, body):
            raise self._taken(arn)
        return {self.arn_member: arn}

    def describe(self, runtime: Runtime, request: dict[str, Any]) -> dict[str, Any]:
        """Return the resource that a request names.

        :raises AwsError: there is none.
        """
        found = runtime.store.get(self.key, request[self.name_member])
        if found is None:
            raise self.not_found(runtime, request[self.name_member])
        return found

    def move(self, runtime: Runtime, name: str, states: Collection[str], **members: Any) -> bool:
        """Set members of a resource, its status among them, if it is in one of ``states``."""

        def change(body: dict[str, Any]) -> bool:
            if body[self.status_member] not in states:
                return False
            body |= members
            return True

        return runtime.store.update(self.key, name, self.status_member, change) is not None

    def delete(self, runtime: Runtime, request: dict[str, Any]) -> None:
        """Remove the resource that a request names."""
        if not runtime.store.delete(self.key, request[self.name_member]):
            raise self.not_found(runtime, request[self.name_member])

    def list(self, runtime: Runtime, request: dict[str, Any]) -> dict[str, Any]:
        """Answer a List operation: filters, order, pages."""
        query = Query(
            where=tuple((sql, request[member]) for member, sql in _FILTERS.items() if member in request),
            sort={"Name": "name", "Status": "status"}.get(request.get("SortBy", ""), "created"),
            descending=request.get("SortOrder", self.default_order) == "Descending",
            limit=request.get("MaxResults", 10),
            after=_decode(request["NextToken"]) if "NextToken" in request else None,
        )
        page = runtime.store.page(self.key, query)
        return {self.summaries: page.resources, "NextToken": _encode(page.next) if page.next else None}

    def not_found(self, runtime: Runtime, name: str) -> AwsError:
        """Return the refusal of a name that does not exist."""
        if self.key == "training-job":
            return ValidationError("Requested resource not found.")
        if self.key == "compilation-job":
            return ResourceNotFoundError(f"Could not find requested job with name: {name}")
        if self.is_job:
            return ValidationError(f"Could not find requested job with name: {name}")
        return ValidationError(f'Could not find {self.term} "{runtime.arn(self.key, name)}".')

    def _taken(self, arn: str) -> AwsError:
        if self.is_job:
            return ResourceInUseError(
                f"{self.term.capitalize()} names must be unique within an AWS account and region, "
                f"and a {self.term} with this name already exists ({arn})"
            )
        return ValidationError(f'Cannot create already existing {self.term} "{arn}".')


_FILTERS = {
    "NameContains": "instr(lower(name), lower(?)) > 0",
    "StatusEquals": "status = ?",
    "CreationTimeAfter": "created > ?",
    "CreationTimeBefore": "created < ?",
    "LastModifiedTimeAfter": "modified > ?",
    "LastModifiedTimeBefore": "modified < ?",
}

TRAINING_JOB = Kind(
    *("training-job", "training job", "TrainingJob", "TrainingJobSummaries", "TrainingJobStatus"),
    is_job=True,
    default_order="Ascending",
)
TRANSFORM_JOB = Kind(
    *("transform-job", "transform job", "TransformJob", "TransformJobSummaries", "TransformJobStatus"), is_job=True
)
COMPILATION_JOB = Kind(
    *("compilation-job", "compilation job", "CompilationJob", "CompilationJobSummaries", "CompilationJobStatus"),
    is_job=True,
    default_order="Ascending",
)
MODEL = Kind("model", "model", "Model", "Models")
ENDPOINT_CONFIG = Kind("endpoint-config", "endpoint configuration", "EndpointConfig", "EndpointConfigs")
ENDPOINT = Kind("endpoint", "endpoint", "Endpoint", "Endpoints", "EndpointStatus")
KINDS = (TRAINING_JOB, TRANSFORM_JOB, COMPILATION_JOB, MODEL, ENDPOINT_CONFIG, ENDPOINT)


def _encode(position: tuple[Any, str]) -> str:
    return base64.urlsafe_b64encode(json.dumps(position).encode()).decode()


def _decode(token: str) -> tuple[Any, str]:
    try:
        position = json.loads(base64.urlsafe_b64decode(token.encode()))
    except (ValueError, RecursionError):
        position = None
    match position:
        case [str() | float() as value, str() as name]:
            return value, name
    raise ValidationError("The specified NextToken is invalid.")
