"""The serving half of SageMaker's container contract: the process that answers with a model."""

from __future__ import annotations

import signal
import socket
import sys
from typing import TYPE_CHECKING

from airflow_ll.artifacts.archive import MODEL_NAME
from airflow_ll.artifacts.compiled import COMPILED_META, CompiledModel
from airflow_ll.artifacts.model import LinearModel
from airflow_ll.exceptions import ArtifactError
from airflow_ll.extras import require
from airflow_ll.learner.compiled_serving import create_compiled_app
from airflow_ll.learner.invocations import create_app

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

__all__ = ["serve"]

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
        return create_compiled_app(CompiledModel.load(folder))
    path = folder / MODEL_NAME
    if not path.is_file():
        raise ArtifactError(f"There is no model at {path}: unpack a model.tar.gz of LinearLearner there.")
    return create_app(LinearModel.load(path))
