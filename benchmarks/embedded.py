"""The embedded runtime in a process of its own, for the benchmarks that talk to it."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_ll.local import airflow_connection, boto_session

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Runtime", "peak_megabytes", "running"]

_QUIET = {"AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR", "AWS_EC2_METADATA_DISABLED": "true"}


class Runtime:
    """``airflow-ll local`` on the folder ``data_dir``."""

    def __init__(self, data_dir: Path) -> None:
        data_dir.mkdir(parents=True, exist_ok=True)
        with (data_dir / "stderr.log").open("a") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "airflow_ll", "local", "--port", "0", "--data-dir", str(data_dir)],
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                start_new_session=True,
            )
        assert self.process.stdout is not None
        first = self.process.stdout.readline()
        if not first.startswith("READY "):
            raise RuntimeError(f"the runtime said {first!r}: {(data_dir / 'stderr.log').read_text()[-2000:]}")
        self.url = first.split()[1]

    def s3(self) -> Any:
        """Return a boto3 client of its S3 that never retries."""
        from botocore.config import Config

        return boto_session(self.url).client("s3", config=Config(retries={"max_attempts": 0}))

    def environment(self) -> dict[str, str]:
        """Return the environment of a process whose connection ``aws_default`` is this runtime."""
        return os.environ | _QUIET | {"AIRFLOW_CONN_AWS_DEFAULT": airflow_connection(self.url)}

    def kill(self) -> None:
        """End it without a word."""
        self.process.kill()
        self._closed()

    def stop(self) -> None:
        """End it as a user would."""
        self.process.terminate()
        self._closed()

    def _closed(self) -> None:
        self.process.wait(timeout=60)
        if self.process.stdout:
            self.process.stdout.close()


@contextmanager
def running(data_dir: Path) -> Iterator[Runtime]:
    """Start a runtime, and stop it in the end."""
    runtime = Runtime(data_dir)
    try:
        yield runtime
    finally:
        if runtime.process.poll() is None:
            runtime.stop()


def peak_megabytes(pid: int | str = "self") -> float:
    """Return the most memory that a process has had at once (``VmHWM``); Linux only.

    Not ``ru_maxrss``, which begins with that of the process which forked this one.
    """
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmHWM"))) / 1024
