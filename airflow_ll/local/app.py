"""One port for all services: find the service of a request, answer it, write it down."""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import time
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from airflow_ll.local import alarms, autoscaling, invocations, protocol, sagemaker, tagging
from airflow_ll.local.calls import MAX_BODY, Call
from airflow_ll.local.cloudwatch import MOTO_SERVICES
from airflow_ll.local.connections import MAX_HEADER_BYTES
from airflow_ll.local.errors import (
    AccessRefusedError,
    AwsError,
    InternalFailureError,
    RuntimeValidationError,
    UnknownOperationError,
    ValidationError,
    unsupported,
)
from airflow_ll.local.faults.calls import after_commit, before_commit, refuse, reset

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from airflow_ll.local.auth.guard import Guard
    from airflow_ll.local.runtime import Runtime

__all__ = ["AccessLog", "RuntimeApp"]

_log = logging.getLogger(__name__)

_MAX_DROPPED = 4 * MAX_BODY
_INVOCATIONS = 64
_UNANSWERED = 499  # in the access log: the client is gone, or a fault rule cut the connection


class _EndlessBodyError(ValidationError):
    """The body is so much too large that the rest of it is not even read."""


class AccessLog:
    """``access.log``: time, service, operation, resource, HTTP status and milliseconds of each call."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", buffering=1, encoding="utf-8")

    def write(self, call: Call, status: int) -> None:
        """Write the line of an answered call."""
        now = dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds")
        took = (time.perf_counter() - call.started) * 1000
        self._file.write(f"{now} {call.service} {call.operation} {call.resource} {status} {took:.1f}\n")

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class _Answer:
    """An answer on its way out. Its line is in the access log before its end leaves: who has it finds the line."""

    def __init__(self, call: Call, access_log: AccessLog, send: Send) -> None:
        self._call, self._access_log, self._send = call, access_log, send
        self._start: Message | None = None
        self._logged = False
        self.status = 500

    async def send(self, message: Message) -> None:
        """Send a part of it; its start goes with its body, as with an empty one the client has all from the start."""
        if message["type"] == "http.response.start":
            self._start = message
            return
        if not message.get("more_body"):
            self.log()
        if self._start:
            await self._send(self._start)
            self._start = None
        await self._send(message)

    def log(self) -> None:
        """Write its line, unless that was done."""
        if not self._logged:
            self._access_log.write(self._call, self.status)
            self._logged = True


class RuntimeApp:
    """The ASGI application."""

    def __init__(self, runtime: Runtime, s3: ASGIApp, access_log: AccessLog, guard: Guard) -> None:
        self._runtime, self._s3, self._access_log, self._guard = runtime, s3, access_log, guard
        self._metrics = asyncio.Lock()
        self._invocations = anyio.CapacityLimiter(_INVOCATIONS)  # slow models leave threads to the control plane

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        call = Call(request)
        outgoing, lost = _Answer(call, self._access_log, send), False

        async def watched(message: Message) -> None:
            nonlocal lost
            if message["type"] == "http.response.start":
                outgoing.status = message["status"]
                lost = outgoing.status < 300 and after_commit(self._runtime.faults, call)
                if lost:
                    await reset(scope, receive, send)
            if not lost:
                await outgoing.send(message)

        try:
            answer = await self._answer(call, request)
            if answer is reset:
                outgoing.status = _UNANSWERED
            await answer(scope, receive, watched)
        except ClientDisconnect:
            outgoing.status = _UNANSWERED
        finally:
            outgoing.log()

    async def _answer(self, call: Call, request: Request) -> ASGIApp:
        """Return the response to a request, or the application that gives it."""
        if sum(len(name) + len(value) for name, value in request.scope["headers"]) > MAX_HEADER_BYTES:
            return Response("The headers of the request are too large.", 431, media_type="text/plain")
        refused = self._guard.check_origin(request)
        if refused:
            return Response(refused, 403, media_type="text/plain")
        try:
            body = None if call.service == "s3" else await _body(request)
            self._guard.check_signature(call, request, body)
            if body is None:
                return await before_commit(self._runtime.faults, call, request) or self._s3
            body = call.unpacked(body)
            call.read(body)
            instead = await before_commit(self._runtime.faults, call, request)
            return instead or await self._run(call, request, body)
        except (AccessRefusedError, _EndlessBodyError) as error:
            answer = refuse(call, request.scope, error)
            answer.headers["connection"] = "close"  # nobody waits for the rest of the body
            return answer
        except AwsError as error:
            return refuse(call, request.scope, error)
        except ClientDisconnect:
            raise
        except Exception:
            _log.exception("%s %s", call.service, call.operation)
            failure = InternalFailureError("The embedded runtime failed; its runtime.log says how.")
            return refuse(call, request.scope, failure)

    async def _run(self, call: Call, request: Request, body: bytes) -> ASGIApp:
        if call.service in MOTO_SERVICES:
            return await self._moto(call, body)
        if call.service == tagging.SERVICE:
            found = await anyio.to_thread.run_sync(tagging.answer, self._runtime, call, body)
            return Response(found.body, found.status, found.headers)
        if call.service not in ("sagemaker", "logs"):
            raise UnknownOperationError(f"The embedded runtime has no service {call.service}.")
        limiter = self._invocations if call.rest else None
        work = self._invoke if call.rest else self._control
        answer = await anyio.to_thread.run_sync(work, call, request, body, limiter=limiter)
        return Response(answer.body, answer.status, answer.headers)

    async def _moto(self, call: Call, body: bytes) -> ASGIApp:
        if call.path != "/":  # moto's own paths would let anybody reset it
            raise UnknownOperationError(f"{call.service} has no operation at {call.path} here.")
        cloudwatch = self._runtime.cloudwatch
        if call.service == "application-autoscaling":
            await anyio.to_thread.run_sync(autoscaling.check, self._runtime, call.target, body)
        if not call.ours:  # a call of ours is what another call waits for: it must need neither lock nor thread
            async with self._metrics:
                await anyio.to_thread.run_sync(cloudwatch.memory.app)
                if call.service == "monitoring":
                    await anyio.to_thread.run_sync(cloudwatch.publish_all)
                if call.operation == "DescribeAlarms":
                    await anyio.to_thread.run_sync(alarms.refresh, cloudwatch)
        return cloudwatch.memory.answering(call, body)

    def _control(self, call: Call, _request: Request, body: bytes) -> protocol.Answer:
        """Answer a JSON 1.1 service."""
        operation = protocol.operation_model(call.service, call.target)
        arguments = protocol.decode_json_request(operation, body)
        if call.service == "sagemaker":
            answer = sagemaker.call(self._runtime, call.target, arguments)
        elif call.target in self._runtime.logs.operations:
            answer = self._runtime.logs.operations[call.target](arguments)
        else:
            raise unsupported(call.target)
        return protocol.encode_json_answer(operation, answer)

    def _invoke(self, call: Call, request: Request, body: bytes) -> protocol.Answer:
        """Answer SageMaker Runtime."""
        path, headers = request.scope["path"], request.headers
        try:
            operation, arguments = protocol.decode_rest_request(
                "sagemaker-runtime", request.method, path, headers, body
            )
        except ValidationError as error:
            raise RuntimeValidationError(error.message) from error
        if operation.name == "InvokeEndpoint":
            answer = invocations.invoke(self._runtime, arguments)
        elif operation.name == "InvokeEndpointAsync":
            answer = self._runtime.hosting.asynchronous.invoke(arguments)
        else:
            raise unsupported(operation.name)
        return protocol.encode_rest_answer(operation, answer)


async def _body(request: Request) -> bytes:
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size <= MAX_BODY:
            chunks.append(chunk)  # what is over the limit is read and dropped, so that the client sees the answer
        elif size > _MAX_DROPPED:
            raise _EndlessBodyError(f"The request has more than {_MAX_DROPPED} bytes, and {MAX_BODY} are allowed.")
    if size > MAX_BODY:
        raise ValidationError(f"The request has {size} bytes, more than the {MAX_BODY} allowed.")
    return b"".join(chunks)
