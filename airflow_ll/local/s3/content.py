"""Bytes of objects on their way out, or into a copy."""

from __future__ import annotations

import asyncio
import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote

from airflow_ll.local.s3.blobs import cut
from airflow_ll.local.s3.bodies import finished
from airflow_ll.local.s3.checksums import Checksum, hasher
from airflow_ll.local.s3.errors import S3Error
from airflow_ll.local.s3.headers import check_read
from airflow_ll.local.s3.store import Draft

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from starlette.types import ASGIApp, Receive, Scope, Send

    from airflow_ll.local.s3.blobs import Extent
    from airflow_ll.local.s3.calls import Call
    from airflow_ll.local.s3.index import Transaction
    from airflow_ll.local.s3.store import Pinned, Precondition, Store, StoredObject

__all__ = ["Source", "stream"]


def stream(call: Call, status: int, headers: dict[str, str], pinned: Pinned, extents: Sequence[Extent]) -> ASGIApp:
    """Return an answer that sends ``extents``, the next block being read while one is sent, and then unpins."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        blocks = call.store.blobs.blocks(extents)
        following: asyncio.Future[bytes | None] = call.service.run(next, blocks, None)
        try:
            raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
            block = await finished(following)  # before the start, so that a lost blob is an error and no torn answer
            await send({"type": "http.response.start", "status": status, "headers": raw})
            while block is not None:
                following = call.service.run(next, blocks, None)
                await send({"type": "http.response.body", "body": block, "more_body": True})
                block = await finished(following)
            await send({"type": "http.response.body", "body": b""})
        finally:
            await asyncio.wait([following])
            blocks.close()
            call.store.blobs.unpin(pinned.extents)

    return answer


@dataclass(frozen=True, slots=True)
class Source:
    """What a copy reads, named by the ``x-amz-copy-source`` header."""

    store: Store
    bucket: str
    key: str
    headers: Mapping[str, str]

    @classmethod
    def of_call(cls, call: Call) -> Source:
        """Parse the header."""
        path, _, version = call.headers["x-amz-copy-source"].partition("?")
        bucket, _, key = unquote(path).removeprefix("/").partition("/")
        if version:
            raise S3Error("NotImplemented", Header="x-amz-copy-source")
        if not bucket or not key:
            raise S3Error("InvalidArgument", "Invalid copy source object key", ArgumentName="x-amz-copy-source")
        owner = call.headers.get("x-amz-source-expected-bucket-owner", call.service.account_id)
        if owner != call.service.account_id:
            raise S3Error("AccessDenied")
        return cls(call.store, bucket, key, call.headers)

    def check_unchanged(self, stored: StoredObject, transaction: Transaction) -> None:
        """Raise if the source was replaced since it was read: its blobs may be about to go."""
        now = self.store.find(self.bucket, self.key, transaction)
        if now is None or now.content != stored.content:
            raise S3Error("PreconditionFailed", "The source of the copy was changed while it was copied")

    def copy(
        self, bucket: str, key: str, replaced: dict[str, str] | None, given: dict[str, str],
        tags: dict[str, str] | None, allow: Precondition,
    ) -> StoredObject:  # fmt: skip
        """Make the whole source the object of another key, if ``allow`` does not object to what is there now."""
        with self.store.pinned(self.bucket, self.key) as pinned:
            stored = pinned.stored
            check_read(self.headers, stored, "x-amz-copy-source-")
            if (self.bucket, self.key) == (bucket, key) and replaced is None and not _only(self.headers, _PER_COPY):
                raise S3Error("InvalidRequest", "An object may be copied to itself only if the copy changes it.")
            etag, checksum = stored.etag, stored.checksum
            wanted = self.headers.get("x-amz-checksum-algorithm", checksum.algorithm if checksum else None)
            if "-" in etag or (wanted and (checksum is None or checksum.algorithm != wanted or "-" in checksum.value)):
                etag, checksum = self._digest(pinned.extents, wanted)
            kept = {name: value for name, value in stored.headers.items() if not name.startswith(_PER_COPY)}
            headers = replaced if replaced is not None else kept | _only(given, _PER_COPY)
            draft = Draft(pinned.extents, etag, headers, stored.tags if tags is None else tags, checksum)
            with self.store.index.transaction() as transaction:
                self.check_unchanged(stored, transaction)
                return self.store.put(bucket, key, draft, allow, transaction)

    def part(self, algorithm: str | None) -> tuple[Draft, StoredObject]:
        """Return the copied range as the draft of a part; the caller holds the transaction that uses it."""
        with self.store.pinned(self.bucket, self.key) as pinned:
            check_read(self.headers, pinned.stored, "x-amz-copy-source-")
            selected = _part_range(self.headers.get("x-amz-copy-source-range"), pinned.stored.size)
            extents = cut(pinned.extents, *selected) if selected else pinned.extents
            etag, checksum = self._digest(extents, algorithm)
            return Draft(extents, etag, checksum=checksum), pinned.stored

    def _digest(self, extents: Iterable[Extent], algorithm: str | None) -> tuple[str, Checksum | None]:
        md5 = hashlib.md5(usedforsecurity=False)
        hashed = hasher(algorithm) if algorithm else None
        for block in self.store.blobs.blocks(extents):
            md5.update(block)
            if hashed:
                hashed.update(block)
        return md5.hexdigest(), Checksum.of_digest(algorithm, hashed.digest()) if algorithm and hashed else None


def _part_range(header: str | None, size: int) -> tuple[int, int] | None:
    """Return (first, behind the last) byte of the range of a copied part; unlike a read's, both must be there."""
    if header is None:
        return None
    found = re.fullmatch("bytes=([0-9]{1,18})-([0-9]{1,18})", header.strip())
    if not found:
        raise S3Error(
            "InvalidArgument", "The x-amz-copy-source-range value must be of the form bytes=first-last",
            ArgumentName="x-amz-copy-source-range", ArgumentValue=header,
        )  # fmt: skip
    first, last = map(int, found.groups())
    if not first <= last < size:
        raise S3Error(
            "InvalidArgument", f"Range specified is not valid for source object of size: {size}",
            ArgumentName="x-amz-copy-source-range", ArgumentValue=header,
        )  # fmt: skip
    return first, last + 1


_PER_COPY = ("x-amz-server-side-encryption", "x-amz-storage-class", "x-amz-website-redirect-location")


def _only(headers: Mapping[str, str], prefixes: tuple[str, ...]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.startswith(prefixes)}
