"""Rows of different lengths, sparse or with Int32 varints: sizes first, then every part of all rows at once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from airflow_ll.exceptions import DataError
from airflow_ll.records.dense import as_items, zeros_entry
from airflow_ll.records.row_writer import Lengths, RowWriter
from airflow_ll.records.runs import Run
from airflow_ll.records.varints import as_unsigned, ascending_varints, packed_varints
from airflow_ll.records.wire import (
    FEATURES,
    HEADER_BYTES,
    KEYS,
    LABEL,
    MAGIC,
    MAX_PAYLOAD,
    NAME,
    SHAPE,
    TENSOR_FIELD,
    VALUES,
    field,
    varint,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class PackedRows:
    """One packed repeated field of many rows: ``elements`` (total,) of all rows, ``counts`` (rows,) of each row.

    Floats take their fixed width, integers are varints (negative ones in two's complement of 64 bits, ten bytes).
    """

    elements: NDArray[Any]
    counts: NDArray[np.int64]

    @cached_property
    def runs(self) -> list[Run]:
        """The bytes of each row's elements."""
        if self.elements.dtype.kind == "f":
            sizes = self.counts * self.elements.itemsize
            return [Run(self.elements.view(np.uint8), np.cumsum(sizes) - sizes, sizes)]
        values = as_unsigned(self.elements)
        if runs := ascending_varints(values, self.counts):
            return runs
        content, sizes = packed_varints(values, self.counts)
        return [Run(content, np.cumsum(sizes) - sizes, sizes)]

    @cached_property
    def lengths(self) -> Lengths:
        """Bytes of each row's elements; the field is left out when there are none."""
        return Lengths(sum((run.sizes for run in self.runs), np.zeros(1, np.int64)), optional=True)

    def write(self, writer: RowWriter, number: int) -> None:
        """Write every row's field ``number``."""
        writer.length(number, self.lengths)
        writer.runs(self.runs)


@dataclass(frozen=True)
class TensorRows:
    """The tensors of many rows; ``keys`` and ``shape`` only when they are sparse."""

    values: PackedRows
    keys: PackedRows | None = None
    feature_dim: int | None = None

    @cached_property
    def shape(self) -> bytes:
        """The shape field, the same for all rows."""
        return b"" if self.feature_dim is None else field(SHAPE, varint(self.feature_dim))

    @cached_property
    def lengths(self) -> Lengths:
        """Of each row's tensor message."""
        keys = 0 if self.keys is None else self.keys.lengths.with_tag
        return Lengths(self.values.lengths.with_tag + keys + len(self.shape))

    @cached_property
    def value_lengths(self) -> Lengths:
        """Of each row's ``Value`` message."""
        return Lengths(self.lengths.with_tag)

    @cached_property
    def entry_lengths(self) -> Lengths:
        """Of each row's map entry."""
        return Lengths(len(NAME) + self.value_lengths.with_tag)

    @property
    def field_sizes(self) -> NDArray[np.int64]:
        """Bytes of each row's map entry with tag and length."""
        return self.entry_lengths.with_tag

    def write(self, writer: RowWriter, number: int) -> None:
        """Write every row's map entry of field ``number``."""
        writer.length(number, self.entry_lengths)
        writer.constant(NAME)
        writer.length(2, self.value_lengths)
        writer.length(TENSOR_FIELD[self.values.elements.dtype], self.lengths)
        self.values.write(writer, VALUES)
        if self.keys is not None:
            self.keys.write(writer, KEYS)
        writer.constant(self.shape)


@dataclass(frozen=True)
class FloatRows:
    """Dense floating-point tensors of many rows, all of the same size: ``values`` (rows, d), contiguous."""

    values: NDArray[Any]

    @property
    def field_sizes(self) -> int:
        """Bytes of each row's map entry."""
        return len(self._zeros(FEATURES))

    def write(self, writer: RowWriter, number: int) -> None:
        """Write every row's map entry of field ``number``."""
        zeros = self._zeros(number)
        writer.constant(zeros[: len(zeros) - self.values.shape[1] * self.values.itemsize])
        if self.values.size:
            writer.items(as_items(self.values))

    def _zeros(self, number: int) -> bytes:
        return zeros_entry(number, self.values.dtype, self.values.shape[1])


def encode_rows(features: TensorRows | FloatRows, labels: TensorRows | FloatRows | None) -> NDArray[np.uint8]:
    """Return the framed records of all rows of ``features`` and ``labels``, one after another."""
    payload = np.asarray(features.field_sizes + (labels.field_sizes if labels else 0))
    if payload.max(initial=0) > MAX_PAYLOAD:
        raise DataError(f"A row does not fit one RecordIO record of {MAX_PAYLOAD} bytes: use fewer features.")
    ends = np.cumsum(HEADER_BYTES + (payload + 3) // 4 * 4)
    writer = RowWriter(int(ends[-1]) if len(ends) else 0, np.concatenate(([0], ends[:-1])))
    writer.items((payload.astype("<u8") << 32) + MAGIC)  # two words in one
    features.write(writer, FEATURES)
    if labels:
        labels.write(writer, LABEL)
    writer.flush()
    return writer.out
