"""The operations on buckets, and the lists of what is in one."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING

from starlette.responses import Response

from airflow_ll.local.s3.calls import xml_response
from airflow_ll.local.s3.documents import element, iso_time, parse, url_encoded
from airflow_ll.local.s3.errors import S3Error
from airflow_ll.local.s3.listing import Page, list_page

if TYPE_CHECKING:
    from airflow_ll.local.s3.calls import Call
    from airflow_ll.local.s3.store import StoredObject

__all__ = [
    "create_bucket",
    "delete_bucket",
    "delete_objects",
    "get_bucket_location",
    "head_bucket",
    "list_buckets",
    "list_objects",
    "list_objects_v2",
    "owner",
]

_US_EAST_1 = "us-east-1"


def owner(call: Call, name: str = "Owner") -> str:
    """Return the one owner of everything."""
    return element(name, [element("ID", call.service.account_id), element("DisplayName", "airflow-ll")])


async def list_buckets(call: Call) -> Response:
    """ListBuckets."""
    rows = await call.run(call.store.buckets)
    buckets = [
        element("Bucket", [element("Name", name), element("CreationDate", iso_time(created))]) for name, created in rows
    ]
    return xml_response("ListAllMyBucketsResult", [owner(call), element("Buckets", buckets)])


async def create_bucket(call: Call) -> Response:
    """CreateBucket; all buckets are in the region of this S3."""
    body = await call.document()
    wanted = parse(body, "CreateBucketConfiguration").findtext("LocationConstraint") if body else None
    region = call.service.region
    if wanted is None and region != _US_EAST_1:
        raise S3Error("IllegalLocationConstraintException")
    if wanted is not None and (wanted != region or wanted == _US_EAST_1):
        raise S3Error("InvalidLocationConstraint", LocationConstraint=wanted)
    if not await call.run(call.store.create_bucket, call.bucket) and region != _US_EAST_1:
        raise S3Error("BucketAlreadyOwnedByYou", BucketName=call.bucket)
    return Response(headers={"location": f"/{call.bucket}"})


async def head_bucket(call: Call) -> Response:
    """HeadBucket."""
    await call.run(call.store.check_bucket, call.bucket)
    return Response(
        headers={"x-amz-bucket-region": call.service.region, "x-amz-access-point-alias": "false"},
        media_type="application/xml",
    )


async def delete_bucket(call: Call) -> Response:
    """DeleteBucket."""
    await call.run(call.store.delete_bucket, call.bucket)
    return Response(status_code=204)


async def get_bucket_location(call: Call) -> Response:
    """GetBucketLocation; us-east-1 is the empty one."""
    await call.run(call.store.check_bucket, call.bucket)
    region = call.service.region
    return xml_response("LocationConstraint", [] if region == _US_EAST_1 else [region])


async def delete_objects(call: Call) -> Response:
    """DeleteObjects, without conditions and versions: to pass over those would delete what is not meant."""
    tree = parse(await call.document(), "Delete")
    nodes = tree.findall("Object")
    if other := next((inner.tag for node in nodes for inner in node if inner.tag != "Key"), None):
        raise S3Error("NotImplemented", Parameter=other)
    keys = [node.findtext("Key") for node in nodes]
    if not 0 < len(keys) <= 1000 or not all(keys):
        raise S3Error("MalformedXML")
    deleted = [key for key in keys if key]
    await call.run(call.store.delete, call.bucket, deleted)
    quiet = tree.findtext("Quiet") == "true"
    return xml_response("DeleteResult", [] if quiet else [element("Deleted", [element("Key", key)]) for key in deleted])


async def list_objects(call: Call) -> Response:
    """ListObjects, the first version; markers are keys."""
    limit = call.number("max-keys", 1000, 0, 1000)
    marker, encoding = call.query.get("marker", ""), call.query.get("encoding-type")
    page = await _page(call, marker, limit)
    elements = [element("Marker", url_encoded(marker, encoding))]
    if page.last and call.query.get("delimiter"):
        elements.append(element("NextMarker", url_encoded(page.last, encoding)))
    return xml_response("ListBucketResult", elements + _common(call, page, limit, with_owner=True))


async def list_objects_v2(call: Call) -> Response:
    """ListObjectsV2; a continuation token is the last key or prefix of the page before, in base64."""
    limit = call.number("max-keys", 1000, 0, 1000)
    start, token = call.query.get("start-after", ""), call.query.get("continuation-token")
    encoding = call.query.get("encoding-type")
    page = await _page(call, start if token is None else _decoded(token), limit)
    elements = [element("KeyCount", len(page))]
    if token is not None:
        elements.append(element("ContinuationToken", token))
    if start:
        elements.append(element("StartAfter", url_encoded(start, encoding)))
    if page.last:
        elements.append(element("NextContinuationToken", base64.urlsafe_b64encode(page.last.encode()).decode()))
    with_owner = call.query.get("fetch-owner") == "true"
    return xml_response("ListBucketResult", elements + _common(call, page, limit, with_owner=with_owner))


def _decoded(token: str) -> str:
    try:
        after = base64.b64decode(token, altchars=b"-_", validate=True).decode()
    except (binascii.Error, UnicodeError):
        after = ""
    if not after:
        raise S3Error(
            "InvalidArgument", "The continuation token provided is incorrect", ArgumentName="continuation-token"
        )
    return after


async def _page(call: Call, after: str, limit: int) -> Page:
    if call.query.get("encoding-type") not in (None, "url"):
        raise S3Error("InvalidArgument", "Invalid Encoding Method specified in Request", ArgumentName="encoding-type")
    await call.run(call.store.check_bucket, call.bucket)
    prefix, delimiter = call.query.get("prefix", ""), call.query.get("delimiter", "")
    return await call.run(
        list_page, call.store, call.bucket, prefix=prefix, delimiter=delimiter, after=after, limit=limit
    )


def _common(call: Call, page: Page, limit: int, *, with_owner: bool) -> list[str]:
    """Return the elements that both versions have."""
    encoding = call.query.get("encoding-type")
    elements = [element("Name", call.bucket), element("Prefix", url_encoded(call.query.get("prefix", ""), encoding))]
    if delimiter := call.query.get("delimiter"):
        elements.append(element("Delimiter", url_encoded(delimiter, encoding)))
    if encoding:
        elements.append(element("EncodingType", encoding))
    elements += [element("MaxKeys", limit), element("IsTruncated", "true" if page.last else "false")]
    elements += [_contents(call, stored, with_owner=with_owner) for stored in page.objects]
    for prefix in page.prefixes:
        elements.append(element("CommonPrefixes", [element("Prefix", url_encoded(prefix, encoding))]))
    return elements


def _contents(call: Call, stored: StoredObject, *, with_owner: bool) -> str:
    parts = [
        element("Key", url_encoded(stored.key, call.query.get("encoding-type"))),
        element("LastModified", iso_time(stored.modified)),
        element("ETag", f'"{stored.etag}"'),
        element("Size", stored.size),
        element("StorageClass", stored.headers.get("x-amz-storage-class", "STANDARD")),
    ]
    if stored.checksum:
        parts.append(element("ChecksumAlgorithm", stored.checksum.algorithm))
        parts.append(element("ChecksumType", stored.checksum.kind))
    if with_owner:
        parts.append(owner(call))
    return element("Contents", parts)
