"""What request headers mean: attributes to keep, tags, conditions and ranges."""

from __future__ import annotations

import re
from email.utils import formatdate, parsedate_to_datetime
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from airflow_ll.local.s3.errors import S3Error

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_ll.local.s3.store import Precondition, StoredObject

__all__ = [
    "check_read",
    "check_tags",
    "http_date",
    "kept_headers",
    "parse_range",
    "parse_tagging",
    "sse_headers",
    "write_condition",
]

_KEPT = (
    "cache-control",
    "content-disposition",
    "content-language",
    "content-type",
    "expires",
    "x-amz-website-redirect-location",
)
_SSE = (
    "x-amz-server-side-encryption",
    "x-amz-server-side-encryption-aws-kms-key-id",
    "x-amz-server-side-encryption-bucket-key-enabled",
)
_STORAGE_CLASSES = {
    "DEEP_ARCHIVE", "EXPRESS_ONEZONE", "GLACIER", "GLACIER_IR", "INTELLIGENT_TIERING", "ONEZONE_IA", "OUTPOSTS",
    "REDUCED_REDUNDANCY", "SNOW", "STANDARD", "STANDARD_IA",
}  # fmt: skip
_UNKNOWN = (
    "x-amz-server-side-encryption-customer-algorithm",
    "x-amz-copy-source-server-side-encryption-customer-algorithm",
    "x-amz-object-lock-mode",
    "x-amz-object-lock-legal-hold",
    "x-amz-write-offset-bytes",
)
_METADATA_LIMIT = 2048


def http_date(seconds: int) -> str:
    """Return a time as HTTP headers have it."""
    return formatdate(seconds, usegmt=True)


def sse_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the encryption that is said to be used; S3 encrypts with AES256 when nothing is asked for."""
    kept = {name: headers[name] for name in _SSE if name in headers}
    if kept.setdefault(_SSE[0], "AES256") not in {"AES256", "aws:kms", "aws:kms:dsse"}:
        raise S3Error("InvalidArgument", "The encryption method specified is not supported")
    return kept


def kept_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Return what an object keeps of the headers of the call that makes it."""
    for name in _UNKNOWN:
        if name in headers:
            raise S3Error("NotImplemented", Header=name)
    kept = {name: headers[name] for name in _KEPT if name in headers}
    kept.setdefault("content-type", "binary/octet-stream")
    encodings = [name.strip() for name in headers.get("content-encoding", "").split(",")]
    if encoding := ",".join(name for name in encodings if name and name != "aws-chunked"):
        kept["content-encoding"] = encoding
    metadata = {name: value for name, value in headers.items() if name.startswith("x-amz-meta-")}
    if sum(len(name) - len("x-amz-meta-") + len(value) for name, value in metadata.items()) > _METADATA_LIMIT:
        raise S3Error("MetadataTooLarge", MaxSizeAllowed=str(_METADATA_LIMIT))
    storage_class = headers.get("x-amz-storage-class", "STANDARD")
    if storage_class not in _STORAGE_CLASSES:
        raise S3Error("InvalidStorageClass", StorageClassRequested=storage_class)
    if storage_class != "STANDARD":
        kept["x-amz-storage-class"] = storage_class
    return kept | metadata | sse_headers(headers)


def check_tags(pairs: list[tuple[str, str]]) -> dict[str, str]:
    """Return tags as a dict, or raise what S3 says of bad ones."""
    tags = dict(pairs)
    if len(tags) != len(pairs):
        raise S3Error("InvalidTag", "Cannot provide multiple Tags with the same key")
    if len(tags) > 10:
        raise S3Error("InvalidTag", "Object tags cannot be greater than 10")
    for key, value in pairs:
        if not 0 < len(key) <= 128 or key.lower().startswith("aws:"):
            raise S3Error("InvalidTag", "The TagKey you have provided is invalid", TagKey=key)
        if len(value) > 256:
            raise S3Error("InvalidTag", "The TagValue you have provided is invalid", TagKey=key, TagValue=value)
    return tags


def parse_tagging(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the tags of the ``x-amz-tagging`` header."""
    return check_tags(parse_qsl(headers.get("x-amz-tagging", ""), keep_blank_values=True))


def _matches(header: str, stored: StoredObject) -> bool:
    wanted = {tag.strip().removeprefix("W/").strip('"') for tag in header.split(",")}
    return "*" in wanted or stored.etag in wanted


def _since(headers: Mapping[str, str], name: str) -> float | None:
    """Return a date header in seconds; one that is no date counts as absent."""
    try:
        return parsedate_to_datetime(headers[name]).timestamp() if name in headers else None
    except ValueError:
        return None


def check_read(headers: Mapping[str, str], stored: StoredObject, prefix: str = "") -> None:
    """Raise PreconditionFailed or NotModified if the conditions of a read do not hold.

    Parameters
    ----------
    headers
        Of the request.
    stored
        What is read.
    prefix
        ``x-amz-copy-source-`` for the conditions on the source of a copy; these never end in NotModified.
    """
    match, unmodified = headers.get(f"{prefix}if-match"), _since(headers, f"{prefix}if-unmodified-since")
    if match is not None and not _matches(match, stored):
        raise S3Error("PreconditionFailed", Condition="If-Match")
    if match is None and unmodified is not None and stored.modified > unmodified:
        raise S3Error("PreconditionFailed", Condition="If-Unmodified-Since")
    none_match, modified = headers.get(f"{prefix}if-none-match"), _since(headers, f"{prefix}if-modified-since")
    if none_match is not None:
        unchanged = _matches(none_match, stored)
    else:
        unchanged = modified is not None and stored.modified <= modified
    if unchanged:
        error = S3Error("PreconditionFailed" if prefix else "NotModified")
        if not prefix:
            error.headers = {"etag": f'"{stored.etag}"', "last-modified": http_date(stored.modified)}
        raise error


def write_condition(headers: Mapping[str, str]) -> Precondition:
    """Return the check of a conditional write against what is there when it commits."""
    match, none_match = headers.get("if-match"), headers.get("if-none-match")
    if none_match not in (None, "*"):
        raise S3Error("NotImplemented", Header="If-None-Match", additionalMessage="We don't accept the provided value")

    def allow(existing: StoredObject | None) -> None:
        if none_match and existing:
            raise S3Error("PreconditionFailed", Condition="If-None-Match")
        if match is not None and not existing:
            raise S3Error("NoSuchKey")
        if match is not None and existing and not _matches(match, existing):
            raise S3Error("PreconditionFailed", Condition="If-Match")

    return allow


def parse_range(header: str | None, size: int) -> tuple[int, int] | None:
    """Return (first, behind the last) byte of a ``Range``; None if the whole is meant (or the form is unknown)."""
    found = re.fullmatch("bytes=([0-9]{0,18})-([0-9]{0,18})", header.strip()) if header else None
    if not found or not any(found.groups()):
        return None
    first, last = found.groups()
    if first and last and int(first) > int(last):
        return None
    start = int(first) if first else max(0, size - int(last))
    stop = min(size, int(last) + 1) if first and last else size
    if start >= size or (not first and not int(last)):
        raise S3Error("InvalidRange", ActualObjectSize=str(size), RangeRequested=header or "")
    return start, stop
