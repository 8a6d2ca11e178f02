"""Put a model into service."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_ll.exceptions import JobFailedError
from airflow_ll.hooks.connected import task_identity
from airflow_ll.hooks.failures import is_not_found
from airflow_ll.hooks.resources import ENDPOINT, ENDPOINT_CONFIG
from airflow_ll.hooks.settings import specify
from airflow_ll.links import EndpointLink
from airflow_ll.operators.base import LinearLearnerJobOperator, iso_times
from airflow_ll.operators.model import ModelArguments

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_ll.hooks.ensuring import Ensured
    from airflow_ll.requests.names import TaskIdentity
    from airflow_ll.triggers.endpoint import LinearLearnerEndpointTrigger

__all__ = ["LinearLearnerDeployOperator"]

_WAIT_SECONDS = 3600


class LinearLearnerDeployOperator(LinearLearnerJobOperator, ModelArguments):
    """Create the model, the endpoint config and the endpoint, and wait until it is in service.

    Without ``endpoint_name`` the endpoint belongs to the DAG run. An explicit name makes it long-lived: the first run
    creates it, later runs of the same DAG update it to their own endpoint config; killing the task leaves it in place.

    :param model_data: S3 URI of a training job's ``model.tar.gz``; needs ``role``.
    :param model_name: an existing model instead of ``model_data``.
    :param role: name or ARN of the IAM role that the model takes on.
    :param instance_type: type of the instances.
    :param initial_instance_count: number of instances.
    :param endpoint_name: an explicit name.
    :param serverless: ``memory_size`` and ``max_concurrency`` of a serverless endpoint, instead of instances.
    :param variant_options: further fields of :class:`airflow_ll.requests.endpoints.Variant`.
    :param data_capture: fields of :class:`airflow_ll.requests.endpoints.DataCapture`.
    :param deployment_config: how an update moves the traffic, as the API takes it.
    """

    resource = ENDPOINT
    operator_extra_links = (EndpointLink(),)
    template_fields: Sequence[str] = (
        "instance_type",
        "initial_instance_count",
        "endpoint_name",
        "serverless",
        "data_capture",
        *ModelArguments.template_fields,
    )

    def __init__(
        self,
        *,
        instance_type: str = "ml.m5.large",
        initial_instance_count: int = 1,
        endpoint_name: str | None = None,
        serverless: Mapping[str, int] | None = None,
        variant_options: Mapping[str, Any] | None = None,
        data_capture: Mapping[str, Any] | None = None,
        deployment_config: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.instance_type = instance_type
        self.initial_instance_count = initial_instance_count
        self.endpoint_name = endpoint_name
        self.serverless = serverless
        self.variant_options = variant_options
        self.data_capture = data_capture
        self.deployment_config = deployment_config

    def submit(self, context: Mapping[str, Any]) -> Ensured:
        """Create or adopt the model, the endpoint config and the endpoint, in this order."""
        identity = task_identity(context)
        model_name = self.use_model(identity)
        config = self._ensure_config(identity, model_name)
        self.facts = {"model_name": model_name, "endpoint_config_name": config.name}
        return self._ensure_endpoint(identity, config.name)

    def _ensure_config(self, identity: TaskIdentity, model_name: str) -> Ensured:
        from airflow_ll.requests import DataCapture, EndpointConfigSpec, Serverless, Variant, endpoint_config

        where: dict[str, Any] = {
            "instance_type": self.instance_type,
            "initial_instance_count": int(self.initial_instance_count),
        }
        if self.serverless:
            where = {"serverless": specify(Serverless, **self.serverless)}
        variant = specify(Variant, model_name=model_name, **where, **(self.variant_options or {}))

        def build(name: str) -> dict[str, Any]:
            return endpoint_config(
                EndpointConfigSpec(
                    endpoint_config_name=name,
                    variants=[variant],
                    data_capture=specify(DataCapture, **self.data_capture) if self.data_capture else None,
                    tags=self.hook.default_tags(self.tags),
                )
            )

        return self.ensure(ENDPOINT_CONFIG, identity, build)

    def _ensure_endpoint(self, identity: TaskIdentity, config_name: str) -> Ensured:
        from airflow_ll.hooks.endpoints import ensure_named_endpoint
        from airflow_ll.requests import EndpointSpec, endpoint

        def build(name: str) -> dict[str, Any]:
            return endpoint(
                EndpointSpec(
                    endpoint_name=name,
                    endpoint_config_name=config_name,
                    deployment_config=self.deployment_config if self.endpoint_name else None,
                    tags=self.hook.default_tags(self.tags),
                )
            )

        if self.endpoint_name:
            return ensure_named_endpoint(self.hook, identity, build(self.endpoint_name))
        return self.ensure(ENDPOINT, identity, build, if_exists=self.if_exists)

    def result(self, description: dict[str, Any], *, adopted: bool) -> dict[str, Any]:
        """Return what later tasks need to know of the endpoint.

        :raises JobFailedError: an update was rolled back: the endpoint serves what it served before.
        """
        wanted = self.facts["endpoint_config_name"]
        if ENDPOINT.is_good(description) and description["EndpointConfigName"] != wanted:
            raise JobFailedError(
                f"The endpoint {description['EndpointName']!r} was not updated: it still serves "
                f"{description['EndpointConfigName']} instead of {wanted}: "
                f"{description.get('FailureReason', 'SageMaker gave no reason')}"
            )
        return {
            "endpoint_name": description["EndpointName"],
            "endpoint_arn": description["EndpointArn"],
            "endpoint_config_name": wanted,
            "model_name": self.facts["model_name"],
            "status": description["EndpointStatus"],
            **iso_times(description, creation_time="CreationTime", last_modified_time="LastModifiedTime"),
            "adopted": adopted,
        }

    def trigger(self, name: str, **settings: Any) -> LinearLearnerEndpointTrigger:
        """Return the trigger that waits until the endpoint is in service."""
        from airflow_ll.triggers.endpoint import LinearLearnerEndpointTrigger

        return LinearLearnerEndpointTrigger(name, **settings)

    def default_wait_timeout(self) -> float:
        """Return an hour, as an endpoint has no time limit of its own."""
        return _WAIT_SECONDS

    def stop_paid(self, name: str) -> None:
        """Delete the run's own endpoint; one with an explicit name serves somebody."""
        if self.endpoint_name:
            return
        try:
            self.hook.impatient_sagemaker.delete_endpoint(EndpointName=name)
        except Exception as error:
            if not is_not_found(error):
                raise
