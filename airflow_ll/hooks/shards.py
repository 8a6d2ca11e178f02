"""Cut a stream of rows into shards: by number, as the instances of a training job share them, or by size."""

from __future__ import annotations

import hashlib
import io
import tempfile
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any, Protocol

import numpy as np

from airflow_ll.exceptions import DataError
from airflow_ll.records import shard_bounds, shard_name
from airflow_ll.records.encoder import record_chunks
from airflow_ll.records.framing import iter_blocks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_ll.records.framing import Block

__all__ = ["DEFAULT_SHARD_SIZE", "Bodies", "Cut", "CutByRows", "CutBySize", "Shard", "ShardWriter", "recut"]

DEFAULT_SHARD_SIZE = 64 << 20
_BLOCK_BYTES = 4 << 20  # read at once of what was encoded before
_LARGEST_SHARD = 5 << 40  # of one S3 object
_MANY = 100_000  # shards: more than anybody has, for names of one width


class Bodies:
    """Where shards are kept until they are uploaded: in memory up to a limit, on the local disk beyond it.

    Memory is used again for the next shard: to get new memory takes longer than to fill it.

    :param in_memory: bytes of a shard that are kept in memory; the whole of it goes to a file when it has more.
    """

    def __init__(self, in_memory: int) -> None:
        self.in_memory = in_memory
        self._free: list[IO[bytes]] = []

    def take(self) -> IO[bytes]:
        """Return a body at whose beginning to write; there may be bytes of another shard behind."""
        return self._free.pop() if self._free else tempfile.SpooledTemporaryFile(max_size=self.in_memory)

    def give_back(self, body: IO[bytes]) -> None:
        """Take the body of a shard that is not needed any more."""
        size = body.seek(0, io.SEEK_END)
        if size > self.in_memory:
            body.close()
        else:
            body.seek(0)
            self._free.append(body)

    def close(self) -> None:
        """Let go of the memory."""
        while self._free:
            self._free.pop().close()


@dataclass
class Shard:
    """Encoded rows with their SHA-256."""

    name: str
    bodies: Bodies
    body: IO[bytes]
    rows: int = 0
    size: int = 0
    _hash: Any = field(default_factory=hashlib.sha256, repr=False)

    def write(self, data: memoryview, rows: int) -> None:
        """Append whole records."""
        self.body.write(data)
        self._hash.update(data)
        self.rows += rows
        self.size += len(data)

    @property
    def digest(self) -> str:
        """The SHA-256 of the body, in hexadecimal."""
        return str(self._hash.hexdigest())

    def end(self) -> None:
        """Cut off what is behind the last record, and go to the first."""
        self.body.truncate()
        self.body.seek(0)

    def discard(self) -> None:
        """Give the body back."""
        self.bodies.give_back(self.body)

    def facts(self) -> dict[str, Any]:
        """Return what is kept about the shard, flat JSON."""
        return {"name": self.name, "sha256": self.digest, "bytes": self.size, "rows": self.rows}


class Cut(Protocol):
    """Where a shard ends."""

    def name(self, index: int) -> str:
        """Return the name of shard ``index``."""

    def room(self, index: int, shard: Shard, block: Block, first: int) -> int:
        """Return how many of the block's records from ``first`` on belong to the shard; 0 when it is full."""


@dataclass(frozen=True)
class CutBySize:
    """Shards of at most ``target`` bytes, or of one record when that is larger."""

    target: int = DEFAULT_SHARD_SIZE

    def __post_init__(self) -> None:
        """Refuse a size that S3 has no objects of."""
        if not 1 <= self.target <= _LARGEST_SHARD:
            raise DataError(f"target_shard_size must be 1 byte to 5 TiB, got {self.target}.")

    def name(self, index: int) -> str:
        """Return the name: the number of shards is not known yet."""
        return shard_name(index, _MANY)

    def room(self, index: int, shard: Shard, block: Block, first: int) -> int:
        """Return how many records fit."""
        ends = np.append(block.starts[first + 1 :], len(block.data)) - block.starts[first]
        fit = int(np.searchsorted(ends, self.target - shard.size, side="right"))
        return fit if shard.rows else max(1, fit)


@dataclass(frozen=True)
class CutByRows:
    """``shards`` equal shards of ``total`` rows, the last of which takes the rest."""

    total: int
    shards: int

    def __post_init__(self) -> None:
        """Refuse too few rows before the first one is encoded."""
        shard_bounds(self.total, self.shards)

    def name(self, index: int) -> str:
        """Return the name; rows beyond the total belong to the last shard."""
        return shard_name(index, self.shards)

    def room(self, index: int, shard: Shard, block: Block, first: int) -> int:
        """Return how many rows are missing."""
        left = len(block) - first
        if index >= self.shards - 1:
            return left
        return min(left, self.total // self.shards - shard.rows)


class ShardWriter:
    """Encode rows and cut them.

    :param cut: where shards end.
    :param bodies: where shards are kept.
    """

    def __init__(self, cut: Cut, bodies: Bodies) -> None:
        self.cut, self.bodies = cut, bodies
        self.rows = 0
        self._index = 0
        self._shard: Shard | None = None

    def write(self, features: Any, labels: Any = None) -> Iterator[Shard]:
        """Encode features (rows, feature_dim) and labels; yield the shards that they filled."""
        for chunk in record_chunks(features, labels):
            yield from self.write_encoded(chunk)

    def write_encoded(self, data: bytes | memoryview | IO[bytes]) -> Iterator[Shard]:
        """Cut records that are encoded already; yield the shards that they filled."""
        for block in iter_blocks(data, _BLOCK_BYTES):
            first = 0
            while first < len(block):
                shard = self._open()
                count = self.cut.room(self._index, shard, block, first)
                last = first + count
                end = int(block.starts[last]) if last < len(block) else len(block.data)
                shard.write(block.data[int(block.starts[first]) : end], count)
                self.rows += count
                first = last
                if first < len(block):
                    yield self._close()

    def finish(self) -> Iterator[Shard]:
        """Yield the last shard."""
        if self._shard is not None:
            yield self._close()

    def discard(self) -> None:
        """Drop the shard that is open."""
        if self._shard is not None:
            self._shard.discard()
            self._shard = None

    def _open(self) -> Shard:
        if self._shard is None:
            self._shard = Shard(self.cut.name(self._index), self.bodies, self.bodies.take())
        return self._shard

    def _close(self) -> Shard:
        shard = self._open()
        self._shard = None
        self._index += 1
        shard.end()
        return shard


def recut(writer: ShardWriter, shards: int) -> tuple[ShardWriter, Iterator[Shard]]:
    """Cut what ``writer`` has, one shard on the local disk, into equal shards, now that the number of rows is known.

    :raises DataError: there are fewer rows than shards.
    """
    again = ShardWriter(CutByRows(writer.rows, shards), writer.bodies)

    def cut() -> Iterator[Shard]:
        for whole in writer.finish():
            yield from again.write_encoded(whole.body)
            whole.discard()
        yield from again.finish()

    return again, cut()
