"""Cut a stream of rows into shards: as many as training instances, or of about the same number of bytes."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from airflow_ll.exceptions import DataError
from airflow_ll.records.encoder import encode_records
from airflow_ll.records.matrices import is_sparse
from airflow_ll.records.record_sets import shard_bounds
from airflow_ll.records.staging import RowFile

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from os import PathLike

    from numpy.typing import NDArray

    from airflow_ll.records.batches import Batch

_SPARSE_OVERHEAD = 40
_VARINT_STEPS = (1 << 7, 1 << 14, 1 << 21, 1 << 28)


@dataclass(frozen=True)
class ShardPlan:
    """Where one shard ends and the next begins. It follows from the rows alone, not from how they are batched.

    Attributes
    ----------
    target_bytes
        A shard ends before it has more bytes than these; one row is the least.
    count
        How many shards instead: equal shares of rows, the last takes the rest (``shard_bounds``).
    """

    target_bytes: int = 64 << 20
    count: int | None = None

    def __post_init__(self) -> None:
        """Refuse plans that no rows fit."""
        if self.target_bytes < 1:
            raise DataError(f"target_bytes must be at least 1, but is {self.target_bytes}.")
        if self.count is not None and self.count < 1:
            raise DataError(f"The number of shards must be at least 1, but is {self.count}.")

    def assign(
        self, batches: Iterable[Batch], rows: int | None = None, *, directory: str | PathLike[str] | None = None
    ) -> Iterator[tuple[int, Batch]]:
        """Yield each batch with its shard's number, in order, cut where a shard ends.

        Parameters
        ----------
        batches
            All rows.
        rows
            How many they are. A plan by ``count`` needs to know: it sets the rows aside on disk and counts them when
            this is None.
        directory
            Where it sets them aside; None: the system's folder for temporary files.

        Raises
        ------
        DataError
            There are fewer rows than shards, or not as many as ``rows`` says.
        """
        if self.count is None:
            yield from self._by_size(batches)
        elif rows is not None:
            yield from _by_bounds(batches, shard_bounds(rows, self.count))
        else:
            with tempfile.TemporaryDirectory(prefix="airflow-ll-shards-", dir=directory) as folder:
                file, total = RowFile(Path(folder, "rows")), 0
                for batch in batches:
                    file.append(batch)
                    total += len(batch)
                yield from _by_bounds((batch for batch, _ in file.read()), shard_bounds(total, self.count))

    def _by_size(self, batches: Iterable[Batch]) -> Iterator[tuple[int, Batch]]:
        shard, filled = 0, 0
        for batch in batches:
            ends = np.cumsum(record_sizes(batch))
            first = 0
            while first < len(batch):
                before = int(ends[first - 1]) if first else 0
                last = int(np.searchsorted(ends, before + self.target_bytes - filled, side="right"))
                if last == first and not filled:
                    last = first + 1  # a row larger than a shard
                if last > first:
                    yield shard, batch.take(slice(first, last))
                    filled += int(ends[last - 1]) - before
                if last < len(batch):
                    shard, filled = shard + 1, 0
                first = last


def record_sizes(batch: Batch) -> NDArray[np.int64]:
    """Return the bytes of each row's record (n,); of sparse rows about."""
    features = batch.features
    if not is_sparse(features):
        label = None if batch.labels is None else np.zeros(1, np.float32)
        size = len(encode_records(np.zeros((1, batch.feature_dim), np.float32), label))
        return np.full(len(batch), size, np.int64)
    return _sparse_sizes(features)


def _sparse_sizes(features: Any) -> NDArray[np.int64]:
    """Return the bytes of each row's numbers, keys as varints, and what is around them."""
    keys = 1 + sum((features.indices >= step).astype(np.int64) for step in _VARINT_STEPS)
    total = np.concatenate([[0], np.cumsum(keys + 4)])
    return np.asarray(np.diff(total[features.indptr]) + _SPARSE_OVERHEAD, np.int64)


def _by_bounds(batches: Iterable[Batch], bounds: list[tuple[int, int]]) -> Iterator[tuple[int, Batch]]:
    shard, place = 0, 0
    for batch in batches:
        first = 0
        while first < len(batch):
            if shard == len(bounds):
                raise DataError(f"There are more rows than the {bounds[-1][1]} that were announced.")
            last = min(len(batch), first + bounds[shard][1] - place)
            yield shard, batch.take(slice(first, last))
            place += last - first
            first = last
            shard += place == bounds[shard][1]
    if place != bounds[-1][1]:
        raise DataError(f"There are {place} rows, fewer than the {bounds[-1][1]} that were announced.")
