"""Upload features and labels as a record set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from airflow_ll.hooks.connected import task_identity
from airflow_ll.hooks.failures import clear_failures
from airflow_ll.operators.base import LinearLearnerOperator

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["LinearLearnerRecordSetOperator"]


class LinearLearnerRecordSetOperator(LinearLearnerOperator):
    """Check features and labels and upload them to S3 as RecordIO-protobuf shards with a manifest.

    The record set's place follows from the task and the data: a retry goes on where the attempt before it stopped, and
    what is complete already is not uploaded again.

    :param features: path or S3 URI of a ``.npy``, ``.npz``, ``.csv`` or ``.parquet`` file, or a list of rows.
    :param labels: path or S3 URI of a file with one column, or a list; an ``.npz`` file can have them itself.
    :param label_column: name or number of the column of ``features`` that has the labels.
    :param data_location: S3 URI below which record sets are kept; SageMaker's default bucket by default.
    :param channel: the channel of the training job that reads it: "train", "validation" or "test".
    :param instance_count: number of shards: one for each instance that will train on them.
    :param distribution: "ShardedByS3Key" or "FullyReplicated".
    :param encrypt: whether S3 encrypts the objects with AES-256.
    :param on_invalid: "error" refuses rows with NaN or infinities, "drop" leaves them out.
    :param predictor_type: checks the labels: 0 and 1 for a binary classifier, class numbers for a multiclass one.
    :param num_classes: number of classes of a multiclass classifier.
    """

    template_fields: Sequence[str] = (
        "features",
        "labels",
        "label_column",
        "data_location",
        "channel",
        "instance_count",
        "predictor_type",
        "num_classes",
        *LinearLearnerOperator.template_fields,
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"features": "json", "labels": "json"}

    def __init__(
        self,
        *,
        features: Any,
        labels: Any = None,
        label_column: str | int | None = None,
        data_location: str | None = None,
        channel: str = "train",
        instance_count: int = 1,
        distribution: str = "ShardedByS3Key",
        encrypt: bool = False,
        on_invalid: str = "error",
        predictor_type: str | None = None,
        num_classes: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.features = features
        self.labels = labels
        self.label_column = label_column
        self.data_location = data_location
        self.channel = channel
        self.instance_count = instance_count
        self.distribution = distribution
        self.encrypt = encrypt
        self.on_invalid = on_invalid
        self.predictor_type = predictor_type
        self.num_classes = num_classes

    @clear_failures
    def execute(self, context: Any) -> dict[str, Any]:
        """Read, check, upload; return the record set."""
        from airflow_ll.hooks.sources import load

        features, labels = load(self.hook, self.features, self.labels, self.label_column)
        return self.upload(context, features, labels)

    def upload(self, context: Any, features: Any, labels: Any) -> dict[str, Any]:
        """Upload arrays as the record set of this task."""
        from airflow_ll.hooks.record_sets import upload_record_set
        from airflow_ll.requests.names import resource_name

        uploaded = upload_record_set(
            self.hook,
            features,
            labels,
            name=resource_name(task_identity(context), "record-set"),
            data_location=self.data_location,
            channel=self.channel,
            instance_count=int(self.instance_count),
            distribution=self.distribution,
            encrypt=self.encrypt,
            on_invalid=self.on_invalid,
            predictor_type=self.predictor_type,
            num_classes=None if self.num_classes is None else int(self.num_classes),
        )
        return uploaded.to_dict()
