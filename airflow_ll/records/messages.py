"""Decode records one by one with protobuf: any valid ``Record``, whatever wrote it."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
from google.protobuf.message import DecodeError

from airflow_ll.exceptions import RecordFormatError
from airflow_ll.records.dense import DenseLayout
from airflow_ll.records.parts import Part, Tensors
from airflow_ll.records.record_pb2 import Record  # type: ignore[attr-defined]  # built when it is imported

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from airflow_ll.records.framing import Block

_DTYPES: dict[str, np.dtype[Any]] = {
    "float32_tensor": np.dtype("<f4"),
    "float64_tensor": np.dtype("<f8"),
    "int32_tensor": np.dtype("<i4"),
}
_MAX_COLUMNS = 2**63 - 1
_MAX_DIMENSIONS = 8


@dataclass(frozen=True)
class _Vector:
    """One row's tensor; ``keys`` is None when it is dense."""

    values: NDArray[Any]
    keys: NDArray[np.uint64] | None
    columns: int


@dataclass(frozen=True)
class _Row:
    features: _Vector
    labels: NDArray[Any] | None
    uid: str | None
    metadata: str | None


def dense_layout(block: Block) -> DenseLayout | None:
    """Return the layout that the block's first record would share with uniform rows, or None when it is not dense."""
    row = _parse(block, 0)
    if row.features.keys is not None or "i" in (row.features.values.dtype.kind, _kind(row.labels)):
        return None
    if row.labels is None:
        return DenseLayout(row.features.columns, row.features.values.dtype)
    return DenseLayout(row.features.columns, row.features.values.dtype, len(row.labels), row.labels.dtype)


def decode_messages(block: Block) -> Part:
    """Decode all records of ``block``.

    Raises
    ------
    RecordFormatError
        A record is not a valid ``Record``, has no features, or its rows differ in width or in having labels.
    """
    rows = [_parse(block, index) for index in range(len(block))]
    first = rows[0]
    for index, row in enumerate(rows):
        if row.features.columns != first.features.columns or _size(row.labels) != _size(first.labels):
            raise RecordFormatError(
                f"The record at byte {block.position(index)} has {row.features.columns} feature(s) and "
                f"{_size(row.labels)} label(s), but the ones before have {first.features.columns} and "
                f"{_size(first.labels)}."
            )
    labels = [row.labels for row in rows if row.labels is not None]
    return Part(
        _tensors([row.features for row in rows]),
        np.stack(labels) if labels else None,
        _strings([row.uid for row in rows]),
        _strings([row.metadata for row in rows]),
    )


def _tensors(vectors: Sequence[_Vector]) -> Tensors:
    if all(vector.keys is None for vector in vectors):
        return Tensors(np.stack([vector.values for vector in vectors]))
    keys = [np.arange(len(v.values), dtype=np.int64) if v.keys is None else v.keys.astype(np.int64) for v in vectors]
    bounds = np.cumsum([0] + [len(vector.values) for vector in vectors])
    return Tensors(np.concatenate([v.values for v in vectors]), np.concatenate(keys), bounds, vectors[0].columns)


def _parse(block: Block, index: int) -> _Row:
    try:
        record = Record.FromString(bytes(block.payload(index)))
        features = _vector(_named(record.features, "features"))
        labels = _label(record.label)
        uid = record.uid if record.HasField("uid") else None
        metadata = record.metadata if record.HasField("metadata") else None
    except (DecodeError, UnicodeDecodeError) as error:
        raise RecordFormatError(
            f"The record at byte {block.position(index)} is not a valid protobuf Record ({error})."
        ) from error
    except _FaultError as fault:
        raise RecordFormatError(f"The record at byte {block.position(index)} {fault}.") from None
    return _Row(features, labels, uid, metadata)


class _FaultError(Exception):
    """What is wrong with one record, as the end of a sentence."""


def _named(entries: Mapping[str, Any], what: str) -> Any:
    """Return the tensor "values" of a record's map."""
    if "values" not in entries:
        names = ", ".join(repr(name) for name in sorted(entries)) or "nothing"
        raise _FaultError(f"has no {what} under the key 'values', but {names}")
    value = entries["values"]
    kind = value.WhichOneof("value")
    if kind not in _DTYPES:
        raise _FaultError(f"has {what} of the kind {kind}, where LinearLearner reads float32_tensor")
    return getattr(value, kind)


def _vector(tensor: Any) -> _Vector:
    values: NDArray[Any] = np.array(tensor.values, _DTYPES[_FIELD_OF[tensor.DESCRIPTOR.name]])
    if len(tensor.shape) > _MAX_DIMENSIONS:  # a product of many huge numbers would take minutes
        raise _FaultError(f"has a shape of {len(tensor.shape)} dimensions")
    columns = prod(tensor.shape) if tensor.shape else len(values)
    if columns > _MAX_COLUMNS:
        raise _FaultError(f"claims {columns} columns")
    if not tensor.keys and len(values) == columns:
        return _Vector(values, None, columns)
    if not tensor.shape:
        raise _FaultError("is sparse, but does not tell its shape")
    if len(tensor.keys) != len(values):
        raise _FaultError(f"has {len(values)} value(s) for {len(tensor.keys)} key(s) in {columns} column(s)")
    keys: NDArray[np.uint64] = np.array(tensor.keys, np.uint64)
    if len(keys) and int(keys.max()) >= columns:
        raise _FaultError(f"has the key {int(keys.max())}, but only {columns} column(s)")
    return _Vector(values, keys, columns)


_FIELD_OF = {"Float32Tensor": "float32_tensor", "Float64Tensor": "float64_tensor", "Int32Tensor": "int32_tensor"}


def _label(entries: Mapping[str, Any]) -> NDArray[Any] | None:
    if not entries:
        return None
    vector = _vector(_named(entries, "a label"))
    if vector.keys is not None:
        raise _FaultError("has a sparse label vector")
    return vector.values if len(vector.values) else None


def _size(labels: NDArray[Any] | None) -> int:
    return 0 if labels is None else len(labels)


def _kind(labels: NDArray[Any] | None) -> str:
    return "f" if labels is None else labels.dtype.kind


def _strings(texts: list[str | None]) -> tuple[str | None, ...] | None:
    return None if all(text is None for text in texts) else tuple(texts)
