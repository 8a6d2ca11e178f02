"""Search for the best hyperparameters."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_ll.exceptions import JobFailedError
from airflow_ll.hooks.connected import task_identity
from airflow_ll.hooks.resources import TRAINING_JOB, TUNING_JOB
from airflow_ll.hooks.settings import specify
from airflow_ll.links import TuningJobLink
from airflow_ll.operators.base import iso_times
from airflow_ll.operators.training import training_lineage, training_result
from airflow_ll.operators.training_arguments import TrainingArguments

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_ll.hooks.ensuring import Ensured
    from airflow_ll.triggers.tuning import LinearLearnerTuningTrigger

__all__ = ["LinearLearnerTuningOperator"]


class LinearLearnerTuningOperator(TrainingArguments):
    """Run a hyperparameter tuning job; the result has what the best training job's own task would have returned.

    :param ranges: what to try, by hyperparameter: a list of values, ``{"min_value": 1e-5, "max_value": 0.1,
        "scaling_type": "Logarithmic"}``, or one of :class:`airflow_ll.requests.ContinuousRange`,
        ``IntegerRange`` and ``CategoricalRange``. They leave ``hyperparameters``.
    :param objective_metric_name: such as "validation:objective_loss".
    :param objective_type: "Minimize" or "Maximize".
    :param strategy: "Bayesian", "Random", "Hyperband" or "Grid".
    :param max_jobs: number of training jobs.
    :param max_parallel_jobs: number of training jobs at a time.
    :param warm_start_parents: names of earlier tuning jobs to learn from.
    :param tuning_job_name: an explicit name of at most 32 characters, usable once.
    :param tuning_options: further fields of :class:`airflow_ll.requests.tuning.TuningJobSpec`: ``max_runtime``,
        ``early_stopping_type``, ``random_seed``, ``warm_start_type``, ``autotune``.
    :param kwargs: what each training job is: see :class:`airflow_ll.operators.LinearLearnerTrainingOperator`.
    """

    resource = TUNING_JOB
    operator_extra_links = (TuningJobLink(),)
    template_fields: Sequence[str] = (
        "ranges",
        "objective_metric_name",
        "objective_type",
        "strategy",
        "max_jobs",
        "max_parallel_jobs",
        "warm_start_parents",
        "tuning_job_name",
        "tuning_options",
        *TrainingArguments.template_fields,
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {**TrainingArguments.template_fields_renderers}

    def __init__(
        self,
        *,
        ranges: Mapping[str, Any],
        objective_metric_name: str = "validation:objective_loss",
        objective_type: str = "Minimize",
        strategy: str = "Bayesian",
        max_jobs: int = 10,
        max_parallel_jobs: int = 1,
        warm_start_parents: Sequence[str] = (),
        tuning_job_name: str | None = None,
        tuning_options: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.ranges = ranges
        self.objective_metric_name = objective_metric_name
        self.objective_type = objective_type
        self.strategy = strategy
        self.max_jobs = max_jobs
        self.max_parallel_jobs = max_parallel_jobs
        self.warm_start_parents = warm_start_parents
        self.tuning_job_name = tuning_job_name
        self.tuning_options = tuning_options

    def submit(self, context: Mapping[str, Any]) -> Ensured:
        """Create the tuning job, or adopt that of an earlier attempt."""
        settings = self._settings()

        def build(name: str) -> dict[str, Any]:
            from airflow_ll.requests import TuningJobSpec, tuning_job

            return tuning_job(specify(TuningJobSpec, tuning_job_name=name, **settings))

        return self.ensure(
            TUNING_JOB, task_identity(context), build, name=self.tuning_job_name, if_exists=self.if_exists
        )

    def _settings(self) -> dict[str, Any]:
        from airflow_ll.requests import TrainingJobSpec, range_from_json

        training = self.training_settings()
        tags = training.pop("tags")
        return {
            # The training jobs are named by the service; the spec wants a name all the same.
            "training": specify(TrainingJobSpec, training_job_name="tuned", **training),
            "ranges": {name: range_from_json(name, value) for name, value in self.ranges.items()},
            "objective_metric_name": self.objective_metric_name,
            "objective_type": self.objective_type,
            "strategy": self.strategy,
            "max_jobs": int(self.max_jobs),
            "max_parallel_jobs": int(self.max_parallel_jobs),
            "warm_start_parents": list(self.warm_start_parents),
            "tags": tags,
            **(self.tuning_options or {}),
        }

    def result(self, description: dict[str, Any], *, adopted: bool) -> dict[str, Any]:
        """Return the tuning job's own facts, and the best training job's result.

        :raises JobFailedError: no training job was completed.
        """
        best = description.get("BestTrainingJob", {})
        if not best.get("TrainingJobName") and self.resource.is_good(description):
            counts = description.get("TrainingJobStatusCounters", {})
            raise JobFailedError(
                f"The tuning job {description['HyperParameterTuningJobName']!r} has no best training job: {counts}; "
                f"look for the reason in its training jobs, and whether they report {self.objective_metric_name!r}."
            )
        objective = best.get("FinalHyperParameterTuningJobObjectiveMetric", {})
        counters = description.get("TrainingJobStatusCounters", {})
        return {
            **self._best(best),
            "tuning_job_name": description["HyperParameterTuningJobName"],
            "tuning_job_arn": description["HyperParameterTuningJobArn"],
            "status": description["HyperParameterTuningJobStatus"],
            "tuned_hyperparameters": best.get("TunedHyperParameters", {}),
            "objective_metric_name": objective.get("MetricName"),
            "objective_value": objective.get("Value"),
            "training_jobs_completed": counters.get("Completed", 0),
            "training_jobs_failed": counters.get("NonRetryableError", 0),
            **iso_times(
                description,
                tuning_creation_time="CreationTime",
                tuning_end_time="HyperParameterTuningEndTime",
            ),
            "adopted": adopted,
        }

    def _best(self, best: Mapping[str, Any]) -> dict[str, Any]:
        name = best.get("TrainingJobName")
        description = self.hook.describe(TRAINING_JOB, name) if name else None
        if description is None:
            return {}
        self.lineage = training_lineage(description)
        return training_result(description)

    def trigger(self, name: str, **settings: Any) -> LinearLearnerTuningTrigger:
        """Return the trigger that waits for the job."""
        from airflow_ll.triggers.tuning import LinearLearnerTuningTrigger

        return LinearLearnerTuningTrigger(name, **settings)

    def default_wait_timeout(self) -> float:
        """Return the tuning job's own limit, or that of its training jobs one batch after the other."""
        limit = (self.tuning_options or {}).get("max_runtime")
        batches = math.ceil(int(self.max_jobs) / max(1, int(self.max_parallel_jobs)))
        return float(limit) + self.longest_run() if limit else batches * self.longest_run()
