"""Cut RecordIO bytes into blocks of whole records, never trusting a length."""

from __future__ import annotations

from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, Protocol

import numpy as np

from airflow_ll.exceptions import RecordFormatError
from airflow_ll.records.wire import HEADER_BYTES, MAGIC, MAX_PAYLOAD

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

BLOCK_BYTES = 1 << 20


@dataclass(frozen=True)
class Block:
    """Whole framed records: ``data``, where each starts in it, its payload's length, and the source's ``offset``."""

    data: memoryview
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]
    offset: int

    def __len__(self) -> int:
        """Return the number of records."""
        return len(self.starts)

    def payload(self, index: int) -> memoryview:
        """Return the bytes of the ``Record`` message number ``index``."""
        start = int(self.starts[index]) + HEADER_BYTES
        return self.data[start : start + int(self.lengths[index])]

    def position(self, index: int) -> int:
        """Return the offset in the source of record number ``index``, for messages."""
        return self.offset + int(self.starts[index])


def iter_blocks(source: bytes | bytearray | memoryview | IO[bytes], block_bytes: int = BLOCK_BYTES) -> Iterator[Block]:
    """Yield the records of ``source`` in blocks of about ``block_bytes``; bytes in memory are not copied.

    Memory is bounded by a few times ``block_bytes`` or the largest record that the source really has: a length that
    promises more is read towards in steps, until the source ends.

    Raises
    ------
    RecordFormatError
        A record has no magic number, continues in another frame, or is cut off; the message names its offset.
    """
    window: _Window = _Memory(source) if isinstance(source, (bytes, bytearray, memoryview)) else _Stream(source)
    offset = 0
    size = block_bytes
    while data := window.peek(size):
        starts, lengths, end = _whole_records(data, offset)
        if end:
            yield Block(data[:end], starts, lengths, offset)
            window.skip(end)
            offset += end
            stride = end - int(starts[-1])
            size = max(stride, block_bytes - block_bytes % stride)  # rows of one length leave no rest to copy
        elif len(data) < size:
            raise _truncated(data, offset)
        else:
            size *= 2


class _Window(Protocol):
    def peek(self, size: int) -> memoryview:
        """Return the next ``size`` bytes, or all that are left when those are fewer."""

    def skip(self, size: int) -> None:
        """Move on by ``size`` bytes that were peeked at."""


class _Memory:
    def __init__(self, source: bytes | bytearray | memoryview) -> None:
        self._rest = memoryview(source).cast("B")

    def peek(self, size: int) -> memoryview:
        return self._rest[:size]

    def skip(self, size: int) -> None:
        self._rest = self._rest[size:]


class _Stream:
    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._rest = memoryview(b"")

    def peek(self, size: int) -> memoryview:
        parts = [self._rest]
        missing = size - len(self._rest)
        while missing > 0 and (part := self._stream.read(missing)):
            parts.append(memoryview(part))
            missing -= len(part)
        parts = [part for part in parts if len(part)]
        if len(parts) > 1 or missing < 0:
            self._rest = memoryview(b"".join(parts))
        elif parts:
            self._rest = parts[0]
        return self._rest[:size]

    def skip(self, size: int) -> None:
        self._rest = self._rest[size:]


def _whole_records(data: memoryview, offset: int) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
    """Return starts and payload lengths of the whole records at the front of ``data``, and where they end, in bytes."""
    words = np.frombuffer(data, "<u4", len(data) // 4)
    if len(words) < 2:
        return np.empty(0, np.int64), np.empty(0, np.int64), 0
    starts, lengths = _equal(words)
    if not len(starts):
        starts, lengths = _chained(words)
    if not len(starts):
        starts, lengths = _walk(words, offset)
    ends = starts + _words(lengths)
    whole = int(np.searchsorted(ends, len(words), side="right"))
    end = int(ends[whole - 1]) if whole else 0
    _check_magic(words, end, offset)
    return starts[:whole] * 4, lengths[:whole], end * 4


def _equal(words: NDArray[np.uint32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Find records of one length, looking at their headers only; nothing when the lengths differ."""
    length = int(words[1])
    stride = int(_words(length))
    count = len(words) // stride if length <= MAX_PAYLOAD else 0
    headers = words[: count * stride].reshape(count, stride)[:, :2]
    if not ((headers[:, 0] == MAGIC) & (headers[:, 1] == length)).all():
        count = 0
    return np.arange(count, dtype=np.int64) * stride, np.full(count, length, np.int64)


def _chained(words: NDArray[np.uint32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Find records by their magic numbers; nothing when those do not follow one another exactly."""
    starts = np.flatnonzero(words[:-1] == MAGIC)
    lengths = words[starts + 1].astype(np.int64)
    nexts = starts + _words(lengths)
    if not len(starts) or starts[0] or lengths.max() > MAX_PAYLOAD or not np.array_equal(nexts[:-1], starts[1:]):
        return starts[:0], lengths[:0]
    return starts, lengths


def _walk(words: NDArray[np.uint32], offset: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Follow the records one by one: a payload contains the magic number, or there is a fault."""
    found: list[tuple[int, int]] = []
    at = 0
    while at + 1 < len(words):
        _check_magic(words, at, offset)
        length = int(words[at + 1])
        if length > MAX_PAYLOAD:
            raise RecordFormatError(
                f"The record at byte {offset + at * 4} has the length word 0x{length:08x}, that of a record split over "
                f"several frames or of more than {MAX_PAYLOAD} bytes: write every row as one record."
            )
        found.append((at, length))
        at += int(_words(length))
    table: NDArray[Any] = np.array(found, np.int64)
    return table[:, 0], table[:, 1]


def _words(lengths: Any) -> Any:
    """Return how many words records with payloads of ``lengths`` bytes take with header and padding."""
    return (HEADER_BYTES + lengths + 3) // 4


def _check_magic(words: NDArray[np.uint32], at: int, offset: int) -> None:
    if at < len(words) and words[at] != MAGIC:
        raise RecordFormatError(
            f"There is no RecordIO record at byte {offset + at * 4}: expected the magic number 0x{MAGIC:08x}, got "
            f"0x{int(words[at]):08x}."
        )


def _truncated(data: memoryview, offset: int) -> RecordFormatError:
    needs = HEADER_BYTES
    if len(data) >= HEADER_BYTES:
        needs = 4 * int(_words(int.from_bytes(data[4:8], "little")))
    return RecordFormatError(
        f"The record at byte {offset} is cut off: it needs {needs} bytes, but only {len(data)} are left."
    )
