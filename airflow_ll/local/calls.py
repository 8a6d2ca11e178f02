"""What a request is about: its service, operation and resource, and the protocol its errors are written in."""

from __future__ import annotations

import json
import re
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, quote

from airflow_ll.local import protocol
from airflow_ll.local.clients import OWN_CALLS
from airflow_ll.local.errors import UnknownOperationError
from airflow_ll.local.s3 import operation_name as s3_operation

if TYPE_CHECKING:
    from starlette.requests import Request

__all__ = ["Call"]

_VERB = re.compile("^(Create|Describe|Update|Delete|Stop|List)")
_TARGETS = {"SageMaker": "sagemaker", "Logs_20140328": "logs", "GraniteServiceVersion20100801": "monitoring"}


class Call:
    """One request.

    ``service`` is the name in its signature, ``target`` the operation in its target header (``""`` without one);
    ``operation`` and ``resource`` are what the access log and fault rules call them, ``"-"`` when there is none;
    ``ours`` are the calls of the runtime itself; ``wire`` is what :func:`airflow_ll.local.mutations.read` looks at.
    """

    def __init__(self, request: Request) -> None:
        self.started = time.perf_counter()
        prefix, _, self.target = request.headers.get("x-amz-target", "").partition(".")
        self.path, self.method = request.scope["path"], request.method
        query = request.scope["query_string"].decode("latin-1")
        signed = protocol.signed_scope(request.headers, query)
        self.region, self.service = signed or ("us-east-1", self._unsigned_service(prefix))
        self.wire = {
            "target": self.target,
            "path": self.path,
            "query": query,
            "content-encoding": request.headers.get("content-encoding", ""),
        }
        self.operation = quote(self.target) or self.method
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
        else:
            self.operation = quote(parse_qs(body.decode("latin-1")).get("Action", [self.operation])[0])

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
