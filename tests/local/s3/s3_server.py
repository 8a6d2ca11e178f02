"""One S3 on a folder, as a process of its own: ``python s3_server.py FOLDER``; prints its port."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import uvicorn

from airflow_ll.local.s3 import create_app


def main() -> None:
    """Serve until told to stop."""
    app = create_app(Path(sys.argv[1]), region="us-east-1", account_id="123456789012")
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    uvicorn.Server(uvicorn.Config(app, log_level="error", access_log=False)).run([listener])


if __name__ == "__main__":
    main()
