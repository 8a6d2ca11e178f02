"""The operations on objects."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from starlette.responses import Response

from airflow_ll.local.s3.blobs import cut
from airflow_ll.local.s3.calls import xml_response
from airflow_ll.local.s3.content import Source, stream
from airflow_ll.local.s3.documents import element, iso_time, parse
from airflow_ll.local.s3.errors import S3Error
from airflow_ll.local.s3.headers import (
    check_read,
    check_tags,
    http_date,
    kept_headers,
    parse_range,
    parse_tagging,
    sse_headers,
    write_condition,
)
from airflow_ll.local.s3.store import Draft

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from airflow_ll.local.s3.calls import Call
    from airflow_ll.local.s3.store import StoredObject

__all__ = [
    "copy_object",
    "delete_object",
    "delete_object_tagging",
    "get_object",
    "get_object_tagging",
    "head_object",
    "put_object",
    "put_object_tagging",
]


async def put_object(call: Call) -> Response:
    """PutObject."""
    headers, tags, allow = kept_headers(call.headers), parse_tagging(call.headers), write_condition(call.headers)
    await call.run(call.store.check_bucket, call.bucket)
    async with call.saved() as (extents, digest):
        draft = Draft(extents, digest.md5, headers, tags, digest.checksum)
        stored = await call.run(call.store.put, call.bucket, call.key, draft, allow)
    answer = {"etag": f'"{stored.etag}"'} | sse_headers(headers)
    if stored.checksum:
        answer |= {stored.checksum.header: stored.checksum.value, "x-amz-checksum-type": stored.checksum.kind}
    return Response(headers=answer)


def _description(call: Call, stored: StoredObject) -> dict[str, str]:
    """Return the headers that describe an object, for all of it or for a range."""
    headers = stored.headers | {
        "etag": f'"{stored.etag}"',
        "last-modified": http_date(stored.modified),
        "accept-ranges": "bytes",
    }
    if stored.tags:
        headers["x-amz-tagging-count"] = str(len(stored.tags))
    for name, value in call.query.items():
        if name.startswith("response-"):
            if not re.fullmatch("[\x20-\x7e]*", value):  # a line break would end the header
                raise S3Error("InvalidArgument", ArgumentName=name)
            headers[name.removeprefix("response-")] = value
    return headers


def _selection(call: Call, stored: StoredObject) -> tuple[int, dict[str, str], int, int]:
    """Return (status, headers, first byte, behind the last byte) of the answer to a read."""
    check_read(call.headers, stored)
    headers = _description(call, stored)
    selected = parse_range(call.headers.get("range"), stored.size)
    start, stop = selected or (0, stored.size)
    headers["content-length"] = str(stop - start)
    if selected:
        headers["content-range"] = f"bytes {start}-{stop - 1}/{stored.size}"
    elif stored.checksum and call.headers.get("x-amz-checksum-mode", "").upper() == "ENABLED":
        headers |= {stored.checksum.header: stored.checksum.value, "x-amz-checksum-type": stored.checksum.kind}
    return 206 if selected else 200, headers, start, stop


async def head_object(call: Call) -> Response:
    """HeadObject."""
    stored = await call.run(call.store.get, call.bucket, call.key)
    status, headers, _, _ = _selection(call, stored)
    return Response(status_code=status, headers=headers)


async def get_object(call: Call) -> ASGIApp:
    """GetObject."""
    pinned = await call.run(call.store.pin, call.bucket, call.key)
    try:
        status, headers, start, stop = _selection(call, pinned.stored)
    except S3Error:
        call.store.blobs.unpin(pinned.extents)
        raise
    return stream(call, status, headers, pinned, cut(pinned.extents, start, stop))


async def delete_object(call: Call) -> Response:
    """DeleteObject."""
    allow = write_condition(call.headers) if "if-match" in call.headers else None
    await call.run(call.store.delete, call.bucket, [call.key], allow)
    return Response(status_code=204)


async def copy_object(call: Call) -> Response:
    """CopyObject: a second name for the same blobs."""
    source = Source.of_call(call)
    replace = call.headers.get("x-amz-metadata-directive") == "REPLACE"
    headers = kept_headers(call.headers)
    tags = parse_tagging(call.headers) if call.headers.get("x-amz-tagging-directive") == "REPLACE" else None
    replaced, allow = headers if replace else None, write_condition(call.headers)
    stored = await call.run(source.copy, call.bucket, call.key, replaced, headers, tags, allow)
    answer = [element("LastModified", iso_time(stored.modified)), element("ETag", f'"{stored.etag}"')]
    if stored.checksum:
        answer.append(element(f"Checksum{stored.checksum.algorithm}", stored.checksum.value))
        answer.append(element("ChecksumType", stored.checksum.kind))
    response = xml_response("CopyObjectResult", answer)
    response.headers.update(sse_headers(headers))
    return response


async def get_object_tagging(call: Call) -> Response:
    """GetObjectTagging."""
    stored = await call.run(call.store.get, call.bucket, call.key)
    tags = [element("Tag", [element("Key", key), element("Value", value)]) for key, value in stored.tags.items()]
    return xml_response("Tagging", [element("TagSet", tags)])


async def put_object_tagging(call: Call) -> Response:
    """PutObjectTagging."""
    tree = parse(await call.document(), "Tagging")
    pairs = [(tag.findtext("Key") or "", tag.findtext("Value") or "") for tag in tree.iterfind("TagSet/Tag")]
    await call.run(call.store.set_tags, call.bucket, call.key, check_tags(pairs))
    return Response()


async def delete_object_tagging(call: Call) -> Response:
    """DeleteObjectTagging."""
    await call.run(call.store.set_tags, call.bucket, call.key, {})
    return Response(status_code=204)
