"""What every operation gets: the request, its body, the store and the threads."""

from __future__ import annotations

import asyncio
import io
import re
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from starlette.responses import Response

from airflow_ll.local.s3.bodies import Body, BodyDigest, finished, receive
from airflow_ll.local.s3.documents import render
from airflow_ll.local.s3.errors import S3Error

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping
    from concurrent.futures import ThreadPoolExecutor

    from airflow_ll.local.s3.blobs import Extent
    from airflow_ll.local.s3.store import Store
    from airflow_ll.local.s3.uploads import Uploads

__all__ = ["Call", "Service", "xml_response"]

_MAX_DOCUMENT = 8 << 20
_T = TypeVar("_T")
_P = ParamSpec("_P")


@dataclass(frozen=True, slots=True)
class Service:
    """One S3: its store, its threads, who it says it is."""

    store: Store
    uploads: Uploads
    threads: ThreadPoolExecutor
    region: str
    account_id: str

    def run(self, work: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> asyncio.Future[_T]:
        """Do blocking work in a thread."""
        return asyncio.get_running_loop().run_in_executor(self.threads, lambda: work(*args, **kwargs))


@dataclass(frozen=True, slots=True)
class Call:
    """One request. Header names are lower case; ``bucket`` and ``key`` are empty if the path names none."""

    service: Service
    method: str
    bucket: str
    key: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Body

    @property
    def store(self) -> Store:
        """The store."""
        return self.service.store

    async def run(self, work: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Do blocking work in a thread."""
        return await finished(self.service.run(work, *args, **kwargs))

    def number(self, name: str, default: int, low: int, high: int) -> int:
        """Return a numeric parameter of the query, cut at ``high``."""
        text = self.query.get(name) or str(default)
        if not re.fullmatch("[0-9]{1,10}", text) or int(text) < low:
            raise S3Error(
                "InvalidArgument", f"Provided {name} not an integer or within integer range", ArgumentName=name
            )
        return min(int(text), high)

    async def document(self, *, about_object: bool = False) -> bytes:
        """Return the whole of a small body, verified; checksums ``about_object`` are not those of the body."""
        headers = self.headers
        if about_object:
            headers = {name: value for name, value in headers.items() if not name.startswith("x-amz-checksum-")}
        buffer = _Limited()
        digest = BodyDigest(headers, buffer, chain=self.body.chain)
        await receive(self.body, digest, self.service.run)
        return buffer.getvalue()

    @asynccontextmanager
    async def saved(self, algorithm: str | None = None) -> AsyncIterator[tuple[list[Extent], BodyDigest]]:
        """Write the body to a blob, verified and durable; leaving the block with an error drops it."""
        writer = await self.run(self.store.blobs.writer)
        try:
            digest = BodyDigest(self.headers, writer, algorithm, self.body.chain)
            await receive(self.body, digest, self.service.run)
            extents = await self.run(writer.commit)
            yield extents, digest
        except BaseException:
            self.store.drop_unnamed(writer)
            raise


class _Limited(io.BytesIO):
    def write(self, data: Any, /) -> int:
        if self.tell() + len(data) > _MAX_DOCUMENT:
            raise S3Error("MalformedXML")
        return super().write(data)


def xml_response(name: str, elements: Iterable[str]) -> Response:
    """Answer 200 with a document."""
    return Response(render(name, elements), media_type="application/xml")
