"""What fault rules do to calls: refuse them, delay them, cut their connections, kill a process around them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import struct
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.responses import Response

from airflow_ll.exceptions import FaultRuleError
from airflow_ll.local.errors import (
    AccessDeniedError,
    AwsError,
    InternalFailureError,
    ServiceUnavailableError,
    ThrottlingError,
    ValidationError,
)
from airflow_ll.local.mounted import refusal as mounted_refusal
from airflow_ll.local.protocol import encode_error
from airflow_ll.local.s3 import refusal as s3_refusal

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import ASGIApp, Receive, Scope, Send

    from airflow_ll.local.calls import Call
    from airflow_ll.local.faults.injector import Faults
    from airflow_ll.local.faults.rules import Rule

__all__ = ["after_commit", "before_commit", "refuse", "reset"]

_log = logging.getLogger(__name__)

_NO_LINGER = struct.pack("ii", 1, 0)  # closing such a socket sends a reset
_S3_CODES = {
    AccessDeniedError: "AccessDenied",
    ThrottlingError: "SlowDown",
    InternalFailureError: "InternalError",
    ServiceUnavailableError: "ServiceUnavailable",
    ValidationError: "InvalidRequest",
}


async def before_commit(faults: Faults, call: Call, request: Request) -> ASGIApp | None:
    """Do what the rules want before a call is carried out; what is returned answers it instead."""
    if call.ours:
        return None
    effects = ("throttling", "access-denied", "server-error", "reset", "delay", "kill")
    try:
        for rule in faults.take(effects, when="before", **call.fault_names):
            if rule.effect == "delay":
                await asyncio.sleep(rule["seconds"])
            else:
                return await _instead(rule, call, request)
    except FaultRuleError as error:
        return await _refused(call, request, ValidationError(str(error)))
    return None


def after_commit(faults: Faults, call: Call) -> bool:
    """Do what the rules want after a call was carried out; return whether its answer is to be lost."""
    lost = False
    if call.ours:
        return lost
    try:
        for rule in faults.take(("reset", "kill"), when="after", **call.fault_names):
            if rule.effect == "kill":
                _kill(rule)
            lost = True
    except FaultRuleError as error:
        _log.error("%s", error)  # the rules changed while the call was carried out: the next one is refused
    return lost


def refuse(call: Call, scope: Scope, error: AwsError) -> Response:
    """Return the answer that every client of the call's service takes for this error."""
    if call.service == "s3":
        return s3_refusal(scope, _S3_CODES.get(type(error), error.code), error.message)
    if call.service in ("sagemaker", "logs"):
        answer = encode_error(error, rest=call.rest)
        return Response(answer.body, answer.status, answer.headers)
    return mounted_refusal(scope, error)


async def reset(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a request by resetting its connection."""
    transport: asyncio.Transport = scope["state"]["transport"]
    connection = transport.get_extra_info("socket")
    with contextlib.suppress(OSError):  # it is closed
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
    transport.abort()
    while (await receive())["type"] != "http.disconnect":
        pass


async def _instead(rule: Rule, call: Call, request: Request) -> ASGIApp:
    if rule.effect == "throttling":
        return await _refused(call, request, ThrottlingError("Rate exceeded"))
    if rule.effect == "access-denied":
        return await _refused(call, request, AccessDeniedError("You are not authorized to perform this operation."))
    if rule.effect == "server-error":
        failed: type[AwsError] = ServiceUnavailableError if rule["status"] == "503" else InternalFailureError
        return await _refused(call, request, failed("The request has failed: a fault rule of the runtime says so."))
    if rule.effect == "kill":
        _kill(rule)
    return reset


async def _refused(call: Call, request: Request, error: AwsError) -> ASGIApp:
    if call.service == "s3":
        async for _ in request.stream():  # an answer before the end of a body breaks a kept-alive connection
            pass
    return refuse(call, request.scope, error)


def _kill(rule: Rule) -> None:
    try:
        pid = rule["pid"] if "pid" in rule.settings else int(Path(rule["pid-file"]).read_text(encoding="utf-8"))
        if pid < 2:
            raise ValueError(f"{pid} is no process to kill")
        os.kill(pid, signal.SIGKILL)
    except (OSError, ValueError) as error:
        raise FaultRuleError(f"The fault rule {rule.text!r} cannot kill: {error}.") from error
