"""Data channels: rows that can be gone through again and again, kept in memory when they fit the job's budget."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np

from airflow_ll.exceptions import DataError
from airflow_ll.learner.blocks import is_sparse
from airflow_ll.learner.files import ChannelFiles, ChannelPipe

if TYPE_CHECKING:
    import hashlib
    from collections.abc import Iterable
    from pathlib import Path

    from numpy.typing import NDArray

    from airflow_ll.hyperparameters import LinearLearnerHyperparameters
    from airflow_ll.learner.blocks import Block

__all__ = ["CACHE_BYTES", "CACHE_VARIABLE", "Channel", "Memory", "read_channel"]

#: What a job keeps of its data in memory at most, in bytes, and the environment variable that sets another limit.
CACHE_BYTES = 2 << 30
CACHE_VARIABLE = "AIRFLOW_LL_CACHE_BYTES"


class Memory:
    """How many bytes of data a job may still keep.

    Parameters
    ----------
    size : int, optional
        The budget; by default what the environment says, else `CACHE_BYTES`.

    Raises
    ------
    DataError
        The environment's limit is not a number.
    """

    def __init__(self, size: int | None = None) -> None:
        self._left = _budget() if size is None else size

    def reserve(self, size: int) -> bool:
        """Take ``size`` bytes if that many are left."""
        if size > self._left:
            return False
        self._left -= size
        return True

    def release(self, size: int) -> None:
        """Give ``size`` bytes back."""
        self._left += size


def _budget() -> int:
    given = os.environ.get(CACHE_VARIABLE, str(CACHE_BYTES))
    if not given.isdecimal():
        raise DataError(f"The environment variable {CACHE_VARIABLE} must be a number of bytes, but is {given!r}.")
    return int(given)


class Channel:
    """All rows of a channel, in the order of the files' names and of the records in them.

    They are read, and checked, once to begin with. What does not fit the memory is read again each time.

    Parameters
    ----------
    name : str
        ``train``, ``validation`` or ``test``.
    source : Iterable[Block]
        Reads at least one block, the same ones each time it is iterated over; all but the last have whole
        mini-batches.
    memory : Memory
        What the rows are taken out of when they are kept.
    digest : optional
        One of hashlib's, which takes all rows when they are first read.

    Attributes
    ----------
    labels : ndarray of float32
        (n,), always kept.
    feature_dim : int
        The number of features.
    nbytes : int
        What the features take, or would take, in memory.
    sparse : bool
        Whether there are sparse rows.
    kinds : set of str
        The dtypes of the tensors that the rows came in, where they are known.
    """

    def __init__(self, name: str, source: Iterable[Block], memory: Memory, digest: hashlib._Hash | None = None) -> None:
        self.name, self._source, self.feature_dim, self.nbytes, self.sparse = name, source, 0, 0, False
        self.kinds: set[str] = source.kinds if isinstance(source, ChannelFiles) else set()
        kept: list[Block] | None = []
        labels: list[NDArray[np.float32]] = []
        for block in source:
            self.feature_dim = int(block.features.shape[1])
            self.sparse = self.sparse or is_sparse(block.features)
            labels.append(block.labels)
            if digest is not None:
                block.feed(digest)
            if kept is not None and memory.reserve(block.nbytes):
                kept.append(block)
            elif kept is not None:
                memory.release(self.nbytes)
                kept = None
            self.nbytes += block.nbytes
        self._kept = kept
        self.labels = np.concatenate(labels)

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.labels)

    def blocks(self) -> Iterable[Block]:
        """Return all rows, block by block."""
        return self._source if self._kept is None else self._kept


def read_channel(
    directory: Path,
    name: str,
    content_type: str | None,
    hp: LinearLearnerHyperparameters,
    feature_dim: int | None = None,
    memory: Memory | None = None,
    digest: hashlib._Hash | None = None,
    *,
    pipe: bool = False,
) -> Channel:
    """Read and check a channel, from a ``pipe`` or from files.

    Parameters and errors are those of `ChannelFiles`; ``memory`` and ``digest`` are as of `Channel`.
    """
    source = (ChannelPipe if pipe else ChannelFiles)(directory, name, content_type, hp, feature_dim)
    return Channel(name, source, Memory() if memory is None else memory, digest)
