"""The model registry: groups of model packages, and the versions in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from airflow_ll.requests.checks import (
    IMAGE,
    INSTANCE_TYPE,
    NAME,
    S3_URI,
    TAGS,
    Rule,
    Spec,
    environment,
    list_of,
    one_of,
    present,
    setting,
    text,
)
from airflow_ll.requests.names import is_tag_value

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "APPROVAL_STATUSES",
    "ModelPackageGroupSpec",
    "ModelPackageSpec",
    "model_package",
    "model_package_group",
]

APPROVAL_STATUSES: Final = ("PendingManualApproval", "Approved", "Rejected")

_INSTANCE_TYPES: Final = ("ml.m5.large", "ml.m5.xlarge", "ml.m5.2xlarge", "ml.c5.xlarge", "ml.c5.2xlarge")
_REQUESTS: Final = ("text/csv", "application/json", "application/jsonlines", "application/x-recordio-protobuf")
_ANSWERS: Final = ("application/json", "application/jsonlines", "application/x-recordio-protobuf")
_TEXT: Final = text(r"[^\r\n]*", "a text of at most 1024 characters on one line", 1024)
_TYPES: Final = list_of(text(r"[-\w]+/.+", "a content type", 256), "content types such as 'text/csv'", 20)
_INSTANCES: Final = list_of(INSTANCE_TYPE, "instance types", 50)
_METADATA: Final = Rule(
    "a dict of at most 50 strings in letters, digits, spaces and _.:/=+-@, keys of at most 128 characters",
    lambda value: (
        isinstance(value, Mapping)
        and len(value) <= 50
        and all(
            isinstance(key, str)
            and isinstance(item, str)
            and len(key) <= 128
            and is_tag_value(key)
            and is_tag_value(item)
            for key, item in value.items()
        )
    ),
)


@dataclass(frozen=True)
class ModelPackageGroupSpec(Spec):
    """A group of model packages: the versions of one model."""

    model_package_group_name: str = setting(NAME)
    description: str | None = setting(_TEXT, None)
    tags: Sequence[Mapping[str, str]] = setting(TAGS, ())


@dataclass(frozen=True)
class ModelPackageSpec(Spec):
    """One version of a model.

    :param image_uri: LinearLearner's image.
    :param model_data: URI of ``model.tar.gz``.
    :param approval_status: "PendingManualApproval", "Approved" or "Rejected".
    :param metrics_s3_uri: URI of a JSON document with the model's quality.
    :param content_types: what the model reads.
    :param response_types: what it answers.
    :param metadata: further facts of the version.
    :param client_token: the same request with the same token makes one version.
    :raises RequestError: with one sentence for each fault.
    """

    model_package_group_name: str = setting(NAME)
    image_uri: str = setting(IMAGE)
    model_data: str = setting(S3_URI)
    approval_status: str = setting(one_of(*APPROVAL_STATUSES), APPROVAL_STATUSES[0])
    description: str | None = setting(_TEXT, None)
    environment: Mapping[str, str] = setting(environment(100, 1024), factory=dict)
    metrics_s3_uri: str | None = setting(S3_URI, None)
    content_types: Sequence[str] = setting(_TYPES, _REQUESTS)
    response_types: Sequence[str] = setting(_TYPES, _ANSWERS)
    inference_instances: Sequence[str] = setting(_INSTANCES, _INSTANCE_TYPES)
    transform_instances: Sequence[str] = setting(_INSTANCES, _INSTANCE_TYPES)
    metadata: Mapping[str, str] = setting(_METADATA, factory=dict)
    client_token: str | None = setting(text("[a-zA-Z0-9-]+", "letters, digits and hyphens", 36), None)


def model_package_group(spec: ModelPackageGroupSpec) -> dict[str, Any]:
    """Return the request of CreateModelPackageGroup."""
    return present(
        ModelPackageGroupName=spec.model_package_group_name,
        ModelPackageGroupDescription=spec.description,
        Tags=[dict(tag) for tag in spec.tags],
    )


def model_package(spec: ModelPackageSpec) -> dict[str, Any]:
    """Return the request of CreateModelPackage; a version has no name and no tags of its own."""
    quality = {"Statistics": {"ContentType": "application/json", "S3Uri": spec.metrics_s3_uri}}
    return present(
        ModelPackageGroupName=spec.model_package_group_name,
        ModelPackageDescription=spec.description,
        InferenceSpecification=present(
            Containers=[
                present(Image=spec.image_uri, ModelDataUrl=spec.model_data, Environment=dict(spec.environment))
            ],
            SupportedContentTypes=list(spec.content_types),
            SupportedResponseMIMETypes=list(spec.response_types),
            SupportedRealtimeInferenceInstanceTypes=list(spec.inference_instances),
            SupportedTransformInstanceTypes=list(spec.transform_instances),
        ),
        ModelApprovalStatus=spec.approval_status,
        ModelMetrics={"ModelQuality": quality} if spec.metrics_s3_uri else None,
        CustomerMetadataProperties=dict(spec.metadata),
        ClientToken=spec.client_token,
    )
