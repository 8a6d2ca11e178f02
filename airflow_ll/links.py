"""Links from a task to its resource in the AWS console."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperatorLink

if TYPE_CHECKING:
    from airflow_ll.hooks.linear_learner import LinearLearnerHook
    from airflow_ll.hooks.resources import Resource

__all__ = ["EndpointLink", "TrainingJobLink", "TransformJobLink"]


class _ConsoleLink(BaseOperatorLink):
    """A link that the task stores when its resource exists, so that it works while the task runs.

    Airflow asks for it once more when the task has ended, in the same process, and then reads what is stored.
    """

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """Return the URL; empty when there is no resource, or none that the AWS console shows."""
        return getattr(operator, "console_url", "")

    def store(self, context: Any, hook: LinearLearnerHook, resource: Resource, name: str) -> str:
        """Keep the URL of the resource where Airflow's UI looks for it, and return it."""
        url = hook.console_url(resource, name) or ""
        context["ti"].xcom_push(key=self.xcom_key, value=url)
        return url


class TrainingJobLink(_ConsoleLink):
    """The training job's page."""

    name = "SageMaker training job"


class EndpointLink(_ConsoleLink):
    """The endpoint's page."""

    name = "SageMaker endpoint"


class TransformJobLink(_ConsoleLink):
    """The transform job's page."""

    name = "SageMaker transform job"
