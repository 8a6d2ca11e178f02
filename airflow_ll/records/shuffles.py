"""Shuffle rows in bounded memory: a seeded hash of each row's position is its place in the new order.

What fits the memory is sorted there; what does not is spread over files by the first bits of the hash, each of which is
sorted by itself. Both give the same order, so the result depends on the rows and the seed alone.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from airflow_ll.records.batches import Batch, byte_size, default_batch_rows, joined
from airflow_ll.records.hashes import row_hashes
from airflow_ll.records.splits import check_seed
from airflow_ll.records.staging import RowFile

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from os import PathLike

    from numpy.typing import NDArray

    Numbered = tuple[Batch, NDArray[np.uint64]]
    Ordered = tuple[Batch, NDArray[np.intp]]

#: Keeps the order independent of a split by the same seed.
_PURPOSE = 0x73687566666C65
_BUCKET_BITS = 8
#: Joining rows takes them twice, sorting a batch of them once more.
_COPIES = 3


def shuffle_rows(
    batches: Iterable[Batch],
    *,
    seed: int,
    memory_bytes: int = 256 << 20,
    directory: str | PathLike[str] | None = None,
    batch_rows: int | None = None,
) -> Iterator[Batch]:
    """Yield the rows of all ``batches`` in a random order that the seed decides.

    Parameters
    ----------
    batches
        Rows in an order of their own; their keys are left out.
    seed
        From 0 to 2^64 - 1.
    memory_bytes
        How much memory the rows may take; more of them go through files.
    directory
        Where the files are; None: the system's folder for temporary files. They take as much room as the rows.
    batch_rows
        The rows of a batch that is yielded; None: about 8 MiB of features. It does not change the order.
    """
    check_seed(seed)
    limit = max(1, memory_bytes // _COPIES)
    with tempfile.TemporaryDirectory(prefix="airflow-ll-shuffle-", dir=directory) as folder:
        for batch, order in _sorted(_numbered(batches, seed), Path(folder), limit, 64 - _BUCKET_BITS):
            rows = batch_rows or default_batch_rows(max(1, byte_size(batch) // max(1, len(batch))))
            for first in range(0, len(batch), rows):
                yield batch.take(order[first : first + rows])


def _numbered(batches: Iterable[Batch], seed: int) -> Iterator[Numbered]:
    first = 0
    for batch in batches:
        if len(batch):
            yield batch, row_hashes(np.arange(first, first + len(batch)), seed ^ _PURPOSE)
            first += len(batch)


def _sorted(numbered: Iterable[Numbered], folder: Path, limit: int, shift: int) -> Iterator[Ordered]:
    """Yield rows and their order, by their numbers, whose bits from ``shift`` + 8 on are the same."""
    held: list[Numbered] = []
    rows, size, buckets = 0, 0, None
    for batch, numbers in numbered:
        held.append((batch, numbers))
        rows, size = rows + len(batch), size + byte_size(batch)
        if size > limit and rows > 1 and shift >= 0:
            buckets = buckets or _Buckets(folder, shift)
            buckets.spread(held)
            rows, size = 0, 0
    if buckets is None:
        if held:
            yield _in_order(held)
        return
    if held:
        buckets.spread(held)
        held = []
    for file in buckets.files:
        yield from _sorted(file.read(), folder, limit, shift - _BUCKET_BITS)


class _Buckets:
    """Files by the bits of the numbers from ``shift`` on, in the order of these bits."""

    def __init__(self, folder: Path, shift: int) -> None:
        self._shift = np.uint64(shift)
        inside = Path(tempfile.mkdtemp(dir=folder))
        self.files = [RowFile(inside / str(index)) for index in range(1 << _BUCKET_BITS)]

    def spread(self, held: list[Numbered]) -> None:
        """Append the rows to their files."""
        batch, numbers = _together(held)
        held.clear()
        buckets = (numbers >> self._shift) & np.uint64(len(self.files) - 1)
        order = np.argsort(buckets, kind="stable")
        ends = np.searchsorted(buckets[order], np.arange(len(self.files)), side="right")
        first = 0
        for file, end in zip(self.files, ends.tolist(), strict=True):
            if end > first:
                chosen = order[first:end]
                file.append(batch.take(chosen), numbers[chosen])
            first = end


def _in_order(held: list[Numbered]) -> Ordered:
    batch, numbers = _together(held)
    held.clear()
    return batch, np.argsort(numbers)


def _together(held: list[Numbered]) -> Numbered:
    return joined(batch for batch, _ in held), np.concatenate([numbers for _, numbers in held])
