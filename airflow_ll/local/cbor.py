"""CBOR (RFC 8949) for what the Smithy RPC protocol sends: JSON's values, byte strings and integers.

botocore speaks it with services whose model names ``smithy-rpc-v2-cbor`` first. Tags are read and dropped: the
services that are answered with it have no timestamps.
"""

from __future__ import annotations

import struct
from typing import Any

from airflow_ll.local.errors import SerializationError

__all__ = ["decode", "encode"]

_UNSIGNED, _NEGATIVE, _BYTES, _TEXT, _ARRAY, _MAP, _TAG, _OTHER = range(8)
_INDEFINITE, _BREAK = 31, 0xFF
_SIMPLE = {20: False, 21: True, 22: None, 23: None}
_FLOATS = {25: (">e", 2), 26: (">f", 4), 27: (">d", 8)}
_MAX_DEPTH = 100


def encode(value: Any) -> bytes:
    """Write a value of None, bool, int, float, str, bytes, list and dict."""
    if value is None:
        return b"\xf6"
    if isinstance(value, bool):
        return b"\xf5" if value else b"\xf4"
    if isinstance(value, int):
        return _head(_UNSIGNED, value) if value >= 0 else _head(_NEGATIVE, -1 - value)
    if isinstance(value, float):
        return b"\xfb" + struct.pack(">d", value)
    if isinstance(value, bytes):
        return _head(_BYTES, len(value)) + value
    if isinstance(value, str):
        text = value.encode()
        return _head(_TEXT, len(text)) + text
    if isinstance(value, list):
        return _head(_ARRAY, len(value)) + b"".join(map(encode, value))
    pairs = (encode(part) for pair in value.items() for part in pair)
    return _head(_MAP, len(value)) + b"".join(pairs)


def _head(major: int, argument: int) -> bytes:
    if argument < 24:
        return bytes([major << 5 | argument])
    for code, (layout, size) in enumerate(((">B", 1), (">H", 2), (">I", 4), (">Q", 8)), 24):
        if argument < 1 << 8 * size:
            return bytes([major << 5 | code]) + struct.pack(layout, argument)
    raise OverflowError(f"{argument} does not fit into 64 bits")


def decode(data: bytes) -> Any:
    """Read one value.

    :raises SerializationError: the bytes are not one.
    """
    reader = _Reader(data)
    try:
        value = reader.value(0)
    except (IndexError, struct.error, UnicodeDecodeError, KeyError, TypeError) as error:
        raise SerializationError(f"The request body is not CBOR: {error}") from error
    if reader.offset != len(data):
        raise SerializationError(f"The request body is not CBOR: {len(data) - reader.offset} bytes are left over.")
    return value


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data, self.offset = data, 0

    def value(self, depth: int) -> Any:
        """Read the value at the offset."""
        if depth > _MAX_DEPTH:
            raise KeyError("too many levels")
        major, code = divmod(self._take(1)[0], 32)
        if major == _OTHER:
            return self._other(code)
        size = None if code == _INDEFINITE else self._argument(code)
        if major in (_UNSIGNED, _NEGATIVE, _TAG):
            if size is None:
                raise KeyError("a number of indefinite length")
            return size if major == _UNSIGNED else -1 - size if major == _NEGATIVE else self.value(depth + 1)
        if major in (_BYTES, _TEXT):
            joined = self._take(size) if size is not None else b"".join(self._chunks(major))
            return joined if major == _BYTES else joined.decode()
        if major == _ARRAY:
            return [self.value(depth + 1) for _ in self._items(size)]
        return {self._key(depth): self.value(depth + 1) for _ in self._items(size)}

    def _key(self, depth: int) -> str:
        key = self.value(depth + 1)
        if not isinstance(key, str):
            raise TypeError("a key that is no text")
        return key

    def _other(self, code: int) -> Any:
        if code in _FLOATS:
            layout, size = _FLOATS[code]
            return struct.unpack(layout, self._take(size))[0]
        return _SIMPLE[code]

    def _items(self, size: int | None) -> Any:
        """Count the items of an array or map; those of indefinite length end with a break."""
        number = 0
        while number != size:
            if size is None and self._data[self.offset] == _BREAK:
                self.offset += 1
                return
            yield number
            number += 1

    def _chunks(self, major: int) -> Any:
        for _ in self._items(None):
            inner, code = divmod(self._take(1)[0], 32)
            if inner != major or code == _INDEFINITE:
                raise KeyError("a chunk of another type")
            yield self._take(self._argument(code))

    def _argument(self, code: int) -> int:
        if code < 24:
            return code
        return int.from_bytes(self._take({24: 1, 25: 2, 26: 4, 27: 8}[code]))

    def _take(self, size: int) -> bytes:
        if size > len(self._data) - self.offset:
            raise IndexError("it ends early")
        self.offset += size
        return self._data[self.offset - size : self.offset]
