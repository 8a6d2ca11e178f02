"""Connections to serving processes that were closed, and processes that do not answer."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING

import pytest

from airflow_ll.local.container_client import ContainerClient, ContainerError

if TYPE_CHECKING:
    from collections.abc import Iterator

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok"


@pytest.fixture
def forgetful() -> Iterator[str]:
    """The URL of a server that closes each connection after one answer, though it does not say so."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(1 << 16)
                    connection.sendall(ANSWER)

        threading.Thread(target=answer, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)


def test_a_connection_that_was_closed_meanwhile_is_opened_again(forgetful: str) -> None:
    client = ContainerClient(forgetful)

    answers = [client.ask("GET", "/ping", seconds=30) for _ in range(5)]
    client.close()

    assert answers == [(200, b"ok", "text/plain")] * 5


def test_a_process_that_does_not_answer_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        client = ContainerClient(f"http://127.0.0.1:{mute.getsockname()[1]}")

        with pytest.raises(ContainerError, match="did not answer: timed out"):
            client.ask("POST", "/invocations", b"1", seconds=0.05)


def test_a_process_that_is_gone_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"

    with pytest.raises(ContainerError, match=r"did not answer: .*refused"):
        ContainerClient(url).ask("GET", "/ping", seconds=30)
