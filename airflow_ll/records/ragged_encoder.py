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
    varint_widths,
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

    @cached_property
    def unsigned(self) -> NDArray[Any]:
        """Integers as the unsigned numbers their varints stand for."""
        if self.elements.itemsize <= 4 and self.elements.min(initial=0) >= 0:
            return self.elements.astype(np.uint32, copy=False)
        return self.elements.astype(np.int64).view(np.uint64)

    @cached_property
    def widths(self) -> NDArray[np.uint8]:
        """Bytes of each integer."""
        return varint_widths(self.unsigned)

    @cached_property
    def ends(self) -> NDArray[np.int64]:
        """Where each element ends in the bytes of all."""
        if self.elements.dtype.kind == "f":
            return np.arange(1, len(self.elements) + 1, dtype=np.int64) * self.elements.itemsize
        return np.cumsum(self.widths, dtype=np.int64)

    @cached_property
    def sizes(self) -> NDArray[np.int64]:
        """Bytes of each row's elements."""
        if self.elements.dtype.kind == "f":
            return self.counts * self.elements.itemsize
        bounds = np.concatenate(([0], self.ends))[np.cumsum(self.counts)]
        return np.diff(bounds, prepend=0)

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

    @property
    def number(self) -> bytes:
        """The tag of this kind of tensor in ``Value``."""
        return tag(TENSOR_FIELD[self.values.elements.dtype])

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
        """Bytes of each row's map entry."""
        return len(NAME) + 1 + varint_widths(self.value_sizes) + self.value_sizes


def encode_rows(features: TensorRows, labels: TensorRows | None) -> NDArray[np.uint8]:
    """Return the framed records of all rows of ``features`` and ``labels``, one after another."""
    maps = [(FEATURES, features)] + ([(LABEL, labels)] if labels else [])
    payload = np.sum([1 + varint_widths(rows.entry_sizes) + rows.entry_sizes for _, rows in maps], axis=0)
    if payload.max(initial=0) > MAX_PAYLOAD:
        raise DataError(f"A row does not fit one RecordIO record of {MAX_PAYLOAD} bytes: use fewer features.")
    ends = np.cumsum(HEADER_BYTES + (payload + 3) // 4 * 4)
    writer = _RowWriter(int(ends[-1]) if len(ends) else 0, np.concatenate(([0], ends[:-1])))
    writer.words(np.full(len(ends), MAGIC))
    writer.words(payload)
    for number, rows in maps:
        writer.constant(tag(number))
        writer.varints(rows.entry_sizes)
        writer.constant(NAME + tag(2))
        writer.varints(rows.value_sizes)
        writer.constant(rows.number)
        writer.varints(rows.sizes)
        writer.packed(VALUES, rows.values)
        if rows.keys is not None:
            writer.packed(KEYS, rows.keys)
        writer.constant(rows.shape)
    return writer.out


class _RowWriter:
    """Writes the parts of many rows side by side into ``out``; ``cursor`` (rows,) says where each row continues."""

    def __init__(self, size: int, starts: NDArray[np.int64]) -> None:
        self.out = np.zeros(size, np.uint8)
        self.cursor = starts.astype(np.int64)

    def words(self, values: NDArray[np.int64]) -> None:
        """Write one little-endian u4 a row."""
        self._scatter(self.cursor, values.astype("<u4"))
        self.cursor += 4

    def constant(self, content: bytes) -> None:
        """Write the same bytes into every row."""
        for byte in content:
            self.out[self.cursor] = byte
            self.cursor += 1

    def varints(self, values: NDArray[np.int64], where: NDArray[np.bool_] | None = None) -> None:
        """Write one varint a row, in the rows of ``where``."""
        cursor = self.cursor if where is None else self.cursor[where]
        chosen = values if where is None else values[where]
        widths = varint_widths(chosen)
        self._scatter_varints(cursor, chosen.astype(np.uint64), widths)
        cursor = cursor + widths
        if where is None:
            self.cursor = cursor
        else:
            self.cursor[where] = cursor

    def packed(self, number: int, rows: PackedRows) -> None:
        """Write one packed field a row, leaving out empty ones."""
        present = rows.sizes > 0
        self.out[self.cursor[present]] = tag(number)[0]
        self.cursor[present] += 1
        self.varints(rows.sizes, present)
        ends = np.repeat(self.cursor - (np.cumsum(rows.sizes) - rows.sizes), rows.counts)
        ends += rows.ends
        if rows.elements.dtype.kind == "f":
            self._scatter(ends - rows.elements.itemsize, rows.elements)
        else:
            self._scatter_varints(np.subtract(ends, rows.widths, dtype=np.int64), rows.unsigned, rows.widths)
        self.cursor += rows.sizes

    def _scatter(self, positions: NDArray[np.int64], values: NDArray[Any]) -> None:
        """Write ``values`` at byte ``positions``, through a view that has an element at every byte."""
        if len(positions):
            room = len(self.out) - values.dtype.itemsize + 1
            np.ndarray((room,), values.dtype, self.out.data, strides=(1,))[positions] = values

    def _scatter_varints(self, positions: NDArray[np.int64], values: NDArray[Any], widths: NDArray[np.uint8]) -> None:
        """Write the varints of ``values`` at byte ``positions``, those of one width at a time."""
        for width in range(1, int(widths.max(initial=0)) + 1):
            chosen = np.flatnonzero(widths == width)
            at, rest = (positions, values) if len(chosen) == len(values) else (positions[chosen], values[chosen])
            for offset, size in word_pieces(width):
                self._scatter(at + offset, _varint_piece(rest, size, last=offset + size == width))
                rest = rest >> (7 * size)


def _varint_piece(values: NDArray[Any], size: int, *, last: bool) -> NDArray[Any]:
    """Return the lowest ``size`` bytes of the varints of ``values`` as words; in the ``last`` ones no byte follows."""
    word = np.dtype(f"<u{size}")
    piece = (values & 0x7F).astype(word)
    for byte in range(1, size):
        piece |= (values >> (7 * byte) & 0x7F).astype(word) << (8 * byte)
    follows = int.from_bytes(b"\x80" * (size - last) + b"\x00" * last, "little")
    piece |= word.type(follows)
    return np.asarray(piece)
