"""Turn rows into record sets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from airflow_ll.assets import record_set_events
from airflow_ll.hooks.connected import task_identity
from airflow_ll.hooks.failures import clear_failures
from airflow_ll.lineage import Lineage
from airflow_ll.operators.base import LinearLearnerOperator

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_ll.hooks.conversion import Conversion, RowOptions
    from airflow_ll.hooks.row_sources import Source
    from airflow_ll.hooks.storage import ObjectSettings
    from airflow_ll.hooks.uploading import Upload
    from airflow_ll.records.schema import Unseen
    from airflow_ll.records.sources import Format
    from airflow_ll.requests.names import TaskIdentity

__all__ = ["LinearLearnerRecordSetOperator", "RecordSetTask"]


class RecordSetTask(LinearLearnerOperator):
    """What the operators that write shards have in common: the source, the rows' way, the objects.

    :param features: path or S3 URI of a ``.npy``, ``.npz`` (arrays ``features`` and ``labels``, or scipy's own),
        ``.csv``, ``.parquet`` or ``.arrow`` file, or of a folder or prefix of such files; or a list of rows.
    :param file_format: "npy", "npz", "csv", "parquet" or "arrow", when the names do not tell it.
    :param sql: a query instead of ``features``, run by the hook of ``sql_conn_id``.
    :param sql_conn_id: the Airflow connection of a database, whose hook is a ``DbApiHook``.
    :param sql_parameters: parameters of the query.
    :param columns: names or numbers of the columns that are features; all but the label's by default.
    :param labels: path or S3 URI of a file with one column, or a list; an ``.npz`` file can have them itself.
    :param label_column: name or number of the column that has the labels.
    :param categorical_columns: columns to encode one-hot; their vocabularies are learned in a first pass and kept in
        the record set's feature schema.
    :param schema: a feature schema instead: the result of a record set task, the S3 URI of a ``schema.json``, or JSON.
    :param shuffle: whether the training rows come in another order, that of ``seed``.
    :param seed: of the shuffle and of the split.
    :param unseen: what a category outside the vocabulary of ``schema`` is: an "error", or zeros ("ignore"); the
        schema's own rule by default.
    :param max_categories: more values than these in one categorical column are taken for a mistake.
    :param sparse: whether one-hot rows are written as sparse records: for vocabularies of thousands of categories.
    :param on_invalid: "error" refuses rows with NaN or infinities, also in the label; "drop" leaves them out, and the
        result's ``dropped`` counts them.
    :param predictor_type: checks the labels: 0 and 1 for a binary classifier, class numbers for a multiclass one.
    :param num_classes: number of classes of a multiclass classifier.
    :param data_location: S3 URI below which record sets are kept; SageMaker's default bucket by default.
    :param channel: the channel of the training job that reads it: "train", "validation" or "test".
    :param target_shard_size: bytes of a shard.
    :param distribution: "ShardedByS3Key" or "FullyReplicated".
    :param encrypt: whether S3 encrypts the objects with keys of its own (SSE-S3).
    :param kms_key_id: the KMS key that encrypts the objects instead (SSE-KMS).
    :param expected_bucket_owner: account id; a bucket of somebody else is refused.
    :param storage_class: of the objects, such as "STANDARD_IA".
    :param tags: of the objects.
    """

    template_fields: Sequence[str] = (
        "features",
        "file_format",
        "sql",
        "sql_conn_id",
        "sql_parameters",
        "columns",
        "labels",
        "label_column",
        "categorical_columns",
        "schema",
        "shuffle",
        "seed",
        "unseen",
        "max_categories",
        "sparse",
        "on_invalid",
        "predictor_type",
        "num_classes",
        "data_location",
        "channel",
        "target_shard_size",
        "distribution",
        "kms_key_id",
        "expected_bucket_owner",
        "storage_class",
        "tags",
        *LinearLearnerOperator.template_fields,
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"features": "json", "labels": "json", "sql": "sql"}
    template_ext: Sequence[str] = (".sql",)

    def __init__(
        self,
        *,
        features: Any = None,
        file_format: Format | None = None,
        sql: str | None = None,
        sql_conn_id: str | None = None,
        sql_parameters: Any = None,
        columns: Sequence[str | int] | None = None,
        labels: Any = None,
        label_column: str | int | None = None,
        categorical_columns: Sequence[str] = (),
        schema: Any = None,
        shuffle: bool = False,
        seed: int = 0,
        unseen: Unseen | None = None,
        max_categories: int = 10_000,
        sparse: bool = False,
        on_invalid: str = "error",
        predictor_type: str | None = None,
        num_classes: int | None = None,
        data_location: str | None = None,
        channel: str = "train",
        target_shard_size: int = 64 << 20,
        distribution: str = "ShardedByS3Key",
        encrypt: bool = False,
        kms_key_id: str | None = None,
        expected_bucket_owner: str | None = None,
        storage_class: str | None = None,
        tags: Mapping[str, str] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.features = features
        self.file_format = file_format
        self.sql = sql
        self.sql_conn_id = sql_conn_id
        self.sql_parameters = sql_parameters
        self.columns = columns
        self.labels = labels
        self.label_column = label_column
        self.categorical_columns = categorical_columns
        self.schema = schema
        self.shuffle = shuffle
        self.seed = seed
        self.unseen = unseen
        self.max_categories = max_categories
        self.sparse = sparse
        self.on_invalid = on_invalid
        self.predictor_type = predictor_type
        self.num_classes = num_classes
        self.data_location = data_location
        self.channel = channel
        self.target_shard_size = target_shard_size
        self.distribution = distribution
        self.encrypt = encrypt
        self.kms_key_id = kms_key_id
        self.expected_bucket_owner = expected_bucket_owner
        self.storage_class = storage_class
        self.tags = tags

    @clear_failures
    def execute(self, context: Any) -> dict[str, Any]:
        """Read, check, upload; return what has become of the rows."""
        return self.convert(context, self.source())

    def convert(self, context: Any, source: Source, labels: Any = None) -> dict[str, Any]:
        """Have what this task makes complete."""
        raise NotImplementedError

    def source(self) -> Source:
        """Return where the rows come from.

        :raises DataError: both ``features`` and ``sql`` are given, or neither.
        """
        from airflow_ll.exceptions import DataError
        from airflow_ll.hooks.row_sources import data_source, sql_source

        if (self.features is None) == (self.sql is None):
            raise DataError("A record set needs either features or sql, got both." if self.sql else _NO_SOURCE)
        if self.sql is not None:
            return sql_source(self.sql, self.sql_conn_id, self.sql_parameters)
        return data_source(self.hook, self.features, self.file_format)

    def note_uploads(self, uploads: Sequence[Upload]) -> None:
        """Note for OpenLineage what was read and written."""
        source = self.features if isinstance(self.features, str) and self.features.startswith("s3://") else None
        written = [one.record_set.s3_data for one in uploads]
        self.lineage = Lineage(read=[source], written=written, rows=sum(one.record_set.num_records for one in uploads))

    def row_options(self, labels: Any = None, split: Any = None) -> RowOptions:
        """Return what becomes of the rows."""
        from airflow_ll.hooks.conversion import RowOptions, schema_from
        from airflow_ll.hooks.sources import load_labels

        return RowOptions(
            columns=self.columns,
            label_column=self.label_column,
            labels=load_labels(self.hook, self.labels if labels is None else labels),
            schema=schema_from(self.hook, self.schema),
            categorical_columns=self.categorical_columns or (),
            split=split,
            channel=self.channel,
            shuffle=_is_true(self.shuffle),
            seed=_integer("seed", self.seed),
            on_invalid=self.on_invalid,
            predictor_type=self.predictor_type,
            num_classes=None if self.num_classes is None else _integer("num_classes", self.num_classes),
            sparse=_is_true(self.sparse),
            unseen=self.unseen,
            max_categories=_integer("max_categories", self.max_categories),
        )

    def conversion(self, identity: TaskIdentity, source: Source, rows: RowOptions, **cut: Any) -> Conversion:
        """Return the whole work of this task.

        :param identity: whose name the folder has.
        """
        from airflow_ll.hooks.conversion import Conversion
        from airflow_ll.requests.names import resource_name

        return Conversion(
            source=source,
            rows=rows,
            name=resource_name(identity, "record-set"),
            data_location=self.data_location,
            target_shard_size=_integer("target_shard_size", self.target_shard_size),
            distribution=self.distribution,
            settings=self.object_settings(),
            **cut,
        )

    def object_settings(self) -> ObjectSettings:
        """Return how the objects are kept."""
        from airflow_ll.hooks.storage import ObjectSettings

        return ObjectSettings(
            encrypt=self.encrypt,
            kms_key_id=self.kms_key_id,
            expected_bucket_owner=self.expected_bucket_owner,
            storage_class=self.storage_class,
            tags=self.tags or {},
        )


def _is_true(value: Any) -> bool:
    """Tell what a boolean says that a template may have made a text of."""
    return str(value).lower() == "true"


def _integer(name: str, value: Any) -> int:
    """Return an integer that a template may have made a text of.

    :raises DataError: it is none.
    """
    from airflow_ll.exceptions import DataError

    try:
        return int(value)
    except (TypeError, ValueError):
        raise DataError(f"{name} must be an integer, got {value!r}.") from None


_NO_SOURCE = "A record set needs either features or sql, got neither."


class LinearLearnerRecordSetOperator(RecordSetTask):
    """Check rows and upload them to S3 as RecordIO-protobuf shards with a manifest, in bounded memory.

    The record set's place follows from the task and the data: a retry goes on where the attempt before it stopped, and
    what is complete already is not uploaded again. When the task has assets in ``outlets``, their events say rows,
    columns, bytes and the schema's checksum.

    :param split: makes one record set a channel, and the result has one for each. Shares of the rows, such as
        ``{"train": 0.8, "validation": 0.2}``; with ``split_by``, the values of that column,
        ``{"train": ["1", "2"], "validation": ["*"]}``.
    :param split_by: with shares, the columns whose hash decides, so that a row stays in its channel whatever the order;
        with values, or without ``split``, the one column that decides.
    :param instance_count: number of equal shards: one for each instance that will train on them; by default shards are
        cut by ``target_shard_size``.
    """

    template_fields: Sequence[str] = ("split", "split_by", "instance_count", *RecordSetTask.template_fields)

    def __init__(
        self,
        *,
        split: Mapping[str, Any] | None = None,
        split_by: str | Sequence[str] | None = None,
        instance_count: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.split = split
        self.split_by = split_by
        self.instance_count = instance_count

    def convert(self, context: Any, source: Source, labels: Any = None) -> dict[str, Any]:
        """Have the record sets of this task complete."""
        from airflow_ll.hooks.conversion import convert, split_from

        rows = self.row_options(labels, split_from(self.split, self.split_by, _integer("seed", self.seed)))
        count = None if self.instance_count is None else _integer("instance_count", self.instance_count)
        conversion = self.conversion(task_identity(context), source, rows, instance_count=count)
        uploads = convert(self.hook, conversion)
        record_set_events(context, self.outlets, uploads)
        self.note_uploads(uploads)
        return self.result(uploads)

    def result(self, uploads: Sequence[Upload]) -> dict[str, Any]:
        """Return flat JSON of the one record set, or of each channel's."""
        if self.split or self.split_by:
            return {one.record_set.channel: one.to_dict() for one in uploads}
        return uploads[0].to_dict()
