"""The embedded runtime of a data directory: start it, or find the one that a killed demo left running."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING

from demo import services
from demo.errors import DemoError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["BUCKET", "Runtime", "connection", "create_bucket", "serve"]

BUCKET = "airflow-ll-flights"
START_SECONDS = 60
STOP_SECONDS = 10


class Runtime:
    """A running ``airflow-ll local``. ``adopted``: an earlier demo has started it."""

    def __init__(self, service: services.Service, url: str, *, adopted: bool) -> None:
        self.service, self.url, self.adopted = service, url, adopted

    def stop(self) -> None:
        """Stop it and all that it has started."""
        self.service.stop(whole_group=False, patience=STOP_SECONDS)


def serve(data_dir: Path) -> Runtime:
    """Return the runtime that serves ``data_dir/runtime``, started if need be."""
    return _running(data_dir) or _start(data_dir)


def create_bucket(url: str) -> None:
    """Create the bucket that the DAGs write to; it may exist."""
    from airflow_ll.local import boto_session

    s3 = boto_session(url).client("s3")
    if BUCKET not in [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]:
        s3.create_bucket(Bucket=BUCKET)


def connection(url: str) -> str:
    """Return the value of ``AIRFLOW_CONN_AWS_DEFAULT``."""
    from airflow_ll.local import airflow_connection

    return airflow_connection(url)


def _running(data_dir: Path) -> Runtime | None:
    path = data_dir / "runtime" / "runtime.json"  # the runtime's own note, as long as it serves
    if not path.exists():
        return None
    known = json.loads(path.read_text())
    service = services.Service("runtime", known["pid"])
    if service.is_alive() and _answers(known["url"]):
        return Runtime(service, known["url"], adopted=True)
    return None


def _answers(url: str) -> bool:
    from botocore.exceptions import BotoCoreError, ClientError

    from airflow_ll.local import boto_session

    try:
        boto_session(url).client("sagemaker").list_training_jobs(MaxResults=1)
    except (BotoCoreError, ClientError):
        return False
    return True


def _start(data_dir: Path) -> Runtime:
    output, errors = data_dir / "runtime.out", data_dir / "runtime.log"
    service = services.start(
        "runtime",
        ["-m", "airflow_ll", "local", "--port", "0", "--data-dir", str(data_dir / "runtime")],
        output=output,
        errors=errors,
        env=os.environ,
    )
    try:
        url = _wait_for_url(service, output, errors)
    except BaseException:  # Ctrl-C too: nobody else knows of this process yet
        service.stop(whole_group=False, patience=STOP_SECONDS)
        raise
    return Runtime(service, url, adopted=False)


def _wait_for_url(service: services.Service, output: Path, errors: Path) -> str:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        first, newline, _ = output.read_text().partition("\n")
        if newline:
            return first.removeprefix("READY ").strip()
        if not service.is_alive():
            raise services.died(service, errors)
        time.sleep(0.02)
    raise DemoError(f"The runtime did not start within {START_SECONDS} seconds: see {errors}.")
