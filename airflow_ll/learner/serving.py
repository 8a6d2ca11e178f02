"""The serving half of SageMaker's container contract: ``/ping``, ``/invocations`` and ``/execution-parameters``."""

from __future__ import annotations

import os
import signal
import socket
import sys
from typing import TYPE_CHECKING

from airflow_ll.artifacts.archive import MODEL_NAME
from airflow_ll.artifacts.compiled import COMPILED_META, CompiledModel
from airflow_ll.artifacts.model import LinearModel
from airflow_ll.exceptions import ArtifactError, DataError
from airflow_ll.extras import require
from airflow_ll.learner.payloads import decode_request, encode_response, media_type

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from starlette.requests import Request

__all__ = ["INLINE_BYTES", "create_app", "invoke", "serve"]

_MAX_PAYLOAD_MB = 6
INLINE_BYTES = 64 * 1024  # a larger body is decoded in a thread, so that /ping keeps answering
_SHUTDOWN_SECONDS = 1


def serve(root: Path, host: str, port: int) -> int:
    """Answer inference requests with the model in ``<root>/model`` until SIGTERM or Ctrl-C.

    Parameters
    ----------
    root : Path
        The container's tree, ``/opt/ml`` on SageMaker.
    host : str
        The address to bind.
    port : int
        The port to bind, 0 for a free one; the first line on stdout is ``READY http://host:port``.

    Returns
    -------
    int
        0.

    Raises
    ------
    ArtifactError
        There is no readable model.
    """
    uvicorn = require("uvicorn", extra="local", purpose="Serving a model")
    app = _load_app(root / "model")
    with socket.create_server((host, port), backlog=2048) as listener:
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # else small answers wait for delayed ACKs
        config = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
        )
        server = uvicorn.Server(config)
        # Until uvicorn has its own handler, and again when it has shut down: the default one would kill us.
        signal.signal(signal.SIGTERM, lambda *_: setattr(server, "should_exit", True))
        sys.stdout.write(f"READY http://{host}:{listener.getsockname()[1]}\n")
        sys.stdout.flush()
        try:
            server.run(sockets=[listener])
        except KeyboardInterrupt:  # Ctrl-C is how a person ends it
            return 0
    return 0


def _load_app(folder: Path) -> Any:
    """Return the application for a model's folder: the algorithm's own model, or a compiled one."""
    if (folder / COMPILED_META).is_file():
        from airflow_ll.learner.compiled_serving import create_compiled_app

        return create_compiled_app(CompiledModel.load(folder))
    path = folder / MODEL_NAME
    if not path.is_file():
        raise ArtifactError(f"There is no model at {path}: unpack a model.tar.gz of LinearLearner there.")
    return create_app(LinearModel.load(path))


def create_app(model: LinearModel) -> Any:
    """Return the ASGI application that answers with ``model``."""
    applications = require("starlette.applications", extra="local", purpose="Serving a model")
    from starlette.concurrency import run_in_threadpool
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
        body = await request.body()
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
        content, answer_kind = encode_response(model.predict(features), answer_kind)
    except DataError as error:
        return 400, f"Customer Error: {error}".encode(), "text/plain"
    return 200, content, answer_kind
