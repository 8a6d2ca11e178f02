"""Read a whole source of uniform dense rows into one matrix: verify a chunk, copy it while it is in the cache."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from airflow_ll.exceptions import RecordFormatError
from airflow_ll.records.dense import copy_rows
from airflow_ll.records.framing import Block
from airflow_ll.records.messages import dense_layout
from airflow_ll.records.parts import Part, Tensors
from airflow_ll.records.wire import HEADER_BYTES, MAGIC

if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import RawIOBase

    from airflow_ll.records.dense import DenseLayout

#: A chunk and its rows of the matrix fit the second-level cache, or nearly so.
CHUNK_BYTES = 1 << 20
_LARGEST_ROW = 1 << 20
_WIDE_ROW = 1 << 10


def read_uniform(source: bytes | bytearray | memoryview | Path) -> Part | None:
    """Return all rows of ``source``, or None when they are not dense floats of the first row's layout throughout.

    What is allocated is smaller than the source: no length is trusted. Finding the words for a fault is left to others.
    """
    if not isinstance(source, Path):
        data = memoryview(source).cast("B")
        layout = _first_layout(data[:_LARGEST_ROW])
        return _read(layout, len(data), _in_memory(data, layout)) if layout else None
    with source.open("rb", buffering=0) as stream:
        layout = _first_layout(memoryview(stream.read(_LARGEST_ROW)))
        stream.seek(0)
        size = os.fstat(stream.fileno()).st_size
        return _read(layout, size, _reads(stream, _chunk_bytes(layout))) if layout else None


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


def _read(layout: DenseLayout, size: int, chunks: Iterator[memoryview]) -> Part | None:
    stride = len(layout.template)
    rows = size // stride
    features = np.empty((rows, layout.feature_dim), layout.feature_dtype)
    labels = np.empty((rows, layout.label_dim), layout.label_dtype)
    first = 0
    for chunk in chunks:
        last = first + len(chunk) // stride
        if last > rows or not layout.matches(chunk, last - first):
            return None
        records = np.frombuffer(chunk, layout.dtype)
        copy_rows(features[first:last], records["features"])
        copy_rows(labels[first:last], records["labels"])
        first = last
    return Part(Tensors(features), labels if layout.label_dim else None) if first == rows else None


def _in_memory(data: memoryview, layout: DenseLayout) -> Iterator[memoryview]:
    """Yield whole rows of ``data``, chunk after chunk.

    Verifying jumps from row to row, which touches all of narrow rows and is fast in the cache only: a plain copy into
    one buffer is the fastest way there. Of wide rows it touches little; they stay where they are.
    """
    size = _chunk_bytes(layout)
    if len(layout.template) >= _WIDE_ROW:
        yield from (data[first : first + 2 * size] for first in range(0, len(data), 2 * size))
        return
    buffer = memoryview(bytearray(min(size, len(data))))
    for first in range(0, len(data), size):
        chunk = data[first : first + size]
        buffer[: len(chunk)] = chunk
        yield buffer[: len(chunk)]


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
