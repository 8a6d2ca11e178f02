"""Put a model into service."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from airflow_ll.exceptions import JobFailedError
from airflow_ll.hooks.connected import task_identity
from airflow_ll.hooks.failures import is_not_found
from airflow_ll.hooks.resources import ENDPOINT, ENDPOINT_CONFIG
from airflow_ll.hooks.settings import specify
from airflow_ll.lineage import Lineage
from airflow_ll.links import EndpointLink
from airflow_ll.operators.base import LinearLearnerJobOperator, iso_times
from airflow_ll.operators.model import ModelArguments

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_ll.hooks.ensuring import Ensured
    from airflow_ll.requests import AutoScaling, Variant
    from airflow_ll.requests.names import TaskIdentity
    from airflow_ll.triggers.endpoint import LinearLearnerEndpointTrigger

__all__ = ["LinearLearnerDeployOperator"]

_WAIT_SECONDS = 3600
_SETTLING_SECONDS = 1800
_POLICIES = {"BlueGreenUpdatePolicy", "RollingUpdatePolicy", "AutoRollbackConfiguration"}


class LinearLearnerDeployOperator(LinearLearnerJobOperator, ModelArguments):
    """Create the model, the endpoint config and the endpoint, and wait until it is in service.

    Without ``endpoint_name`` the endpoint belongs to the DAG run. An explicit name makes it long-lived: the first run
    creates it, later runs of the same DAG update it to their own endpoint config; killing the task leaves it in place.
    After an update, and not before the new config is in service, the old config and its models are deleted. When an
    update fails, the endpoint serves what it served before, and the task fails with SageMaker's reason.

    :param model_data: S3 URI of a training job's ``model.tar.gz``, with ``role``; or
    :param training_job_name: a finished training job, for the artifact and what goes with it; or
    :param compilation_job_name: a finished compilation job, to serve the compiled model; or
    :param model_name: an existing model.
    :param role: name or ARN of the IAM role that the model takes on.
    :param instance_type: type of the instances.
    :param initial_instance_count: number of instances.
    :param accelerator_type: an Elastic Inference accelerator, such as "ml.eia2.medium".
    :param endpoint_name: an explicit name.
    :param serverless: ``memory_size`` and ``max_concurrency`` of a serverless endpoint, instead of instances.
    :param variants: several variants: for each, fields of :class:`airflow_ll.requests.endpoints.Variant` that differ
        from what the other arguments say, such as ``variant_name``, ``model_name``, ``initial_weight``.
    :param variant_options: further fields of ``Variant`` for all variants.
    :param data_capture: fields of :class:`airflow_ll.requests.endpoints.DataCapture`.
    :param async_inference: fields of :class:`airflow_ll.requests.endpoints.AsyncInference`.
    :param kms_key: key of the instances' volumes.
    :param deployment_config: how an update moves the traffic: fields of
        :class:`airflow_ll.requests.deployments.DeploymentConfig`, or the member as the API takes it.
    :param autoscaling: fields of :class:`airflow_ll.requests.autoscaling.AutoScaling`, for every variant.
    :param keep_previous: whether the old endpoint config and its models stay after an update.
    """

    resource = ENDPOINT
    operator_extra_links = (EndpointLink(),)
    template_fields: Sequence[str] = (
        "instance_type",
        "initial_instance_count",
        "accelerator_type",
        "endpoint_name",
        "serverless",
        "variants",
        "variant_options",
        "data_capture",
        "async_inference",
        "kms_key",
        "deployment_config",
        "autoscaling",
        *ModelArguments.template_fields,
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"variants": "json", "deployment_config": "json"}

    def __init__(
        self,
        *,
        instance_type: str = "ml.m5.large",
        initial_instance_count: int = 1,
        accelerator_type: str | None = None,
        endpoint_name: str | None = None,
        serverless: Mapping[str, int] | None = None,
        variants: Sequence[Mapping[str, Any]] | None = None,
        variant_options: Mapping[str, Any] | None = None,
        data_capture: Mapping[str, Any] | None = None,
        async_inference: Mapping[str, Any] | None = None,
        kms_key: str | None = None,
        deployment_config: Mapping[str, Any] | None = None,
        autoscaling: Mapping[str, Any] | None = None,
        keep_previous: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.instance_type = instance_type
        self.initial_instance_count = initial_instance_count
        self.accelerator_type = accelerator_type
        self.endpoint_name = endpoint_name
        self.serverless = serverless
        self.variants = variants
        self.variant_options = variant_options
        self.data_capture = data_capture
        self.async_inference = async_inference
        self.kms_key = kms_key
        self.deployment_config = deployment_config
        self.autoscaling = autoscaling
        self.keep_previous = keep_previous

    def submit(self, context: Mapping[str, Any]) -> Ensured:
        """Create or adopt the model, the endpoint config and the endpoint, in this order."""
        identity = task_identity(context)
        self._deployment_config()  # its faults, and those of autoscaling, are told before anything is created
        self._autoscaling()
        variants = self._variants(identity)
        config = self._ensure_config(identity, variants)
        self.facts = {
            "model_names": list(dict.fromkeys(one.model_name for one in variants)),
            "endpoint_config_name": config.name,
            "dag_id": identity.dag_id,
        }
        return self._ensure_endpoint(identity, config.name)

    def _variants(self, identity: TaskIdentity) -> list[Variant]:
        from airflow_ll.requests import Serverless, Variant

        given = self.variants or [{}]
        common = {"accelerator_type": self.accelerator_type, **(self.variant_options or {})}
        if not all("model_name" in one for one in given):
            self._check_compiled(given)
            common["model_name"] = self.use_model(identity)
        made = []
        for one in given:
            settings = {**self._capacity(one), **common, **one}
            if isinstance(settings.get("serverless"), dict):
                settings["serverless"] = specify(Serverless, **settings["serverless"])
            made.append(specify(Variant, **settings))
        return made

    def _capacity(self, variant: Mapping[str, Any]) -> dict[str, Any]:
        """Return what a variant runs on unless it says so itself."""
        if variant.get("serverless") or (self.serverless and "instance_type" not in variant):
            return {"serverless": self.serverless}
        return {
            "instance_type": self.instance_type,
            "initial_instance_count": int(self.initial_instance_count),
        }

    def _check_compiled(self, variants: Sequence[Mapping[str, Any]]) -> None:
        if self.compilation_job_name:
            from airflow_ll.hooks.settings import finished_compilation_job

            for one in variants:
                where = self._capacity(one) | dict(one)
                if "model_name" not in one:
                    finished_compilation_job(self.hook, self.compilation_job_name, where.get("instance_type"))

    def _ensure_config(self, identity: TaskIdentity, variants: list[Variant]) -> Ensured:
        from airflow_ll.requests import AsyncInference, DataCapture, EndpointConfigSpec, endpoint_config

        def build(name: str) -> dict[str, Any]:
            return endpoint_config(
                EndpointConfigSpec(
                    endpoint_config_name=name,
                    variants=variants,
                    kms_key=self.kms_key,
                    data_capture=specify(DataCapture, **self.data_capture) if self.data_capture else None,
                    async_inference=specify(AsyncInference, **self.async_inference) if self.async_inference else None,
                    tags=self.own_tags(),
                )
            )

        return self.ensure(ENDPOINT_CONFIG, identity, build)

    def _ensure_endpoint(self, identity: TaskIdentity, config_name: str) -> Ensured:
        from airflow_ll.hooks.endpoints import ensure_named_endpoint
        from airflow_ll.requests import EndpointSpec, endpoint

        def spec(name: str) -> EndpointSpec:
            return EndpointSpec(
                endpoint_name=name,
                endpoint_config_name=config_name,
                deployment_config=self._deployment_config() if self.endpoint_name else None,
                retain_variant_properties=bool(self.autoscaling),
                tags=self.own_tags(),
            )

        if self.endpoint_name:
            named = spec(self.endpoint_name)
            return ensure_named_endpoint(self.hook, identity, named, lambda old: self._let_go(old, config_name))
        return self.ensure(ENDPOINT, identity, lambda name: endpoint(spec(name)), if_exists=self.if_exists)

    def _deployment_config(self) -> dict[str, Any] | None:
        if not self.deployment_config or _POLICIES & set(self.deployment_config):
            return dict(self.deployment_config) if self.deployment_config else None
        from airflow_ll.requests import DeploymentConfig, deployment_config

        return deployment_config(specify(DeploymentConfig, **self.deployment_config))

    def _autoscaling(self) -> AutoScaling | None:
        from airflow_ll.requests import AutoScaling

        return specify(AutoScaling, **self.autoscaling) if self.autoscaling else None

    def _let_go(self, old: Mapping[str, Any], config_name: str) -> None:
        """Stop scaling what SageMaker does not update while it scales."""
        if self.autoscaling:
            from airflow_ll.hooks.autoscaling import let_go, variants_in_the_way

            in_the_way = variants_in_the_way(
                self._production_variants(old["EndpointConfigName"]), self._production_variants(config_name)
            )
            let_go(self.hook, old["EndpointName"], in_the_way)

    def _hold_target(self, description: Mapping[str, Any]) -> None:
        """Scale what the endpoint serves: what was deployed, or after a failed update what it serves still."""
        scaling = self._autoscaling()
        if scaling is not None:
            from airflow_ll.hooks.autoscaling import hold_target

            variants = self._production_variants(description["EndpointConfigName"])
            hold_target(self.hook, description, variants, scaling)

    def _production_variants(self, config_name: str) -> list[dict[str, Any]]:
        config = self.hook.describe(ENDPOINT_CONFIG, config_name) or {}
        return list(config.get("ProductionVariants", ()))

    def result(self, description: dict[str, Any], *, adopted: bool) -> dict[str, Any]:
        """Return what later tasks need to know of the endpoint.

        :raises JobFailedError: an update was rolled back: the endpoint serves what it served before.
        """
        wanted, retired = self.facts["endpoint_config_name"], []
        if ENDPOINT.is_good(description):
            self._hold_target(description)
            if description["EndpointConfigName"] != wanted:
                raise JobFailedError(_not_updated(description, wanted))
            if self.endpoint_name and not self.keep_previous:
                retired = self._retire(description)
        models = self.facts["model_names"]
        arn = description["EndpointArn"]
        here = arn.rpartition(":")[0]  # an endpoint serves models of its own region and account
        self.lineage = Lineage(read=[f"{here}:model/{name}" for name in models], written=[arn])
        return {
            "endpoint_name": description["EndpointName"],
            "endpoint_arn": arn,
            "endpoint_config_name": wanted,
            "model_name": models[0],
            "model_names": models,
            "status": description["EndpointStatus"],
            "retired": retired,
            **iso_times(description, creation_time="CreationTime", last_modified_time="LastModifiedTime"),
            "adopted": adopted,
        }

    def _retire(self, description: dict[str, Any]) -> list[str]:
        from airflow_ll.hooks.endpoints import retire_previous
        from airflow_ll.requests.names import TaskIdentity

        identity = TaskIdentity(self.facts["dag_id"], "", "")  # a DAG owns its endpoints, whichever run made them
        return retire_previous(self.hook, identity, description)

    def trigger(self, name: str, **settings: Any) -> LinearLearnerEndpointTrigger:
        """Return the trigger that waits until the endpoint is in service."""
        from airflow_ll.triggers.endpoint import LinearLearnerEndpointTrigger

        return LinearLearnerEndpointTrigger(name, **settings)

    def default_wait_timeout(self) -> float:
        """Return an hour, or the time that the deployment may take."""
        policies = (self._deployment_config() or {}).values()
        limits = (policy.get("MaximumExecutionTimeoutInSeconds") or 0 for policy in policies)
        return max(_WAIT_SECONDS, max(limits, default=0) + _SETTLING_SECONDS)

    def stop_paid(self, name: str) -> None:
        """Delete the run's own endpoint; one with an explicit name serves somebody."""
        if self.endpoint_name:
            return
        try:
            self.hook.impatient_sagemaker.delete_endpoint(EndpointName=name)
        except Exception as error:
            if not is_not_found(error):
                raise


def _not_updated(description: Mapping[str, Any], wanted: str) -> str:
    return (
        f"The endpoint {description['EndpointName']!r} was not updated: it still serves "
        f"{description['EndpointConfigName']} instead of {wanted}: "
        f"{description.get('FailureReason', 'SageMaker gave no reason')}"
    )
