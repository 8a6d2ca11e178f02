"""Input objects of transform jobs as records, and records as the bodies of requests."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, BinaryIO

from airflow_ll.local.s3.checksums import hasher
from airflow_ll.local.s3_data import CustomerDataError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["batches", "records"]

_RECORD_IO = struct.Struct("<II")
_RECORD_IO_MAGIC = 0xCED7230A
_TF_LENGTH = struct.Struct("<Q")
_TF_CHECKSUM = struct.Struct("<I")


def records(source: BinaryIO, split_type: str, *, single: bool = False) -> Iterator[bytes]:
    """Yield the records of an input object: lines, frames of RecordIO or TFRecord, or the whole of it.

    A TFRecord loses its frame when it is sent alone (``single``), as SageMaker documents. A RecordIO record keeps it
    always: the frame is a part of LinearLearner's content type.

    :raises CustomerDataError: it is not what ``split_type`` says.
    """
    if split_type == "Line":
        for line in source:
            yield line if line.endswith(b"\n") else line + b"\n"
    elif split_type == "RecordIO":
        yield from _record_io(source)
    elif split_type == "TFRecord":
        yield from _tf_records(source, framed=not single)
    else:
        yield source.read()


def _record_io(source: BinaryIO) -> Iterator[bytes]:
    while header := source.read(_RECORD_IO.size):
        magic, length = _RECORD_IO.unpack(header) if len(header) == _RECORD_IO.size else (0, 0)
        body = source.read(length + -length % 4)
        if magic != _RECORD_IO_MAGIC or len(body) < length:
            raise CustomerDataError(f"the data before offset {source.tell()} is not RecordIO")
        yield header + body


def _tf_records(source: BinaryIO, *, framed: bool) -> Iterator[bytes]:
    size = _TF_LENGTH.size
    while header := source.read(size + _TF_CHECKSUM.size):
        if len(header) < size + _TF_CHECKSUM.size or header[size:] != _masked_crc(header[:size]):
            raise CustomerDataError(f"the data before offset {source.tell()} is not TFRecord")
        (length,) = _TF_LENGTH.unpack(header[:size])
        data, checksum = source.read(length), source.read(_TF_CHECKSUM.size)
        if checksum != _masked_crc(data):
            raise CustomerDataError(f"the TFRecord before offset {source.tell()} is damaged: its checksum differs")
        yield header + data + checksum if framed else data


def _masked_crc(data: bytes) -> bytes:
    """Return TFRecord's checksum: CRC-32C, rotated and shifted."""
    crc32c = hasher("CRC32C")
    crc32c.update(data)
    value = int.from_bytes(crc32c.digest(), "big")
    return _TF_CHECKSUM.pack((((value >> 15) | (value << 17)) + 0xA282EAD8) & 0xFFFFFFFF)


def batches(items: Iterable[bytes], *, single: bool, max_bytes: int) -> Iterator[bytes]:
    """Group records into request bodies of at most ``max_bytes``, or one record each when ``single``.

    :raises CustomerDataError: one record alone is larger.
    """
    waiting: list[bytes] = []
    size = 0
    for item in items:
        if len(item) > max_bytes:
            raise CustomerDataError(
                f"a record of {len(item)} bytes is larger than MaxPayloadInMB ({max_bytes >> 20} MB)"
            )
        if waiting and (single or size + len(item) > max_bytes):
            yield b"".join(waiting)
            waiting, size = [], 0
        waiting.append(item)
        size += len(item)
    if waiting:
        yield b"".join(waiting)
