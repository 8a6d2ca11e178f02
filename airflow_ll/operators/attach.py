"""Take up a training job that somebody else has started."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_ll.exceptions import JobFailedError
from airflow_ll.hooks.ensuring import Ensured
from airflow_ll.hooks.resources import TRAINING_JOB
from airflow_ll.links import TrainingJobLink, TrainingJobLogsLink, TrainingJobMetricsLink
from airflow_ll.operators.base import LinearLearnerJobOperator
from airflow_ll.operators.training import log_new_lines, training_lineage, training_result

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from airflow_ll.triggers.training import LinearLearnerTrainingTrigger

__all__ = ["LinearLearnerAttachOperator"]


class LinearLearnerAttachOperator(LinearLearnerJobOperator):
    """Wait for an existing training job, whoever has started it, and return everything about it, typed.

    The result is a training task's, and in addition the job's settings in the terms of
    :class:`airflow_ll.requests.training.TrainingJobSpec`: typed ``hyperparameters`` with ``feature_dim`` and
    ``mini_batch_size``, ``channels`` as another job's ``records``, ``role``, ``instance_type``, ``subnets``, ...
    Environment variables stay out of it. The job is not ours: killing the task leaves it, unless
    ``on_kill="stop"``.

    :param training_job_name: the job; one of a tuning job, too.
    :param model_channel_name: the channel that held a model to go on from, if the job has it; told as ``model_uri``.
    :param logs: whether the log of a job that still runs appears in the task's log.
    """

    resource = TRAINING_JOB
    operator_extra_links = (TrainingJobLink(), TrainingJobLogsLink(), TrainingJobMetricsLink())
    template_fields: Sequence[str] = (
        "training_job_name",
        "model_channel_name",
        *LinearLearnerJobOperator.template_fields,
    )

    def __init__(
        self,
        *,
        training_job_name: str,
        model_channel_name: str = "model",
        logs: bool = True,
        on_kill: Any = "leave",
        **kwargs: Any,
    ) -> None:
        super().__init__(on_kill=on_kill, **kwargs)
        self.training_job_name = training_job_name
        self.model_channel_name = model_channel_name
        self.logs = logs

    def submit(self, context: Mapping[str, Any]) -> Ensured:
        """Find the training job.

        :raises JobFailedError: there is none of this name.
        """
        description = self.hook.describe(TRAINING_JOB, self.training_job_name)
        if description is None:
            raise JobFailedError(
                f"There is no training job {self.training_job_name!r} in {self.hook.region}: correct the name, the "
                "region or the connection.",
                retryable=False,
            )
        self.facts = {"instance_count": description["ResourceConfig"].get("InstanceCount", 1)}
        self._prepare_kill(self.training_job_name)
        return Ensured(self.training_job_name, TRAINING_JOB.arn(description), adopted=False)

    def result(self, description: dict[str, Any], *, adopted: bool) -> dict[str, Any]:
        """Return the job's result and its settings."""
        from airflow_ll.requests import attach_training_job
        from airflow_ll.requests.names import user_tags

        tags = user_tags(self.hook.tags(TRAINING_JOB.arn(description)))
        attached = attach_training_job(description, tags, self.model_channel_name)
        self.lineage = training_lineage(description)
        return training_result(description) | attached.to_dict()

    def trigger(self, name: str, **settings: Any) -> LinearLearnerTrainingTrigger:
        """Return the trigger that waits for the job and logs what it writes."""
        from airflow_ll.triggers.training import LinearLearnerTrainingTrigger

        return LinearLearnerTrainingTrigger(name, instance_count=self.facts["instance_count"] * self.logs, **settings)

    def after_look(self, name: str) -> Callable[[], None] | None:
        """Log what the job has written since the last look."""
        return log_new_lines(self.hook, self.log, name, self.facts["instance_count"]) if self.logs else None
