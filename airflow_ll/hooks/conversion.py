"""From a source to record sets: read, encode categories, check, split, shuffle, upload, all of it in bounded memory."""

from __future__ import annotations

import hashlib
import json
from collections import deque
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from airflow_ll.exceptions import DataError
from airflow_ll.hooks.failures import told_as_missing
from airflow_ll.hooks.row_sources import count_rows
from airflow_ll.hooks.shards import DEFAULT_SHARD_SIZE
from airflow_ll.hooks.storage import ObjectSettings
from airflow_ll.hooks.uploading import Attempt, Rows, Target, Upload
from airflow_ll.records import (
    FeatureSchema,
    Split,
    read_batches,
    read_tables,
    shuffle_rows,
    split_rows,
)
from airflow_ll.records.checks import check_rows
from airflow_ll.records.schema import Column
from airflow_ll.records.threads import prefetch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from airflow_ll.hooks.linear_learner import LinearLearnerHook
    from airflow_ll.hooks.row_sources import Source
    from airflow_ll.records.batches import Batch
    from airflow_ll.records.schema import Unseen
    from airflow_ll.records.tables import Table

__all__ = ["Conversion", "RowOptions", "convert", "run_pipeline", "schema_from", "split_from"]

_SHUFFLED = "train"  # the channel in which the order of the rows matters
_ENCODING = 2  # raised when the same rows become other bytes


@dataclass(frozen=True)
class RowOptions:
    """What becomes of the rows on their way.

    :param columns: names or numbers of the features; all but the label by default.
    :param label_column: the name or number of the label.
    :param labels: labels (rows,) apart from the features.
    :param schema: how named columns become numbers; its columns and vocabularies win over ``columns``.
    :param categorical_columns: columns to learn a vocabulary of, when there is no schema.
    :param split: which rows go to which channel; all go to ``channel`` without it.
    :param shuffle: whether the rows of the channel "train" (of the only one, without split) come in another order.
    :param seed: of the shuffle.
    :param on_invalid: "error" refuses rows with NaN or infinities, also in the label; "drop" leaves them out.
    :param predictor_type: checks the labels: 0 and 1 for a binary classifier, class numbers for a multiclass one.
    :param sparse: whether rows that the schema encodes are written as sparse records.
    :param unseen: what a category outside the schema's vocabulary is: an "error", or zeros ("ignore"); the schema's own
        rule when None.
    :param max_categories: more values than these in one column are taken for a mistake.
    """

    columns: Sequence[str | int] | None = None
    label_column: str | int | None = None
    labels: Any = None
    schema: FeatureSchema | None = None
    categorical_columns: Sequence[str] = ()
    split: Split | None = None
    channel: str = "train"
    shuffle: bool = False
    seed: int = 0
    on_invalid: str = "error"
    predictor_type: str | None = None
    num_classes: int | None = None
    sparse: bool = False
    unseen: Unseen | None = None
    max_categories: int = 10_000

    def identity(self) -> dict[str, Any]:
        """Return what decides the bytes, and whether there may be any, as JSON."""
        return {
            "columns": None if self.columns is None else list(self.columns),
            "label_column": self.label_column,
            "labels": None if self.labels is None else _digest(self.labels),
            "schema": None if self.schema is None else _identity(self.schema),
            "categorical_columns": list(self.categorical_columns),
            "split": None if self.split is None else self.split.to_dict(),
            "channel": self.channel,
            "shuffle": self.seed if self.shuffle else None,
            "on_invalid": self.on_invalid,
            "predictor_type": self.predictor_type,
            "num_classes": self.num_classes,
            "sparse": self.sparse,
            "unseen": self.unseen,
            "dtype": "float32",
        }


@dataclass(frozen=True)
class Conversion:
    """One task's work: a source, what becomes of its rows, and where the record sets go.

    :param name: the folder of the task below ``data_location``.
    :param data_location: S3 URI; SageMaker's default bucket when None.
    :param instance_count: number of equal shards; None cuts by ``target_shard_size`` bytes.
    """

    source: Source
    rows: RowOptions
    name: str
    data_location: str | None = None
    instance_count: int | None = None
    target_shard_size: int = DEFAULT_SHARD_SIZE
    distribution: str = "ShardedByS3Key"
    settings: ObjectSettings = field(default_factory=ObjectSettings)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of all that decides the objects, in hexadecimal."""
        how = {"instance_count": self.instance_count, "target_shard_size": self.target_shard_size}
        kept = {"objects": self.settings.identity}
        spec = {"encoding": _ENCODING, "source": self.source.identity, **self.rows.identity(), **how, **kept}
        return hashlib.sha256(json.dumps(spec, sort_keys=True, default=str).encode()).hexdigest()

    def target(self, hook: LinearLearnerHook) -> Target:
        """Return where the record sets go; the bucket is checked."""
        return Target(
            root=hook.location(self.data_location, default="record-sets"),
            name=self.name,
            fingerprint=self.fingerprint,
            identifies=self.source.identifies,
            exclusive=True,
            split=self.rows.split is not None,
            instance_count=self.instance_count,
            shard_size=self.target_shard_size,
            distribution=self.distribution,
            settings=self.settings,
        )


def convert(hook: LinearLearnerHook, conversion: Conversion) -> list[Upload]:
    """Have the record sets of a conversion complete and return them, one a channel.

    :raises DataError: rows or labels that the algorithm would refuse; no record set is left then.
    :raises RequestError: the bucket does not exist.
    """
    attempt = Attempt(hook, conversion.target(hook))
    there = attempt.complete(conversion.rows.channel)
    if there:
        return there
    return run_pipeline(attempt, conversion)


def run_pipeline(attempt: Attempt, conversion: Conversion) -> list[Upload]:
    """Upload the rows of a conversion in this attempt."""
    rows = conversion.rows
    attempt.expect(count_rows(conversion.source), all_of_one=rows.split is None and rows.on_invalid != "drop")
    pipeline = Pipeline(conversion.source, rows)
    channels = () if rows.split is None else rows.split.channels
    return attempt.run(pipeline.run, lambda: pipeline.kept, channels)


class Pipeline:
    """The rows of a source on their way to the shards."""

    def __init__(self, source: Source, options: RowOptions) -> None:
        self.source, self.options = source, options
        channels = () if options.split is None else options.split.channels
        if options.shuffle and channels and _SHUFFLED not in channels:
            raise DataError(
                f"shuffle is for the rows of the channel {_SHUFFLED}, but the split has {', '.join(channels)}: name "
                f"one {_SHUFFLED}, or leave shuffle out."
            )
        self.schema = options.schema
        if self.schema is None and options.categorical_columns:
            self.schema = self._fit()
        if self.schema is not None and options.unseen is not None:
            self.schema = replace(self.schema, unseen=options.unseen)
        self.kept = self.schema  # beside the record set

    def run(self, write: Callable[[Rows], None]) -> None:
        """Hand all rows to ``write``, batch after batch."""
        options = self.options
        shuffled = None
        if options.shuffle:
            shuffled = options.channel if options.split is None else _SHUFFLED
        parts = self._parts(write, shuffled)
        if shuffled is None:
            deque(parts, maxlen=0)
            return
        for batch in shuffle_rows(parts, seed=options.seed):
            write(Rows(batch.features, batch.labels, shuffled))

    def _parts(self, write: Callable[[Rows], None], apart: str | None) -> Iterator[Batch]:
        """Check all rows, write those of all channels but ``apart``, and yield the batches of that one."""
        options = self.options
        for batch in self._batches():
            self.kept = self.kept or _described(batch)
            kept = self._check(batch)
            parts = {options.channel: batch} if options.split is None else split_rows(batch, options.split)
            for channel, part in parts.items():
                valid = part if kept is None else part.take(np.isin(part.rows, kept))
                dropped = len(part) - len(valid)
                if channel != apart:
                    write(Rows(valid.features, valid.labels, channel, dropped))
                    continue
                if dropped:
                    write(
                        Rows(valid.features[:0], None if valid.labels is None else valid.labels[:0], channel, dropped)
                    )
                yield valid

    def _check(self, batch: Batch) -> NDArray[np.int64] | None:
        """Return the numbers of the rows that are kept, None when all are."""
        options = self.options
        predictor = (options.predictor_type, options.num_classes)
        kept = check_rows(batch.features, batch.labels, options.on_invalid, *predictor, first_row=int(batch.rows[0]))
        return None if kept is None else batch.rows[kept]

    def _batches(self) -> Iterator[Any]:
        options = self.options
        keys = () if options.split is None else options.split.key_columns
        labels = {} if options.labels is None else {"labels": options.labels}
        batches = read_batches(
            self.source.open(),
            format=self.source.format,
            columns=None if self.schema is not None else options.columns,
            label_column=options.label_column,
            key_columns=keys,
            schema=self.schema,
            sparse=options.sparse and self.schema is not None,
            **labels,
        )
        # Files are ours to read in another thread; a user's iterator or a database's cursor may belong to this one.
        return iter(batches) if self.source.format is None else prefetch(batches)

    def _fit(self) -> FeatureSchema:
        """Learn the vocabularies, which takes a pass over the source of its own."""
        options = self.options
        if not self.source.repeatable:
            raise DataError(
                "categorical_columns need a source that can be read twice, and an iterator cannot: give the task a "
                "schema, such as that of an earlier record set."
            )
        tables = read_tables(
            self.source.open(), format=self.source.format, categorical=list(options.categorical_columns)
        )
        left_out = () if options.split is None else options.split.key_columns
        columns = None if options.columns is None else [self._name(column) for column in options.columns]
        return FeatureSchema.fit(
            tables,
            columns=columns,
            categorical=list(options.categorical_columns),
            label_column=None if options.label_column is None else self._name(options.label_column),
            exclude=left_out if columns is None else (),
            max_categories=options.max_categories,
        )

    def _name(self, column: str | int) -> str:
        """Return the name of a column, which is looked up in the source when it is given by number."""
        if isinstance(column, str) or self._first is None:
            return str(column)
        return self._first.name(column)

    @cached_property
    def _first(self) -> Table | None:
        """The names of the source's columns, as a table without rows; None when the source is empty."""
        table = next(read_tables(self.source.open(), format=self.source.format), None)
        return None if table is None else table[:0]


def _identity(schema: FeatureSchema) -> list[str | None]:
    """Return what decides the rows' bytes: the label, too, and what becomes of new categories."""
    return [schema.checksum, schema.label_column, schema.unseen]


def _described(batch: Batch) -> FeatureSchema | None:
    """Return the schema of columns that have names and are numbers as they are; None when they have no names."""
    return FeatureSchema(tuple(map(Column, batch.names)), label_column=batch.label) if batch.names else None


def schema_from(hook: LinearLearnerHook, schema: Any) -> FeatureSchema | None:
    """Return the feature schema that an operator was given.

    :param schema: a schema, its JSON, its S3 URI, or the result of the record set task that has it.
    :raises DataError: it is none of these.
    """
    if schema is None or isinstance(schema, FeatureSchema):
        return schema
    if isinstance(schema, dict) and "s3_data" in schema:
        schema = f"{schema['s3_data'].rpartition('/')[0]}.meta/schema.json"
    if isinstance(schema, str):
        return FeatureSchema.from_json(_stored(hook, schema) if schema.startswith("s3://") else schema)
    if isinstance(schema, dict):
        return FeatureSchema.from_dict(schema)
    raise DataError(f"schema must be a feature schema, its JSON, its S3 URI or a record set, got {schema!r}.")


def _stored(hook: LinearLearnerHook, uri: str) -> str:
    with told_as_missing(
        f"There is no feature schema {uri!r}: only record sets of named columns have one; correct the S3 URI, or wait "
        "for its task."
    ):
        return hook.read(uri).decode(errors="replace")


def split_from(split: Mapping[str, Any] | None, split_by: str | Sequence[str] | None, seed: int) -> Split | None:
    """Return the rule that an operator's ``split`` and ``split_by`` state; None when there is nothing to split."""
    if not split:
        return Split.by_column(_one(split_by), None) if split_by else None
    by_values = [name for name, part in split.items() if isinstance(part, (list, tuple))]
    if not by_values:
        shares = {name: _share(name, part) for name, part in split.items()}
        if not split_by:
            return Split.by_fraction(shares, seed=seed)
        columns = [split_by] if isinstance(split_by, str) else list(split_by)
        return Split.by_hash(shares, key_columns=columns, seed=seed)
    if len(by_values) < len(split) or not split_by:
        raise DataError(
            f"split must be shares of the rows, or the values of the column split_by for every channel, got {split!r} "
            f"with split_by={split_by!r}."
        )
    return Split.by_column(_one(split_by), {name: list(values) for name, values in split.items()})


def _share(channel: str, part: Any) -> float:
    try:
        return float(part)
    except (TypeError, ValueError):
        raise DataError(
            f"split must have a share of the rows, or a list of values, for every channel, got {part!r} for {channel}."
        ) from None


def _one(split_by: str | Sequence[str] | None) -> str:
    columns = [split_by] if isinstance(split_by, str) else list(split_by or ())
    if len(columns) != 1:
        raise DataError(f"split_by must be one column when its values decide, got {columns}.")
    return columns[0]


def _digest(labels: Any) -> str:
    return hashlib.sha256(np.ascontiguousarray(labels).tobytes()).hexdigest()
