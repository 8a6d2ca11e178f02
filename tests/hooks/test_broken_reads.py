"""A network that fails while data are read is no damage of the data."""

from __future__ import annotations

import io
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ConnectTimeoutError, ReadTimeoutError, ResponseStreamingError

from airflow_ll.exceptions import RequestError
from airflow_ll.hooks import LinearLearnerHook
from airflow_ll.hooks.failures import is_transient
from airflow_ll.hooks.objects import S3Objects
from airflow_ll.hooks.s3_files import open_object
from airflow_ll.records import read_batches
from tests.operators.conftest import connection

if TYPE_CHECKING:
    from collections.abc import Iterator

BODY = bytes(range(256)) * 100


class _Torn(BaseHTTPRequestHandler):
    """Answers reads of one object, of which the first few break off in the middle of the body."""

    torn = 0

    def do_GET(self) -> None:
        wanted = self.headers.get("Range", f"bytes=0-{len(BODY) - 1}")
        first, last = map(int, wanted.removeprefix("bytes=").split("-"))
        part = BODY[first : last + 1]
        self.send_response(206)
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        if type(self).torn:
            type(self).torn -= 1
            part = part[: len(part) // 2]
            self.close_connection = True
        self.wfile.write(part)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def torn(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[_Torn]]:
    """The handler of the S3 behind ``aws_default``."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Torn)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", connection(f"http://127.0.0.1:{server.server_address[1]}"))
    yield _Torn
    _Torn.torn = 0
    server.shutdown()
    server.server_close()


def test_an_answer_that_breaks_off_is_asked_for_again(torn: type[_Torn]) -> None:
    torn.torn = 3
    with open_object(LinearLearnerHook(), "bucket", "key", "etag", len(BODY)) as stream:
        assert stream.read() == BODY
    torn.torn = 99
    stream = open_object(LinearLearnerHook(), "bucket", "key", "etag", len(BODY))
    with pytest.raises(ResponseStreamingError) as failure:
        stream.read()
    assert is_transient(failure.value)


def test_a_command_tells_an_answer_that_breaks_off_in_a_sentence(torn: type[_Torn]) -> None:
    torn.torn = 1
    store = S3Objects("aws_default")
    with (
        pytest.raises(RequestError, match="could not be read by the Airflow connection 'aws_default'"),
        store.failures(),
        store.open("s3://bucket/key") as stream,
    ):
        stream.read()
    with store.open("s3://bucket/key") as stream:
        assert stream.read(3) + stream.read() == BODY


class _Failing(io.BytesIO):
    """64 bytes, of which none can be read."""

    def __init__(self, error: Exception) -> None:
        super().__init__(bytes(64))
        self._error = error

    def readinto(self, _: Any) -> int:
        raise self._error


@pytest.mark.parametrize("form", ["npy", "npz", "csv", "parquet", "arrow"])
@pytest.mark.parametrize("kind", [ReadTimeoutError, ConnectTimeoutError])
def test_a_timeout_is_no_damage(form: Any, kind: Any) -> None:
    error = kind(endpoint_url="s3", error="slow")
    assert isinstance(error, OSError)
    with pytest.raises(kind):
        list(read_batches(io.BufferedReader(_Failing(error)), format=form))
