"""Varints of many numbers at once: all of the widest one's width first, then without the bytes that are not used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from airflow_ll.records.runs import copy_runs
from airflow_ll.records.wire import word_pieces

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: One hole in as many bytes: up to here copying what is between them beats a mask.
_MANY_HOLES = 16


def as_unsigned(values: NDArray[Any]) -> NDArray[Any]:
    """Return integers as the unsigned numbers their varints stand for, in the smallest dtype: it decides the speed.

    Negative ones stand for their two's complement of 64 bits.
    """
    if values.min(initial=0) < 0:
        return values.astype(np.int64).view(np.uint64)
    return values.astype(np.min_scalar_type(int(values.max(initial=0))))


def varint_widths(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Return how many bytes each of the ``values`` (>= 0) takes as a varint (1 to 10)."""
    widths = np.ones(values.shape, np.uint8)
    for byte in range(1, _width(values)):
        widths += values >> 7 * byte != 0
    return widths


def packed_varints(values: NDArray[Any], counts: NDArray[np.int64]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return the varints of unsigned ``values`` (total,) one after another, and the bytes of each row of ``counts``."""
    width = _width(values)
    padded = np.empty((len(values), width), np.uint8)
    for offset, size in word_pieces(width):
        padded[:, offset : offset + size].view(f"<u{size}")[:, 0] = varint_piece(values, offset, size)
    sizes = counts * width
    if width == 1:
        return padded[:, 0], sizes
    bounds = np.concatenate((np.zeros(1, np.int64), np.cumsum(counts)))
    unused = []
    for byte in range(1, width):
        shorter = np.flatnonzero(values < 1 << 7 * byte)
        unused.append(shorter * width + byte)
        sizes -= np.diff(np.searchsorted(shorter, bounds))
    return _without(padded.ravel(), np.sort(np.concatenate(unused))), sizes


def _without(content: NDArray[np.uint8], holes: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Return ``content`` without the bytes at the positions ``holes``, which ascend."""
    if len(holes) > len(content) // _MANY_HOLES:
        used = np.ones(len(content), np.bool_)
        used[holes] = False
        return content[used]
    starts = np.concatenate((np.zeros(1, np.int64), holes + 1))
    sizes = np.append(holes, len(content)) - starts
    rest = np.empty(len(content) - len(holes), np.uint8)
    copy_runs(rest, np.cumsum(sizes) - sizes, content, starts, sizes)
    return rest


def varint_piece(values: NDArray[Any], offset: int, size: int) -> NDArray[Any]:
    """Return the bytes ``offset`` to ``offset + size`` of the varints of ``values``, as little-endian words.

    A byte has seven bits of the value; its top bit says whether higher ones follow. So at the top bit of each byte all
    higher bits move up by one, and leave it to say whether there are any.
    """
    word = np.dtype(f"<u{size}")
    rest = values >> 7 * offset if offset else values
    longer = _width(rest) > size
    piece = (rest & ((1 << 7 * size) - 1) if longer else rest).astype(word)
    for top in range(7, 8 * size - 1, 8):
        higher = piece >> top << top
        piece += higher
        piece |= (higher != 0).astype(word) << top
    if longer:
        follow = int.from_bytes(b"\x80" * size, "little")
        piece |= (rest >> 7 * size != 0).astype(word) * word.type(follow)
    return piece


def _width(values: NDArray[Any]) -> int:
    """Return the bytes of the longest varint of ``values``."""
    return max(1, (int(values.max(initial=0)).bit_length() + 6) // 7)
