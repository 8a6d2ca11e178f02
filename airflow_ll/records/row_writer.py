"""Write many rows of different lengths side by side, without a loop over them.

The bytes between two runs of numbers (tags, lengths, constants) differ little from row to row. They are put together as
one strip a row, for all rows whose lengths take the same bytes at once, and each strip is written in one piece.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from airflow_ll.records.runs import copy_runs, items_at_every_byte
from airflow_ll.records.varints import varints_of_width, width_of, widths_of
from airflow_ll.records.wire import tag

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from airflow_ll.records.runs import Run

#: Longer items are written by themselves: in a strip they would be copied twice.
_LONGEST_ITEM = 64


class Lengths:
    """How many bytes (rows,) each row has of something, and how many the varint of that takes.

    ``widths`` is one number when it is the same in all rows. What is ``optional`` has no length where it is empty.
    """

    def __init__(self, sizes: NDArray[np.int64], *, optional: bool = False) -> None:
        self.sizes = sizes
        self.there: NDArray[np.bool_] | int = 1 if not optional or sizes.all() else sizes > 0
        self.widths = widths_of(sizes) * self.there
        self.with_tag: NDArray[np.int64] = self.there + self.widths + sizes


@dataclass(frozen=True)
class _Piece:
    """Of each row the same ``constant``, or one of ``values`` (rows,): an item, or a varint of ``widths`` bytes."""

    widths: NDArray[Any] | int
    constant: bytes | None = None
    items: NDArray[Any] | None = None
    varints: NDArray[Any] | None = None


class RowWriter:
    """Writes the parts of many rows into ``out``; ``cursor`` (rows,) says where each row continues."""

    def __init__(self, size: int, starts: NDArray[np.int64]) -> None:
        self.out = np.zeros(size, np.uint8)
        self.cursor = starts.astype(np.int64)
        self._pieces: list[_Piece] = []

    def constant(self, content: bytes) -> None:
        """Write the same bytes into every row."""
        self._pieces.append(_Piece(len(content), constant=content))

    def items(self, values: NDArray[Any]) -> None:
        """Write one of ``values`` (rows,) a row."""
        if values.itemsize > _LONGEST_ITEM:
            self.flush()
            self._scatter(self.cursor, values)
            self.cursor += values.itemsize
        else:
            self._pieces.append(_Piece(values.itemsize, items=values))

    def length(self, number: int, lengths: Lengths) -> None:
        """Write the tag of field ``number`` and its length, into the rows that have it."""
        if isinstance(lengths.there, int):
            self.constant(tag(number))
        else:
            tags = np.full(len(lengths.sizes), tag(number)[0])  # a tag below 128 is its own varint
            self._pieces.append(_Piece(lengths.there.astype(np.uint8), varints=tags))
        self._pieces.append(_Piece(lengths.widths, varints=lengths.sizes))

    def runs(self, runs: Sequence[Run]) -> None:
        """Write all ``runs`` of each row."""
        self.flush()
        for run in runs:
            copy_runs(self.out, self.cursor, run.content, run.starts, run.sizes)
            self.cursor += run.sizes

    def flush(self) -> None:
        """Write what was put together."""
        pieces, self._pieces = self._pieces, []
        for rows, widths in _alike(pieces):
            self._write(rows, pieces, widths)
        for piece in pieces:
            self.cursor += piece.widths

    def _write(self, rows: NDArray[np.int64] | slice, pieces: Sequence[_Piece], widths: Sequence[int]) -> None:
        """Write ``pieces`` of these ``widths`` into ``rows``."""
        positions = self.cursor[rows]
        template = b"".join(p.constant or bytes(width) for p, width in zip(pieces, widths, strict=True))
        if not (len(positions) and template):
            return
        strips = bytearray(template * len(positions))
        at = 0
        for piece, width in zip(pieces, widths, strict=True):
            if piece.items is not None:
                _column(strips, len(template), at, piece.items.dtype)[...] = piece.items[rows]
            elif piece.varints is not None:
                for offset, words in varints_of_width(piece.varints[rows], width):
                    _column(strips, len(template), at + offset, words.dtype)[...] = words
            at += width
        self._scatter(positions, np.frombuffer(strips, (np.void, len(template))))

    def _scatter(self, positions: NDArray[np.int64], values: NDArray[Any]) -> None:
        """Write ``values`` (rows,) at byte ``positions`` (rows,)."""
        if len(positions):
            items_at_every_byte(self.out, values.dtype)[positions] = values


def _column(strips: bytearray, stride: int, at: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return a view of the numbers at byte ``at`` of each strip."""
    return np.ndarray((len(strips) // stride,), dtype, strips, at, (stride,))


def _alike(pieces: Sequence[_Piece]) -> Iterator[tuple[NDArray[np.int64] | slice, list[int]]]:
    """Yield all rows, those together in which each piece has the same width, and these widths."""
    codes = np.zeros(1, np.int64)
    for piece in pieces:
        if not isinstance(piece.widths, int):
            codes = codes * (width_of(2**64 - 1) + 1) + piece.widths
    if len(codes) == 1:
        yield slice(None), _widths(pieces, 0)
        return
    for code in np.unique(codes):
        rows = np.flatnonzero(codes == code)
        yield rows, _widths(pieces, int(rows[0]))


def _widths(pieces: Sequence[_Piece], row: int) -> list[int]:
    return [piece.widths if isinstance(piece.widths, int) else int(piece.widths[row]) for piece in pieces]
