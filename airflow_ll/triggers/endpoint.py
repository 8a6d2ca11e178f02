"""Wait until an endpoint is in service."""

from __future__ import annotations

from typing import Any

from airflow_ll.hooks.resources import ENDPOINT
from airflow_ll.triggers.base import LinearLearnerTrigger

__all__ = ["LinearLearnerEndpointTrigger"]


class LinearLearnerEndpointTrigger(LinearLearnerTrigger):
    """Wait until an endpoint is in service.

    :param endpoint_name: the endpoint's name.
    """

    resource = ENDPOINT

    def __init__(self, endpoint_name: str, **settings: Any) -> None:
        super().__init__(endpoint_name, **settings)
