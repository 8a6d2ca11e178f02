"""The bytes of RecordIO-protobuf that every module here shares: framing words, tags, varints.

One record is ``<u4 magic><u4 length><payload><zero padding to 4 bytes>``, little-endian, where the
payload is one ``Record`` message (``record.proto``) and ``length`` excludes the padding.

Source: "Common data formats for training" and "for inference", Amazon SageMaker developer guide;
protobuf's "Encoding" page for tags and varints.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

MAGIC = 0xCED7230A
HEADER_BYTES = 8
#: The upper three bits of the length word mark a record continued in the next frame, which SageMaker does not use.
MAX_PAYLOAD = 2**29 - 1

#: Field numbers of ``Record``, of the tensors, and of the tensors in ``Value``; the key of our map entries.
FEATURES, LABEL = 1, 2
VALUES, KEYS, SHAPE = 1, 2, 3
TENSOR_FIELD: dict[np.dtype[Any], int] = {np.dtype("<f4"): 2, np.dtype("<f8"): 3, np.dtype("<i4"): 7}
NAME = b"\n\x06values"

_LENGTH_DELIMITED = 2


def tag(number: int) -> bytes:
    """Return the tag of the length-delimited field ``number``."""
    return bytes([number << 3 | _LENGTH_DELIMITED])


def varint(value: int) -> bytes:
    """Return ``value`` (>= 0) as a varint: seven bits a byte, the lowest first, the top bit marks that more follow."""
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)


def field(number: int, content: bytes) -> bytes:
    """Return one length-delimited field."""
    return tag(number) + varint(len(content)) + content


def packed(number: int, content: bytes) -> bytes:
    """Return a packed repeated field, which is left out when it is empty."""
    return field(number, content) if content else b""


def frame(payload: bytes) -> bytes:
    """Return ``payload`` framed as one RecordIO record."""
    header = MAGIC.to_bytes(4, "little") + len(payload).to_bytes(4, "little")
    return header + payload + bytes(-len(payload) % 4)


def word_pieces(size: int) -> Iterator[tuple[int, int]]:
    """Cut ``size`` bytes into (offset, size) of words of 8, 4, 2 and 1 bytes."""
    offset = 0
    while offset < size:
        width = 1 << min(3, (size - offset).bit_length() - 1)
        yield offset, width
        offset += width
