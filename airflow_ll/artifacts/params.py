"""MXNet's ``.params`` files: a list of named arrays, as ``mx.nd.save`` writes it.

Layout, all little-endian (Apache MXNet 1.x, ``src/ndarray/ndarray.cc``)::

    u64 0x112 | u64 0 | u64 n | n arrays | u64 n | n names (u64 length, bytes)
    array = u32 magic | i32 storage type (0, dense) | u32 ndim | i64 dims[ndim]
          | i32 device type (1, CPU) | i32 device id | i32 type flag | raw values
"""

from __future__ import annotations

import math
import struct
from typing import TYPE_CHECKING

import numpy as np

from airflow_ll.exceptions import ArtifactError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from numpy.typing import NDArray

__all__ = ["read_params", "write_params"]

_LIST_MAGIC = 0x112
_ARRAY_MAGIC_V2 = 0xF993FAC9
_ARRAY_MAGIC_V3 = 0xF993FACA  # the same fields; written under numpy shape semantics
_CPU = 1
_DTYPES = {0: "<f4", 1: "<f8", 2: "<f2", 3: "|u1", 4: "<i4", 5: "|i1", 6: "<i8"}
_FLAGS = {np.dtype(name): flag for flag, name in _DTYPES.items()}
_MAX_DIMENSIONS = 32


def write_params(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Encode named arrays.

    Parameters
    ----------
    arrays : Mapping[str, ndarray]
        Names such as ``arg:fc0_weight``, in the order of the file; any shape, a dtype that MXNet knows.

    Returns
    -------
    bytes
    """
    parts = [struct.pack("<QQQ", _LIST_MAGIC, 0, len(arrays))]
    parts += [_encode_array(name, array) for name, array in arrays.items()]
    parts.append(struct.pack("<Q", len(arrays)))
    for name in arrays:
        encoded = name.encode()
        parts.append(struct.pack("<Q", len(encoded)) + encoded)
    return b"".join(parts)


def _encode_array(name: str, array: NDArray[Any]) -> bytes:
    values = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    flag = _FLAGS.get(values.dtype)
    if flag is None:
        raise ArtifactError(f"The array {name!r} has dtype {array.dtype}, which a .params file cannot hold.")
    head = struct.pack(f"<IiI{values.ndim}q", _ARRAY_MAGIC_V2, 0, values.ndim, *values.shape)
    return head + struct.pack("<iii", _CPU, 0, flag) + values.tobytes()


def read_params(data: bytes) -> dict[str, NDArray[Any]]:
    """Decode a ``.params`` file.

    Parameters
    ----------
    data : bytes
        The whole file.

    Returns
    -------
    dict[str, ndarray]
        Copies of the arrays by name, in the order of the file.

    Raises
    ------
    ArtifactError
        The bytes are cut short or are not a list of named dense arrays.
    """
    reader = _Reader(data)
    if reader.take("<QQ") != (_LIST_MAGIC, 0):
        raise ArtifactError("The model parameters do not start like an MXNet .params file.")
    arrays = [reader.array() for _ in range(reader.count())]
    names = [reader.text() for _ in range(reader.count())]
    if len(names) != len(arrays) or reader.offset != len(data):
        raise ArtifactError(
            f"The model parameters hold {len(arrays)} arrays, {len(names)} names and "
            f"{len(data) - reader.offset} bytes more than that: the file is damaged."
        )
    return dict(zip(names, arrays, strict=True))


class _Reader:
    """A position in the bytes that never runs past their end."""

    def __init__(self, data: bytes) -> None:
        self._data, self.offset = data, 0

    def raw(self, size: int) -> bytes:
        if size < 0 or size > len(self._data) - self.offset:
            raise ArtifactError(f"The model parameters end early: {size} bytes are missing at offset {self.offset}.")
        self.offset += size
        return self._data[self.offset - size : self.offset]

    def take(self, layout: str) -> tuple[Any, ...]:
        return struct.unpack(layout, self.raw(struct.calcsize(layout)))

    def count(self) -> int:
        """Read a number of items, each of which takes at least eight bytes."""
        number = int(self.take("<Q")[0])
        if number * 8 > len(self._data) - self.offset:
            raise ArtifactError(f"The model parameters name {number} items, more than the file can hold.")
        return number

    def text(self) -> str:
        name = self.raw(int(self.take("<Q")[0]))
        try:
            return name.decode()
        except UnicodeDecodeError:
            raise ArtifactError(f"The model parameters hold a name that is not UTF-8: {name!r}.") from None

    def array(self) -> NDArray[Any]:
        magic, storage, ndim = self.take("<IiI")
        if magic not in {_ARRAY_MAGIC_V2, _ARRAY_MAGIC_V3} or storage != 0 or ndim > _MAX_DIMENSIONS:
            raise ArtifactError(
                f"The model parameters hold an array that is not dense or of an unknown version "
                f"(magic {magic:#x}, storage type {storage}, {ndim} dimensions)."
            )
        shape = self.take(f"<{ndim}q")
        _, _, flag = self.take("<iii")
        if flag not in _DTYPES or min(shape, default=0) < 0:
            raise ArtifactError(f"The model parameters hold an array of shape {shape} and unknown type {flag}.")
        dtype = np.dtype(_DTYPES[flag])
        # The product is taken by Python, whose integers do not overflow as numpy's do.
        values = np.frombuffer(self.raw(math.prod(shape) * dtype.itemsize), dtype=dtype)
        if not values.size:  # of zero and sizes beyond any memory there is no array
            raise ArtifactError(f"The model parameters hold an array of shape {shape}, which has no values.")
        return values.reshape(shape).astype(dtype.newbyteorder("="))
