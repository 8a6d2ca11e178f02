"""RecordIO-protobuf, the format LinearLearner trains on: codec, shards, manifests, record sets.

numpy and protobuf are imported when a name that needs them is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_ll.records.checks import CheckedFeatures, check_features, check_labels
    from airflow_ll.records.decoder import RecordBatch, iter_records, read_records
    from airflow_ll.records.dense_encoder import DenseEncoder
    from airflow_ll.records.encoder import encode_records, write_records
    from airflow_ll.records.matrices import as_matrix
    from airflow_ll.records.record_sets import (
        RecordSet,
        default_mini_batch_size,
        manifest_body,
        parse_manifest,
        shard_bounds,
        shard_name,
    )

_EXPORTS = {
    "CheckedFeatures": "checks",
    "DenseEncoder": "dense_encoder",
    "RecordBatch": "decoder",
    "RecordSet": "record_sets",
    "as_matrix": "matrices",
    "check_features": "checks",
    "check_labels": "checks",
    "default_mini_batch_size": "record_sets",
    "encode_records": "encoder",
    "iter_records": "decoder",
    "manifest_body": "record_sets",
    "parse_manifest": "record_sets",
    "read_records": "decoder",
    "shard_bounds": "record_sets",
    "shard_name": "record_sets",
    "write_records": "encoder",
}

__all__ = [
    "CheckedFeatures",
    "DenseEncoder",
    "RecordBatch",
    "RecordSet",
    "as_matrix",
    "check_features",
    "check_labels",
    "default_mini_batch_size",
    "encode_records",
    "iter_records",
    "manifest_body",
    "parse_manifest",
    "read_records",
    "shard_bounds",
    "shard_name",
    "write_records",
]


def __getattr__(name: str) -> object:
    if name in _EXPORTS:
        return getattr(import_module(f"airflow_ll.records.{_EXPORTS[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
