"""One port for all services: find the service of a request, answer it, write it down."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import logging
import re
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import anyio
import anyio.to_thread
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from airflow_ll.local import protocol, sagemaker
from airflow_ll.local.cloudwatch import MOTO_SERVICES, PUBLISHER
from airflow_ll.local.errors import (
    AwsError,
    InternalFailureError,
    RuntimeValidationError,
    UnknownOperationError,
    ValidationError,
    unsupported,
)
from airflow_ll.local.mounted import mounted

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from airflow_ll.local.runtime import Runtime

__all__ = ["AccessLog", "RuntimeApp"]

_log = logging.getLogger(__name__)

_VERB = re.compile("^(Create|Describe|Update|Delete|Stop|List)")
_MAX_BODY = 32 << 20
_INVOCATIONS = 64
_FROM_A_PAGE = "The embedded runtime does not check who calls it, so it refuses requests of web pages (Origin header)."
_TARGETS = {"SageMaker": "sagemaker", "Logs_20140328": "logs", "GraniteServiceVersion20100801": "monitoring"}


class AccessLog:
    """``access.log``: time, service, operation, resource, HTTP status and milliseconds of each call."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", buffering=1, encoding="utf-8")

    def write(self, call: _Call, status: int) -> None:
        """Write the line of an answered call."""
        now = dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds")
        took = (time.perf_counter() - call.started) * 1000
        self._file.write(f"{now} {call.service} {call.operation} {call.resource} {status} {took:.1f}\n")

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class _Call:
    """What the access log says about a request."""

    def __init__(self, service: str, operation: str, resource: str) -> None:
        self.started = time.perf_counter()
        self.service, self.operation, self.resource = service, operation, resource


class RuntimeApp:
    """The ASGI application."""

    def __init__(self, runtime: Runtime, s3: ASGIApp, access_log: AccessLog) -> None:
        self._runtime, self._s3, self._access_log = runtime, s3, access_log
        self._metrics = asyncio.Lock()
        self._invocations = anyio.CapacityLimiter(_INVOCATIONS)  # slow models leave threads to the control plane

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        service, target = _address(request)
        call = _Call(service, quote(target) or request.method, "-" if target else quote(request.scope["path"]))
        status = 500

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            if "origin" in request.headers:
                app: ASGIApp = Response(_FROM_A_PAGE, 403, media_type="text/plain")
            else:
                app = self._s3 if service == "s3" else await self._answer(call, request, service, target)
            await app(scope, receive, watched)
        except ClientDisconnect:
            status = 499
        finally:
            self._access_log.write(call, status)

    async def _answer(self, call: _Call, request: Request, service: str, target: str) -> ASGIApp:
        """Return the response to a request, or the application that gives it."""
        rest = service == "sagemaker" and not target
        try:
            if service in MOTO_SERVICES:
                return await self._moto(service, request)
            if service not in ("sagemaker", "logs"):
                raise UnknownOperationError(f"The embedded runtime has no service {service}.")
            body = await _body(request)
            limiter = self._invocations if rest else None
            answer = await anyio.to_thread.run_sync(self._run, call, request, service, target, body, limiter=limiter)
        except AwsError as error:
            answer = protocol.encode_error(error, rest=rest)
        except ClientDisconnect:
            raise
        except Exception:
            _log.exception("%s %s", service, target or request.scope["path"])
            failure = InternalFailureError("The embedded runtime failed; its runtime.log says how.")
            answer = protocol.encode_error(failure, rest=rest)
        return Response(answer.body, answer.status, answer.headers)

    async def _moto(self, service: str, request: Request) -> ASGIApp:
        body = await _body(request)
        cloudwatch, ours = self._runtime.cloudwatch, PUBLISHER in request.headers.get("user-agent", "")
        if not ours:  # a call of ours is what another call waits for: it must need neither lock nor thread
            async with self._metrics:
                await anyio.to_thread.run_sync(cloudwatch.app)
                if service == "monitoring":
                    await anyio.to_thread.run_sync(cloudwatch.publish_all)
        return mounted(cloudwatch.app(), service, body)

    def _run(self, call: _Call, request: Request, service: str, target: str, body: bytes) -> protocol.Answer:
        if service == "sagemaker" and not target:
            return self._invoke(call, request, body)
        operation = protocol.operation_model(service, target)
        call.resource = _resource_name(target, body)
        arguments = protocol.decode_json_request(operation, body)
        if service == "sagemaker":
            answer = sagemaker.call(self._runtime, target, arguments)
        elif target in self._runtime.logs.operations:
            answer = self._runtime.logs.operations[target](arguments)
        else:
            raise unsupported(target)
        return protocol.encode_json_answer(operation, answer)

    def _invoke(self, call: _Call, request: Request, body: bytes) -> protocol.Answer:
        """Answer SageMaker Runtime."""
        path, headers = request.scope["path"], request.headers
        try:
            operation, arguments = protocol.decode_rest_request(
                "sagemaker-runtime", request.method, path, headers, body
            )
        except ValidationError as error:
            raise RuntimeValidationError(error.message) from error
        call.operation, call.resource = operation.name, arguments["EndpointName"]
        if operation.name != "InvokeEndpoint":
            raise unsupported(operation.name)
        return protocol.encode_rest_answer(operation, self._runtime.hosting.invoke(arguments))


def _address(request: Request) -> tuple[str, str]:
    """Return the service of a request and the operation in its target header, "" when it has none."""
    prefix, _, operation = request.headers.get("x-amz-target", "").partition(".")
    service = protocol.signed_service(request.headers, request.scope["query_string"].decode("latin-1"))
    if service is None:
        invoked = request.scope["path"].startswith("/endpoints/") and request.scope["path"].endswith("/invocations")
        service = _TARGETS.get(prefix, "sagemaker" if invoked else "s3")
    return service, operation


async def _body(request: Request) -> bytes:
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size <= _MAX_BODY:
            chunks.append(chunk)  # what is over the limit is read and dropped, so that the client sees the answer
    if size > _MAX_BODY:
        raise ValidationError(f"The request has {size} bytes, more than the {_MAX_BODY} allowed.")
    return b"".join(chunks)


def _resource_name(operation: str, body: bytes) -> str:
    """Return the name of the resource that a JSON request is about, "-" when it names none."""
    try:
        request: Any = json.loads(body)
    except (ValueError, RecursionError):
        return "-"
    noun = _VERB.sub("", operation)
    for member in (
        f"{noun}Name",
        "ResourceArn",
        "NameContains",
        "logStreamName",
        "logStreamNamePrefix",
        "logGroupName",
    ):
        if isinstance(request, dict) and isinstance(request.get(member), str):
            return quote(request[member][:256], safe="/:", errors="replace") or "-"
    return "-"
