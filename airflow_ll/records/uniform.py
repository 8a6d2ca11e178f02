"""Read a whole source of uniform dense rows into one matrix: copy a chunk, verify it while it is in the cache.

Copying goes through the bytes in order, as memory likes it; verifying jumps from row to row, which is fast in the cache
only. So it comes second: what was copied is dropped when a row is of another kind. Threads share the chunks, as half of
the time goes into the new memory: the kernel fills it with zeros where it is first written to, by the writer's core.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from airflow_ll.exceptions import DataError, RecordFormatError
from airflow_ll.records.dense import copy_rows
from airflow_ll.records.framing import Block
from airflow_ll.records.messages import dense_layout
from airflow_ll.records.parts import Part, Tensors
from airflow_ll.records.threads import usable_cores
from airflow_ll.records.wire import HEADER_BYTES, MAGIC

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from airflow_ll.records.dense import DenseLayout

CHUNK_BYTES = 1 << 21
_LARGEST_ROW = 1 << 20
_THREADS = 4  # what saturates the memory of most machines

_Chunks: TypeAlias = "Callable[[int, int], memoryview]"
"""Gives the bytes from one place to another, or fewer when they end before; in any thread, which uses up what it got
before it asks again."""


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
        return _read(data[:_LARGEST_ROW], len(data), lambda begin, end: data[begin:end], out)
    with source.open("rb", buffering=0) as stream:
        first = memoryview(stream.read(_LARGEST_ROW))
        return _read(first, os.fstat(stream.fileno()).st_size, _reader(stream.fileno()), out)


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


def _read(first: memoryview, size: int, chunks: _Chunks, out: NDArray[Any] | None) -> Part | None:
    layout = _first_layout(first)
    if layout is None or size % len(layout.template):
        return None
    stride = len(layout.template)
    rows = size // stride
    features = place_for(rows, layout.feature_dim, layout.feature_dtype, out)
    labels = np.empty((rows, layout.label_dim), layout.label_dtype)
    step = max(1, CHUNK_BYTES // stride)

    def is_uniform(begin: int) -> bool:
        end = min(begin + step, rows)
        chunk = chunks(begin * stride, end * stride)
        if len(chunk) != (end - begin) * stride:
            return False
        records = np.frombuffer(chunk, layout.dtype)
        copy_rows(features[begin:end], records["features"])
        copy_rows(labels[begin:end], records["labels"])
        return layout.matches(chunk, end - begin)

    if not _all_in_threads(is_uniform, range(0, rows, step)):
        return None
    return Part(Tensors(features), labels if layout.label_dim else None)


def _all_in_threads(is_true: Callable[[int], bool], begins: range) -> bool:
    """Tell whether ``is_true`` of all ``begins``; the first that is not ends it in all threads."""
    left = iter(begins)

    def share() -> bool:
        for begin in left:
            if not is_true(begin):
                deque(left, maxlen=0)
                return False
        return True

    others = min(_THREADS, usable_cores(), len(begins)) - 1
    if others < 1:
        return share()
    with ThreadPoolExecutor(others, "records") as pool:
        shares = [pool.submit(share) for _ in range(others)]
        return all([share(), *(one.result() for one in shares)])


def _reader(file: int) -> _Chunks:
    """Return a function that reads a file by places, in one buffer a thread."""
    own = threading.local()

    def read(begin: int, end: int) -> memoryview:
        own.buffer = buffer = getattr(own, "buffer", None) or memoryview(bytearray(end - begin))
        filled = 0
        while taken := os.preadv(file, [buffer[filled : end - begin]], begin + filled):
            filled += taken
        return buffer[:filled]

    return read
