"""Buckets and objects: every rule that must hold atomically, on the index and the blobs."""

from __future__ import annotations

import fcntl
import json
import re
import secrets
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from airflow_ll.exceptions import LinearLearnerError
from airflow_ll.local.s3.blobs import Blobs, Extent, sync_directory
from airflow_ll.local.s3.checksums import Checksum
from airflow_ll.local.s3.errors import S3Error
from airflow_ll.local.s3.index import Index, Transaction

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from airflow_ll.local.s3.blobs import BlobWriter

__all__ = ["Draft", "Pinned", "Precondition", "Store", "StoredObject"]

_BUCKET_NAME = re.compile(r"(?!xn--|\d+\.\d+\.\d+\.\d+$)(?!.*\.\.)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_COLUMNS = "key, content, size, etag, modified, headers, tags, checksum, upload"


@dataclass(frozen=True, slots=True)
class Draft:
    """An object that is about to exist.

    ``headers`` are kept as they are sent back later: content type and its like, ``x-amz-meta-*``,
    encryption, storage class.
    """

    extents: Sequence[Extent]
    etag: str
    headers: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    checksum: Checksum | None = None
    upload: str | None = None

    @property
    def size(self) -> int:
        """In bytes."""
        return sum(extent.size for extent in self.extents)


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object that exists. ``modified`` is in whole seconds since 1970, as S3 has it."""

    key: str
    content: str
    size: int
    etag: str
    modified: int
    headers: dict[str, str]
    tags: dict[str, str]
    checksum: Checksum | None
    upload: str | None

    @classmethod
    def of_row(cls, row: Sequence[Any]) -> StoredObject:
        """Build from a row of the index."""
        key, content, size, etag, modified, headers, tags, checksum, upload = row
        return cls(
            key.decode(), content, size, etag, modified, json.loads(headers), json.loads(tags), loads(checksum), upload
        )


@dataclass(frozen=True, slots=True)
class Pinned:
    """An object and what it is made of, kept readable."""

    stored: StoredObject
    extents: Sequence[Extent]


Precondition: TypeAlias = "Callable[[StoredObject | None], None]"


def dumps(checksum: Checksum | None) -> str | None:
    """Return the form of a checksum in the index."""
    return f"{checksum.algorithm} {checksum.value} {checksum.kind}" if checksum else None


def loads(text: str | None) -> Checksum | None:
    """Return the checksum of :func:`dumps`."""
    return Checksum(*text.split(" ")) if text else None


def drop_uploads(transaction: Transaction, which: str, value: object) -> int:
    """Forget the uploads of a condition, and their parts; return how many."""
    uploads = transaction.execute(f"DELETE FROM uploads WHERE {which} RETURNING id", (value,)).fetchall()  # noqa: S608
    for upload in uploads:
        parts = transaction.execute("DELETE FROM parts WHERE upload = ? RETURNING content", upload).fetchall()
        for (content,) in parts:
            transaction.drop_content(content)
    return len(uploads)


class Store:
    """All that this S3 holds, in one folder that one process may use at a time."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._lock_file = (folder / "lock").open("w")
        try:
            fcntl.flock(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._lock_file.close()
            raise LinearLearnerError(
                f"{folder} is in use by another process; stop that one or choose another data directory."
            ) from None
        self.blobs = Blobs(folder / "blobs")
        self.index = Index(folder / "index.sqlite", self.blobs.discard)
        sync_directory(folder)
        self.blobs.sweep(self.index.blobs)

    def close(self) -> None:
        """Give the folder back."""
        self.index.close()
        self._lock_file.close()

    def drop_unnamed(self, writer: BlobWriter) -> None:
        """Remove a blob whose call failed, unless the failure came after the commit that names it."""
        if not self.index.names(writer.blob):
            writer.abort()

    # Buckets

    def create_bucket(self, name: str) -> bool:
        """Create a bucket; return False if it was there."""
        if not _BUCKET_NAME.fullmatch(name):
            raise S3Error("InvalidBucketName", BucketName=name)
        with self.index.transaction() as transaction:
            cursor = transaction.execute("INSERT OR IGNORE INTO buckets VALUES (?, ?)", (name, int(time.time())))
            return cursor.rowcount == 1

    def delete_bucket(self, name: str) -> None:
        """Delete an empty bucket, and the uploads nobody completed in it."""
        with self.index.transaction() as transaction:
            self.check_bucket(name, transaction)
            if transaction.execute("SELECT 1 FROM objects WHERE bucket = ? LIMIT 1", (name,)).fetchone():
                raise S3Error("BucketNotEmpty", BucketName=name)
            drop_uploads(transaction, "bucket = ?", name)
            transaction.execute("DELETE FROM buckets WHERE name = ?", (name,))

    def buckets(self) -> list[tuple[str, int]]:
        """Return (name, time of creation) of all."""
        return self.index.reader.execute("SELECT name, created FROM buckets ORDER BY name").fetchall()

    def check_bucket(self, name: str, transaction: Transaction | None = None) -> None:
        """Raise NoSuchBucket if it is not there."""
        execute = transaction.execute if transaction else self.index.reader.execute
        if not execute("SELECT 1 FROM buckets WHERE name = ?", (name,)).fetchone():
            raise S3Error("NoSuchBucket", BucketName=name)

    # Objects

    def find(self, bucket: str, key: str, transaction: Transaction | None = None) -> StoredObject | None:
        """Return the object of that key, if there is one."""
        execute = transaction.execute if transaction else self.index.reader.execute
        row = execute(f"SELECT {_COLUMNS} FROM objects WHERE bucket = ? AND key = ?", (bucket, key.encode())).fetchone()  # noqa: S608 - constants
        return StoredObject.of_row(row) if row else None

    def get(self, bucket: str, key: str, transaction: Transaction | None = None) -> StoredObject:
        """Return the object of that key, or raise NoSuchBucket or NoSuchKey."""
        found = self.find(bucket, key, transaction)
        if not found:
            self.check_bucket(bucket, transaction)
            raise S3Error("NoSuchKey", Key=key)
        return found

    def pin(self, bucket: str, key: str) -> Pinned:
        """Return an object whose bytes stay readable until they are unpinned, whatever happens to the object."""
        found: list[StoredObject] = []

        def find() -> list[Extent]:
            found.append(self.get(bucket, key))
            return self.index.extents(found[0].content)

        extents = self.blobs.pin(find)
        return Pinned(found[0], extents)

    @contextmanager
    def pinned(self, bucket: str, key: str) -> Iterator[Pinned]:
        """:meth:`pin` for the length of a ``with``."""
        pinned = self.pin(bucket, key)
        try:
            yield pinned
        finally:
            self.blobs.unpin(pinned.extents)

    def put(
        self,
        bucket: str,
        key: str,
        draft: Draft,
        allow: Precondition | None = None,
        transaction: Transaction | None = None,
    ) -> StoredObject:
        """Make ``draft`` the object of that key, if ``allow`` does not object to what is there now."""
        if transaction is None:
            with self.index.transaction() as transaction:
                return self.put(bucket, key, draft, allow, transaction)
        self.check_bucket(bucket, transaction)
        existing = self.find(bucket, key, transaction)
        if allow:
            allow(existing)
        if existing:
            transaction.drop_content(existing.content)
        stored = StoredObject(
            key, secrets.token_hex(16), draft.size, draft.etag, int(time.time()),
            draft.headers, draft.tags, draft.checksum, draft.upload,
        )  # fmt: skip
        transaction.add_content(stored.content, draft.extents)
        transaction.execute(
            f"INSERT OR REPLACE INTO objects (bucket, {_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608
            (
                bucket, key.encode(), stored.content, stored.size, stored.etag, stored.modified,
                json.dumps(stored.headers), json.dumps(stored.tags), dumps(stored.checksum), stored.upload,
            ),
        )  # fmt: skip
        return stored

    def delete(self, bucket: str, keys: Sequence[str], allow: Precondition | None = None) -> None:
        """Delete objects, all in one commit; one that is not there is no error."""
        with self.index.transaction() as transaction:
            self.check_bucket(bucket, transaction)
            for key in keys:
                existing = self.find(bucket, key, transaction)
                if allow:
                    allow(existing)
                if existing:
                    transaction.drop_content(existing.content)
                    transaction.execute("DELETE FROM objects WHERE bucket = ? AND key = ?", (bucket, key.encode()))

    def set_tags(self, bucket: str, key: str, tags: dict[str, str]) -> None:
        """Replace an object's tags."""
        with self.index.transaction() as transaction:
            self.get(bucket, key, transaction)
            query = "UPDATE objects SET tags = ? WHERE bucket = ? AND key = ?"
            transaction.execute(query, (json.dumps(tags), bucket, key.encode()))

    def scan(self, bucket: str, low: bytes, high: bytes | None, limit: int) -> Iterator[StoredObject]:
        """Yield the objects with ``low <= key < high`` in order, at most ``limit``."""
        query = f"SELECT {_COLUMNS} FROM objects WHERE bucket = ? AND key >= ? AND (? IS NULL OR key < ?) ORDER BY key LIMIT ?"  # noqa: S608, E501
        for row in self.index.reader.execute(query, (bucket, low, high, high, limit)).fetchall():
            yield StoredObject.of_row(row)
