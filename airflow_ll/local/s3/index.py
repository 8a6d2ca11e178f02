"""The SQLite index: what exists, and which blobs it is made of. A commit here is what makes a write exist."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from airflow_ll.local.s3.blobs import Extent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

__all__ = ["Index", "Transaction"]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS buckets (name TEXT PRIMARY KEY, created INTEGER NOT NULL) WITHOUT ROWID;
-- Keys are bytes, so that they sort as S3 sorts them.
CREATE TABLE IF NOT EXISTS objects (
    bucket TEXT NOT NULL, key BLOB NOT NULL, content TEXT NOT NULL, size INTEGER NOT NULL, etag TEXT NOT NULL,
    modified INTEGER NOT NULL, headers TEXT NOT NULL, tags TEXT NOT NULL, checksum TEXT, upload TEXT,
    PRIMARY KEY (bucket, key)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS uploads (
    id TEXT PRIMARY KEY, bucket TEXT NOT NULL, key BLOB NOT NULL, started INTEGER NOT NULL,
    headers TEXT NOT NULL, tags TEXT NOT NULL, algorithm TEXT, kind TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS uploads_by_key ON uploads (bucket, key, id);
CREATE TABLE IF NOT EXISTS parts (
    upload TEXT NOT NULL, number INTEGER NOT NULL, content TEXT NOT NULL, size INTEGER NOT NULL, etag TEXT NOT NULL,
    modified INTEGER NOT NULL, checksum TEXT, PRIMARY KEY (upload, number)) WITHOUT ROWID;
-- A content is a row of extents; copies and completed uploads share blobs instead of copying bytes.
CREATE TABLE IF NOT EXISTS extents (
    content TEXT NOT NULL, position INTEGER NOT NULL, blob TEXT NOT NULL, start INTEGER NOT NULL, size INTEGER NOT NULL,
    PRIMARY KEY (content, position)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS extents_by_blob ON extents (blob);
"""
_EXTENTS = "SELECT blob, start, size FROM extents WHERE content = ? ORDER BY position"


class Transaction:
    """One atomic change; :attr:`released` collects the blobs it may have left without an owner."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self.execute = database.execute
        self._database = database
        self._released: set[str] = set()

    def add_content(self, content: str, extents: Sequence[Extent]) -> None:
        """Record what a content is made of."""
        self._database.executemany(
            "INSERT INTO extents VALUES (?, ?, ?, ?, ?)",
            ((content, i, extent.blob, extent.start, extent.size) for i, extent in enumerate(extents)),
        )

    def extents(self, content: str) -> list[Extent]:
        """Return what a content is made of."""
        return [Extent(*row) for row in self.execute(_EXTENTS, (content,)).fetchall()]

    def drop_content(self, content: str) -> None:
        """Forget a content."""
        rows = self.execute("DELETE FROM extents WHERE content = ? RETURNING blob", (content,))
        self._released.update(blob for (blob,) in rows.fetchall())

    def dead_blobs(self) -> list[str]:
        """Return the released blobs that nothing else is made of."""
        query = "SELECT 1 FROM extents WHERE blob = ? LIMIT 1"
        return [blob for blob in self._released if not self.execute(query, (blob,)).fetchone()]


class Index:
    """Connections to the index: one reader a thread, one writer at a time.

    ``synchronous=FULL`` syncs the write-ahead log at each commit, before it is acknowledged.
    """

    def __init__(self, path: Path, discard: Callable[[list[str]], None]) -> None:
        self._path = path
        self._discard = discard
        self._local = threading.local()
        self._connections: list[sqlite3.Connection] = []
        self._lock = threading.Lock()
        self._writer = self._connect()
        self._writer.executescript(_SCHEMA)

    def _connect(self) -> sqlite3.Connection:
        database = sqlite3.connect(self._path, isolation_level=None, timeout=60, check_same_thread=False)
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        self._connections.append(database)
        return database

    @property
    def reader(self) -> sqlite3.Connection:
        """The connection of the calling thread, for reading."""
        if not hasattr(self._local, "reader"):
            self._local.reader = self._connect()
        reader: sqlite3.Connection = self._local.reader
        return reader

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Change the index: all of it durably, or nothing if an error leaves the block."""
        with self._lock:
            self._writer.execute("BEGIN IMMEDIATE")
            transaction = Transaction(self._writer)
            try:
                yield transaction
                dead = transaction.dead_blobs()
                self._writer.execute("COMMIT")
            except BaseException:
                self._writer.execute("ROLLBACK")
                raise
        if dead:
            self._discard(dead)

    def extents(self, content: str) -> list[Extent]:
        """Return what a content is made of."""
        return [Extent(*row) for row in self.reader.execute(_EXTENTS, (content,)).fetchall()]

    def blobs(self, prefix: str) -> set[str]:
        """Return the named blobs whose id begins with ``prefix``."""
        query = "SELECT blob FROM extents WHERE blob >= ? AND blob < ?"
        return {blob for (blob,) in self.reader.execute(query, (prefix, prefix + "g"))}

    def names(self, blob: str) -> bool:
        """Tell whether any content is made of a blob."""
        return bool(self.reader.execute("SELECT 1 FROM extents WHERE blob = ? LIMIT 1", (blob,)).fetchone())

    def close(self) -> None:
        """Close all connections; the last one merges the write-ahead log."""
        with self._lock:
            for database in self._connections:
                database.close()
