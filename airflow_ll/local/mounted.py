"""One call of a service that moto answers: the body is given, and what moto cannot do is a refusal."""

from __future__ import annotations

import logging
import uuid
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from starlette.responses import Response

from airflow_ll.local.errors import AwsError, UnknownOperationError
from airflow_ll.local.protocol import encode_error, in_cbor

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["mounted", "refusal"]

_log = logging.getLogger(__name__)


def mounted(app: ASGIApp, service: str, body: bytes) -> ASGIApp:
    """Return the application that answers one request to ``service`` with the given body.

    moto raises where it lacks an operation; clients would retry the 500 that a server makes of that.
    """

    async def replay() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def guarded(message: Message) -> None:
            nonlocal started
            started = True
            if message["type"] == "http.response.start":  # moto lets the pages of any site read its answers
                kept = [one for one in message["headers"] if not one[0].lower().startswith(b"access-control-")]
                message = {**message, "headers": kept}
            await send(message)

        try:
            await app(_readable(scope, service, body), replay, guarded)
        except Exception:
            _log.exception("moto's %s", service)
            if started:
                raise
            error = UnknownOperationError(f"The embedded runtime's {service} cannot answer this call.")
            await refusal(scope, error)(scope, receive, send)

    return answer


def _readable(scope: Scope, service: str, body: bytes) -> Scope:
    """Return a scope whose headers describe the body as it is given, and name the service.

    moto knows no presigned requests and would take them for S3's.
    """
    about_the_body = (b"content-encoding", b"content-length", b"transfer-encoding")
    headers = [one for one in scope["headers"] if one[0] not in about_the_body]
    headers.append((b"content-length", str(len(body)).encode()))
    if not any(name == b"authorization" for name, _ in headers):
        credential = f"AWS4-HMAC-SHA256 Credential=presigned/20000101/us-east-1/{service}/aws4_request"
        headers.append((b"authorization", credential.encode()))
    return {**scope, "headers": headers}


def refusal(scope: Scope, error: AwsError) -> Response:
    """Return the error in the protocol of the request: JSON, CBOR or query."""
    kind = dict(scope["headers"]).get(b"content-type", b"")
    if b"json" in kind or b"cbor" in kind:
        answer = encode_error(error) if b"json" in kind else in_cbor(encode_error(error))
        return Response(answer.body, answer.status, answer.headers)
    text = f"<Error><Code>{error.code}</Code><Message>{escape(error.message)}</Message></Error>"
    request_id = str(uuid.uuid4())
    document = f"<ErrorResponse>{text}<RequestId>{request_id}</RequestId></ErrorResponse>"
    return Response(document, error.status, {"x-amzn-requestid": request_id}, "text/xml")
