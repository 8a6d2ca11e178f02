"""A running ``airflow-ll local`` in the hands of a test."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from airflow_ll.exceptions import LinearLearnerError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["LocalRuntime", "start_runtime"]

_COMMAND = (sys.executable, "-m", "airflow_ll", "local", "--port", "0", "--until-eof")
_STOP_SECONDS = 30


class LocalRuntime:
    """One embedded runtime: where it is, clients for it, and faults on demand."""

    def __init__(self, process: subprocess.Popen[str], url: str, data_dir: Path) -> None:
        self.process, self.url, self.data_dir = process, url, data_dir

    @property
    def connection(self) -> str:
        """The Airflow connection to it, as ``AIRFLOW_CONN_AWS_DEFAULT`` spells it."""
        from airflow_ll.local import airflow_connection

        return airflow_connection(self.url)

    def client(self, service: str, **config: Any) -> Any:
        """Return a boto3 client of ``service`` that talks to this runtime.

        It tries each call once, so that a test sees every refusal.

        :param config: settings of ``botocore.config.Config``.
        """
        from botocore.config import Config

        from airflow_ll.local import boto_session

        session: Any = boto_session(self.url)
        return session.client(service, config=Config(**{"retries": {"max_attempts": 0}, **config}))

    @contextlib.contextmanager
    def failing(self, *rules: str) -> Iterator[None]:
        """Inject faults as long as the context lasts; ``docs/runtime.md`` has the grammar of the rules."""
        self.fail(*rules)
        try:
            yield
        finally:
            self.fail()

    def fail(self, *rules: str) -> None:
        """Inject faults from the next call on, in place of those before; none takes them away."""
        from airflow_ll.local.faults import write_rules

        write_rules(self.data_dir, rules)

    def stop(self) -> None:
        """Stop it as a user would.

        :raises subprocess.TimeoutExpired: it did not end, and was killed.
        """
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(timeout=_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            raise
        finally:
            for pipe in (self.process.stdin, self.process.stdout):
                if pipe:
                    pipe.close()


def start_runtime(data_dir: Path, *options: str, **environment: str) -> LocalRuntime:
    """Start ``airflow-ll local`` on a free port and wait until it serves.

    :param options: of its command line, as ``"--speed", "real"``.
    :param environment: variables that it sees besides those of this process.
    :raises LinearLearnerError: it did not start.
    """
    data_dir.mkdir(parents=True, exist_ok=True)
    errors = data_dir / "stderr.log"
    with errors.open("w") as stderr:
        process = subprocess.Popen(
            [*_COMMAND, "--data-dir", str(data_dir), *options],
            env=os.environ | environment,
            stdin=subprocess.PIPE,  # closes with this process, however it ends, and the runtime ends with it
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            start_new_session=True,
        )
    assert process.stdout is not None
    first = process.stdout.readline()
    if not first.startswith("READY "):
        process.kill()
        process.communicate()
        said = (first + errors.read_text(encoding="utf-8", errors="replace")).strip()[-2000:]
        raise LinearLearnerError(f"The embedded runtime on {data_dir} did not start: {said or 'it said nothing'}")
    return LocalRuntime(process, first.split()[1], data_dir)
