"""SageMaker's control plane: which operations the runtime answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_ll.local import compilation_jobs, endpoints, models, packages, training_jobs, transform_jobs, tuning_jobs
from airflow_ll.local.errors import unsupported
from airflow_ll.local.paging import page
from airflow_ll.local.resources import (
    COMPILATION_JOB,
    ENDPOINT,
    ENDPOINT_CONFIG,
    MODEL,
    TRAINING_JOB,
    TRANSFORM_JOB,
    TUNING_JOB,
)
from airflow_ll.local.search import search
from airflow_ll.local.tags import MOST_TAGS, add_tags, check_tags, remove_tags, tags_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_ll.local.runtime import Runtime

__all__ = ["OPERATIONS", "call"]


def call(runtime: Runtime, operation: str, request: dict[str, Any]) -> dict[str, Any] | None:
    """Run a control-plane operation on a checked request.

    :raises AwsError: it refuses the request, or the runtime does not support it.
    """
    if operation not in OPERATIONS:
        raise unsupported(operation)
    check_tags(request.get("Tags", ()))
    return OPERATIONS[operation](runtime, request)


def _list_tags(runtime: Runtime, request: dict[str, Any]) -> dict[str, Any]:
    found = [(tag["Key"], "", tag) for tag in tags_of(runtime, request["ResourceArn"])]
    shown, token = page(found, {"MaxResults": MOST_TAGS, **request}, descending=False)
    return {"Tags": shown, **({"NextToken": token} if token else {})}


def _add_tags(runtime: Runtime, request: dict[str, Any]) -> dict[str, Any]:
    add_tags(runtime, request["ResourceArn"], request["Tags"])
    return {"Tags": tags_of(runtime, request["ResourceArn"])}


def _delete_tags(runtime: Runtime, request: dict[str, Any]) -> dict[str, Any]:
    remove_tags(runtime, request["ResourceArn"], request["TagKeys"])
    return {}


OPERATIONS: dict[str, Callable[[Runtime, dict[str, Any]], dict[str, Any] | None]] = {
    "CreateTrainingJob": training_jobs.create,
    "DescribeTrainingJob": TRAINING_JOB.describe,
    "ListTrainingJobs": TRAINING_JOB.list,
    "StopTrainingJob": training_jobs.stop,
    "CreateModel": models.create,
    "DescribeModel": MODEL.describe,
    "DeleteModel": MODEL.delete,
    "ListModels": MODEL.list,
    "CreateModelPackageGroup": packages.create_group,
    "DescribeModelPackageGroup": packages.describe_group,
    "ListModelPackageGroups": packages.list_groups,
    "DeleteModelPackageGroup": packages.delete_group,
    "CreateModelPackage": packages.create,
    "DescribeModelPackage": packages.describe,
    "BatchDescribeModelPackage": packages.batch_describe,
    "ListModelPackages": packages.list_packages,
    "UpdateModelPackage": packages.update,
    "DeleteModelPackage": packages.delete,
    "CreateEndpointConfig": models.create_endpoint_config,
    "DescribeEndpointConfig": ENDPOINT_CONFIG.describe,
    "DeleteEndpointConfig": ENDPOINT_CONFIG.delete,
    "ListEndpointConfigs": ENDPOINT_CONFIG.list,
    "CreateEndpoint": endpoints.create,
    "DescribeEndpoint": ENDPOINT.describe,
    "UpdateEndpoint": endpoints.update,
    "UpdateEndpointWeightsAndCapacities": endpoints.update_weights_and_capacities,
    "DeleteEndpoint": endpoints.delete,
    "ListEndpoints": ENDPOINT.list,
    "CreateTransformJob": transform_jobs.create,
    "DescribeTransformJob": TRANSFORM_JOB.describe,
    "ListTransformJobs": TRANSFORM_JOB.list,
    "StopTransformJob": transform_jobs.stop,
    "CreateCompilationJob": compilation_jobs.create,
    "DescribeCompilationJob": COMPILATION_JOB.describe,
    "ListCompilationJobs": COMPILATION_JOB.list,
    "StopCompilationJob": compilation_jobs.stop,
    "DeleteCompilationJob": compilation_jobs.delete,
    "CreateHyperParameterTuningJob": tuning_jobs.create,
    "DescribeHyperParameterTuningJob": TUNING_JOB.describe,
    "ListHyperParameterTuningJobs": TUNING_JOB.list,
    "ListTrainingJobsForHyperParameterTuningJob": tuning_jobs.list_training_jobs,
    "StopHyperParameterTuningJob": tuning_jobs.stop,
    "DeleteHyperParameterTuningJob": tuning_jobs.delete,
    "Search": search,
    "ListTags": _list_tags,
    "AddTags": _add_tags,
    "DeleteTags": _delete_tags,
}
