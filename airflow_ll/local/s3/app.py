"""The ASGI application: paths and parameters to operations, errors to answers."""

from __future__ import annotations

import logging
import secrets
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote_to_bytes

from starlette.responses import Response

from airflow_ll.local.s3 import buckets, multipart, objects
from airflow_ll.local.s3.bodies import Body, Disconnected
from airflow_ll.local.s3.calls import Call, Service
from airflow_ll.local.s3.documents import element, render
from airflow_ll.local.s3.errors import S3Error
from airflow_ll.local.s3.store import Store
from airflow_ll.local.s3.uploads import Uploads

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from starlette.types import ASGIApp, Receive, Scope, Send

__all__ = ["S3App", "create_app", "operation_name", "refusal"]

_LOG = logging.getLogger(__name__)
_THREADS = 8
_STALE_UPLOAD = 7 * 24 * 3600.0
_MAX_KEY = 1024

# By (what the path names, method, what the query and headers choose).
_OPERATIONS: dict[tuple[str, str, str], Callable[[Call], Awaitable[ASGIApp]]] = {
    ("service", "GET", ""): buckets.list_buckets,
    ("bucket", "PUT", ""): buckets.create_bucket,
    ("bucket", "HEAD", ""): buckets.head_bucket,
    ("bucket", "DELETE", ""): buckets.delete_bucket,
    ("bucket", "GET", ""): buckets.list_objects,
    ("bucket", "GET", "list-type"): buckets.list_objects_v2,
    ("bucket", "GET", "location"): buckets.get_bucket_location,
    ("bucket", "GET", "uploads"): multipart.list_multipart_uploads,
    ("bucket", "POST", "delete"): buckets.delete_objects,
    ("object", "PUT", ""): objects.put_object,
    ("object", "PUT", "copy"): objects.copy_object,
    ("object", "GET", ""): objects.get_object,
    ("object", "HEAD", ""): objects.head_object,
    ("object", "DELETE", ""): objects.delete_object,
    ("object", "GET", "tagging"): objects.get_object_tagging,
    ("object", "PUT", "tagging"): objects.put_object_tagging,
    ("object", "DELETE", "tagging"): objects.delete_object_tagging,
    ("object", "POST", "uploads"): multipart.create_multipart_upload,
    ("object", "PUT", "partNumber uploadId"): multipart.upload_part,
    ("object", "PUT", "copy partNumber uploadId"): multipart.upload_part_copy,
    ("object", "POST", "uploadId"): multipart.complete_multipart_upload,
    ("object", "DELETE", "uploadId"): multipart.abort_multipart_upload,
    ("object", "GET", "uploadId"): multipart.list_parts,
}
# Parameters of the query that choose no operation; any other must be in the table above.
_PARAMETERS = {
    "continuation-token", "delimiter", "encoding-type", "fetch-owner", "key-marker", "marker", "max-keys", "max-parts",
    "max-uploads", "part-number-marker", "prefix", "start-after", "upload-id-marker", "x-id",
    "AWSAccessKeyId", "Expires", "Signature",
}  # fmt: skip


def _target(scope: Scope, headers: dict[str, str]) -> tuple[str, str]:
    """Return (bucket, key) of the path, or of the host ``<bucket>.localhost`` and the path."""
    raw = scope.get("raw_path") or scope["path"].encode()
    try:
        path = unquote_to_bytes(raw.partition(b"?")[0]).decode().removeprefix("/")
    except UnicodeDecodeError:
        raise S3Error("InvalidURI") from None
    host = headers.get("host", "").partition(":")[0]
    if host.endswith(".localhost"):
        return host.removesuffix(".localhost"), path
    bucket, _, key = path.partition("/")
    return bucket, key


def _query(scope: Scope) -> dict[str, str]:
    return dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))


def _operation(
    scope: Scope, headers: dict[str, str], query: dict[str, str], bucket: str, key: str
) -> Callable[[Call], Awaitable[ASGIApp]] | None:
    chosen = {
        name for name in query if name not in _PARAMETERS and not name.lower().startswith(("x-amz-", "response-"))
    }
    if "x-amz-copy-source" in headers:
        chosen.add("copy")
    level = "object" if key else "bucket" if bucket else "service"
    return _OPERATIONS.get((level, scope["method"], " ".join(sorted(chosen))))


def operation_name(scope: Scope) -> str:
    """Return the API's name of the operation that a request calls (``PutObject``), ``""`` when there is none."""
    headers = _headers(scope)
    try:
        operation = _operation(scope, headers, _query(scope), *_target(scope, headers))
    except S3Error:
        return ""
    return "".join(word.capitalize() for word in operation.__name__.split("_")) if operation else ""


def refusal(scope: Scope, code: str, message: str | None = None) -> Response:
    """Return S3's answer for an error that is found before a request reaches it."""
    return _refusal(S3Error(code, message), scope, secrets.token_hex(8).upper())


def _headers(scope: Scope) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}


class S3App:
    """An S3 on a folder.

    Parameters
    ----------
    service
        What answers the calls.
    """

    def __init__(self, service: Service) -> None:
        self.service = service

    def close(self) -> None:
        """Finish what is being written and give the folder back; needed only to open it again in this process."""
        self.service.threads.shutdown()
        self.service.store.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection event."""
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        headers = _headers(scope)
        body = Body(receive, scope.get("state", {}).get("chunks"))
        request_id = secrets.token_hex(8).upper()
        try:
            try:
                answer = await self._answer(scope, headers, body)
            except S3Error as error:
                answer = _refusal(error, scope, request_id)
            except (OSError, sqlite3.Error):
                _LOG.exception("S3 cannot read or write its folder (%s %s)", scope["method"], scope["path"])
                answer = _refusal(S3Error("InternalError"), scope, request_id)
            await body.drain()
        except Disconnected:
            return
        await answer(scope, receive, _with_headers(send, request_id))

    async def _answer(self, scope: Scope, headers: dict[str, str], body: Body) -> ASGIApp:
        bucket, key = _target(scope, headers)
        query = _query(scope)
        operation = _operation(scope, headers, query, bucket, key)
        if operation is None:
            raise S3Error("NotImplemented")
        if len(key.encode()) > _MAX_KEY:
            raise S3Error("KeyTooLongError", MaxSizeAllowed=str(_MAX_KEY))
        account = self.service.account_id
        if headers.get("x-amz-expected-bucket-owner", account) != account:
            raise S3Error("AccessDenied")
        return await operation(Call(self.service, scope["method"], bucket, key, query, headers, body))


def _refusal(error: S3Error, scope: Scope, request_id: str) -> Response:
    """Return the answer of an error; those to HEAD and 304 have no body."""
    if scope["method"] == "HEAD" or error.status == 304:
        return Response(status_code=error.status, headers=error.headers)
    content = {"Code": error.code, "Message": error.message, **error.details, "Resource": scope["path"]}
    elements = [element(name, text) for name, text in (content | {"RequestId": request_id}).items()]
    document = render("Error", elements, namespace="")
    return Response(document, error.status, error.headers, media_type="application/xml")


def _with_headers(send: Send, request_id: str) -> Send:
    async def sending(message: Any) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], (b"x-amz-request-id", request_id.encode())]
        await send(message)

    return sending


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        event = (await receive())["type"].removeprefix("lifespan.")
        await send({"type": f"lifespan.{event}.complete"})
        if event == "shutdown":
            return


def create_app(data_dir: Path, *, region: str, account_id: str) -> S3App:
    """Open (or create) the S3 in ``data_dir / "s3"`` and return its ASGI application.

    Parameters
    ----------
    data_dir
        Blobs that no index entry names, and uploads older than a week, are removed.
    region, account_id
        Of all buckets.
    """
    store = Store(data_dir / "s3")
    uploads = Uploads(store)
    uploads.collect(_STALE_UPLOAD)
    threads = ThreadPoolExecutor(_THREADS, "s3")
    return S3App(Service(store, uploads, threads, region, account_id))
