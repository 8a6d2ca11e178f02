"""The gate before all services: who calls, from where, with which headers."""

from __future__ import annotations

import datetime as dt
import hashlib
import ipaddress
from typing import TYPE_CHECKING

from airflow_ll.local.auth.sigv4 import ChunkChain, Problem, SignatureError, SignedRequest, read_claim, verify
from airflow_ll.local.errors import AccessRefusedError

if TYPE_CHECKING:
    from starlette.requests import Request

    from airflow_ll.local.auth.keys import AccessKeys
    from airflow_ll.local.calls import Call

__all__ = ["Guard"]

_FROM_A_PAGE = "The embedded runtime is not for web pages: it refuses requests with an Origin header."
_FROM_ELSEWHERE = (
    "The embedded runtime listens on this machine only and without signatures, so it answers to localhost and loopback "
    "addresses alone, not to the name in the Host header."
)
_STREAMING = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
_UNSIGNED_BODIES = ("UNSIGNED-PAYLOAD", "STREAMING-UNSIGNED-PAYLOAD-TRAILER")
_INVALID_TOKEN = "The security token included in the request is invalid."  # noqa: S105 - a text
_MISMATCH = "The request signature we calculated does not match the signature you provided. "

# By the dialect of the service: the code and the text of each problem; "{}" takes the detail.
_ANSWERS: dict[str, dict[Problem, tuple[str, str]]] = {
    "s3": {
        Problem.MISSING: ("AccessDenied", "Access Denied"),
        Problem.MALFORMED: ("AuthorizationHeaderMalformed", "The authorization header is malformed; {}"),
        Problem.UNKNOWN_KEY: (
            "InvalidAccessKeyId",
            "The AWS Access Key Id you provided does not exist in our records.",
        ),
        Problem.SKEWED: (
            "RequestTimeTooSkewed",
            "The difference between the request time and the current time is too large.",
        ),
        Problem.EXPIRED: ("AccessDenied", "Request has expired"),
        Problem.UNSIGNED: ("AccessDenied", "There were headers present in the request which were not signed"),
        Problem.MISMATCH: ("SignatureDoesNotMatch", _MISMATCH + "Check your key and signing method."),
    },
    "json": {
        Problem.MISSING: ("MissingAuthenticationTokenException", "Missing Authentication Token"),
        Problem.MALFORMED: ("IncompleteSignatureException", "{}"),
        Problem.UNKNOWN_KEY: ("UnrecognizedClientException", _INVALID_TOKEN),
        Problem.SKEWED: ("InvalidSignatureException", "Signature expired: {} is not within 15 minutes of now."),
        Problem.EXPIRED: ("InvalidSignatureException", "Signature expired"),
        Problem.MISMATCH: (
            "InvalidSignatureException",
            _MISMATCH
            + "Check your AWS Secret Access Key and signing method. Consult the service documentation for details.",
        ),
    },
    "query": {
        Problem.MISSING: ("MissingAuthenticationToken", "Request is missing Authentication Token"),
        Problem.MALFORMED: ("IncompleteSignature", "{}"),
        Problem.UNKNOWN_KEY: ("InvalidClientTokenId", _INVALID_TOKEN),
        Problem.SKEWED: ("SignatureDoesNotMatch", "Signature expired: {} is not within 15 minutes of now."),
        Problem.EXPIRED: ("SignatureDoesNotMatch", "Signature expired"),
        Problem.MISMATCH: (
            "SignatureDoesNotMatch",
            _MISMATCH
            + "Check your AWS Secret Access Key and signing method. Consult the service documentation for details.",
        ),
    },
}


class Guard:
    """Lets a request in or says why not.

    :param keys: the keys that sign requests; ``None`` when every user of the machine may call.
    """

    def __init__(self, keys: AccessKeys | None) -> None:
        self._keys = keys

    def check_origin(self, request: Request) -> str | None:
        """Return why a browser that some web page steers is not answered; ``None`` when it is none.

        A page of another site says so in its Origin header; one whose name was made to resolve to this machine
        (DNS rebinding) in its Host header, where no signature tells callers apart.
        """
        if "origin" in request.headers:
            return _FROM_A_PAGE
        if self._keys is None and not _is_local(request.headers.get("host", "localhost")):
            return _FROM_ELSEWHERE
        return None

    def check_signature(self, call: Call, request: Request, body: bytes | None) -> None:
        """Check the signature of a request, if signatures are asked for.

        :param body: the whole of it; ``None`` when it is still to come (S3), and then what is known of it is in the
            request's state: the chain of the signatures of its chunks, ``state.chunks``.
        :raises AccessRefusedError: in the dialect of the service.
        """
        if self._keys is None:
            return
        try:
            self._verify(request, body)
        except SignatureError as error:
            dialect = _ANSWERS[call.dialect]
            code, text = dialect.get(error.problem, dialect[Problem.MISMATCH])
            raise AccessRefusedError(code, text.format(error.detail)) from None

    def _verify(self, request: Request, body: bytes | None) -> None:
        assert self._keys is not None
        scope = request.scope
        headers = [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in scope["headers"]]
        signed = SignedRequest(request.method, scope["raw_path"].partition(b"?")[0], scope["query_string"], headers)
        claim = read_claim(signed)
        payload = hashlib.sha256(body).hexdigest() if body is not None else _claimed_payload(signed, claim.expires)
        key = verify(signed, claim, self._keys.secret, payload, dt.datetime.now(dt.UTC))
        if payload.startswith(_STREAMING):
            request.state.chunks = ChunkChain(claim, key, trailer=payload.endswith("-TRAILER"))


def _claimed_payload(request: SignedRequest, expires: int | None) -> str:
    """Return what stands for the body in a signature of S3; the body is held against it as it comes."""
    if expires is not None:
        return "UNSIGNED-PAYLOAD"
    claimed = request.header("x-amz-content-sha256")
    if claimed is None:
        raise SignatureError(Problem.MALFORMED, "the x-amz-content-sha256 header is missing.")
    is_hash = len(claimed) == 64 and not set(claimed) - set("0123456789abcdef")
    if not is_hash and claimed not in (*_UNSIGNED_BODIES, _STREAMING, f"{_STREAMING}-TRAILER"):
        raise SignatureError(Problem.MALFORMED, "the x-amz-content-sha256 header is no value that S3 takes.")
    return claimed


def _is_local(host: str) -> bool:
    """Tell whether a Host header names this machine whatever a name server says."""
    name = host.strip().lower()
    name = name[1:].partition("]")[0] if name.startswith("[") else name.partition(":")[0]
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
