"""Cut a stream of RecordIO bytes into blocks of whole records, never trusting a length."""

from __future__ import annotations

from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from airflow_ll.exceptions import RecordFormatError
from airflow_ll.records.wire import HEADER_BYTES, MAGIC, MAX_PAYLOAD

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

BLOCK_BYTES = 1 << 20


@dataclass(frozen=True)
class Block:
    """Whole framed records: ``data``, where each one starts in it, its payload's length, and the stream's offset."""

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
        """Return the offset in the stream of record number ``index``, for messages."""
        return self.offset + int(self.starts[index])


def iter_blocks(stream: IO[bytes], block_bytes: int = BLOCK_BYTES) -> Iterator[Block]:
    """Yield the records of ``stream`` in blocks of about ``block_bytes``.

    Memory is bounded by ``block_bytes`` and twice the largest record that the stream really has: a length that
    promises more is read towards in steps, until the stream ends.

    Raises
    ------
    RecordFormatError
        A record has no magic number, continues in another frame, or is cut off; the message names its offset.
    """
    pending = bytearray()
    offset = 0
    wanted = block_bytes
    while True:
        read = _fill(stream, pending, wanted)
        starts, lengths, end = _complete_records(pending, offset)
        if end:
            data = memoryview(bytes(pending[:end]) if end < len(pending) else bytes(pending))
            yield Block(data, starts, lengths, offset)
            del pending[:end]
            offset += end
            wanted = block_bytes
        elif read:
            wanted = max(block_bytes, len(pending))
        if not read:
            break
    if pending:
        raise _truncated(pending, offset)


def _fill(stream: IO[bytes], pending: bytearray, wanted: int) -> int:
    """Append up to ``wanted`` bytes of ``stream`` to ``pending``; return how many there were."""
    before = len(pending)
    while len(pending) - before < wanted:
        part = stream.read(wanted - (len(pending) - before))
        if not part:
            break
        pending += part
    return len(pending) - before


def _complete_records(pending: bytearray, offset: int) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
    """Return the starts and lengths of the complete records at the front of ``pending``, and where they end."""
    words = np.frombuffer(bytes(pending[: len(pending) // 4 * 4]), "<u4")
    starts = np.flatnonzero(words[:-1] == MAGIC) if len(words) else np.empty(0, np.int64)
    lengths = words[starts + 1].astype(np.int64)
    ends = starts + HEADER_BYTES // 4 + (lengths + 3) // 4
    chained = len(starts) and starts[0] == 0 and np.array_equal(ends[:-1], starts[1:]) and lengths.max() <= MAX_PAYLOAD
    if not chained:  # a payload that contains the magic number, or a fault
        starts, lengths, ends = _walk(words, offset)
    complete = ends <= len(words)
    starts, lengths, ends = starts[complete], lengths[complete], ends[complete]
    if len(ends):
        _check_word(words, int(ends[-1]), offset)
    return starts * 4, lengths, int(ends[-1]) * 4 if len(ends) else 0


def _walk(words: NDArray[np.uint32], offset: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Follow the records one by one."""
    found: list[tuple[int, int, int]] = []
    at = 0
    while at + 1 < len(words):
        _check_word(words, at, offset)
        length = int(words[at + 1])
        if length > MAX_PAYLOAD:
            raise RecordFormatError(
                f"The record at byte {offset + at * 4} has the length word 0x{length:08x}, that of a record split over "
                f"several frames or of more than {MAX_PAYLOAD} bytes: write every row as one record."
            )
        end = at + HEADER_BYTES // 4 + (length + 3) // 4
        found.append((at, length, end))
        at = end
    _check_word(words, at, offset)
    table: NDArray[Any] = np.array(found, np.int64).reshape(-1, 3)
    return table[:, 0], table[:, 1], table[:, 2]


def _check_word(words: NDArray[np.uint32], at: int, offset: int) -> None:
    if at < len(words) and words[at] != MAGIC:
        raise RecordFormatError(
            f"There is no RecordIO record at byte {offset + at * 4}: expected the magic number 0x{MAGIC:08x}, got "
            f"0x{int(words[at]):08x}."
        )


def _truncated(pending: bytearray, offset: int) -> RecordFormatError:
    needs = HEADER_BYTES
    if len(pending) >= HEADER_BYTES:
        needs += (int.from_bytes(pending[4:8], "little") + 3) // 4 * 4
    return RecordFormatError(
        f"The record at byte {offset} is cut off: it needs {needs} bytes, but only {len(pending)} are left."
    )
