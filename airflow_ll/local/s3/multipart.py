"""The operations on multipart uploads."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from starlette.responses import Response

from airflow_ll.local.s3.buckets import owner
from airflow_ll.local.s3.calls import xml_response
from airflow_ll.local.s3.checksums import ALGORITHMS, Checksum, hasher
from airflow_ll.local.s3.content import Source
from airflow_ll.local.s3.documents import element, iso_time, parse, url_encoded
from airflow_ll.local.s3.errors import S3Error
from airflow_ll.local.s3.headers import kept_headers, parse_tagging, sse_headers, write_condition
from airflow_ll.local.s3.store import Draft
from airflow_ll.local.s3.uploads import PartClaim

if TYPE_CHECKING:
    from airflow_ll.local.s3.calls import Call
    from airflow_ll.local.s3.uploads import Part, Upload

__all__ = [
    "abort_multipart_upload",
    "complete_multipart_upload",
    "create_multipart_upload",
    "list_multipart_uploads",
    "list_parts",
    "upload_part",
    "upload_part_copy",
]

_MAX_PARTS = 10_000


async def create_multipart_upload(call: Call) -> Response:
    """CreateMultipartUpload."""
    headers, tags = kept_headers(call.headers), parse_tagging(call.headers)
    algorithm = call.headers.get("x-amz-checksum-algorithm", "").upper() or None
    if algorithm:
        hasher(algorithm)
    usual = "FULL_OBJECT" if algorithm == "CRC64NVME" else "COMPOSITE"
    kind = call.headers.get("x-amz-checksum-type", usual).upper()
    upload = await call.run(call.service.uploads.create, call.bucket, call.key, headers, tags, algorithm, kind)
    response = xml_response(
        "InitiateMultipartUploadResult",
        [element("Bucket", call.bucket), element("Key", call.key), element("UploadId", upload.id)],
    )
    response.headers.update(sse_headers(headers))
    if algorithm:
        response.headers.update({"x-amz-checksum-algorithm": algorithm, "x-amz-checksum-type": kind})
    return response


async def _upload(call: Call) -> Upload:
    return await call.run(call.service.uploads.get, call.bucket, call.key, call.query["uploadId"])


def _part_number(call: Call) -> int:
    text = call.query["partNumber"]
    if not re.fullmatch("[0-9]{1,5}", text) or not 1 <= int(text) <= _MAX_PARTS:
        raise S3Error(
            "InvalidArgument", f"Part number must be an integer between 1 and {_MAX_PARTS}, inclusive",
            ArgumentName="partNumber", ArgumentValue=text,
        )  # fmt: skip
    return int(text)


async def upload_part(call: Call) -> Response:
    """UploadPart."""
    number, upload = _part_number(call), await _upload(call)
    async with call.saved(upload.algorithm) as (extents, digest):
        draft = Draft(extents, digest.md5, checksum=digest.checksum)
        part = await call.run(call.service.uploads.put_part, upload, number, draft)
    answer = {"etag": f'"{part.etag}"'} | sse_headers(upload.headers)
    if part.checksum:
        answer[part.checksum.header] = part.checksum.value
    return Response(headers=answer)


async def upload_part_copy(call: Call) -> Response:
    """UploadPartCopy."""
    number, upload, source = _part_number(call), await _upload(call), Source.of_call(call)
    part = await call.run(_copy_part, call, upload, number, source)
    answer = [element("LastModified", iso_time(part.modified)), element("ETag", f'"{part.etag}"')]
    if part.checksum:
        answer.append(element(f"Checksum{part.checksum.algorithm}", part.checksum.value))
    return xml_response("CopyPartResult", answer)


def _copy_part(call: Call, upload: Upload, number: int, source: Source) -> Part:
    draft, stored = source.part(upload.algorithm)
    return call.service.uploads.put_part(
        upload, number, draft, lambda transaction: source.check_unchanged(stored, transaction)
    )


async def complete_multipart_upload(call: Call) -> Response:
    """CompleteMultipartUpload."""
    claims = _claims(await call.document(about_object=True))
    stored = await call.run(
        call.service.uploads.complete, call.bucket, call.key, call.query["uploadId"], claims,
        write_condition(call.headers), lambda checksum, size: _check_whole(call, checksum, size),
    )  # fmt: skip
    answer = [
        element("Location", f"http://{call.headers.get('host', '')}/{call.bucket}/{url_encoded(call.key, 'url')}"),
        element("Bucket", call.bucket),
        element("Key", call.key),
        element("ETag", f'"{stored.etag}"'),
    ]
    if stored.checksum:
        answer.append(element(f"Checksum{stored.checksum.algorithm}", stored.checksum.value))
        answer.append(element("ChecksumType", stored.checksum.kind))
    response = xml_response("CompleteMultipartUploadResult", answer)
    response.headers.update(sse_headers(stored.headers))
    return response


def _claims(body: bytes) -> list[PartClaim]:
    claims = []
    for node in parse(body, "CompleteMultipartUpload").findall("Part"):
        number, etag = node.findtext("PartNumber") or "", node.findtext("ETag")
        if not re.fullmatch("[0-9]{1,5}", number) or etag is None:
            raise S3Error("MalformedXML")
        values = {name: node.findtext(f"Checksum{name}") for name in ALGORITHMS}
        claims.append(PartClaim(int(number), etag, {name: value for name, value in values.items() if value}))
    if not claims:
        raise S3Error("MalformedXML")
    return claims


def _check_whole(call: Call, checksum: Checksum | None, size: int) -> None:
    """Hold what the headers say of the whole object against what the parts make."""
    if call.headers.get("x-amz-mp-object-size", str(size)) != str(size):
        raise S3Error("InvalidRequest", "The provided 'x-amz-mp-object-size' header does not match what was computed")
    if (
        checksum
        and call.headers.get(checksum.header, checksum.value).partition("-")[0] != checksum.value.partition("-")[0]
    ):
        raise S3Error("BadDigest", f"The {checksum.algorithm} you specified did not match the calculated checksum.")


async def abort_multipart_upload(call: Call) -> Response:
    """AbortMultipartUpload."""
    await call.run(call.service.uploads.abort, call.bucket, call.key, call.query["uploadId"])
    return Response(status_code=204)


async def list_parts(call: Call) -> Response:
    """ListParts."""
    after, limit = call.number("part-number-marker", 0, 0, _MAX_PARTS), call.number("max-parts", 1000, 0, 1000)
    upload = await _upload(call)
    parts = await call.run(call.service.uploads.parts, upload.id, after, limit + 1)
    more, parts = len(parts) > limit, parts[:limit]
    elements = [
        element("Bucket", call.bucket),
        element("Key", call.key),
        element("UploadId", upload.id),
        element("PartNumberMarker", after),
        element("MaxParts", limit),
        element("IsTruncated", "true" if more else "false"),
        element("StorageClass", upload.headers.get("x-amz-storage-class", "STANDARD")),
        owner(call, "Initiator"),
        owner(call),
    ]
    if parts:
        elements.append(element("NextPartNumberMarker", parts[-1].number))
    if upload.algorithm:
        elements += [element("ChecksumAlgorithm", upload.algorithm), element("ChecksumType", upload.kind)]
    return xml_response("ListPartsResult", elements + [_part(part) for part in parts])


def _part(part: Part) -> str:
    content = [
        element("PartNumber", part.number),
        element("LastModified", iso_time(part.modified)),
        element("ETag", f'"{part.etag}"'),
        element("Size", part.size),
    ]
    if part.checksum:
        content.append(element(f"Checksum{part.checksum.algorithm}", part.checksum.value))
    return element("Part", content)


async def list_multipart_uploads(call: Call) -> Response:
    """ListMultipartUploads, without delimiter."""
    if call.query.get("delimiter"):
        raise S3Error("NotImplemented", Parameter="delimiter")
    limit, encoding = call.number("max-uploads", 1000, 0, 1000), call.query.get("encoding-type")
    prefix, key, upload_id = (call.query.get(name, "") for name in ("prefix", "key-marker", "upload-id-marker"))
    await call.run(call.store.check_bucket, call.bucket)
    # Without an upload id the marker is behind all uploads of its key.
    after = (key, upload_id or "\x7f" if key else "")
    uploads = await call.run(call.service.uploads.list, call.bucket, prefix, after, limit + 1)
    more, uploads = len(uploads) > limit, uploads[:limit]
    elements = [
        element("Bucket", call.bucket),
        element("KeyMarker", url_encoded(key, encoding)),
        element("UploadIdMarker", upload_id),
        element("Prefix", url_encoded(prefix, encoding)),
        element("MaxUploads", limit),
        element("IsTruncated", "true" if more else "false"),
    ]
    if encoding:
        elements.append(element("EncodingType", encoding))
    if more and uploads:
        elements.append(element("NextKeyMarker", url_encoded(uploads[-1].key, encoding)))
        elements.append(element("NextUploadIdMarker", uploads[-1].id))
    return xml_response("ListMultipartUploadsResult", elements + [_listed(call, upload) for upload in uploads])


def _listed(call: Call, upload: Upload) -> str:
    content = [
        element("UploadId", upload.id),
        element("Key", url_encoded(upload.key, call.query.get("encoding-type"))),
        element("Initiated", iso_time(upload.started)),
        element("StorageClass", upload.headers.get("x-amz-storage-class", "STANDARD")),
        owner(call, "Initiator"),
        owner(call),
    ]
    return element("Upload", content)
