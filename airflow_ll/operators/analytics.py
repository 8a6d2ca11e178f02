"""Read what a training job has measured."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_ll.hooks.failures import clear_failures
from airflow_ll.hooks.resources import TRAINING_JOB
from airflow_ll.lineage import Lineage
from airflow_ll.operators.base import LinearLearnerOperator
from airflow_ll.operators.training import training_result

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["LinearLearnerAnalyticsOperator"]

_INLINE_ROWS = 100


class LinearLearnerAnalyticsOperator(LinearLearnerOperator):
    """Return the metrics of a training job: the final ones, and their course as a table.

    Rows have ``timestamp`` (seconds from the first value), ``time``, ``metric_name`` and ``value``. Up to 100 rows are
    in the result itself; all of them are written as CSV when there are more, or when ``output_path`` is given.

    :param training_job_name: the job.
    :param metric_names: such as ``["train:objective_loss"]``; all of the job by default.
    :param output_path: S3 URI of the folder of the CSV file; by default one in SageMaker's default bucket.
    """

    template_fields: Sequence[str] = (
        "training_job_name",
        "metric_names",
        "output_path",
        *LinearLearnerOperator.template_fields,
    )

    def __init__(
        self,
        *,
        training_job_name: str,
        metric_names: Sequence[str] | None = None,
        output_path: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.training_job_name = training_job_name
        self.metric_names = metric_names
        self.output_path = output_path

    @clear_failures
    def execute(self, context: Any) -> dict[str, Any]:
        """Read the metrics, return the table."""
        rows = self.hook.training_job_analytics(self.training_job_name, self.metric_names)
        description = self.hook.describe(TRAINING_JOB, self.training_job_name) or {}
        result = {
            "training_job_name": self.training_job_name,
            "metrics": training_result(description)["metrics"],
            "num_rows": len(rows),
            "rows": rows[:_INLINE_ROWS],
        }
        if self.output_path or len(rows) > _INLINE_ROWS:
            result["output"] = self._write(rows)
        self.lineage = Lineage(read=[description.get("TrainingJobArn")], written=[result.get("output")], rows=len(rows))
        return self.tell(context, result)

    def _write(self, rows: list[dict[str, Any]]) -> str:
        from airflow_ll.hooks.analytics import as_csv

        uri = f"{self.hook.location(self.output_path, default='analytics')}/{self.training_job_name}.csv"
        self.hook.write(uri, as_csv(rows))
        return uri
