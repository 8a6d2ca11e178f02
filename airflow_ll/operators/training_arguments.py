"""What training and tuning jobs are asked for with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from airflow_ll.exceptions import HyperparameterError
from airflow_ll.hooks.settings import DEFAULT_MAX_RUN, training_settings
from airflow_ll.operators.base import PROVISIONING_SECONDS, LinearLearnerJobOperator

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["TrainingArguments"]


class TrainingArguments(LinearLearnerJobOperator):
    """An operator whose resource trains.

    :param role: name or ARN of the IAM role that the job takes on.
    :param hyperparameters: by name; ``predictor_type`` is required.
    :param records: results of record set tasks, one or a list; S3 prefixes as
        ``{"s3_data": ..., "channel": "train", "content_type": "text/csv"}``.
    :param output_path: S3 URI below which the model is written; SageMaker's default bucket by default.
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
    """

    template_fields: Sequence[str] = (
        "role",
        "hyperparameters",
        "records",
        "output_path",
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
        image_uri: str | None = None,
        instance_type: Any = "ml.m5.xlarge",
        instance_count: int = 1,
        mini_batch_size: int | None = None,
        volume_size: int = 30,
        max_run: int = DEFAULT_MAX_RUN,
        use_spot_instances: bool = False,
        max_wait: int | None = None,
        environment: Mapping[str, str] | None = None,
        tags: Any = None,
        job_options: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.role = role
        self.hyperparameters = hyperparameters
        self.records = records
        self.output_path = output_path
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
        _check_literals(hyperparameters)

    def training_settings(self) -> dict[str, Any]:
        """Return the settings of a training job's spec, all but its name."""
        return training_settings(
            self.hook,
            role=self.role,
            hyperparameters=self.hyperparameters,
            records=self.records,
            output_path=self.output_path,
            image_uri=self.image_uri,
            instance_type=self.instance_type,
            instance_count=self.instance_count,
            mini_batch_size=self.mini_batch_size,
            volume_size=self.volume_size,
            max_run=self.max_run,
            use_spot_instances=self.use_spot_instances,
            max_wait=self.max_wait,
            environment=self.environment,
            tags=self.tags,
            job_options=self.job_options,
        )

    def longest_run(self) -> float:
        """Return the seconds that one training job can take: its own limit and the time to start it."""
        return float(self.max_wait or self.max_run) + PROVISIONING_SECONDS


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
