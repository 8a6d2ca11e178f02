"""Make a trained artifact a SageMaker model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_ll.hooks.connected import task_identity
from airflow_ll.hooks.failures import clear_failures
from airflow_ll.hooks.resources import MODEL
from airflow_ll.lineage import Lineage
from airflow_ll.operators.base import LinearLearnerOperator

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_ll.hooks.ensuring import Ensured
    from airflow_ll.requests.names import TaskIdentity

__all__ = ["LinearLearnerModelOperator", "ModelArguments"]


class ModelArguments(LinearLearnerOperator):
    """An operator that can create the model it needs.

    :param model_data: S3 URI of a training job's ``model.tar.gz``.
    :param role: name or ARN of the IAM role that the model takes on.
    :param model_name: an existing model's name, or with ``model_data`` that of the new one.
    :param image_uri: the algorithm's image; by default that of the region.
    :param environment: environment variables of the container.
    :param training_job_name: a finished training job, for artifact, role, image, VPC, network isolation and tags, as
        far as they are not given here.
    :param compilation_job_name: a finished compilation job, to use the compiled artifact and its image.
    :param vpc_config: ``{"Subnets": [...], "SecurityGroupIds": [...]}``, ``{}`` for none; the job's by default.
    :param enable_network_isolation: whether the container has no network; as the job's by default.
    :param tags: tags, beside those that every resource of a task has.
    """

    template_fields: Sequence[str] = (
        "model_data",
        "role",
        "model_name",
        "image_uri",
        "environment",
        "training_job_name",
        "compilation_job_name",
        "vpc_config",
        "enable_network_isolation",
        "tags",
        *LinearLearnerOperator.template_fields,
    )

    def __init__(
        self,
        *,
        model_data: str | None = None,
        role: str | None = None,
        model_name: str | None = None,
        image_uri: str | None = None,
        environment: Mapping[str, str] | None = None,
        training_job_name: str | None = None,
        compilation_job_name: str | None = None,
        vpc_config: Mapping[str, Any] | None = None,
        enable_network_isolation: bool | None = None,
        tags: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.model_data = model_data
        self.role = role
        self.model_name = model_name
        self.image_uri = image_uri
        self.environment = environment
        self.training_job_name = training_job_name
        self.compilation_job_name = compilation_job_name
        self.vpc_config = vpc_config
        self.enable_network_isolation = enable_network_isolation
        self.tags = tags
        self.model_settings: dict[str, Any] = {}

    def ensure_model(self, identity: TaskIdentity) -> Ensured:
        """Create the model, or adopt that of an earlier attempt."""
        from airflow_ll.hooks.settings import model_settings
        from airflow_ll.requests import ModelSpec, model

        self.model_settings = model_settings(
            self.hook,
            model_data=self.model_data,
            role=self.role,
            image_uri=self.image_uri,
            environment=self.environment,
            training_job_name=self.training_job_name,
            compilation_job_name=self.compilation_job_name,
            vpc_config=self.vpc_config,
            enable_network_isolation=self.enable_network_isolation,
            tags=self.tags,
        )
        return self.ensure(
            MODEL, identity, lambda name: model(ModelSpec(model_name=name, **self.model_settings)), name=self.model_name
        )

    def use_model(self, identity: TaskIdentity) -> str:
        """Return the name of the model that was given, or of the one made of an artifact."""
        if self.model_name and not (self.model_data or self.training_job_name or self.compilation_job_name):
            return self.model_name
        return self.ensure_model(identity).name

    def own_tags(self) -> list[dict[str, str]]:
        """Return the tags of what is made of the model: those given, or those of its training job."""
        return self.model_settings.get("tags") or self.hook.default_tags(self.tags)


class LinearLearnerModelOperator(ModelArguments):
    """Create a SageMaker model from a trained artifact.

    :param model_data: S3 URI of a training job's ``model.tar.gz``.
    :param role: name or ARN of the IAM role that the model takes on.
    :param model_name: an explicit name; by default it follows from the task and its run.
    :param image_uri: the algorithm's image; by default that of the region.
    :param environment: environment variables of the container.
    :param training_job_name: a finished training job, for artifact, role, image, VPC, network isolation and tags, as
        far as they are not given here.
    :param compilation_job_name: a finished compilation job, to use the compiled artifact and its image.
    :param vpc_config: ``{"Subnets": [...], "SecurityGroupIds": [...]}``, ``{}`` for none; the job's by default.
    :param enable_network_isolation: whether the container has no network; as the job's by default.
    :param tags: tags, beside those that every resource of a task has.
    """

    @clear_failures
    def execute(self, context: Any) -> dict[str, Any]:
        """Ensure the model; return its name."""
        made = self.ensure_model(task_identity(context))
        self.lineage = Lineage(read=[self.model_settings["model_data"]], written=[made.arn])
        result = {
            "model_name": made.name,
            "model_arn": made.arn,
            "model_data": self.model_settings["model_data"],
            "image_uri": self.model_settings["image_uri"],
            "adopted": made.adopted,
        }
        return self.tell(context, result)
