"""Read record sets back: the rows of all shards that a manifest names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from airflow_ll.exceptions import DataError
from airflow_ll.records import RecordSet, parse_manifest, read_records

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_ll.hooks.linear_learner import LinearLearnerHook

__all__ = ["read_record_set", "shard_uris"]


def shard_uris(hook: LinearLearnerHook, record_set: RecordSet) -> Iterator[str]:
    """Yield the S3 URIs of a record set's shards, in order."""
    if record_set.s3_data_type == "ManifestFile":
        prefix, names = parse_manifest(hook.read(record_set.s3_data))
        yield from (f"{prefix}{name}" for name in names)
        return
    bucket = record_set.s3_data.split("/", 3)[2]
    yield from (f"s3://{bucket}/{key}" for key in hook.keys(record_set.s3_data))


def read_record_set(hook: LinearLearnerHook, record_set: RecordSet) -> tuple[Any, Any]:
    """Return features (rows, feature_dim), sparse when the records are, and labels (rows,) or None.

    The rows are in memory as a whole.

    :raises DataError: there is no shard, or a shard is not RecordIO-protobuf.
    """
    batches = [read_records(hook.read(uri)) for uri in shard_uris(hook, record_set)]
    if not batches:
        raise DataError(f"The record set {record_set.s3_data!r} has no shards.")
    labels = [batch.labels for batch in batches if batch.labels is not None]
    features = [batch.features for batch in batches]
    if any(hasattr(one, "tocsr") for one in features):
        from scipy import sparse

        matrix: Any = sparse.vstack(features, format="csr")
    else:
        matrix = np.concatenate(features)
    return matrix, np.concatenate(labels) if len(labels) == len(batches) else None
