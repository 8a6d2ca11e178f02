"""Wait until an endpoint is in service."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_ll.hooks.resources import ENDPOINT
from airflow_ll.sensors.base import LinearLearnerResourceSensor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_ll.triggers.endpoint import LinearLearnerEndpointTrigger

__all__ = ["LinearLearnerEndpointSensor"]


class LinearLearnerEndpointSensor(LinearLearnerResourceSensor):
    """Wait until an endpoint is in service.

    The result has ``endpoint_name`` and ``status``.

    :param endpoint_name: the endpoint's name; it need not exist yet.
    """

    resource = ENDPOINT
    template_fields: Sequence[str] = ("endpoint_name", *LinearLearnerResourceSensor.template_fields)

    def __init__(self, *, endpoint_name: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.endpoint_name = endpoint_name

    def trigger(self, **settings: Any) -> LinearLearnerEndpointTrigger:
        """Return the trigger that waits for the endpoint."""
        from airflow_ll.triggers.endpoint import LinearLearnerEndpointTrigger

        return LinearLearnerEndpointTrigger(self.endpoint_name, **settings)
