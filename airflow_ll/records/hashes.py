"""Hashes of rows and keys that never change: the same split and order on every machine, today and in a year.

A row's number is mixed by SplitMix64's finaliser (Steele, Lea, Flood 2014); a key's text is hashed by 64-bit FNV-1a
over its UTF-8 bytes and mixed likewise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from airflow_ll.exceptions import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from airflow_ll.records.columns import Factor

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FNV_BASIS, _FNV_PRIME = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)
_NULL = np.uint64(0x5851F42D4C957F2D)
_LONGEST_KEY = 4096
_CHUNK_BYTES = 4 << 20


def row_hashes(rows: NDArray[np.int64], seed: int) -> NDArray[np.uint64]:
    """Return one hash a row number (n,)."""
    start = mixed(np.array([seed], np.uint64))
    return mixed(rows.astype(np.uint64) * _GOLDEN + start)


def key_hashes(keys: Sequence[Factor], seed: int) -> NDArray[np.uint64]:
    """Return one hash a row (n,) of the texts of all ``keys``, which are columns of the same rows.

    Raises
    ------
    DataError
        A text has more than 4096 bytes.
    """
    total = np.broadcast_to(mixed(np.array([seed], np.uint64)), len(keys[0].codes))
    for key in keys:
        hashes = np.append(_text_hashes(key.texts), _NULL)[key.codes]
        total = mixed(total * _GOLDEN + hashes)
    return total


def mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return ``values`` (n,) mixed so that each bit depends on all bits."""
    values = values + _GOLDEN
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _text_hashes(texts: Sequence[str]) -> NDArray[np.uint64]:
    """Return the FNV-1a hash of each text, all texts byte by byte at once."""
    encoded = [text.encode(errors="surrogatepass") for text in texts]
    longest = max(map(len, encoded), default=0)
    if longest > _LONGEST_KEY:
        raise DataError(f"A key must have at most {_LONGEST_KEY} bytes, but one has {longest}: choose other columns.")
    step = max(1, _CHUNK_BYTES // max(1, longest))
    parts = [_fnv(encoded[first : first + step]) for first in range(0, len(encoded), step)]
    return np.concatenate(parts) if parts else np.empty(0, np.uint64)


def _fnv(encoded: Sequence[bytes]) -> NDArray[np.uint64]:
    lengths = np.fromiter(map(len, encoded), np.int64, len(encoded))
    width = int(lengths.max())
    padded = np.array(encoded, f"S{max(1, width)}").view(np.uint8).reshape(len(encoded), -1)
    hashes = np.full(len(encoded), _FNV_BASIS)
    for place in range(width):
        there = place < lengths
        hashes = np.where(there, (hashes ^ padded[:, place]) * _FNV_PRIME, hashes)
    return hashes
