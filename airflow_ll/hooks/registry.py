"""Register a model version exactly once.

A version has neither a name nor tags of its own. What says whose it is and what was asked for are its metadata, and the
token with which it was created.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_ll.hooks.failures import is_name_taken, is_not_found
from airflow_ll.requests.names import TaskIdentity, fingerprint, fingerprint_from_tags
from airflow_ll.requests.registry import ModelPackageGroupSpec, ModelPackageSpec, model_package, model_package_group

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from airflow_ll.hooks.linear_learner import LinearLearnerHook

__all__ = ["Registered", "ensure_model_package"]

_TOKEN_LENGTH = 36


@dataclass(frozen=True)
class Registered:
    """A model version that exists now.

    :param description: the answer of DescribeModelPackage.
    :param adopted: whether it was there already.
    """

    arn: str
    description: dict[str, Any]
    adopted: bool


def ensure_model_package(
    hook: LinearLearnerHook,
    identity: TaskIdentity,
    group: ModelPackageGroupSpec,
    spec: ModelPackageSpec,
    since: datetime | None = None,
) -> Registered:
    """Adopt the version that an earlier attempt of this task has registered, or register it; the group comes first.

    :param since: no version of this task can be older: the start of its run.
    """
    request = model_package(spec)
    asked = fingerprint(request)
    client = hook.client("sagemaker")
    _ensure_group(hook, group)
    for description in _versions(hook, spec.model_package_group_name, since):
        tags = _as_tags(description.get("CustomerMetadataProperties", {}))
        if identity.is_owner(TaskIdentity.from_tags(tags)) and fingerprint_from_tags(tags) == asked:
            hook.log.info("Adopted the model package %s of an earlier attempt", description["ModelPackageArn"])
            return Registered(description["ModelPackageArn"], description, adopted=True)
    own = {tag["Key"]: tag["Value"] for tag in identity.tags(asked)}
    request["CustomerMetadataProperties"] = {**request.get("CustomerMetadataProperties", {}), **own}
    request["ClientToken"] = _token(identity, asked)
    arn = client.create_model_package(**request)["ModelPackageArn"]
    hook.log.info("Registered the model package %s", arn)
    return Registered(arn, client.describe_model_package(ModelPackageName=arn), adopted=False)


def _ensure_group(hook: LinearLearnerHook, group: ModelPackageGroupSpec) -> None:
    client, name = hook.client("sagemaker"), group.model_package_group_name
    try:
        client.describe_model_package_group(ModelPackageGroupName=name)
    except Exception as error:
        if not is_not_found(error):
            raise
        try:
            client.create_model_package_group(**model_package_group(group))
        except Exception as taken:  # another task was faster
            if not is_name_taken(taken):
                raise
        else:
            hook.log.info("Created the model package group %s", name)


def _versions(hook: LinearLearnerHook, group_name: str, since: datetime | None) -> Iterator[dict[str, Any]]:
    """Yield the descriptions of a group's versions, the newest first."""
    client = hook.client("sagemaker")
    pages = client.get_paginator("list_model_packages").paginate(
        ModelPackageGroupName=group_name,
        SortBy="CreationTime",
        SortOrder="Descending",
        **({"CreationTimeAfter": since} if since else {}),
    )
    for page in pages:
        for summary in page["ModelPackageSummaryList"]:
            try:
                yield client.describe_model_package(ModelPackageName=summary["ModelPackageArn"])
            except Exception as error:
                if not is_not_found(error):  # somebody has deleted it in the meantime
                    raise


def _as_tags(metadata: dict[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in metadata.items()]


def _token(identity: TaskIdentity, asked: str) -> str:
    return hashlib.sha256(f"{identity.as_tagged()!r} {asked}".encode()).hexdigest()[:_TOKEN_LENGTH]
