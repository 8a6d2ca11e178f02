"""Rows of different lengths, sparse or with Int32 varints: sizes first, then every part of all rows at once.

No loop runs over rows: a column of row positions walks over the parts of a record, and each step writes one part of
all rows of the chunk.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from airflow_ll.exceptions import DataError
from airflow_ll.records.dense import as_items, zeros_entry
from airflow_ll.records.runs import copy_runs, items_at_every_byte
from airflow_ll.records.varints import as_unsigned, packed_varints, varint_piece, varint_widths
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
    tag,
    varint,
    word_pieces,
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

    @property
    def content(self) -> NDArray[np.uint8]:
        """The bytes of all rows' elements, one after another."""
        return self._encoded[0]

    @property
    def sizes(self) -> NDArray[np.int64]:
        """Bytes of each row's elements."""
        return self._encoded[1]

    @cached_property
    def _encoded(self) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        if self.elements.dtype.kind == "f":
            return self.elements.view(np.uint8), self.counts * self.elements.itemsize
        return packed_varints(as_unsigned(self.elements), self.counts)

    @cached_property
    def field_sizes(self) -> NDArray[np.int64]:
        """Bytes of each row's field with tag and length; nothing when it is empty."""
        return np.where(self.sizes > 0, 1 + varint_widths(self.sizes) + self.sizes, 0)


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
    def sizes(self) -> NDArray[np.int64]:
        """Bytes of each row's tensor message."""
        keys = 0 if self.keys is None else self.keys.field_sizes
        return self.values.field_sizes + keys + len(self.shape)

    @cached_property
    def value_sizes(self) -> NDArray[np.int64]:
        """Bytes of each row's ``Value`` message."""
        return 1 + varint_widths(self.sizes) + self.sizes

    @cached_property
    def entry_sizes(self) -> NDArray[np.int64]:
        """Bytes of each row's map entry, without tag and length."""
        return len(NAME) + 1 + varint_widths(self.value_sizes) + self.value_sizes

    @property
    def field_sizes(self) -> NDArray[np.int64]:
        """Bytes of each row's map entry."""
        return 1 + varint_widths(self.entry_sizes) + self.entry_sizes

    def write(self, writer: RowWriter, number: int) -> None:
        """Write every row's map entry of field ``number``."""
        writer.constant(tag(number))
        writer.varints(self.entry_sizes)
        writer.constant(NAME + tag(2))
        writer.varints(self.value_sizes)
        writer.constant(tag(TENSOR_FIELD[self.values.elements.dtype]))
        writer.varints(self.sizes)
        writer.packed(VALUES, self.values)
        if self.keys is not None:
            writer.packed(KEYS, self.keys)
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
    return writer.out


class RowWriter:
    """Writes the parts of many rows side by side into ``out``; ``cursor`` (rows,) says where each row continues."""

    def __init__(self, size: int, starts: NDArray[np.int64]) -> None:
        self.out = np.zeros(size, np.uint8)
        self.cursor = starts.astype(np.int64)

    def constant(self, content: bytes) -> None:
        """Write the same bytes into every row."""
        for offset, size in word_pieces(len(content)):
            self._scatter(self.cursor + offset, np.frombuffer(content, f"<u{size}", 1, offset))
        self.cursor += len(content)

    def items(self, values: NDArray[Any]) -> None:
        """Write one of ``values`` (rows,) a row."""
        self._scatter(self.cursor, values)
        self.cursor += values.itemsize

    def varints(self, values: NDArray[np.int64], rows: NDArray[np.int64] | slice = slice(None)) -> None:
        """Write one varint a row, into the ``rows`` that are chosen."""
        chosen = as_unsigned(values[rows])
        widths = varint_widths(chosen)
        self._scatter_varints(self.cursor[rows], chosen, widths)
        self.cursor[rows] += widths

    def packed(self, number: int, rows: PackedRows) -> None:
        """Write one packed field a row, leaving out empty ones."""
        present = rows.sizes > 0
        chosen = slice(None) if present.all() else np.flatnonzero(present)
        self.out[self.cursor[chosen]] = tag(number)[0]
        self.cursor[chosen] += 1
        self.varints(rows.sizes, chosen)
        copy_runs(self.out, self.cursor, rows.content, np.cumsum(rows.sizes) - rows.sizes, rows.sizes)
        self.cursor += rows.sizes

    def _scatter(self, positions: NDArray[np.int64], values: NDArray[Any]) -> None:
        """Write ``values`` (rows,), or one value for all, at byte ``positions`` (rows,)."""
        if len(positions):
            items_at_every_byte(self.out, values.dtype)[positions] = values

    def _scatter_varints(self, positions: NDArray[np.int64], values: NDArray[Any], widths: NDArray[np.uint8]) -> None:
        """Write the varints of ``values`` at byte ``positions``, those of one width at a time."""
        narrowest, widest = int(widths.min(initial=10)), int(widths.max(initial=0))
        for width in range(narrowest, widest + 1):
            chosen = slice(None) if narrowest == widest else np.flatnonzero(widths == width)
            for offset, size in word_pieces(width):
                self._scatter(positions[chosen] + offset, varint_piece(values[chosen], offset, size))
