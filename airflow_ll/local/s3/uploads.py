"""Multipart uploads: parts are contents of their own until one commit joins their extents to an object."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_ll.local.s3.checksums import Checksum, combined, composite
from airflow_ll.local.s3.errors import S3Error
from airflow_ll.local.s3.store import Draft, drop_uploads, dumps, loads

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from airflow_ll.local.s3.index import Transaction
    from airflow_ll.local.s3.store import Precondition, Store, StoredObject

__all__ = ["Part", "PartClaim", "Upload", "Uploads"]

_SMALLEST_PART = 5 << 20


@dataclass(frozen=True, slots=True)
class Upload:
    """An upload in progress."""

    id: str
    bucket: str
    key: str
    started: int
    headers: dict[str, str]
    tags: dict[str, str]
    algorithm: str | None
    kind: str


@dataclass(frozen=True, slots=True)
class Part:
    """A part as it lies there."""

    number: int
    content: str
    size: int
    etag: str
    modified: int
    checksum: Checksum | None


@dataclass(frozen=True, slots=True)
class PartClaim:
    """A part as the client lists it when it completes the upload."""

    number: int
    etag: str
    checksums: dict[str, str]


class Uploads:
    """The uploads of a store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._index = store.index

    def create(
        self, bucket: str, key: str, headers: dict[str, str], tags: dict[str, str], algorithm: str | None, kind: str
    ) -> Upload:
        """Begin one."""
        upload = Upload(secrets.token_urlsafe(48), bucket, key, int(time.time()), headers, tags, algorithm, kind)
        with self._index.transaction() as transaction:
            self._store.check_bucket(bucket, transaction)
            transaction.execute(
                "INSERT INTO uploads VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    upload.id,
                    bucket,
                    key.encode(),
                    upload.started,
                    json.dumps(headers),
                    json.dumps(tags),
                    algorithm,
                    kind,
                ),
            )
        return upload

    def get(self, bucket: str, key: str, upload: str, transaction: Transaction | None = None) -> Upload:
        """Return one in progress, or raise NoSuchBucket or NoSuchUpload."""
        execute = transaction.execute if transaction else self._index.reader.execute
        query = "SELECT * FROM uploads WHERE id = ? AND bucket = ? AND key = ?"
        row = execute(query, (upload, bucket, key.encode())).fetchone()
        if not row:
            self._store.check_bucket(bucket, transaction)
            raise S3Error("NoSuchUpload", UploadId=upload)
        return _upload(row)

    def put_part(
        self, upload: Upload, number: int, draft: Draft, allow: Callable[[Transaction], None] | None = None
    ) -> Part:
        """Make ``draft`` the part of that number."""
        part = Part(number, secrets.token_hex(16), draft.size, draft.etag, int(time.time()), draft.checksum)
        with self._index.transaction() as transaction:
            self.get(upload.bucket, upload.key, upload.id, transaction)
            if allow:
                allow(transaction)
            query = "DELETE FROM parts WHERE upload = ? AND number = ? RETURNING content"
            for (content,) in transaction.execute(query, (upload.id, number)).fetchall():
                transaction.drop_content(content)
            transaction.add_content(part.content, draft.extents)
            transaction.execute(
                "INSERT INTO parts VALUES (?, ?, ?, ?, ?, ?, ?)",
                (upload.id, number, part.content, part.size, part.etag, part.modified, dumps(part.checksum)),
            )
        return part

    def parts(self, upload: str, after: int = 0, limit: int = -1, transaction: Transaction | None = None) -> list[Part]:
        """Return the parts with greater numbers than ``after``, in order."""
        execute = transaction.execute if transaction else self._index.reader.execute
        query = "SELECT * FROM parts WHERE upload = ? AND number > ? ORDER BY number LIMIT ?"
        rows = execute(query, (upload, after, limit)).fetchall()
        return [
            Part(number, content, size, etag, modified, loads(checksum))
            for _, number, content, size, etag, modified, checksum in rows
        ]

    def list(self, bucket: str, prefix: str, after: tuple[str, str], limit: int) -> list[Upload]:
        """Return the uploads of a bucket after (key, upload id), in order."""
        key, upload = after
        rows = self._index.reader.execute(
            "SELECT * FROM uploads WHERE bucket = ? AND (key, id) > (?, ?) AND substr(key, 1, ?) = ? "
            "ORDER BY key, id LIMIT ?",
            (bucket, key.encode(), upload, len(prefix.encode()), prefix.encode(), limit),
        )
        return [_upload(row) for row in rows.fetchall()]

    def complete(
        self, bucket: str, key: str, upload_id: str, claims: Sequence[PartClaim], allow: Precondition,
        expected: Callable[[Checksum | None, int], None],
    ) -> StoredObject:  # fmt: skip
        """Join the claimed parts to the object, in one commit and without copying a byte.

        A client whose first answer was lost asks again: the object that this upload made is the answer then.
        """
        with self._index.transaction() as transaction:
            made = self._store.find(bucket, key, transaction)
            if made and made.upload == upload_id:
                return made
            upload = self.get(bucket, key, upload_id, transaction)
            stored = {part.number: part for part in self.parts(upload_id, transaction=transaction)}
            chosen = _chosen(claims, stored)
            checksum = _checksum(upload, chosen)
            expected(checksum, sum(part.size for part in chosen))
            md5s = b"".join(bytes.fromhex(part.etag) for part in chosen)
            etag = f"{hashlib.md5(md5s, usedforsecurity=False).hexdigest()}-{len(chosen)}"
            extents = [extent for part in chosen for extent in transaction.extents(part.content)]
            draft = Draft(extents, etag, upload.headers, upload.tags, checksum, upload_id)
            made = self._store.put(bucket, key, draft, allow, transaction)
            drop_uploads(transaction, "id = ?", upload_id)
            return made

    def abort(self, bucket: str, key: str, upload: str) -> None:
        """Drop an upload and its parts."""
        with self._index.transaction() as transaction:
            self.get(bucket, key, upload, transaction)
            drop_uploads(transaction, "id = ?", upload)

    def collect(self, older_than: float) -> int:
        """Abort the uploads that began more than ``older_than`` seconds ago; return how many."""
        with self._index.transaction() as transaction:
            return drop_uploads(transaction, "started < ?", int(time.time() - older_than))


def _upload(row: Sequence[Any]) -> Upload:
    upload, bucket, key, started, headers, tags, algorithm, kind = row
    return Upload(upload, bucket, key.decode(), started, json.loads(headers), json.loads(tags), algorithm, kind)


def _chosen(claims: Sequence[PartClaim], stored: dict[int, Part]) -> list[Part]:
    """Return the claimed parts, or raise what S3 says of a wrong list."""
    numbers = [claim.number for claim in claims]
    if numbers != sorted(set(numbers)):
        raise S3Error("InvalidPartOrder")
    chosen = []
    for claim in claims:
        part = stored.get(claim.number)
        if part is None or part.etag != claim.etag.strip('"'):
            raise S3Error("InvalidPart", PartNumber=str(claim.number), ETag=claim.etag)
        mine = {part.checksum.algorithm: part.checksum.value} if part.checksum else {}
        if any(mine.get(name, value) != value for name, value in claim.checksums.items()):
            raise S3Error("InvalidPart", PartNumber=str(claim.number), ETag=claim.etag)
        chosen.append(part)
    for part in chosen[:-1]:
        if part.size < _SMALLEST_PART:
            raise S3Error(
                "EntityTooSmall", PartNumber=str(part.number), ETag=part.etag,
                ProposedSize=str(part.size), MinSizeAllowed=str(_SMALLEST_PART),
            )  # fmt: skip
    return chosen


def _checksum(upload: Upload, parts: Sequence[Part]) -> Checksum | None:
    if not upload.algorithm:
        return None
    digests = [(base64.b64decode(part.checksum.value), part.size) for part in parts if part.checksum]
    if upload.kind == "FULL_OBJECT":
        return combined(upload.algorithm, digests)
    return composite(upload.algorithm, [digest for digest, _ in digests])
