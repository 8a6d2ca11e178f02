"""Shared fixtures: a private Airflow home, one embedded runtime a test process, the reference data."""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Before the first import of Airflow, which reads its home once.
_HOME = Path(tempfile.mkdtemp(prefix="airflow-ll-tests-"))
atexit.register(shutil.rmtree, _HOME, ignore_errors=True)
for _name in [name for name in os.environ if name.startswith(("AIRFLOW", "AWS_"))]:
    del os.environ[_name]
os.environ |= {
    "AIRFLOW_HOME": str(_HOME),
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__DAGS_FOLDER": str(Path(__file__).parents[1] / "dags"),
    "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_DEFAULT_REGION": "us-east-1",
}

# How long an example takes says more about the machine's other work than about ours.
settings.register_profile("no timing is asserted", deadline=None)
settings.load_profile("no timing is asserted")

SHARED = Path(__file__).parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of recorded AWS behaviour that the developers have; tests that need it skip without it."""
    if not SHARED.is_dir():
        pytest.skip("the reference data (../shared) is not here")
    return SHARED


class Runtime:
    """One running ``airflow-ll local`` and clients for it."""

    def __init__(self, process: subprocess.Popen[str], url: str, data_dir: Path) -> None:
        self.process, self.url, self.data_dir = process, url, data_dir

    def client(self, service: str, **config: Any) -> Any:
        """Return a boto3 client of ``service`` that talks to this runtime."""
        import boto3
        from botocore.config import Config

        session: Any = boto3.session.Session()
        return session.client(
            service,
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id="testing-key-id",
            aws_secret_access_key="testing-secret",
            config=Config(retries={"max_attempts": 0}, **config),
        )

    def stop(self) -> None:
        """Stop it as a user would, and fail when it does not end."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            raise
        finally:
            if self.process.stdout:
                self.process.stdout.close()


def start_runtime(data_dir: Path, *options: str, **environment: str) -> Runtime:
    """Start ``airflow-ll local`` on a free port and wait for its first line."""
    data_dir.mkdir(parents=True, exist_ok=True)
    with (data_dir / "stderr.log").open("w") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "airflow_ll", "local", "--port", "0", "--data-dir", str(data_dir), *options],
            env=os.environ | environment,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            start_new_session=True,
        )
    assert process.stdout is not None
    first = process.stdout.readline()
    if not first.startswith("READY "):
        process.kill()
        raise RuntimeError(f"the runtime said {first!r}: {(data_dir / 'stderr.log').read_text()[-2000:]}")
    return Runtime(process, first.split()[1], data_dir)


@pytest.fixture(scope="session")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    """The embedded runtime, one for a test process."""
    started = start_runtime(tmp_path_factory.mktemp("runtime"))
    yield started
    started.stop()


@pytest.fixture
def fresh_runtime(tmp_path: Path) -> Iterator[Callable[[], Runtime]]:
    """A function that starts a runtime on this test's own data directory."""
    started: list[Runtime] = []

    def start() -> Runtime:
        started.append(start_runtime(tmp_path / "runtime"))
        return started[-1]

    yield start
    for one in started:
        one.stop()
