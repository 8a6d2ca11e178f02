"""The kinds of resources the control plane keeps, and what all kinds have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from airflow_ll.local.errors import AwsError, ResourceInUseError, ResourceNotFoundError, ValidationError, unsupported
from airflow_ll.local.paging import decode_token, encode_token
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
    "MODEL_PACKAGE",
    "MODEL_PACKAGE_GROUP",
    "TRAINING_JOB",
    "TRANSFORM_JOB",
    "TUNING_JOB",
    "Kind",
]


Refusal: TypeAlias = tuple[type[AwsError], str]

_ABSENT_JOB = "Could not find requested job with name: {name}"
_TAKEN_JOB = (
    ResourceInUseError,
    "{Term} names must be unique within an AWS account and region, and a {term} with this name already exists ({arn})",
)


@dataclass(frozen=True)
class Kind:
    """A kind of resource.

    ``key`` is the resource type in its ARN, ``term`` what error texts call it; ``prefix`` begins the names of its
    members (``EndpointConfigName``, ``EndpointConfigArn``), ``summaries`` is the member of its List answer. ``absent``
    and ``taken`` are the refusals of a name that does not exist, and of one that does.
    """

    key: str
    term: str
    prefix: str
    summaries: str
    status_member: str = ""
    absent: Refusal = (ValidationError, 'Could not find {term} "{arn}".')
    taken: Refusal = (ValidationError, 'Cannot create already existing {term} "{arn}".')
    default_sort: str = "CreationTime"
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
            raise self._taken(name, arn)
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

    def list(
        self, runtime: Runtime, request: dict[str, Any], where: tuple[tuple[str, Any], ...] = ()
    ) -> dict[str, Any]:
        """Answer a List operation: filters (``where`` adds SQL conditions with their values), order, pages."""
        for member in _UNSUPPORTED_FILTERS:
            if member in request:
                raise unsupported(f"the filter {member}")
        sort = {"Name": "name", "Status": "status"}.get(request.get("SortBy", self.default_sort), "created")
        query = Query(
            where=(*((sql, request[member]) for member, sql in _FILTERS.items() if member in request), *where),
            sort=sort,
            descending=request.get("SortOrder", self.default_order) == "Descending",
            limit=request.get("MaxResults", 10),
            after=decode_token(request["NextToken"], float if sort == "created" else str)
            if "NextToken" in request
            else None,
        )
        page = runtime.store.page(self.key, query)
        return {self.summaries: page.resources, "NextToken": encode_token(page.next) if page.next else None}

    def not_found(self, runtime: Runtime, name: str) -> AwsError:
        """Return the refusal of a name that does not exist."""
        error, text = self.absent
        return error(text.format(term=self.term, name=name, arn=runtime.arn(self.key, name)))

    def _taken(self, name: str, arn: str) -> AwsError:
        error, text = self.taken
        return error(text.format(term=self.term, Term=self.term.capitalize(), name=name, arn=arn))


_UNSUPPORTED_FILTERS = ("WarmPoolStatusEquals", "TrainingPlanArnEquals")
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
    absent=(ValidationError, "Requested resource not found."),
    taken=_TAKEN_JOB,
    default_order="Ascending",
)
TRANSFORM_JOB = Kind(
    *("transform-job", "transform job", "TransformJob", "TransformJobSummaries", "TransformJobStatus"),
    absent=(ValidationError, _ABSENT_JOB),
    taken=_TAKEN_JOB,
)
COMPILATION_JOB = Kind(
    *("compilation-job", "compilation job", "CompilationJob", "CompilationJobSummaries", "CompilationJobStatus"),
    absent=(ResourceNotFoundError, _ABSENT_JOB),
    taken=_TAKEN_JOB,
    default_order="Ascending",
)
TUNING_JOB = Kind(
    *("hyper-parameter-tuning-job", "hyperparameter tuning job", "HyperParameterTuningJob"),
    *("HyperParameterTuningJobSummaries", "HyperParameterTuningJobStatus"),
    absent=(ResourceNotFoundError, "Amazon SageMaker can't find a tuning job with the name, {name}."),
    taken=(ResourceInUseError, "A {term} with the name, {name}, already exists. Choose a different name."),
    default_sort="Name",
    default_order="Ascending",
)
MODEL_PACKAGE_GROUP = Kind(
    *("model-package-group", "model package group", "ModelPackageGroup", "ModelPackageGroupSummaryList"),
    "ModelPackageGroupStatus",
    absent=(ValidationError, "ModelPackageGroup {arn} does not exist."),
    taken=(ValidationError, "Model Package Group already exists: {arn}"),
)
MODEL_PACKAGE = Kind(
    *("model-package", "model package", "ModelPackage", "ModelPackageSummaryList", "ModelPackageStatus"),
    absent=(ValidationError, "ModelPackage {arn} does not exist."),
)
MODEL = Kind("model", "model", "Model", "Models")
ENDPOINT_CONFIG = Kind("endpoint-config", "endpoint configuration", "EndpointConfig", "EndpointConfigs")
ENDPOINT = Kind("endpoint", "endpoint", "Endpoint", "Endpoints", "EndpointStatus")
KINDS = (
    TRAINING_JOB,
    TRANSFORM_JOB,
    COMPILATION_JOB,
    TUNING_JOB,
    MODEL,
    MODEL_PACKAGE_GROUP,
    MODEL_PACKAGE,
    ENDPOINT_CONFIG,
    ENDPOINT,
)
