"""Train a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from airflow_ll.exceptions import HyperparameterError
from airflow_ll.hooks.connected import task_identity
from airflow_ll.hooks.resources import TRAINING_JOB
from airflow_ll.links import TrainingJobLink
from airflow_ll.operators.base import LinearLearnerJobOperator, iso_times, specify

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from airflow_ll.hooks.ensuring import Ensured
    from airflow_ll.hyperparameters import LinearLearnerHyperparameters
    from airflow_ll.triggers.training import LinearLearnerTrainingTrigger

__all__ = ["LinearLearnerTrainingOperator"]

_DEFAULT_MAX_RUN = 24 * 60 * 60


class LinearLearnerTrainingOperator(LinearLearnerJobOperator):
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
    :param instance_type: type of the instances.
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
    link = TrainingJobLink()
    operator_extra_links = (link,)
    template_fields: Sequence[str] = (
        "role",
        "hyperparameters",
        "records",
        "output_path",
        "training_job_name",
        "image_uri",
        "instance_type",
        "instance_count",
        "mini_batch_size",
        "max_run",
        "environment",
        "tags",
        "job_options",
        *LinearLearnerJobOperator.template_fields,
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"hyperparameters": "json", "records": "json"}

    def __init__(
        self,
        *,
        role: str,
        hyperparameters: Mapping[str, Any],
        records: Any,
        output_path: str | None = None,
        training_job_name: str | None = None,
        image_uri: str | None = None,
        instance_type: str = "ml.m5.xlarge",
        instance_count: int = 1,
        mini_batch_size: int | None = None,
        volume_size: int = 30,
        max_run: int = _DEFAULT_MAX_RUN,
        use_spot_instances: bool = False,
        max_wait: int | None = None,
        environment: Mapping[str, str] | None = None,
        tags: Any = None,
        job_options: Mapping[str, Any] | None = None,
        logs: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.role = role
        self.hyperparameters = hyperparameters
        self.records = records
        self.output_path = output_path
        self.training_job_name = training_job_name
        self.image_uri = image_uri
        self.instance_type = instance_type
        self.instance_count = instance_count
        self.mini_batch_size = mini_batch_size
        self.volume_size = volume_size
        self.max_run = max_run
        self.use_spot_instances = use_spot_instances
        self.max_wait = max_wait
        self.environment = environment
        self.tags = tags
        self.job_options = job_options
        self.logs = logs
        _check_literals(hyperparameters)

    def submit(self, context: Mapping[str, Any]) -> Ensured:
        """Create the training job, or adopt that of an earlier attempt."""
        settings = self._settings()

        def build(name: str) -> dict[str, Any]:
            from airflow_ll.requests import TrainingJobSpec, training_job

            return training_job(specify(TrainingJobSpec, training_job_name=name, **settings))

        return self.ensure(
            TRAINING_JOB, task_identity(context), build, name=self.training_job_name, if_exists=self.if_exists
        )

    def _settings(self) -> dict[str, Any]:
        from airflow_ll.requests import channel_from_dict
        from airflow_ll.requests.images import image_uri

        records = self.records if isinstance(self.records, (list, tuple)) else [self.records]
        return {
            "hyperparameters": self._rendered_hyperparameters(),  # their faults are told before AWS is asked anything
            "channels": [channel_from_dict(one) if isinstance(one, dict) else one for one in records],
            "role": self.hook.role_arn(self.role),
            "output_path": self.hook.location(self.output_path, default=""),
            "image_uri": self.image_uri or image_uri(self.hook.region),
            "instance_type": self.instance_type,
            "instance_count": int(self.instance_count),
            "volume_size": int(self.volume_size),
            "max_run": int(self.max_run),
            "use_spot_instances": self.use_spot_instances,
            "max_wait": None if self.max_wait is None else int(self.max_wait),
            "environment": dict(self.environment or {}),
            "tags": self.hook.default_tags(self.tags),
            **(self.job_options or {}),
        }

    def _rendered_hyperparameters(self) -> LinearLearnerHyperparameters:
        from airflow_ll.hyperparameters import LinearLearnerHyperparameters

        given = dict(self.hyperparameters)
        if self.mini_batch_size is not None:
            given["mini_batch_size"] = self.mini_batch_size
        return LinearLearnerHyperparameters.from_rendered(given)

    def result(self, description: dict[str, Any], *, adopted: bool) -> dict[str, Any]:
        """Return what later tasks need to know of the job."""
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
            "hyperparameters": description.get("HyperParameters", {}),
            "metrics": {one["MetricName"]: one["Value"] for one in description.get("FinalMetricDataList", [])},
            **iso_times(
                description,
                creation_time="CreationTime",
                training_start_time="TrainingStartTime",
                training_end_time="TrainingEndTime",
            ),
            **{key: value for key, value in seconds.items() if value is not None},
            "adopted": adopted,
        }

    def trigger(self, name: str, **settings: Any) -> LinearLearnerTrainingTrigger:
        """Return the trigger that waits for the job and logs what it writes."""
        from airflow_ll.triggers.training import LinearLearnerTrainingTrigger

        return LinearLearnerTrainingTrigger(name, instance_count=int(self.instance_count) * self.logs, **settings)

    def after_look(self, name: str) -> Callable[[], None] | None:
        """Log what the job has written since the last look."""
        if not self.logs:
            return None
        from airflow_ll.hooks.logs import JobLogs

        logs = JobLogs(self.hook, name, instance_count=int(self.instance_count))

        def log_new_lines() -> None:
            for line in logs.new_lines():
                self.log.info(line)

        return log_new_lines

    def default_wait_timeout(self) -> float:
        """Return SageMaker's default limit; every training job says its own."""
        return _DEFAULT_MAX_RUN


def _check_literals(hyperparameters: Any) -> None:
    """Refuse wrong hyperparameters when the DAG is parsed; what is a template is checked when it is rendered."""
    if not isinstance(hyperparameters, dict):
        return
    from airflow_ll.hyperparameters import check_literals

    faults = check_literals(hyperparameters, _is_template)
    if faults:
        raise HyperparameterError(faults)


def _is_template(value: Any) -> bool:
    return hasattr(value, "resolve") or (isinstance(value, str) and ("{{" in value or "{%" in value))
