"""Blocks of rows, the unit in which data moves: cut and joined without making sparse rows dense."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from airflow_ll.extras import require

if TYPE_CHECKING:
    import hashlib
    from collections.abc import Iterable, Iterator
    from typing import Any

    from numpy.typing import NDArray

__all__ = ["Block", "Stopped", "is_sparse", "regroup", "spans"]

_SPAN = 65_536


class Stopped(Exception):  # noqa: N818 - a request, not an error
    """The job was asked to end while it goes through its rows."""


def is_sparse(features: Any) -> bool:
    """Return whether a matrix is scipy's, without importing scipy."""
    return hasattr(features, "tocsr")


def spans(rows: int, width: int = 1) -> Iterator[slice]:
    """Cut rows of ``width`` numbers into slices of at most 65,536 numbers, or of one row.

    What is calculated for all of them needs memory for one slice only.
    """
    step = max(1, _SPAN // width)
    for start in range(0, rows, step):
        yield slice(start, min(rows, start + step))


@dataclass(frozen=True, eq=False)
class Block:
    """Rows: ``features`` (n, d), ndarray of float32 or scipy CSR of float32, and ``labels`` (n,) of float32."""

    features: Any
    labels: NDArray[np.float32]

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.labels)

    def __getitem__(self, rows: slice) -> Block:
        """Return the rows from ``rows.start`` to ``rows.stop``; dense ones are not copied."""
        if rows.indices(len(self)) == (0, len(self), 1):
            return self
        return Block(self.features[rows], self.labels[rows])

    @property
    def nbytes(self) -> int:
        """The bytes that the features take."""
        rows = self.features
        return int(rows.data.nbytes + rows.indices.nbytes + rows.indptr.nbytes if is_sparse(rows) else rows.nbytes)

    def feed(self, digest: hashlib._Hash) -> None:
        """Give all of its numbers to one of hashlib's digests."""
        rows = self.features
        for part in (*((rows.data, rows.indices, rows.indptr) if is_sparse(rows) else (rows,)), self.labels):
            digest.update(np.ascontiguousarray(part).data)


def regroup(blocks: Iterable[Block], rows: int) -> Iterator[Block]:
    """Yield the same rows in blocks of ``rows`` rows; the last one may have fewer. One sparse row makes a block CSR."""
    waiting: list[Block] = []
    count = 0
    for arrived in blocks:
        block = arrived
        while count + len(block) >= rows:
            yield _join([*waiting, block[: rows - count]])
            block = block[rows - count :]
            waiting, count = [], 0
        if len(block):
            waiting.append(block)
            count += len(block)
    if waiting:
        yield _join(waiting)


def _join(blocks: list[Block]) -> Block:
    if len(blocks) == 1:
        return blocks[0]
    labels = np.concatenate([block.labels for block in blocks])
    parts = [block.features for block in blocks]
    if not any(is_sparse(part) for part in parts):
        return Block(np.concatenate(parts), labels)
    sparse = require("scipy.sparse", extra="sparse", purpose="Sparse records")
    return Block(sparse.vstack([sparse.csr_matrix(part) for part in parts], format="csr"), labels)
