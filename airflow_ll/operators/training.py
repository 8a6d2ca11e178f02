"""Train a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_ll.exceptions import RequestError
from airflow_ll.hooks.connected import task_identity
from airflow_ll.hooks.failures import is_out_of_capacity
from airflow_ll.hooks.resources import TRAINING_JOB
from airflow_ll.hooks.settings import specify
from airflow_ll.lineage import Lineage
from airflow_ll.links import TrainingJobLink, TrainingJobLogsLink, TrainingJobMetricsLink
from airflow_ll.operators.base import iso_times
from airflow_ll.operators.training_arguments import TrainingArguments

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from airflow_ll.hooks.ensuring import Ensured
    from airflow_ll.hooks.linear_learner import LinearLearnerHook
    from airflow_ll.requests.names import TaskIdentity
    from airflow_ll.triggers.training import LinearLearnerTrainingTrigger

__all__ = ["LinearLearnerTrainingOperator", "log_new_lines", "training_lineage", "training_result"]


class LinearLearnerTrainingOperator(TrainingArguments):
    """Run a LinearLearner training job.

    ``feature_dim`` and ``mini_batch_size`` come from the record sets when they are not given. Hyperparameters are
    checked when the DAG is parsed, and those that are templates when they are rendered.

    :param role: name or ARN of the IAM role that the job takes on.
    :param hyperparameters: by name; ``predictor_type`` is required.
    :param records: results of record set tasks, one or a list; S3 prefixes as
        ``{"s3_data": ..., "channel": "train", "content_type": "text/csv"}``.
    :param output_path: S3 URI below which the model is written; SageMaker's default bucket by default.
    :param training_job_name: an explicit name, usable once; by default it follows from the task and its run.
    :param image_uri: the algorithm's image; by default that of the region.
    :param instance_type: type of the instances; of a list, a type is used when those before it have no capacity.
    :param instance_count: number of instances.
    :param mini_batch_size: rows of a mini-batch, instead of the hyperparameter.
    :param volume_size: GB of each instance's volume.
    :param max_run: seconds after which SageMaker stops the job.
    :param use_spot_instances: whether to train on spot instances; needs ``max_wait``.
    :param max_wait: seconds to wait for spot capacity, the run itself included.
    :param environment: environment variables of the container.
    :param tags: tags of the job, beside those that every resource of a task has.
    :param job_options: further fields of :class:`airflow_ll.requests.training.TrainingJobSpec`, e.g. ``subnets``,
        ``volume_kms_key``, ``enable_network_isolation``, ``checkpoint_s3_uri``, ``keep_alive_period``.
    :param logs: whether the job's log appears in the task's log.
    """

    resource = TRAINING_JOB
    operator_extra_links = (TrainingJobLink(), TrainingJobLogsLink(), TrainingJobMetricsLink())
    template_fields: Sequence[str] = ("training_job_name", *TrainingArguments.template_fields)

    def __init__(self, *, training_job_name: str | None = None, logs: bool = True, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.training_job_name = training_job_name
        self.logs = logs

    def submit(self, context: Mapping[str, Any]) -> Ensured:
        """Create the training job, or adopt that of an earlier attempt."""
        identity = task_identity(context)
        settings = self.training_settings()
        types = self._next_types(identity)
        if len(self._types) > 1 and self.training_job_name:
            raise RequestError(
                "A list of instance types needs a name for each job, and an explicit training_job_name can be used "
                "once: leave it out, or give one type."
            )
        for instance_type in types:
            try:
                return self._ensure(identity, settings | {"instance_type": instance_type})
            except Exception as error:
                if instance_type == types[-1] or not is_out_of_capacity(error):
                    raise
                self.log.warning("No %s: %s", instance_type, error)
        raise RequestError("instance_type must be a type or a list of types, got an empty list.")

    def _ensure(self, identity: TaskIdentity, settings: dict[str, Any]) -> Ensured:
        def build(name: str) -> dict[str, Any]:
            from airflow_ll.requests import TrainingJobSpec, training_job

            return training_job(specify(TrainingJobSpec, training_job_name=name, **settings))

        return self.ensure(TRAINING_JOB, identity, build, name=self.training_job_name, if_exists=self.if_exists)

    @property
    def _types(self) -> list[str]:
        return [self.instance_type] if isinstance(self.instance_type, str) else list(self.instance_type)

    def _next_types(self, identity: TaskIdentity) -> list[str]:
        """Return the types to ask for: that of the job there is, and when it got no instances those after it."""
        types = self._types
        described = self.newest(identity) if len(types) > 1 else None
        used = described["ResourceConfig"].get("InstanceType") if described else None
        if described is None or used not in types:
            return types
        first = types.index(used) + is_out_of_capacity(described.get("FailureReason"))
        return types[first:] or types  # after the last one, another attempt begins at the first

    def falls_back(self, description: Mapping[str, Any]) -> bool:
        """Whether the job got no instances, and another type comes after its own."""
        used = description["ResourceConfig"].get("InstanceType")
        if not is_out_of_capacity(description.get("FailureReason")) or used not in self._types[:-1]:
            return False
        self.log.warning("No %s: %s; trying the next type", used, description["FailureReason"])
        return True

    def result(self, description: dict[str, Any], *, adopted: bool) -> dict[str, Any]:
        """Return what later tasks need to know of the job."""
        self.lineage = training_lineage(description)
        return training_result(description) | {"adopted": adopted}

    def trigger(self, name: str, **settings: Any) -> LinearLearnerTrainingTrigger:
        """Return the trigger that waits for the job and logs what it writes."""
        from airflow_ll.triggers.training import LinearLearnerTrainingTrigger

        return LinearLearnerTrainingTrigger(name, instance_count=int(self.instance_count) * self.logs, **settings)

    def after_look(self, name: str) -> Callable[[], None] | None:
        """Log what the job has written since the last look."""
        return log_new_lines(self.hook, self.log, name, int(self.instance_count)) if self.logs else None


def log_new_lines(hook: LinearLearnerHook, log: Any, name: str, instance_count: int) -> Callable[[], None]:
    """Return a function that logs what a training job has written since the last call."""
    from airflow_ll.hooks.logs import JobLogs
    from airflow_ll.hooks.training_log import TrainingLog

    logs = JobLogs(hook, name, instance_count=instance_count)
    task_log = TrainingLog(log, hosts=instance_count > 1)
    return lambda: task_log.write(logs.new_events())


def training_lineage(description: Mapping[str, Any]) -> Lineage:
    """Return what a training job has read from and written to S3."""
    sources = (one["DataSource"].get("S3DataSource", {}) for one in description.get("InputDataConfig", []))
    model_data = description.get("ModelArtifacts", {}).get("S3ModelArtifacts")
    return Lineage([one.get("S3Uri") for one in sources], [model_data])


def training_result(description: Mapping[str, Any]) -> dict[str, Any]:
    """Return what later tasks need to know of a training job."""
    seconds = {
        "training_time_in_seconds": description.get("TrainingTimeInSeconds"),
        "billable_time_in_seconds": description.get("BillableTimeInSeconds"),
    }
    return {
        "training_job_name": description["TrainingJobName"],
        "training_job_arn": description["TrainingJobArn"],
        "status": description["TrainingJobStatus"],
        "secondary_status": description.get("SecondaryStatus"),
        "model_data": description.get("ModelArtifacts", {}).get("S3ModelArtifacts"),
        "image_uri": description["AlgorithmSpecification"].get("TrainingImage"),
        "instance_type": description["ResourceConfig"].get("InstanceType"),
        "hyperparameters": description.get("HyperParameters", {}),
        "metrics": {one["MetricName"]: one["Value"] for one in description.get("FinalMetricDataList", [])},
        **iso_times(
            description,
            creation_time="CreationTime",
            training_start_time="TrainingStartTime",
            training_end_time="TrainingEndTime",
        ),
        **{key: value for key, value in seconds.items() if value is not None},
    }
