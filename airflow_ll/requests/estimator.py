"""The estimator's questions about a training job, as plain functions of its spec.

>>> from airflow_ll.requests.estimator import enable_network_isolation, hyperparameters, train_image
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_ll.exceptions import RequestError
from airflow_ll.requests.checks import vpc_config
from airflow_ll.requests.training import hyper_parameters

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_ll.requests.training import TrainingJobSpec

__all__ = ["enable_network_isolation", "get_vpc_config", "hyperparameters", "train_image"]

_MEMBERS = {"Subnets", "SecurityGroupIds"}


def hyperparameters(spec: TrainingJobSpec) -> dict[str, str]:
    """Return the hyperparameters that the job trains with, as strings; feature_dim and mini_batch_size included."""
    return hyper_parameters(spec)


def train_image(spec: TrainingJobSpec) -> str:
    """Return the URI of the image that trains."""
    return spec.image_uri


def enable_network_isolation(spec: TrainingJobSpec) -> bool:
    """Whether the job, and the model made of it, has no network."""
    return spec.enable_network_isolation


def get_vpc_config(
    spec: TrainingJobSpec, vpc_config_override: Mapping[str, Any] | None = None
) -> dict[str, list[str]] | None:
    """Return the VpcConfig of what is made of the job; None without a VPC.

    :param vpc_config_override: instead of the job's; ``{}`` for none.
    :raises RequestError: it is not ``{"Subnets": [...], "SecurityGroupIds": [...]}``.
    """
    if vpc_config_override is None:
        return vpc_config(spec.subnets, spec.security_group_ids)
    if vpc_config_override and (set(vpc_config_override) != _MEMBERS or not all(vpc_config_override.values())):
        raise RequestError(
            f"A VpcConfig must have Subnets and SecurityGroupIds, neither empty, got {dict(vpc_config_override)!r}."
        )
    return {name: list(ids) for name, ids in vpc_config_override.items()} or None
