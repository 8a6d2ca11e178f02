"""Decode sparse rows and Int32 rows: the mirror image of ``ragged_encoder``, all rows of a block at once.

It knows one order of fields, the one that every writer of this format uses; a block with anything else in it is left
to ``messages``, which also finds the words for what is wrong.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from airflow_ll.records.parts import Part, Tensors
from airflow_ll.records.runs import copy_runs
from airflow_ll.records.wire import FEATURES, HEADER_BYTES, KEYS, LABEL, NAME, SHAPE, TENSOR_FIELD, VALUES, tag

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from airflow_ll.records.framing import Block

_DTYPE_OF = {tag(number)[0]: dtype for dtype, number in TENSOR_FIELD.items()}
_LONGEST_LENGTH = 5
_LONGEST_VARINT = 10


class _UnusualError(Exception):
    """The block has records in another order of fields, or faulty ones."""


def decode_ragged(block: Block) -> Part | None:
    """Return the rows of ``block``, or None when they need ``messages``."""
    reader = _RowReader(block)
    try:
        features = _matrix(reader.tensor(FEATURES))
        labels = _labels(reader.tensor(LABEL)) if (reader.cursor < reader.end).any() else None
        reader.expect_end(reader.end)
    except _UnusualError:
        return None
    return Part(features, labels)


@dataclass(frozen=True)
class _TensorRows:
    """The tensors of all rows; ``value_counts`` and ``key_counts`` (rows,), ``columns`` None without a shape."""

    values: NDArray[Any]
    value_counts: NDArray[np.int64]
    keys: NDArray[np.uint64]
    key_counts: NDArray[np.int64]
    columns: int | None


def _matrix(rows: _TensorRows) -> Tensors:
    if not rows.key_counts.any():
        dense = int(rows.value_counts[0]) if rows.columns is None else rows.columns
        if (rows.value_counts == dense).all():
            return Tensors(rows.values.reshape(len(rows.value_counts), dense))
    if rows.columns is None or not np.array_equal(rows.key_counts, rows.value_counts):
        raise _UnusualError
    if len(rows.keys) and int(rows.keys.max()) >= rows.columns:
        raise _UnusualError
    bounds = np.concatenate((np.zeros(1, np.int64), np.cumsum(rows.value_counts)))
    return Tensors(rows.values, rows.keys.view(np.int64), bounds, rows.columns)


def _labels(rows: _TensorRows) -> NDArray[Any]:
    dense = _matrix(rows)
    if dense.bounds is not None or not dense.feature_dim:
        raise _UnusualError
    return dense.values


class _RowReader:
    """Reads the parts of many rows side by side; ``cursor`` (rows,) says where each row continues.

    Nothing is read at or behind ``end`` (rows,), the end of a row's payload.
    """

    def __init__(self, block: Block) -> None:
        self.data = np.frombuffer(block.data, np.uint8)
        self.cursor = block.starts + HEADER_BYTES
        self.end = self.cursor + block.lengths

    def tensor(self, number: int) -> _TensorRows:
        """Read the map entry "values" of field ``number``: a tensor of the same kind and shape in every row."""
        self.constant(tag(number))
        entry_end = self.length()
        self.constant(NAME + tag(2))
        self.expect(self.length(), entry_end)
        kind = int(self.data[self.cursor[0]]) if self.cursor[0] < self.end[0] else 0
        if kind not in _DTYPE_OF:
            raise _UnusualError
        self.constant(bytes([kind]))
        self.expect(self.length(), entry_end)
        values, value_counts = self.elements(*self.packed(VALUES, entry_end), _DTYPE_OF[kind])
        keys, key_counts = self.unsigned(*self.packed(KEYS, entry_end))
        shapes, shape_counts = self.unsigned(*self.packed(SHAPE, entry_end))
        self.expect_end(entry_end)
        return _TensorRows(values, value_counts, keys, key_counts, _same_shape(shapes, shape_counts))

    def constant(self, content: bytes) -> None:
        """Read the same bytes from every row."""
        self.expect_room(len(content))
        for byte in content:
            if (self.data[self.cursor] != byte).any():
                raise _UnusualError
            self.cursor = self.cursor + 1

    def length(self, where: NDArray[np.bool_] | slice = slice(None)) -> NDArray[np.int64]:
        """Read a length in the rows of ``where``, and return where the content that follows it ends."""
        cursor, end = self.cursor[where], self.end[where]
        value = np.zeros(len(cursor), np.int64)
        more = np.ones(len(cursor), np.bool_)
        for byte in range(_LONGEST_LENGTH):
            if (cursor >= end)[more].any():
                raise _UnusualError
            part = self.data[np.minimum(cursor, end - 1)] * more
            value |= (part & 0x7F).astype(np.int64) << 7 * byte
            cursor = cursor + more
            more = part > 0x7F
            if not more.any():
                break
        if more.any() or (value > end - cursor).any():
            raise _UnusualError
        self.cursor[where] = cursor
        return np.asarray(cursor + value)

    def packed(self, number: int, limit: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Read the packed field ``number`` where a row has it; return the starts and the bytes of its elements."""
        present = self.cursor < limit
        present &= self.data[np.minimum(self.cursor, limit - 1)] == tag(number)[0]
        self.cursor = self.cursor + present
        stops = self.cursor.copy()
        if present.any():
            stops[present] = self.length(present)
        if (stops > limit).any():
            raise _UnusualError
        starts, self.cursor = self.cursor, stops
        return starts, stops - starts

    def elements(
        self, starts: NDArray[np.int64], sizes: NDArray[np.int64], dtype: np.dtype[Any]
    ) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """Return the numbers of all rows, and how many each row has."""
        if dtype.kind == "i":
            values, counts = self.unsigned(starts, sizes)
            return values.view(np.int64).astype(dtype), counts
        if (sizes % dtype.itemsize).any():
            raise _UnusualError
        return self.gather(starts, sizes).view(dtype), sizes // dtype.itemsize

    def unsigned(
        self, starts: NDArray[np.int64], sizes: NDArray[np.int64]
    ) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
        """Return the varints of all rows, and how many each row has."""
        content = self.gather(starts, sizes)
        ends = np.flatnonzero(content < 0x80)
        bounds = np.cumsum(sizes)
        if len(content) and (content[bounds[sizes > 0] - 1] > 0x7F).any():
            raise _UnusualError
        widths = np.diff(ends, prepend=-1)
        if widths.max(initial=0) > _LONGEST_VARINT:
            raise _UnusualError
        values = content[ends].astype(np.uint64)
        for byte in range(1, int(widths.max(initial=0))):
            longer = np.flatnonzero(widths > byte)
            low = content[ends[longer] - byte] & 0x7F
            values[longer] = values[longer] << np.uint64(7) | low
        return values, np.diff(np.searchsorted(ends, bounds), prepend=0)

    def gather(self, starts: NDArray[np.int64], sizes: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return each row's ``sizes`` bytes from ``starts`` on, one row after another."""
        ends = np.cumsum(sizes)
        content = np.empty(int(ends[-1]) if len(ends) else 0, np.uint8)
        copy_runs(content, ends - sizes, self.data, starts, sizes)
        return content

    def expect_room(self, size: int) -> None:
        """Refuse rows that end within ``size`` bytes."""
        if (self.cursor + size > self.end).any():
            raise _UnusualError

    def expect_end(self, limit: NDArray[np.int64]) -> None:
        """Refuse rows that do not end here."""
        self.expect(self.cursor, limit)

    @staticmethod
    def expect(ends: NDArray[np.int64], others: NDArray[np.int64]) -> None:
        """Refuse rows in which nested messages end at different places."""
        if not np.array_equal(ends, others):
            raise _UnusualError


def _same_shape(shapes: NDArray[np.uint64], counts: NDArray[np.int64]) -> int | None:
    """Return the number of columns that all rows tell, None when none tells it."""
    if not counts.any():
        return None
    if not (counts == 1).all() or (shapes != shapes[0]).any() or int(shapes[0]) >= 2**63:
        raise _UnusualError
    return int(shapes[0])
