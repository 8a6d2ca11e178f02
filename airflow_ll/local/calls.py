"""What a request is about: its service, operation and resource, and the protocol its errors are written in."""

from __future__ import annotations

import json
import re
import time
import zlib
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, quote

from airflow_ll.local import protocol
from airflow_ll.local.clients import OWN_CALLS
from airflow_ll.local.errors import SerializationError, UnknownOperationError, ValidationError
from airflow_ll.local.s3 import operation_name as s3_operation

if TYPE_CHECKING:
    from starlette.requests import Request

__all__ = ["MAX_BODY", "Call"]

#: In bytes, of every service but S3.
MAX_BODY = 32 << 20
_VERB = re.compile("^(Create|Describe|Update|Delete|Stop|List)")
_TARGETS = {"SageMaker": "sagemaker", "Logs_20140328": "logs", "GraniteServiceVersion20100801": "monitoring"}


class Call:
    """One request.

    ``service`` is the name in its signature, ``target`` the operation in its target header (``""`` without one);
    ``operation`` and ``resource`` are what the access log and fault rules call them, ``"-"`` when there is none;
    ``rpc`` calls have the operation in their path and speak CBOR (Smithy RPC); ``ours`` are the calls of the runtime
    itself.
    """

    def __init__(self, request: Request) -> None:
        self.started = time.perf_counter()
        prefix, _, self.target = request.headers.get("x-amz-target", "").partition(".")
        self.path, self.method = request.scope["path"], request.method
        self.query = request.scope["query_string"].decode("latin-1")
        signed = protocol.signed_scope(request.headers, self.query)
        self.region, self.service = signed or ("us-east-1", self._unsigned_service(prefix))
        self.rpc = self.service != "s3" and not self.target and self.path.startswith("/service/")
        self._gzipped = request.headers.get("content-encoding") == "gzip"
        self.operation = quote(self.target or (self.path.rpartition("/")[2] if self.rpc else "")) or self.method
        self.resource = "-" if self.target else quote(self.path)
        self.ours = OWN_CALLS in request.headers.get("user-agent", "")
        self._s3_operation = s3_operation(request.scope) if self.service == "s3" else ""

    def _unsigned_service(self, prefix: str) -> str:
        invoked = self.path.startswith("/endpoints/") and self.path.endswith("/invocations")
        return _TARGETS.get(prefix, "sagemaker" if invoked else "s3")

    @property
    def rest(self) -> bool:
        """Whether it is one of SageMaker's REST services."""
        return self.service == "sagemaker" and not self.target

    @property
    def dialect(self) -> str:
        """How the errors of its service are written: ``s3``, ``json`` or ``query``."""
        if self.service == "s3":
            return "s3"
        return "json" if self.target or self.service in ("sagemaker", "logs") else "query"

    def unpacked(self, body: bytes) -> bytes:
        """Return the body as it was before the client compressed it, of which no more is unpacked than is allowed.

        What is sent to an endpoint stays as it is: its model reads it.
        """
        if not self._gzipped or self.rest:
            return body
        unpacker = zlib.decompressobj(zlib.MAX_WBITS | 16)
        try:
            plain = unpacker.decompress(body, MAX_BODY)
        except zlib.error as error:
            raise SerializationError(f"The request body is not gzip: {error}") from error
        if unpacker.unconsumed_tail:
            raise ValidationError(f"The request has more than the {MAX_BODY} bytes allowed when it is unpacked.")
        if not unpacker.eof:
            raise SerializationError("The request body is not gzip: it is cut off.")
        return plain

    def read(self, body: bytes) -> None:
        """Take the operation and the resource out of the body, where they are there."""
        if self.rest:
            try:
                operation, labels = protocol.rest_operation("sagemaker-runtime", self.method, self.path)
            except UnknownOperationError:
                return
            self.operation, self.resource = operation.name, quote(labels.get("EndpointName", "-"), errors="replace")
        elif self.target:
            self.resource = _resource_name(self.target, body)
        elif not self.rpc:
            asked = parse_qs(f"{self.query}&{body.decode('latin-1')}")
            self.operation = quote(asked.get("Action", [self.operation])[0])

    @property
    def fault_names(self) -> dict[str, str]:
        """What the patterns of fault rules are held against; S3 operations have their API's names here."""
        service = "sagemaker-runtime" if self.rest else self.service
        return {"service": service, "operation": self._s3_operation or self.operation, "resource": self.resource}


def _resource_name(operation: str, body: bytes) -> str:
    """Return the name of the resource that a JSON request is about, "-" when it names none."""
    try:
        request: Any = json.loads(body)
    except (ValueError, RecursionError):
        return "-"
    noun = _VERB.sub("", operation)
    for member in (
        f"{noun}Name",
        f"{noun}GroupName",  # a model package is a version of its group
        "ResourceArn",
        "NameContains",
        "logStreamName",
        "logStreamNamePrefix",
        "logGroupName",
    ):
        if isinstance(request, dict) and isinstance(request.get(member), str):
            return quote(request[member][:256], safe="/:", errors="replace") or "-"
    return "-"
