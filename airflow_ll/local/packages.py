"""The operations on model package groups and model packages: registering, approving and finding models.

A versioned package is kept by the name ``<group>/<version>``, an unversioned one by its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_ll.local import s3_data
from airflow_ll.local.errors import ConflictError, ValidationError, unsupported
from airflow_ll.local.resources import MODEL_PACKAGE, MODEL_PACKAGE_GROUP
from airflow_ll.local.validation import fault, missing, refuse

if TYPE_CHECKING:
    from airflow_ll.local.resources import Kind
    from airflow_ll.local.runtime import Runtime

__all__ = [
    "batch_describe",
    "create",
    "create_group",
    "delete",
    "delete_group",
    "deployable_container",
    "describe",
    "describe_group",
    "list_groups",
    "list_packages",
    "update",
]

_UNSUPPORTED = ("ValidationSpecification", "SourceAlgorithmSpecification", "AdditionalInferenceSpecifications")
_UPDATED = (
    *("ModelApprovalStatus", "ModelPackageRegistrationType", "ApprovalDescription", "InferenceSpecification"),
    *("SourceUri", "ModelCard", "ModelLifeCycle"),
)
_VERSIONED = "json_extract(body, '$.ModelPackageVersion') IS NOT NULL AND 1 = ?"
_UNVERSIONED = "json_extract(body, '$.ModelPackageVersion') IS NULL AND 1 = ?"
_OF_GROUP = "json_extract(body, '$.ModelPackageGroupName') = ?"
_APPROVAL = "json_extract(body, '$.ModelApprovalStatus') = ?"


# groups


def create_group(runtime: Runtime, request: dict[str, Any]) -> dict[str, Any]:
    """Answer CreateModelPackageGroup."""
    if "ManagedConfiguration" in request:
        raise unsupported("ManagedConfiguration")
    return MODEL_PACKAGE_GROUP.create(runtime, {**request, "CreatedBy": {}, "_Versions": 0}, "Completed")


def describe_group(runtime: Runtime, request: dict[str, Any]) -> dict[str, Any]:
    """Answer DescribeModelPackageGroup."""
    return _group(runtime, request["ModelPackageGroupName"])


def list_groups(runtime: Runtime, request: dict[str, Any]) -> dict[str, Any]:
    """Answer ListModelPackageGroups; there is one account."""
    if request.get("CrossAccountFilterOption") == "CrossAccount":
        return {MODEL_PACKAGE_GROUP.summaries: []}
    return MODEL_PACKAGE_GROUP.list(runtime, request)


def delete_group(runtime: Runtime, request: dict[str, Any]) -> None:
    """Answer DeleteModelPackageGroup; it must be empty."""
    group = _group(runtime, request["ModelPackageGroupName"])
    name = group["ModelPackageGroupName"]
    if MODEL_PACKAGE.list(runtime, {"MaxResults": 1}, ((_OF_GROUP, name),))[MODEL_PACKAGE.summaries]:
        raise ConflictError(
            f"Model Package Group {group['ModelPackageGroupArn']} cannot be deleted because it contains model packages."
        )
    MODEL_PACKAGE_GROUP.delete(runtime, {"ModelPackageGroupName": name})


def _group(runtime: Runtime, name_or_arn: str) -> dict[str, Any]:
    return _found(runtime, MODEL_PACKAGE_GROUP, name_or_arn)


def _found(runtime: Runtime, kind: Kind, name_or_arn: str) -> dict[str, Any]:
    arn = name_or_arn if name_or_arn.startswith("arn:") else runtime.arn(kind.key, name_or_arn)
    found = runtime.store.with_arn(arn)
    if found is None:
        error, text = kind.absent
        raise error(text.format(arn=arn))
    return found


# packages


def create(runtime: Runtime, request: dict[str, Any]) -> dict[str, Any]:
    """Answer CreateModelPackage: a version of a group, or a package of its own."""
    versioned = "ModelPackageGroupName" in request
    if versioned and "ModelPackageName" in request:
        raise ValidationError(
            "Both ModelPackageName and ModelPackageGroupName are provided in the input. "
            "Cannot determine which one to use."
        )
    if not versioned and "ModelPackageName" not in request:
        raise ValidationError("Missing ARN.")
    for member in _UNSUPPORTED:
        if member in request:
            raise unsupported(member)
    _check_specification(runtime, request)
    body = {
        **request,
        "ModelPackageStatusDetails": {"ValidationStatuses": [], "ImageScanStatuses": []},
        "CertifyForMarketplace": request.get("CertifyForMarketplace", False),
        "CreatedBy": {},
    }
    if not versioned:
        if "ModelApprovalStatus" in request:
            raise ValidationError("ModelApprovalStatus is for versioned model packages: give a ModelPackageGroupName.")
        return MODEL_PACKAGE.create(runtime, body, "Completed")
    if "Tags" in request:
        raise ValidationError("A versioned model package uses the tags of its group: give no Tags.")
    return _create_version(runtime, body)


def _create_version(runtime: Runtime, body: dict[str, Any]) -> dict[str, Any]:
    """Save the next version of a group; numbers of deleted versions are not used again."""
    group = _group(runtime, body["ModelPackageGroupName"])["ModelPackageGroupName"]

    def count(current: dict[str, Any]) -> None:
        current["_Versions"] += 1

    counted = runtime.store.update(MODEL_PACKAGE_GROUP.key, group, MODEL_PACKAGE_GROUP.status_member, count)
    if counted is None:  # deleted meanwhile
        _group(runtime, group)
        raise AssertionError("unreachable: the line above refuses")
    version = counted["_Versions"]
    body |= {
        "ModelPackageName": f"{group}/{version}",
        "ModelPackageGroupName": group,
        "ModelPackageVersion": version,
        "ModelApprovalStatus": body.get("ModelApprovalStatus", "PendingManualApproval"),
        "ModelPackageRegistrationType": body.get("ModelPackageRegistrationType", "Registered"),
    }
    return MODEL_PACKAGE.create(runtime, body, "Completed")


def _check_specification(runtime: Runtime, request: dict[str, Any]) -> None:
    """Refuse containers that nothing here could serve."""
    for number, container in enumerate(request.get("InferenceSpecification", {}).get("Containers", []), 1):
        path = f"inferenceSpecification.containers.{number}.member"
        if "Image" not in container:
            refuse([missing(f"{path}.image")])
        s3_data.check_image(container["Image"], serving=True)
        if "ModelDataUrl" in container and not container["ModelDataUrl"].startswith("s3://"):
            refuse([fault(f"{path}.modelDataUrl", container["ModelDataUrl"], "Member must be the URI of an S3 object")])


def describe(runtime: Runtime, request: dict[str, Any]) -> dict[str, Any]:
    """Answer DescribeModelPackage."""
    return _shown(_package(runtime, request["ModelPackageName"]))


def batch_describe(runtime: Runtime, request: dict[str, Any]) -> dict[str, Any]:
    """Answer BatchDescribeModelPackage."""
    found, errors = {}, {}
    for arn in request["ModelPackageArnList"]:
        try:
            found[arn] = _shown(_package(runtime, arn))
        except ValidationError as error:
            errors[arn] = {"ErrorCode": error.code, "ErrorResponse": error.message}
    return {"ModelPackageSummaries": found, "BatchDescribeModelPackageErrorMap": errors}


def list_packages(runtime: Runtime, request: dict[str, Any]) -> dict[str, Any]:
    """Answer ListModelPackages: the versions of a group, or the packages without one unless a type is asked for."""
    where: list[tuple[str, Any]] = []
    if "ModelPackageGroupName" in request:
        where.append((_OF_GROUP, _group(runtime, request["ModelPackageGroupName"])["ModelPackageGroupName"]))
    kind = request.get("ModelPackageType", "Versioned" if where else "Unversioned")
    if kind != "Both":
        where.append((_VERSIONED if kind == "Versioned" else _UNVERSIONED, 1))
    if "ModelApprovalStatus" in request:
        where.append((_APPROVAL, request["ModelApprovalStatus"]))
    page = MODEL_PACKAGE.list(runtime, request, tuple(where))
    return page | {MODEL_PACKAGE.summaries: [_shown(package) for package in page[MODEL_PACKAGE.summaries]]}


def update(runtime: Runtime, request: dict[str, Any]) -> dict[str, Any]:
    """Answer UpdateModelPackage, by which a version is approved or rejected."""
    package = _package(runtime, request["ModelPackageArn"])
    if "AdditionalInferenceSpecificationsToAdd" in request:
        raise unsupported("AdditionalInferenceSpecificationsToAdd")
    if "ModelApprovalStatus" in request and "ModelPackageVersion" not in package:
        raise ValidationError(f"The model package {package['ModelPackageArn']} is not versioned: it needs no approval.")
    _check_specification(runtime, request)

    def change(current: dict[str, Any]) -> None:
        current.update({member: request[member] for member in _UPDATED if member in request})
        properties = current.get("CustomerMetadataProperties", {}) | request.get("CustomerMetadataProperties", {})
        for key in request.get("CustomerMetadataPropertiesToRemove", []):
            properties.pop(key, None)
        current["CustomerMetadataProperties"] = properties or None
        current["LastModifiedBy"] = {}

    runtime.store.update(MODEL_PACKAGE.key, package["ModelPackageName"], MODEL_PACKAGE.status_member, change)
    return {"ModelPackageArn": package["ModelPackageArn"]}


def delete(runtime: Runtime, request: dict[str, Any]) -> None:
    """Answer DeleteModelPackage."""
    package = _package(runtime, request["ModelPackageName"])
    MODEL_PACKAGE.delete(runtime, {"ModelPackageName": package["ModelPackageName"]})


def deployable_container(runtime: Runtime, name_or_arn: str) -> dict[str, Any]:
    """Return the container that CreateModel gets from a model package.

    :raises ValidationError: the package does not exist, is not approved, or has not exactly one container.
    """
    package = _package(runtime, name_or_arn)
    status = package.get("ModelApprovalStatus", "Approved")
    if status != "Approved":
        raise ValidationError(
            f"The model package {package['ModelPackageArn']} has the approval status {status}: "
            "approve it by UpdateModelPackage before a model is made of it."
        )
    containers: list[dict[str, Any]] = package.get("InferenceSpecification", {}).get("Containers", [])
    if len(containers) != 1:
        raise unsupported(f"model packages with {len(containers)} containers", "Register one with one container.")
    return containers[0]


def _package(runtime: Runtime, name_or_arn: str) -> dict[str, Any]:
    return _found(runtime, MODEL_PACKAGE, name_or_arn)


def _shown(package: dict[str, Any]) -> dict[str, Any]:
    """Return a package as clients see it: a version has no name of its own."""
    return {**package, "ModelPackageName": None} if "ModelPackageVersion" in package else package
