"""Pages of keys, with those below a delimiter rolled up to their common prefix."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_ll.local.s3.store import Store, StoredObject

__all__ = ["Page", "list_page", "successor"]


@dataclass(slots=True)
class Page:
    """One answer; ``last`` is the last key or common prefix in it, if more follow."""

    objects: list[StoredObject] = field(default_factory=list)
    prefixes: list[str] = field(default_factory=list)
    last: str | None = None

    def __len__(self) -> int:
        return len(self.objects) + len(self.prefixes)


def successor(prefix: bytes) -> bytes | None:
    """Return the first key after all that begin with ``prefix``; None if there is none."""
    stem = prefix.rstrip(b"\xff")
    return stem[:-1] + bytes([stem[-1] + 1]) if stem else None


def _rolled_up(key: str, prefix: str, delimiter: str) -> str | None:
    end = key.find(delimiter, len(prefix)) if delimiter and key.startswith(prefix) else -1
    return key[: end + len(delimiter)] if end >= 0 else None


def list_page(store: Store, bucket: str, *, prefix: str, delimiter: str, after: str, limit: int) -> Page:
    """Return at most ``limit`` keys and common prefixes that begin with ``prefix`` and sort after ``after``.

    A common prefix costs one look-up whatever the number of keys below it.
    """
    page = Page()
    high = successor(prefix.encode())
    low: bytes | None = prefix.encode()
    if after:
        rolled = _rolled_up(after, prefix, delimiter)
        low = max(prefix.encode(), (successor(rolled.encode()) or b"") if rolled else after.encode() + b"\0")
    last = ""
    while low is not None and limit:
        found = list(store.scan(bucket, low, high, limit - len(page) + 1))
        low = None
        for stored in found:
            if len(page) == limit:
                page.last = last
                return page
            last = stored.key
            low = stored.key.encode() + b"\0"
            rolled = _rolled_up(stored.key, prefix, delimiter)
            if rolled:
                page.prefixes.append(rolled)
                last, low = rolled, successor(rolled.encode())
                break
            page.objects.append(stored)
    return page
