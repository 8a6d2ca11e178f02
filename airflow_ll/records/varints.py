"""Varints of many numbers at once: all of the widest one's width first, then without the bytes that are not used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from airflow_ll.records.runs import Run, copy_runs
from airflow_ll.records.wire import word_pieces

if TYPE_CHECKING:
    from collections.abc import Iterator

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


def width_of(value: int) -> int:
    """Return how many bytes ``value`` (>= 0) takes as a varint (1 to 10)."""
    return max(1, (value.bit_length() + 6) // 7)


def widths_of(values: NDArray[Any]) -> NDArray[np.uint8] | int:
    """Return how many bytes each of ``values`` (>= 0) takes as a varint: one number when it is the same of all."""
    if not len(values):
        return 1
    narrowest, widest = width_of(int(values.min())), width_of(int(values.max()))
    if narrowest == widest:
        return widest
    widths = np.full(values.shape, narrowest, np.uint8)
    for width in range(narrowest, widest):
        widths += values >> 7 * width != 0
    return widths


def varints_of_width(values: NDArray[Any], width: int) -> Iterator[tuple[int, NDArray[Any]]]:
    """Yield the varints of unsigned ``values`` (n,), of ``width`` bytes each, as (offset, little-endian words (n,)).

    What comes of values that take fewer bytes is no varint.
    """
    for offset, size in word_pieces(width):
        rest = values >> 7 * offset if offset else values
        piece = (rest & ((1 << 7 * size) - 1) if offset + size < width else rest).astype(f"<u{size}")
        for top in range(7, 8 * size - 1, 8):  # make room at the top bit of each byte
            piece += piece >> top << top
        if width > 1:
            follow = b"\x80" * (width - 1) + b"\0"
            piece |= piece.dtype.type(int.from_bytes(follow[offset : offset + size], "little"))
        yield offset, piece


def ascending_varints(values: NDArray[Any], counts: NDArray[np.int64]) -> list[Run] | None:
    """Return the varints of unsigned ``values`` (total,) as runs of one width, or None when they do not ascend enough.

    In each row of ``counts`` narrower ones come before wider ones. The widest are not taken out of ``values``: most are
    among them.
    """
    bounds = np.concatenate((np.zeros(1, np.int64), np.cumsum(counts)))
    widest = width_of(int(values.max(initial=0)))
    narrower = np.zeros(len(counts), np.int64)
    runs = []
    for width in range(1, widest):
        chosen = np.flatnonzero(values < 1 << 7 * width)
        stops = np.searchsorted(chosen, bounds)
        upto = np.diff(stops)
        some = np.flatnonzero(upto)
        if (chosen[stops[some + 1] - 1] >= bounds[some] + upto[some]).any():
            return None
        exact = chosen[values[chosen] >> 7 * (width - 1) != 0] if width > 1 else chosen
        sizes = (upto - narrower) * width
        runs.append(Run(_padded(values[exact], width), np.cumsum(sizes) - sizes, sizes))
        narrower = upto
    runs.append(Run(_padded(values, widest), (bounds[:-1] + narrower) * widest, (counts - narrower) * widest))
    return runs


def _padded(values: NDArray[Any], width: int) -> NDArray[np.uint8]:
    """Return the bytes of ``varints_of_width`` one after another."""
    padded = np.empty((len(values), width), np.uint8)
    for offset, words in varints_of_width(values, width):
        padded[:, offset : offset + words.itemsize].view(words.dtype)[:, 0] = words
    return padded.ravel()


def packed_varints(values: NDArray[Any], counts: NDArray[np.int64]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return the varints of unsigned ``values`` (total,) one after another, and the bytes of each row of ``counts``."""
    width = width_of(int(values.max(initial=0)))
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
    longer = width_of(int(rest.max(initial=0))) > size
    piece = (rest & ((1 << 7 * size) - 1) if longer else rest).astype(word)
    for top in range(7, 8 * size - 1, 8):
        higher = piece >> top << top
        piece += higher
        piece |= (higher != 0).astype(word) << top
    if longer:
        follow = int.from_bytes(b"\x80" * size, "little")
        piece |= (rest >> 7 * size != 0).astype(word) * word.type(follow)
    return piece
