"""The checksums of S3: MD5, CRC32, CRC32C, CRC64NVME, SHA1 and SHA256, fed piece by piece.

Python has no CRC32C; a byte-by-byte table runs at about 5 MB/s. A CRC is linear over GF(2), so a
buffer is cut into lanes whose registers NumPy advances together, two bytes a step, and the lanes are
then joined pairwise with the operator "append n zero bytes".
"""

from __future__ import annotations

import base64
import hashlib
import zlib
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Protocol

import numpy as np

from airflow_ll.local.s3.errors import S3Error

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["ALGORITHMS", "Checksum", "Hasher", "combined", "composite", "hasher"]

_LANE = 128
_POLYNOMIALS = {  # reflected
    "CRC32": (32, 0xEDB88320),
    "CRC32C": (32, 0x82F63B78),
    "CRC64NVME": (64, 0x9A6C9329AC4BC9B5),
}
ALGORITHMS = ("CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256")


class Hasher(Protocol):
    """What :mod:`hashlib` objects can do, as far as it is used here."""

    def update(self, data: bytes, /) -> None: ...
    def digest(self) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Checksum:
    """A checksum kept with an object: base64 text, for ``COMPOSITE`` ending in ``-<number of parts>``."""

    algorithm: str
    value: str
    kind: str = "FULL_OBJECT"

    @classmethod
    def of_digest(cls, algorithm: str, digest: bytes) -> Checksum:
        """Return the checksum of a whole object."""
        return cls(algorithm, base64.b64encode(digest).decode())

    @property
    def header(self) -> str:
        """The header that carries it."""
        return f"x-amz-checksum-{self.algorithm.lower()}"


class _Crc:
    """The operators of one polynomial, as tables."""

    def __init__(self, bits: int, polynomial: int) -> None:
        self.bits, self.ones = bits, (1 << bits) - 1
        self.dtype = np.dtype(f"<u{bits // 8}")
        step = np.arange(1 << 16, dtype=self.dtype)
        for _ in range(16):
            step = (step >> self.dtype.type(1)) ^ ((step & self.dtype.type(1)) * self.dtype.type(polynomial))
        self.step = step  # the register after two bytes, by its low 16 bits
        one = [int(step[(1 << i) << 8 & 0xFFFF]) if i < 8 else 1 << (i - 8) for i in range(bits)]
        self._shifts = [self._tables(one)]  # [k]: append 2**k zero bytes

    def _tables(self, images: Sequence[int]) -> NDArray[np.unsignedinteger]:
        """Return byte-wise tables, shape (bits / 8, 256), of the operator with these images of single bits."""
        tables = np.zeros((self.bits // 8, 256), self.dtype)
        for i, image in enumerate(images):
            chosen = (np.arange(256) >> (i % 8)) & 1 == 1
            tables[i // 8, chosen] ^= self.dtype.type(image)
        return tables

    def _shift(self, registers: NDArray[np.unsignedinteger], k: int) -> NDArray[np.unsignedinteger]:
        while len(self._shifts) <= k:
            units = self.dtype.type(1) << np.arange(self.bits, dtype=self.dtype)
            last = len(self._shifts) - 1
            self._shifts.append(self._tables([int(image) for image in self._shift(self._shift(units, last), last)]))
        out = np.zeros_like(registers)
        for byte, table in enumerate(self._shifts[k]):
            out ^= table[(registers >> self.dtype.type(8 * byte)) & self.dtype.type(0xFF)]
        return out

    def append_zeros(self, register: int, count: int) -> int:
        """Return the register after ``count`` zero bytes."""
        registers = np.array([register], self.dtype)
        for k in range(count.bit_length()):
            if count >> k & 1:
                registers = self._shift(registers, k)
        return int(registers[0])

    def of_bytes(self, data: bytes) -> int:
        """Return the register that starts at zero after ``data``."""
        lanes = 1 << max(0, -(-len(data) // _LANE) - 1).bit_length()
        padded = np.zeros(lanes * _LANE, np.uint8)  # leading zeros leave a zero register alone
        padded[padded.size - len(data) :] = np.frombuffer(data, np.uint8)
        words = np.ascontiguousarray(padded.view("<u2").reshape(lanes, _LANE // 2).T)
        registers = np.zeros(lanes, self.dtype)
        for word in words:
            registers = self.step[(registers ^ word) & self.dtype.type(0xFFFF)] ^ (registers >> self.dtype.type(16))
        k = _LANE.bit_length() - 1
        while registers.size > 1:
            registers = self._shift(registers[0::2], k) ^ registers[1::2]
            k += 1
        return int(registers[0])


@cache
def _crc(algorithm: str) -> _Crc:
    return _Crc(*_POLYNOMIALS[algorithm])


class _LaneCrc:
    def __init__(self, algorithm: str) -> None:
        self._crc = _crc(algorithm)
        self._register = self._crc.ones

    def update(self, data: bytes, /) -> None:
        view = memoryview(data)
        for start in range(0, len(view), 1 << 20):
            piece = bytes(view[start : start + (1 << 20)])
            self._register = self._crc.append_zeros(self._register, len(piece)) ^ self._crc.of_bytes(piece)

    def digest(self) -> bytes:
        return (self._register ^ self._crc.ones).to_bytes(self._crc.bits // 8, "big")


class _ZlibCrc:
    def __init__(self) -> None:
        self._value = 0

    def update(self, data: bytes, /) -> None:
        self._value = zlib.crc32(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(4, "big")


def hasher(algorithm: str) -> Hasher:
    """Return a fresh hasher of one of :data:`ALGORITHMS`; S3 refuses the others."""
    match algorithm:
        case "CRC32":
            return _ZlibCrc()
        case "CRC32C" | "CRC64NVME":
            return _LaneCrc(algorithm)
        case "SHA1":
            return hashlib.sha1(usedforsecurity=False)
        case "SHA256":
            return hashlib.sha256()
    raise S3Error("InvalidRequest", f"Checksum algorithm {algorithm} is not one of {', '.join(ALGORITHMS)}")


def composite(algorithm: str, digests: Sequence[bytes]) -> Checksum:
    """Return the checksum of the parts' checksums."""
    outer = hasher(algorithm)
    outer.update(b"".join(digests))
    return Checksum(algorithm, f"{base64.b64encode(outer.digest()).decode()}-{len(digests)}", "COMPOSITE")


def combined(algorithm: str, parts: Sequence[tuple[bytes, int]]) -> Checksum:
    """Return the checksum of the whole from (digest, size) of its parts; CRCs only."""
    if algorithm not in _POLYNOMIALS:
        raise S3Error(
            "InvalidRequest", f"The FULL_OBJECT checksum type cannot be used with the {algorithm} checksum algorithm."
        )
    crc, value = _crc(algorithm), 0
    for digest, size in parts:
        value = crc.append_zeros(value, size) ^ int.from_bytes(digest, "big")
    return Checksum.of_digest(algorithm, value.to_bytes(crc.bits // 8, "big"))
