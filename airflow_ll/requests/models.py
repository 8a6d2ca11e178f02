"""The model: an artifact and the image that serves it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_ll.requests.checks import (
    FLAG,
    IMAGE,
    NAME,
    ROLE,
    S3_URI,
    SECURITY_GROUPS,
    SUBNETS,
    TAGS,
    Spec,
    environment,
    present,
    setting,
    vpc_config,
    vpc_faults,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["ModelSpec", "model"]


@dataclass(frozen=True)
class ModelSpec(Spec):
    """A model.

    :param image_uri: LinearLearner's image, or the image that a compilation job answered with.
    :param model_data: URI of ``model.tar.gz``.
    :raises RequestError: with one sentence for each fault.
    """

    model_name: str = setting(NAME)
    role: str = setting(ROLE)
    image_uri: str = setting(IMAGE)
    model_data: str = setting(S3_URI)
    environment: Mapping[str, str] = setting(environment(100, 1024), factory=dict)
    subnets: Sequence[str] = setting(SUBNETS, ())
    security_group_ids: Sequence[str] = setting(SECURITY_GROUPS, ())
    enable_network_isolation: bool = setting(FLAG, False)
    tags: Sequence[Mapping[str, str]] = setting(TAGS, ())

    def conflicts(self) -> Iterator[str]:
        """Yield the fault of half a VPC."""
        yield from vpc_faults("ModelSpec", self.subnets, self.security_group_ids)


def model(spec: ModelSpec) -> dict[str, Any]:
    """Return the request of CreateModel."""
    return present(
        ModelName=spec.model_name,
        ExecutionRoleArn=spec.role,
        PrimaryContainer=present(
            Image=spec.image_uri, ModelDataUrl=spec.model_data, Environment=dict(spec.environment)
        ),
        VpcConfig=vpc_config(spec.subnets, spec.security_group_ids),
        EnableNetworkIsolation=spec.enable_network_isolation or None,
        Tags=[dict(tag) for tag in spec.tags],
    )
