"""From any rows to what LinearLearner trains on: sources, schemas, splits, shards, the RecordIO-protobuf codec.

numpy and protobuf are imported when a name that needs them is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_ll.exceptions import RecordFormatError
    from airflow_ll.records.batches import Batch
    from airflow_ll.records.checks import CheckedFeatures, check_features, check_labels
    from airflow_ll.records.decoder import RecordBatch, iter_records, read_records
    from airflow_ll.records.dense_encoder import DenseEncoder
    from airflow_ll.records.encoder import encode_records, write_records
    from airflow_ll.records.fitting import fit_schema
    from airflow_ll.records.matrices import as_matrix
    from airflow_ll.records.record_sets import (
        RecordSet,
        default_mini_batch_size,
        manifest_body,
        parse_manifest,
        shard_bounds,
        shard_name,
    )
    from airflow_ll.records.schema import Column, FeatureSchema
    from airflow_ll.records.shards import ShardPlan
    from airflow_ll.records.shuffles import shuffle_rows
    from airflow_ll.records.sources import read_batches, read_tables
    from airflow_ll.records.splits import Split, split_rows
    from airflow_ll.records.tables import Table

_EXPORTS = {
    "Batch": "batches",
    "CheckedFeatures": "checks",
    "Column": "schema",
    "DenseEncoder": "dense_encoder",
    "FeatureSchema": "schema",
    "RecordBatch": "decoder",
    "RecordFormatError": ".exceptions",  # one package up
    "RecordSet": "record_sets",
    "ShardPlan": "shards",
    "Split": "splits",
    "Table": "tables",
    "as_matrix": "matrices",
    "check_features": "checks",
    "check_labels": "checks",
    "default_mini_batch_size": "record_sets",
    "encode_records": "encoder",
    "fit_schema": "fitting",
    "iter_records": "decoder",
    "manifest_body": "record_sets",
    "parse_manifest": "record_sets",
    "read_batches": "sources",
    "read_records": "decoder",
    "read_tables": "sources",
    "shard_bounds": "record_sets",
    "shard_name": "record_sets",
    "shuffle_rows": "shuffles",
    "split_rows": "splits",
    "write_records": "encoder",
}

__all__ = [
    "Batch",
    "CheckedFeatures",
    "Column",
    "DenseEncoder",
    "FeatureSchema",
    "RecordBatch",
    "RecordFormatError",
    "RecordSet",
    "ShardPlan",
    "Split",
    "Table",
    "as_matrix",
    "check_features",
    "check_labels",
    "default_mini_batch_size",
    "encode_records",
    "fit_schema",
    "iter_records",
    "manifest_body",
    "parse_manifest",
    "read_batches",
    "read_records",
    "read_tables",
    "shard_bounds",
    "shard_name",
    "shuffle_rows",
    "split_rows",
    "write_records",
]


def __getattr__(name: str) -> object:
    if name in _EXPORTS:
        return getattr(import_module(f".{_EXPORTS[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
