"""Make a trained artifact a SageMaker model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_ll.hooks.connected import task_identity
from airflow_ll.hooks.failures import clear_failures
from airflow_ll.hooks.resources import MODEL
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
    :param tags: tags, beside those that every resource of a task has.
    """

    template_fields: Sequence[str] = (
        "model_data",
        "role",
        "model_name",
        "image_uri",
        "environment",
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
        tags: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.model_data = model_data
        self.role = role
        self.model_name = model_name
        self.image_uri = image_uri
        self.environment = environment
        self.tags = tags

    def ensure_model(self, identity: TaskIdentity) -> Ensured:
        """Create the model, or adopt that of an earlier attempt."""
        from airflow_ll.exceptions import RequestError
        from airflow_ll.requests import ModelSpec, model
        from airflow_ll.requests.images import image_uri

        if not self.model_data or not self.role:
            raise RequestError(
                f"A model needs model_data (the S3 URI of model.tar.gz) and role, got {self.model_data!r} and "
                f"{self.role!r}."
            )
        settings: dict[str, Any] = {
            "role": self.hook.role_arn(self.role),
            "image_uri": self.image_uri or image_uri(self.hook.region),
            "model_data": self.model_data,
            "environment": dict(self.environment or {}),
            "tags": self.hook.default_tags(self.tags),
        }
        return self.ensure(
            MODEL, identity, lambda name: model(ModelSpec(model_name=name, **settings)), name=self.model_name
        )

    def use_model(self, identity: TaskIdentity) -> str:
        """Return the name of the model that was given, or of the one made of ``model_data``."""
        if self.model_name and not self.model_data:
            return self.model_name
        return self.ensure_model(identity).name


class LinearLearnerModelOperator(ModelArguments):
    """Create a SageMaker model from a trained artifact.

    :param model_data: S3 URI of a training job's ``model.tar.gz``.
    :param role: name or ARN of the IAM role that the model takes on.
    :param model_name: an explicit name; by default it follows from the task and its run.
    :param image_uri: the algorithm's image; by default that of the region.
    :param environment: environment variables of the container.
    :param tags: tags, beside those that every resource of a task has.
    """

    @clear_failures
    def execute(self, context: Any) -> dict[str, Any]:
        """Ensure the model; return its name."""
        made = self.ensure_model(task_identity(context))
        return {
            "model_name": made.name,
            "model_arn": made.arn,
            "model_data": self.model_data,
            "adopted": made.adopted,
        }
