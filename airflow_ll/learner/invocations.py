"""What a model answers over HTTP: ``/ping``, ``/invocations`` and ``/execution-parameters``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np

from airflow_ll.exceptions import DataError
from airflow_ll.extras import require
from airflow_ll.learner.payloads import decode_request, encode_response, media_type

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray
    from starlette.requests import Request

    from airflow_ll.artifacts.model import LinearModel

__all__ = ["INLINE_BYTES", "create_app", "invoke"]

INLINE_BYTES = 64 * 1024  # a larger body is decoded in a thread, so that /ping keeps answering
_MAX_PAYLOAD_MB = 6


def create_app(model: LinearModel) -> Any:
    """Return the ASGI application that answers with ``model``."""
    applications = require("starlette.applications", extra="local", purpose="Serving a model")
    from starlette.concurrency import run_in_threadpool
    from starlette.requests import ClientDisconnect
    from starlette.responses import JSONResponse, Response
    from starlette.routing import Route

    async def ping(_: Request) -> Response:
        return Response()

    async def execution_parameters(_: Request) -> Response:
        return JSONResponse(
            {
                "MaxConcurrentTransforms": os.cpu_count() or 1,
                "BatchStrategy": "MULTI_RECORD",
                "MaxPayloadInMB": _MAX_PAYLOAD_MB,
            }
        )

    async def invocations(request: Request) -> Response:
        try:
            body = await request.body()
        except ClientDisconnect:
            return Response(status_code=400)  # nobody reads it
        arguments = (model, body, request.headers.get("content-type"), request.headers.get("accept"))
        inline = len(body) <= INLINE_BYTES
        status, content, kind = invoke(*arguments) if inline else await run_in_threadpool(invoke, *arguments)
        return Response(content, status, media_type=kind)

    return applications.Starlette(
        routes=[
            Route("/ping", ping),
            Route("/execution-parameters", execution_parameters),
            Route("/invocations", invocations, methods=["POST"]),
        ]
    )


def invoke(model: LinearModel, body: bytes, content_type: str | None, accept: str | None) -> tuple[int, bytes, str]:
    """Score one request body and return the HTTP status, the response body and its content type."""
    try:
        kind = media_type(content_type)
        answer_kind = media_type(accept)
    except DataError as error:
        return 415, f"Customer Error: {error}".encode(), "text/plain"
    try:
        features = decode_request(body, kind, model.feature_dim)
        with np.errstate(over="ignore", invalid="ignore"):  # of large features; told below
            predictions = model.predict(features)
        _check_scores(predictions.scores)
        content, answer_kind = encode_response(predictions, answer_kind)
    except DataError as error:
        return 400, f"Customer Error: {error}".encode(), "text/plain"
    return 200, content, answer_kind


def _check_scores(scores: NDArray[np.float32]) -> None:
    """Refuse scores that no answer can hold: JSON has no infinity.

    Raises
    ------
    DataError
        The message names the first record that has one.
    """
    there = np.isfinite(scores)
    if not there.all():
        raise DataError(
            f"The score of record {int(np.argwhere(~there)[0, 0])} of the request is beyond float32 (at most 3.4e38). "
            "Please scale its features as those of the training data and try again."
        )
