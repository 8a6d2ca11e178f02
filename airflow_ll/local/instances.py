"""How much memory an instance type has: what bounds the processes of its jobs."""

from __future__ import annotations

import re

__all__ = ["memory_bytes"]

_GIB = 1 << 30
# GiB a virtual CPU, by the letter of the family; others are not bounded.
_RATIOS = {"c": 2, "m": 4, "r": 8, "t": 4}
_TYPE = re.compile(r"ml\.([cmrt])\d[a-z]*\.(medium|large|(\d*)xlarge)")


def memory_bytes(instance_type: str) -> int | None:
    """Return the memory of a general instance type such as ``ml.m5.xlarge``, ``None`` of a type that is not known."""
    match = _TYPE.fullmatch(instance_type)
    if match is None:
        return None
    size, number = match[2], match[3]
    cpus = {"medium": 1, "large": 2}.get(size) or 4 * int(number or 1)
    return _RATIOS[match[1]] * cpus * _GIB
