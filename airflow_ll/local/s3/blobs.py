"""Immutable files of bytes, each under an id of ours: no name from outside ever becomes a path."""

from __future__ import annotations

import os
import secrets
import threading
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Sequence
    from pathlib import Path

__all__ = ["BlobWriter", "Blobs", "Extent", "cut"]

_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Extent:
    """``size`` bytes of a blob from byte ``start``; an object's content is a list of these."""

    blob: str
    start: int
    size: int


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class BlobWriter:
    """A blob that is being written; it counts only once the index names it."""

    def __init__(self, path: Path) -> None:
        self.blob = path.name
        self._path = path
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        self.size = 0

    def write(self, data: bytes) -> None:
        """Append ``data``."""
        view = memoryview(data)
        while view:
            written = os.write(self._descriptor, view)
            self.size += written
            view = view[written:]

    def commit(self) -> list[Extent]:
        """Make it durable, the name included, and return all of it; nothing stays of an empty one."""
        if not self.size:
            self.abort()
            return []
        os.fsync(self._descriptor)
        self._close()
        sync_directory(self._path.parent)
        return [Extent(self.blob, 0, self.size)]

    def abort(self) -> None:
        """Remove it."""
        self._close()
        self._path.unlink(missing_ok=True)

    def _close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class Blobs:
    """The folder of blobs: 256 folders by the first byte of the id.

    A blob that nothing names any more is unlinked when its last reader is done. One that a crash left
    behind goes at the next :meth:`sweep`.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        for number in range(256):
            (root / f"{number:02x}").mkdir(parents=True, exist_ok=True)
        sync_directory(root)
        sync_directory(root.parent)
        self._lock = threading.Lock()
        self._readers: Counter[str] = Counter()
        self._dead: set[str] = set()

    def _path(self, blob: str) -> Path:
        return self._root / blob[:2] / blob

    def writer(self) -> BlobWriter:
        """Return a new blob to be written."""
        return BlobWriter(self._path(secrets.token_hex(16)))

    def pin(self, find: Callable[[], Sequence[Extent]]) -> Sequence[Extent]:
        """Return what ``find`` finds, kept readable until :meth:`unpin`.

        The lookup happens under the lock of :meth:`discard`, so no overwrite can fall between the two.
        """
        with self._lock:
            extents = find()
            self._readers.update({extent.blob for extent in extents})
        return extents

    def unpin(self, extents: Iterable[Extent]) -> None:
        """End what :meth:`pin` began."""
        with self._lock:
            for blob in {extent.blob for extent in extents}:
                self._readers[blob] -= 1
                if self._readers[blob] <= 0:
                    del self._readers[blob]
                    if blob in self._dead:
                        self._dead.discard(blob)
                        self._path(blob).unlink(missing_ok=True)

    def discard(self, blobs: Iterable[str]) -> None:
        """Unlink blobs that nothing names any more."""
        with self._lock:
            for blob in blobs:
                if self._readers[blob]:
                    self._dead.add(blob)
                else:
                    self._path(blob).unlink(missing_ok=True)

    def blocks(self, extents: Iterable[Extent]) -> Generator[bytes]:
        """Yield the bytes of pinned extents, at most 1 MiB at once."""
        for extent in extents:
            with self._path(extent.blob).open("rb", buffering=0) as file:
                file.seek(extent.start)
                left = extent.size
                while left:
                    block = file.read(min(left, _BLOCK))
                    if not block:
                        raise EOFError(f"blob {extent.blob} is shorter than the index says: {left} bytes are missing")
                    left -= len(block)
                    yield block

    def sweep(self, named: Callable[[str], set[str]]) -> int:
        """Unlink every blob that the index does not name; return how many.

        Parameters
        ----------
        named
            Gives the ids that begin with two hexadecimal digits.
        """
        swept = 0
        for folder in self._root.iterdir():
            keep = named(folder.name)
            for path in folder.iterdir():
                if path.name not in keep:
                    path.unlink()
                    swept += 1
        return swept


def cut(extents: Iterable[Extent], start: int, stop: int) -> list[Extent]:
    """Return the extents of bytes ``start`` to ``stop`` (not included) of a content."""
    chosen, at = [], 0
    for extent in extents:
        low, high = max(start, at), min(stop, at + extent.size)
        if low < high:
            chosen.append(Extent(extent.blob, extent.start + low - at, high - low))
        at += extent.size
    return chosen
