"""Request bodies: read in bounded memory, taken out of their aws-chunked framing, verified."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from airflow_ll.local.s3.checksums import ALGORITHMS, Checksum, Hasher, hasher
from airflow_ll.local.s3.errors import S3Error

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping

__all__ = ["Body", "BodyDigest", "Disconnected", "finished", "receive"]

_T = TypeVar("_T")
_BATCH = 1 << 20  # bytes handed to a worker thread at once
_MAX_LINE = 16 << 10
_MAX_OBJECT = 5 << 30  # of one request, as on S3


class Disconnected(Exception):  # noqa: N818 - an event, as in starlette
    """The client went away in the middle of a body."""


class Chain(Protocol):
    """The signatures in an aws-chunked body, each of which signs the one before it too."""

    trailer: bool

    def update(self, data: bytes, /) -> None: ...

    def chunk_ends(self, signature: str, /) -> bool: ...

    def trailer_ends(self, trailers: Iterable[tuple[str, str]], signature: str, /) -> bool: ...


class Body:
    """The body of one request as it comes from the server; ``chain`` are the signatures of its chunks, if any."""

    def __init__(self, receive: Callable[[], Awaitable[Any]], chain: Chain | None = None) -> None:
        self._receive = receive
        self.chain = chain
        self._ended = False

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the bytes as they arrive; raise :class:`Disconnected` if they stop."""
        while not self._ended:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                self._ended = True
                raise Disconnected
            self._ended = not message.get("more_body", False)
            if message.get("body"):
                yield message["body"]

    async def drain(self) -> None:
        """Read what is left: an answer before the end of a body breaks a kept-alive connection."""
        async for _ in self.chunks():
            pass


class _AwsChunked:
    """Decoder of the ``STREAMING-*`` payloads: ``<hex size>[;chunk-signature=...]``, data, ..., ``0``, trailers."""

    def __init__(self, chain: Chain | None) -> None:
        self._chain, self._signature = chain, ""
        self.trailers: dict[str, str] = {}
        self._line = b""
        self._left = 0  # bytes of the current chunk still to come
        self._state = "size"

    def decode(self, data: bytes) -> Iterator[bytes]:
        """Yield the payload in ``data``."""
        view, at = memoryview(data), 0
        while at < len(view):
            if self._state == "data":
                piece = view[at : at + self._left]
                at += len(piece)
                self._left -= len(piece)
                if self._chain:
                    self._chain.update(bytes(piece))
                if not self._left:
                    self._state = "data end"
                    self._check_chunk()
                yield bytes(piece)
            else:
                end = data.find(b"\n", at)
                self._line += data[at : end + 1 or None]
                at = end + 1 or len(view)
                if len(self._line) > _MAX_LINE:
                    raise S3Error("IncompleteBody")
                if end >= 0:
                    line, self._line = self._line.rstrip(b"\r\n"), b""
                    self._take(line)

    def _take(self, line: bytes) -> None:
        if self._state == "size":
            size = re.fullmatch(rb"([0-9a-fA-F]{1,16})(;.*)?", line)
            if not size:
                raise S3Error("IncompleteBody")
            self._left = int(size[1], 16)
            self._signature = (size[2] or b"").decode("latin-1").removeprefix(";chunk-signature=")
            self._state = "data" if self._left else "trailers"
            if not self._left:
                self._check_chunk()
        elif self._state == "data end" and not line:
            self._state = "size"
        elif self._state == "trailers" and not line:
            return  # the end
        elif self._state == "trailers":
            name, _, value = line.decode("latin-1").partition(":")
            self.trailers[name.strip().lower()] = value.strip()
        else:
            raise S3Error("IncompleteBody")

    def _check_chunk(self) -> None:
        if self._chain and not self._chain.chunk_ends(self._signature):
            raise S3Error("SignatureDoesNotMatch")

    def check_ended(self) -> None:
        """Refuse a body that stopped before its last chunk, or whose trailers are signed by nobody."""
        if self._state != "trailers":
            raise S3Error("IncompleteBody")
        if self._chain and self._chain.trailer:
            signature = self.trailers.pop("x-amz-trailer-signature", "")
            if not self._chain.trailer_ends(self.trailers.items(), signature):
                raise S3Error("SignatureDoesNotMatch")


class Target(Protocol):
    """What a body is written to."""

    def write(self, data: bytes, /) -> object: ...


@dataclass(slots=True)
class BodyDigest:
    """Decodes a body, writes it on and verifies what the headers claim of it. Runs in worker threads.

    Parameters
    ----------
    headers
        Of the request, lower case.
    target
        Gets the payload.
    algorithm
        A checksum to compute even if the request does not carry it.
    chain
        The signatures of the body's chunks, if they are to be verified.
    """

    headers: Mapping[str, str]
    target: Target
    algorithm: str | None = None
    chain: Chain | None = None
    size: int = 0
    _md5: Any = field(default_factory=lambda: hashlib.md5(usedforsecurity=False))
    _chunked: _AwsChunked | None = None
    _hasher: Hasher | None = None
    _sha256: Any = None

    def __post_init__(self) -> None:
        content = self.headers.get("x-amz-content-sha256", "")
        if content.startswith("STREAMING-") or "aws-chunked" in self.headers.get("content-encoding", ""):
            self._chunked = _AwsChunked(self.chain)
        elif re.fullmatch("[0-9a-f]{64}", content):
            self._sha256 = hashlib.sha256()
        claimed = self._claimed_algorithm()
        if self.algorithm and claimed and claimed != self.algorithm:
            raise S3Error(
                "InvalidRequest",
                f"Checksum Type mismatch occurred, expected checksum Type: {self.algorithm.lower()}, "
                f"actual checksum Type: {claimed.lower()}",
            )
        self.algorithm = self.algorithm or claimed
        if self.algorithm:
            self._hasher = hasher(self.algorithm)

    def _claimed_algorithm(self) -> str | None:
        for name in ALGORITHMS:
            header = f"x-amz-checksum-{name.lower()}"
            if header in self.headers or header in self.headers.get("x-amz-trailer", "").lower():
                return name
        named = self.headers.get("x-amz-sdk-checksum-algorithm", self.headers.get("x-amz-checksum-algorithm"))
        return named.upper() if named else None

    def feed(self, batch: list[bytes]) -> None:
        """Take the next pieces as they came from the client."""
        for data in batch:
            for payload in self._chunked.decode(data) if self._chunked else (data,):
                self.size += len(payload)
                if self.size > _MAX_OBJECT:
                    raise S3Error("EntityTooLarge", MaxSizeAllowed=str(_MAX_OBJECT))
                self._md5.update(payload)
                if self._hasher:
                    self._hasher.update(payload)
                if self._sha256:
                    self._sha256.update(payload)
                self.target.write(payload)

    def verify(self) -> None:
        """Raise :class:`S3Error` if the whole body is not what the headers (or trailers) say."""
        if self._chunked:
            self._chunked.check_ended()
        length = self.headers.get("x-amz-decoded-content-length" if self._chunked else "content-length")
        if length is not None and length != str(self.size):
            raise S3Error("IncompleteBody")
        if (expected := self.headers.get("content-md5")) is not None:
            self._verify_md5(expected)
        if self._sha256 and self._sha256.hexdigest() != self.headers["x-amz-content-sha256"]:
            raise S3Error("XAmzContentSHA256Mismatch")
        checksum = self.checksum
        if checksum:
            trailers = self._chunked.trailers if self._chunked else {}
            claimed = self.headers.get(checksum.header, trailers.get(checksum.header))
            if claimed is not None and claimed != checksum.value:
                raise S3Error(
                    "BadDigest", f"The {checksum.algorithm} you specified did not match the calculated checksum."
                )

    def _verify_md5(self, expected: str) -> None:
        try:
            digest = base64.b64decode(expected, validate=True)
        except binascii.Error:
            digest = b""
        if len(digest) != 16:
            raise S3Error("InvalidDigest")
        if digest != self._md5.digest():
            raise S3Error("BadDigest")

    @property
    def md5(self) -> str:
        """The MD5 of what came so far, in hexadecimal."""
        return str(self._md5.hexdigest())

    @property
    def checksum(self) -> Checksum | None:
        """The checksum of what came so far, if one is wanted."""
        if self._hasher is None or self.algorithm is None:
            return None
        return Checksum.of_digest(self.algorithm, self._hasher.digest())


async def finished(work: asyncio.Future[_T]) -> _T:
    """Await work in a thread; being cancelled meanwhile does not leave it behind, since it owns files."""
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        await asyncio.wait([work])
        raise


async def receive(body: Body, digest: BodyDigest, run: Callable[..., asyncio.Future[Any]]) -> None:
    """Feed ``digest`` in worker threads, a batch being written while the next one arrives; at most two in memory."""
    batch: list[bytes] = []
    size = 0
    pending: asyncio.Future[Any] | None = None
    try:
        async for chunk in body.chunks():
            batch.append(chunk)
            size += len(chunk)
            if size >= _BATCH:
                if pending:
                    await finished(pending)
                pending = run(digest.feed, batch)
                batch, size = [], 0
        if pending:
            await finished(pending)
        pending = run(_last, digest, batch)
        await finished(pending)
    finally:
        if pending and not pending.done():
            await asyncio.wait([pending])


def _last(digest: BodyDigest, batch: list[bytes]) -> None:
    digest.feed(batch)
    digest.verify()
