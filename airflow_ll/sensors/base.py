"""What the sensors share: the connection, one look, the wait in the triggerer."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowFailException,
    BaseSensorOperator,
    PokeReturnValue,
    conf,
)

from airflow_ll.hooks.connected import Connected
from airflow_ll.hooks.failures import clear_failures, is_transient
from airflow_ll.hooks.waiting import outcome

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_ll.hooks.resources import Resource
    from airflow_ll.triggers.base import LinearLearnerTrigger

__all__ = ["LinearLearnerResourceSensor", "LinearLearnerSensor"]


class LinearLearnerSensor(Connected, BaseSensorOperator):
    """A sensor with an AWS connection; throttling and lost connections only cost it a look.

    :param aws_conn_id: the Airflow connection; None takes boto3's own default credentials.
    :param region_name: the region, when it is not the connection's.
    :param verify: whether to verify TLS certificates, or the path of a CA bundle.
    :param botocore_config: settings of ``botocore.config.Config``.
    """

    template_fields: Sequence[str] = ("aws_conn_id", "region_name")
    ui_color: str = "#e9e4f5"

    def __init__(
        self,
        *,
        aws_conn_id: str | None = "aws_default",
        region_name: str | None = None,
        verify: bool | str | None = None,
        botocore_config: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.aws_conn_id = aws_conn_id
        self.region_name = region_name
        self.verify = verify
        self.botocore_config = botocore_config

    @clear_failures
    def poke(self, context: Any) -> PokeReturnValue:
        """Look once."""
        try:
            return self.look()
        except Exception as error:
            if not is_transient(error):
                raise
            self.log.warning("No answer this time: %s", error)
            return PokeReturnValue(is_done=False)

    def look(self) -> PokeReturnValue:
        """Say whether it is there, and with it what later tasks need to know."""
        raise NotImplementedError


class LinearLearnerResourceSensor(LinearLearnerSensor):
    """A sensor of a resource that ends; it fails at once when the end is not a good one.

    :param deferrable: whether to wait in the triggerer; the default is Airflow's ``operators.default_deferrable``.
    """

    resource: ClassVar[Resource]

    def __init__(
        self,
        *,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.deferrable = deferrable

    @property
    def name(self) -> str:
        """The resource's name."""
        return str(getattr(self, self.resource.argument))

    def trigger(self, **settings: Any) -> LinearLearnerTrigger:
        """Return the trigger that waits for the resource."""
        raise NotImplementedError

    def look(self) -> PokeReturnValue:
        """Say whether the resource has ended well.

        :raises JobFailedError: it has failed, or there is none of this name.
        :raises JobStoppedError: it was stopped.
        """
        description = self.hook.describe(self.resource, self.name)
        if description is None:
            self.log.info("There is no %s %s yet", self.resource.title, self.name)
            return PokeReturnValue(is_done=False)
        status = self.resource.status(description)
        self.log.info("The %s %s is %s", self.resource.title, self.name, status)
        if self.resource.is_running(description):
            return PokeReturnValue(is_done=False)
        outcome(self.resource, self.name, description)
        return PokeReturnValue(is_done=True, xcom_value={self.resource.argument: self.name, "status": status})

    @clear_failures
    def execute(self, context: Any) -> Any:
        """Wait here, or in the triggerer once the resource exists."""
        if not self.deferrable:
            return super().execute(context)
        seen = self.poke(context)
        if seen.is_done:
            return seen.xcom_value
        trigger = self.trigger(
            **self.connection_settings,
            poll_interval=self.poke_interval,
            deadline=time.time() + self.timeout,
            wait_for_creation=True,
        )
        return self.defer(trigger=trigger, method_name="execute_complete")

    @clear_failures
    def execute_complete(self, context: Any, event: dict[str, Any]) -> Any:
        """Go on after the trigger's event."""
        if event["status"] == "error":
            raise (AirflowException if event["retryable"] else AirflowFailException)(event["message"])
        if event["status"] == "timeout":
            from airflow.providers.common.compat.sdk import AirflowSensorTimeout

            raise AirflowSensorTimeout(
                f"The {self.resource.title} {self.name!r} did not end within {self.timeout:.0f} seconds (timeout)."
            )
        return self.look().xcom_value
