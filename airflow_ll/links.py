"""Links from a task to its resource in the AWS console."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperatorLink

if TYPE_CHECKING:
    from airflow_ll.hooks.linear_learner import LinearLearnerHook
    from airflow_ll.hooks.resources import Resource

__all__ = ["EndpointLink", "TrainingJobLink", "TransformJobLink"]


class _ConsoleLink(BaseOperatorLink):
    """A link that the task stores when its resource exists, so that it works while the task runs."""

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """Return the stored URL; empty for a resource that the AWS console does not show."""
        from airflow.providers.common.compat.sdk import XCom

        return XCom.get_value(key=self.xcom_key, ti_key=ti_key) or ""

    def store(self, context: Any, hook: LinearLearnerHook, resource: Resource, name: str) -> None:
        """Keep the URL of the resource where Airflow's UI looks for it."""
        context["ti"].xcom_push(key=self.xcom_key, value=hook.console_url(resource, name) or "")


class TrainingJobLink(_ConsoleLink):
    """The training job's page."""

    name = "SageMaker training job"


class EndpointLink(_ConsoleLink):
    """The endpoint's page."""

    name = "SageMaker endpoint"


class TransformJobLink(_ConsoleLink):
    """The transform job's page."""

    name = "SageMaker transform job"
