"""The model registry, models made of its packages, and scaling targets for endpoints."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from tests.local.support import CSV, IMAGE, ROLE, serve, variant

if TYPE_CHECKING:
    from tests.conftest import Runtime

ARN = "arn:aws:sagemaker:us-east-1:123456789012"


def specification(trained: dict[str, Any], **changes: Any) -> dict[str, Any]:
    container = {"Image": IMAGE, "ModelDataUrl": trained["ModelArtifacts"]["S3ModelArtifacts"], **changes}
    return {
        "Containers": [container],
        "SupportedContentTypes": ["text/csv"],
        "SupportedResponseMIMETypes": ["text/csv"],
    }


@pytest.fixture
def group(data_runtime: Runtime) -> str:
    """A new model package group with a name of mixed case."""
    name = f"Flights-{uuid.uuid4().hex[:8]}"
    data_runtime.client("sagemaker").create_model_package_group(
        ModelPackageGroupName=name, ModelPackageGroupDescription="late or not", Tags=[{"Key": "team", "Value": "a"}]
    )
    return name


def test_a_model_is_registered_approved_and_served(data_runtime: Runtime, trained: dict[str, Any], group: str) -> None:
    sagemaker = data_runtime.client("sagemaker")
    arns = [
        sagemaker.create_model_package(
            ModelPackageGroupName=group,
            InferenceSpecification=specification(trained, Environment={"SAGEMAKER_A": "1"}),
            CustomerMetadataProperties={"run": str(number), "gone": "soon"},
        )["ModelPackageArn"]
        for number in (1, 2)
    ]
    container = {"ModelPackageName": arns[1]}
    with pytest.raises(ClientError, match="has the approval status PendingManualApproval: approve it by"):
        sagemaker.create_model(ModelName=group, ExecutionRoleArn=ROLE, PrimaryContainer=container)

    sagemaker.update_model_package(
        ModelPackageArn=arns[1],
        ModelApprovalStatus="Approved",
        ApprovalDescription="good",
        CustomerMetadataProperties={"by": "me"},
        CustomerMetadataPropertiesToRemove=["gone"],
    )
    sagemaker.create_model(ModelName=group, ExecutionRoleArn=ROLE, PrimaryContainer=container)
    serve(data_runtime, group, variant(group))
    answer = data_runtime.client("sagemaker-runtime").invoke_endpoint(
        EndpointName=group, Body=CSV, ContentType="text/csv"
    )

    assert answer["InvokedProductionVariant"] == "AllTraffic"
    assert arns == [f"{ARN}:model-package/{group.lower()}/{number}" for number in (1, 2)]
    described = sagemaker.describe_model_package(ModelPackageName=arns[1])
    assert (
        described.items()
        >= {
            "ModelPackageGroupName": group,
            "ModelPackageVersion": 2,
            "ModelPackageArn": arns[1],
            "ModelPackageStatus": "Completed",
            "ModelApprovalStatus": "Approved",
            "ApprovalDescription": "good",
            "CustomerMetadataProperties": {"run": "2", "by": "me"},
            "InferenceSpecification": specification(trained, Environment={"SAGEMAKER_A": "1"}),
        }.items()
    )
    model = sagemaker.describe_model(ModelName=group)
    assert model["PrimaryContainer"] == container
    sagemaker.delete_endpoint(EndpointName=group)


def test_packages_are_found_by_group_and_approval(data_runtime: Runtime, trained: dict[str, Any], group: str) -> None:
    sagemaker = data_runtime.client("sagemaker")
    for status in ("Approved", "Rejected", "PendingManualApproval"):
        sagemaker.create_model_package(
            ModelPackageGroupName=f"{ARN}:model-package-group/{group.lower()}",
            InferenceSpecification=specification(trained),
            ModelApprovalStatus=status,
        )
    alone = f"alone-{group}"
    sagemaker.create_model_package(ModelPackageName=alone, InferenceSpecification=specification(trained))

    def versions(**arguments: Any) -> list[int]:
        pages = sagemaker.get_paginator("list_model_packages").paginate(
            ModelPackageGroupName=group, SortOrder="Ascending", PaginationConfig={"PageSize": 1}, **arguments
        )
        return [one["ModelPackageVersion"] for page in pages for one in page["ModelPackageSummaryList"]]

    assert versions() == [1, 2, 3]
    assert versions(ModelApprovalStatus="Approved") == [1]
    unversioned = sagemaker.list_model_packages(NameContains=alone)["ModelPackageSummaryList"]
    assert [one["ModelPackageName"] for one in unversioned] == [alone]
    assert "ModelApprovalStatus" not in unversioned[0]
    arns = [f"{ARN}:model-package/{group.lower()}/{number}" for number in (1, 9)]
    batch = sagemaker.batch_describe_model_package(ModelPackageArnList=arns)
    assert batch["ModelPackageSummaries"].keys() == {arns[0]}
    assert batch["BatchDescribeModelPackageErrorMap"][arns[1]]["ErrorCode"] == "ValidationException"

    with pytest.raises(ClientError, match=r"ConflictException.* cannot be deleted because it contains model packages"):
        sagemaker.delete_model_package_group(ModelPackageGroupName=group)
    sagemaker.delete_model_package(ModelPackageName=f"{group}/3")
    sagemaker.create_model_package(ModelPackageGroupName=group, InferenceSpecification=specification(trained))
    assert versions() == [1, 2, 4]
    for number in (1, 2, 4):
        sagemaker.delete_model_package(ModelPackageName=f"{ARN}:model-package/{group.lower()}/{number}")
    sagemaker.delete_model_package_group(ModelPackageGroupName=group)
    groups = sagemaker.list_model_package_groups(NameContains=group)["ModelPackageGroupSummaryList"]
    assert groups == []
    with pytest.raises(ClientError, match=f"{ARN}:model-package-group/{group.lower()} does not exist"):
        sagemaker.describe_model_package_group(ModelPackageGroupName=group)


def test_a_group_is_described_with_its_tags(data_runtime: Runtime, group: str) -> None:
    sagemaker = data_runtime.client("sagemaker")
    described = sagemaker.describe_model_package_group(ModelPackageGroupName=group)

    assert (described["ModelPackageGroupStatus"], described["CreatedBy"]) == ("Completed", {})
    tags = sagemaker.list_tags(ResourceArn=described["ModelPackageGroupArn"])["Tags"]
    assert tags == [{"Key": "team", "Value": "a"}]
    with pytest.raises(ClientError, match="Model Package Group already exists: arn"):
        sagemaker.create_model_package_group(ModelPackageGroupName=group)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"ModelPackageName": "both"}, "Both ModelPackageName and ModelPackageGroupName are provided in the input."),
        ({"ModelPackageGroupName": None}, "Missing ARN."),
        ({"ModelPackageGroupName": "nobody"}, f"ModelPackageGroup {ARN}:model-package-group/nobody does not exist."),
        ({"Tags": [{"Key": "a", "Value": "b"}]}, "A versioned model package uses the tags of its group"),
        (
            {"ModelPackageGroupName": None, "ModelPackageName": "p", "ModelApprovalStatus": "Approved"},
            "ModelApprovalStatus is for versioned model packages",
        ),
        ({"InferenceSpecification": {"Containers": [{"Image": "xgboost:1"}]}}, "does not support the image xgboost:1"),
    ],
)
def test_packages_that_cannot_be_registered_are_refused(
    data_runtime: Runtime, trained: dict[str, Any], group: str, changes: dict[str, Any], text: str
) -> None:
    request = {"ModelPackageGroupName": group, "InferenceSpecification": specification(trained)} | changes

    with pytest.raises(ClientError, match=text):
        data_runtime.client("sagemaker").create_model_package(
            **{name: value for name, value in request.items() if value is not None}
        )


@pytest.mark.usefixtures("model")
def test_variants_are_registered_as_scalable_targets(data_runtime: Runtime) -> None:
    name = f"scaled-{uuid.uuid4().hex[:8]}"
    serve(data_runtime, name)
    scaling = data_runtime.client("application-autoscaling")
    target = {
        "ServiceNamespace": "sagemaker",
        "ResourceId": f"endpoint/{name}/variant/AllTraffic",
        "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
    }

    scaling.register_scalable_target(**target, MinCapacity=1, MaxCapacity=4)
    scaling.put_scaling_policy(
        **target,
        PolicyName="by-invocations",
        PolicyType="TargetTrackingScaling",
        TargetTrackingScalingPolicyConfiguration={
            "TargetValue": 100.0,
            "PredefinedMetricSpecification": {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"},
        },
    )

    (found,) = scaling.describe_scalable_targets(ServiceNamespace="sagemaker", ResourceIds=[target["ResourceId"]])[
        "ScalableTargets"
    ]
    assert (found["MinCapacity"], found["MaxCapacity"]) == (1, 4)
    policies = scaling.describe_scaling_policies(ServiceNamespace="sagemaker", ResourceId=target["ResourceId"])
    assert [one["PolicyName"] for one in policies["ScalingPolicies"]] == ["by-invocations"]
    for wrong, text in ((f"endpoint/{name}/variant/b", "Could not find variant"), ("endpoint/x/variant/b", "endpoint")):
        with pytest.raises(ClientError, match=text):
            scaling.register_scalable_target(**(target | {"ResourceId": wrong}), MinCapacity=1, MaxCapacity=4)
    data_runtime.client("sagemaker").delete_endpoint(EndpointName=name)
