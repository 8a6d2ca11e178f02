"""What nobody may send, how slowly nobody may send it, and archives that are larger than they look."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import http.client
import io
import socket
import tarfile
import threading
from typing import TYPE_CHECKING, Any

import pytest
import uvicorn
from botocore.exceptions import ClientError

from airflow_ll.local import connections
from airflow_ll.local.s3_data import S3Object, fetch
from tests.local.support import channel, training_ended, training_request, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import Runtime


def address(runtime: Runtime) -> tuple[str, int]:
    host, _, port = runtime.url.removeprefix("http://").rpartition(":")
    return host, int(port)


def read_all(connection: socket.socket) -> bytes:
    """Read until the other side closes, or resets."""
    received = b""
    try:
        while data := connection.recv(65536):
            received += data
    except ConnectionResetError:
        pass
    return received


@pytest.mark.parametrize("ended", [True, False])
def test_headers_are_limited(runtime: Runtime, ended: bool) -> None:
    with socket.create_connection(address(runtime), timeout=60) as connection:
        with contextlib.suppress(ConnectionError):  # it is closed before all was sent
            connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n")
            for number in range(80):
                connection.sendall(b"X-Header-%d: " % number + b"x" * 1000 + b"\r\n")
            if ended:
                connection.sendall(b"Connection: close\r\n\r\n")
        answer = read_all(connection)

    assert answer.startswith(b"HTTP/1.1 431 ") or not answer  # a reset overtakes what was sent before it


def test_a_body_without_an_end_is_not_read_to_it(runtime: Runtime) -> None:
    head = b"POST / HTTP/1.1\r\nHost: localhost\r\nX-Amz-Target: SageMaker.ListModels\r\n"
    piece = b"100000\r\n" + b"x" * (1 << 20) + b"\r\n"
    with socket.create_connection(address(runtime), timeout=60) as connection:
        connection.sendall(head + b"Transfer-Encoding: chunked\r\n\r\n")
        with contextlib.suppress(ConnectionError):  # as soon as the other side has enough
            for _ in range(1000):
                connection.sendall(piece)
            pytest.fail("a gigabyte was read")


def test_an_object_of_more_than_one_request_may_have_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow_ll.local.s3 import bodies
    from airflow_ll.local.s3.errors import S3Error

    monkeypatch.setattr(bodies, "_MAX_OBJECT", 10)
    digest = bodies.BodyDigest({}, io.BytesIO())
    digest.feed([b"x" * 10])

    with pytest.raises(S3Error, match="EntityTooLarge"):
        digest.feed([b"x"])


@pytest.mark.parametrize("host", ["evil.example:9100", "localhost.evil.example", "10.0.0.1", "", "runtime"])
def test_names_that_could_be_anybodys_are_not_answered(data_runtime: Runtime, host: str) -> None:
    """A web page whose name was made to point here (DNS rebinding) reads nothing."""
    assert status_for_host(data_runtime, host) == 403


@pytest.mark.parametrize(
    "host", ["localhost:1", "LOCALHOST", "127.0.0.1", "127.1.2.3:80", "[::1]:80", "data.localhost"]
)
def test_this_machine_is_answered(data_runtime: Runtime, host: str) -> None:
    assert status_for_host(data_runtime, host) in (200, 404)


def status_for_host(runtime: Runtime, host: str) -> int:
    connection = http.client.HTTPConnection(*address(runtime), timeout=60)
    try:
        connection.request("GET", "/data", headers={"Host": host})
        return connection.getresponse().status
    finally:
        connection.close()


class Server:
    """The runtime's connections around an application that reads bodies, waits, and answers at length."""

    def __init__(self) -> None:
        self.cancelled = threading.Event()
        self.socket = socket.create_server(("127.0.0.1", 0))
        config = uvicorn.Config(
            self._app, interface="asgi3", http=connections.Connection, lifespan="off", log_config=None
        )
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self.socket]})
        self.thread.start()

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        while (message := await receive()).get("more_body"):
            pass
        if message["type"] == "http.disconnect":
            self.cancelled.set()
            return
        if scope["path"] == "/slow":
            await asyncio.sleep(2)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"connection", b"close")]})
        size = 64 << 20 if scope["path"] == "/large" else 2
        await send({"type": "http.response.body", "body": b"x" * size})

    def open_connections(self) -> int:
        return len(self.server.server_state.connections)

    def send(self, data: bytes) -> socket.socket:
        connection = socket.create_connection(self.socket.getsockname(), timeout=60)
        connection.sendall(data)
        return connection

    def close(self) -> None:
        self.server.should_exit = True
        self.thread.join(60)
        self.socket.close()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server that loses its patience soon."""
    for name in ("_HEAD_SECONDS", "_BODY_SECONDS", "_ANSWER_SECONDS"):
        monkeypatch.setattr(connections, name, 0.5)
    monkeypatch.setattr(connections, "_CHECK_SECONDS", 0.1)
    started = Server()
    yield started
    started.close()


@pytest.mark.parametrize("sent", [b"", b"GET", b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Half: "])
def test_a_client_that_never_ends_its_headers_is_cut_off(server: Server, sent: bytes) -> None:
    with server.send(sent) as connection:
        assert read_all(connection) == b""


def test_a_client_that_never_ends_its_body_is_cut_off(server: Server) -> None:
    with server.send(b"PUT /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nhalf") as connection:
        assert read_all(connection) == b""
    assert server.cancelled.wait(60)


def test_a_client_that_never_reads_is_cut_off(server: Server) -> None:
    with server.send(b"GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n") as connection:
        connection.recv(1, socket.MSG_PEEK)  # the answer has begun, of which nothing is taken
        wait_for(server.open_connections, lambda count: count == 0)
        assert 0 < len(read_all(connection)) < 64 << 20


def test_a_slow_server_is_waited_for(server: Server) -> None:
    with server.send(b"GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n") as connection:
        assert b"\r\nxx\r\n" in read_all(connection)


# Archives and channels.


def bomb(runtime: Runtime, key: str, gigabytes: int) -> None:
    """Upload zeros that take a thousandth of their size."""
    piece = gzip.compress(b"\0" * (64 << 20), 9)  # members of a gzip file may follow each other
    runtime.client("s3").put_object(Bucket="data", Key=key, Body=piece * (gigabytes * 16))


def test_a_channel_that_unpacks_to_more_than_its_volume_fails(data_runtime: Runtime) -> None:
    bomb(data_runtime, "bomb/zeros.gz", 2)
    inputs = [channel("train", "s3://data/bomb/") | {"CompressionType": "Gzip"}]
    resources = {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 1}

    request = training_request("bomb", InputDataConfig=inputs, ResourceConfig=resources)
    data_runtime.client("sagemaker").create_training_job(**request)
    job = training_ended(data_runtime, "bomb")

    assert job["TrainingJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("ClientError: s3://data/bomb/zeros.gz is larger than the space that is left")
    wait_for((data_runtime.data_dir / "jobs" / "bomb").exists, lambda there: not there)


@pytest.mark.parametrize("name", [".", "..", "..."])
def test_a_channel_is_a_folder_of_its_own(data_runtime: Runtime, name: str) -> None:
    request = training_request("climbing", InputDataConfig=[channel(name, "s3://data/train/")])

    with pytest.raises(ClientError, match="is no name of a channel"):
        data_runtime.client("sagemaker").create_training_job(**request)


class Store:
    """What ``fetch`` asks of a runtime: an S3 with one object of any key."""

    def __init__(self) -> None:
        self.s3 = self

    def get_object(self, **_: str) -> dict[str, Any]:
        return {"Body": io.BytesIO(b"x")}


@pytest.mark.parametrize(
    "name", ["../x", "a/../../x", "/etc/x", "..", "a/../..", "x" * 300, "\0", "../channel-2/x"], ids=repr
)
def test_no_key_leaves_its_channel(tmp_path: Path, name: str) -> None:
    from airflow_ll.local.s3_data import CustomerDataError

    folder = tmp_path / "channel"
    folder.mkdir()
    (tmp_path / "kept").write_text("kept")

    with pytest.raises(CustomerDataError):
        fetch(Store(), S3Object("bucket", name, name), folder)  # type: ignore[arg-type]

    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["kept"]


def archive(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for info, content in members:
            info.size = len(content) if info.isreg() else 0
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


def huge() -> bytes:
    """Return an archive that says it holds 5 GB."""
    info = tarfile.TarInfo("model_algo-1")
    info.size = 5 << 30
    return gzip.compress(info.tobuf() + b"\0" * 4096)


@pytest.mark.parametrize(
    "content",
    [
        archive((member("../model_algo-1"), b"x")),
        archive((member("/tmp/model_algo-1"), b"x")),
        archive((member("link", tarfile.SYMTYPE, "/etc/passwd"), b"")),
        archive((member("link", tarfile.LNKTYPE, "../../runtime.db"), b"")),
        archive((member("pipe", tarfile.FIFOTYPE), b"")),
        archive(*[(member(f"file-{number}"), b"") for number in range(1001)]),
        huge(),
        b"no archive",
    ],
    ids=["climbing", "absolute", "symlink", "hardlink", "pipe", "many", "huge", "none"],
)
def test_a_harmful_model_archive_is_no_model(data_runtime: Runtime, tmp_path: Path, content: bytes) -> None:
    from airflow_ll.local.s3_data import CustomerDataError, extract_model

    data_runtime.client("s3").put_object(Bucket="data", Key="harmful.tar.gz", Body=content)

    class Known:
        s3 = data_runtime.client("s3")

    (tmp_path / "model").mkdir()
    with pytest.raises(CustomerDataError, match=r"Failed to extract model data archive s3://data/harmful\.tar\.gz: "):
        extract_model(Known(), "s3://data/harmful.tar.gz", tmp_path / "model")  # type: ignore[arg-type]

    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert all(not path.is_symlink() for path in tmp_path.rglob("*"))
