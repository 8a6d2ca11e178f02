"""Read a whole source of uniform dense rows into one matrix: copy a chunk, verify it while it is in the cache.

Copying goes through the bytes in order, as memory likes it; verifying jumps from row to row, which is fast in the cache
only. So it comes second: what was copied is dropped when a row is of another kind.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from airflow_ll.exceptions import DataError, RecordFormatError
from airflow_ll.records.dense import copy_rows
from airflow_ll.records.framing import Block
from airflow_ll.records.messages import dense_layout
from airflow_ll.records.parts import Part, Tensors
from airflow_ll.records.wire import HEADER_BYTES, MAGIC

if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import RawIOBase

    from numpy.typing import NDArray

    from airflow_ll.records.dense import DenseLayout

CHUNK_BYTES = 1 << 21
_LARGEST_ROW = 1 << 20


def read_uniform(source: bytes | bytearray | memoryview | Path, out: NDArray[Any] | None = None) -> Part | None:
    """Return all rows of ``source``, or None when they are not dense floats of the first row's layout throughout.

    What is allocated is smaller than the source: no length is trusted. Finding the words for a fault is left to others.

    Raises
    ------
    DataError
        The features go into ``out``, and it is no place for them.
    """
    if not isinstance(source, Path):
        data = memoryview(source).cast("B")
        layout = _first_layout(data[:_LARGEST_ROW])
        return _read(layout, len(data), _slices(data, _chunk_bytes(layout)), out) if layout else None
    with source.open("rb", buffering=0) as stream:
        layout = _first_layout(memoryview(stream.read(_LARGEST_ROW)))
        stream.seek(0)
        size = os.fstat(stream.fileno()).st_size
        return _read(layout, size, _reads(stream, _chunk_bytes(layout)), out) if layout else None


def _first_layout(data: memoryview) -> DenseLayout | None:
    """Return the layout of the first record, or None when it is not a whole, valid and dense one."""
    length = int.from_bytes(data[4:HEADER_BYTES], "little")
    size = HEADER_BYTES + (length + 3) // 4 * 4
    if len(data) < size or int.from_bytes(data[:4], "little") != MAGIC:
        return None
    try:
        return dense_layout(Block(data[:size], np.zeros(1, np.int64), np.array([length]), 0))
    except RecordFormatError:
        return None


def _chunk_bytes(layout: DenseLayout) -> int:
    stride = len(layout.template)
    return max(1, CHUNK_BYTES // stride) * stride


def place_for(rows: int, columns: int, dtype: np.dtype[Any], out: NDArray[Any] | None) -> NDArray[Any]:
    """Return a matrix (rows, columns): the first rows of ``out``, or new memory when that is None.

    Raises
    ------
    DataError
        ``out`` has fewer rows, another number of columns or another dtype.
    """
    if out is None:
        return np.empty((rows, columns), dtype)
    if out.ndim != 2 or len(out) < rows or out.shape[1] != columns or out.dtype != dtype:
        raise DataError(
            f"out must be a matrix of {dtype.name} with {columns} column(s) and at least {rows} row(s), but it is of "
            f"{out.dtype.name} and has the shape {out.shape}."
        )
    return out[:rows]


def _read(layout: DenseLayout, size: int, chunks: Iterator[memoryview], out: NDArray[Any] | None) -> Part | None:
    stride = len(layout.template)
    rows = size // stride
    features = place_for(rows, layout.feature_dim, layout.feature_dtype, out)
    labels = np.empty((rows, layout.label_dim), layout.label_dtype)
    first = 0
    for chunk in chunks:
        last = first + len(chunk) // stride
        if last > rows or len(chunk) % stride:
            return None
        records = np.frombuffer(chunk, layout.dtype)
        copy_rows(features[first:last], records["features"])
        copy_rows(labels[first:last], records["labels"])
        if not layout.matches(chunk, last - first):
            return None
        first = last
    return Part(Tensors(features), labels if layout.label_dim else None) if first == rows else None


def _slices(data: memoryview, size: int) -> Iterator[memoryview]:
    return (data[first : first + size] for first in range(0, len(data), size))


def _reads(stream: RawIOBase, size: int) -> Iterator[memoryview]:
    """Yield ``size`` bytes after ``size`` bytes, the last time what is left, in one buffer."""
    buffer = memoryview(bytearray(size))
    while filled := _fill(stream, buffer):
        yield buffer[:filled]


def _fill(stream: RawIOBase, buffer: memoryview) -> int:
    filled = 0
    while filled < len(buffer) and (taken := stream.readinto(buffer[filled:])):
        filled += taken
    return filled
