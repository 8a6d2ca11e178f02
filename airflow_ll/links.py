"""Links from a task to its resource in the AWS console."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import BaseOperatorLink

if TYPE_CHECKING:
    from airflow_ll.hooks.linear_learner import LinearLearnerHook
    from airflow_ll.hooks.resources import Resource

__all__ = [
    "CompilationJobLink",
    "EndpointLink",
    "TrainingJobLink",
    "TrainingJobLogsLink",
    "TrainingJobMetricsLink",
    "TransformJobLink",
    "TransformJobLogsLink",
    "TuningJobLink",
]


class _ConsoleLink(BaseOperatorLink):
    """A link that the task stores when its resource exists, so that it works while the task runs.

    Airflow asks for it once more when the task has ended, in the same process, and then reads what is stored.
    """

    page: ClassVar[str] = "resource"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """Return the URL; empty when there is no resource, or none that the AWS console shows."""
        return getattr(operator, "console_urls", {}).get(self.name) or ""

    def store(self, context: Any, hook: LinearLearnerHook, resource: Resource, name: str) -> str:
        """Keep the URL of the resource where Airflow's UI looks for it, and return it."""
        url = hook.console_url(resource, name, self.page) or ""
        context["ti"].xcom_push(key=self.xcom_key, value=url)
        return url


class TrainingJobLink(_ConsoleLink):
    """The training job's page."""

    name = "SageMaker training job"


class TrainingJobLogsLink(_ConsoleLink):
    """The training job's logs in CloudWatch."""

    name = "CloudWatch logs"
    page = "logs"


class TrainingJobMetricsLink(_ConsoleLink):
    """The training job's metrics in CloudWatch."""

    name = "CloudWatch metrics"
    page = "metrics"


class TuningJobLink(_ConsoleLink):
    """The tuning job's page."""

    name = "SageMaker tuning job"


class CompilationJobLink(_ConsoleLink):
    """The compilation job's page."""

    name = "SageMaker compilation job"


class EndpointLink(_ConsoleLink):
    """The endpoint's page."""

    name = "SageMaker endpoint"


class TransformJobLink(_ConsoleLink):
    """The transform job's page."""

    name = "SageMaker transform job"


class TransformJobLogsLink(_ConsoleLink):
    """The transform job's logs in CloudWatch."""

    name = "CloudWatch transform logs"
    page = "logs"
