"""An S3 of ours behind uvicorn in a thread, and boto3 clients for it."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import boto3
import pytest
import uvicorn
from botocore.config import Config
from botocore.exceptions import ClientError

from airflow_ll.local.s3 import create_app

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ACCOUNT = "123456789012"


def s3_client(url: str, **config: Any) -> Any:
    """Return a boto3 client that never retries."""
    settings: dict[str, Any] = {"s3": {"addressing_style": "path"}, "retries": {"max_attempts": 0}} | config
    return boto3.client(
        "s3",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="key-id",
        aws_secret_access_key="secret",
        config=Config(**settings),
    )


class LocalS3:
    """One running S3; :meth:`restart` opens its folder again."""

    def __init__(self, folder: Path, region: str = "us-east-1") -> None:
        self.folder, self._region = folder, region
        self._start()

    def _start(self) -> None:
        self.app = create_app(self.folder, region=self._region, account_id=ACCOUNT)
        listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        self._server = uvicorn.Server(uvicorn.Config(self.app, log_level="error", access_log=False))
        self._thread = threading.Thread(target=self._server.run, args=([listener],), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop the server and give the folder back."""
        self._server.should_exit = True
        self._thread.join(timeout=60)
        self.app.close()

    def restart(self) -> None:
        """Stop, and start on the same folder."""
        self.stop()
        self._start()

    def blob_files(self) -> list[Path]:
        """Return the files that hold bytes."""
        return sorted(path for path in (self.folder / "s3" / "blobs").rglob("*") if path.is_file())


@pytest.fixture(scope="module")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalS3]:
    """One S3 for a module."""
    server = LocalS3(tmp_path_factory.mktemp("s3"))
    yield server
    server.stop()


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[LocalS3]:
    """One S3 for this test alone."""
    server = LocalS3(tmp_path)
    yield server
    server.stop()


@pytest.fixture
def s3(s3_server: LocalS3) -> Any:
    """A client of the module's S3."""
    client = s3_client(s3_server.url)
    yield client
    client.close()


@pytest.fixture
def bucket(s3: Any, request: pytest.FixtureRequest) -> str:
    """An empty bucket for this test."""
    name = f"bucket-{abs(hash(request.node.nodeid)):x}"
    s3.create_bucket(Bucket=name)
    return name


def read(client: Any, bucket: str, key: str, **more: Any) -> bytes:
    """Return an object's bytes."""
    content: bytes = client.get_object(Bucket=bucket, Key=key, **more)["Body"].read()
    return content


@contextmanager
def refused(code: str, status: int) -> Iterator[None]:
    """Expect that error of S3."""
    with pytest.raises(ClientError) as error:
        yield
    response: Any = error.value.response
    assert (response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]) == (code, status)
