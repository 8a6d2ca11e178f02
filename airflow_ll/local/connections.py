"""The connections of the HTTP server: what a client may send, and how slowly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.auto import AutoHTTPProtocol

if TYPE_CHECKING:
    import asyncio

__all__ = ["MAX_HEADER_BYTES", "Connection"]

MAX_HEADER_BYTES = 64 << 10
"""Of the head of a request, in bytes; AWS takes less."""

_HEAD_SECONDS = 30.0  # from the first byte of a request, or the connection, to the end of its headers
_BODY_SECONDS = 60.0  # without any byte of a body that is waited for
_ANSWER_SECONDS = 300.0  # without any byte of an answer being taken
_CHECK_SECONDS = 5.0

_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: text/plain\r\ncontent-length: 0\r\n"
    b"connection: close\r\n\r\n"
)


class Connection(AutoHTTPProtocol):  # type: ignore[misc,valid-type]
    """A connection whose requests know it (``scope["state"]["transport"]``), and that waits for no one for ever.

    The state of the request comes from uvicorn's protocol: ``cycle`` is the request that is being answered, ``flow``
    says whether the server or the client is the slow one.
    """

    transport: asyncio.Transport
    loop: asyncio.AbstractEventLoop
    app_state: dict[str, Any]
    cycle: Any
    flow: Any

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Take a new connection."""
        self.app_state = {**self.app_state, "transport": transport}
        super().connection_made(transport)
        self._head_bytes = 0
        self._waiting_since = self.loop.time()
        self._waiting_for = "head"
        self._check = self.loop.call_later(_CHECK_SECONDS, self._check_progress)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._check.cancel()
        super().connection_lost(exc)

    def resume_writing(self) -> None:
        """Note that the client takes its answer."""
        self._waiting_since = self.loop.time()
        super().resume_writing()

    def data_received(self, data: bytes) -> None:
        """Take bytes from the client."""
        before = self.cycle
        in_head = before is None or before.response_complete
        if in_head and not self._head_bytes:
            self._waiting_since = self.loop.time()  # a new request begins
        super().data_received(data)
        if not in_head or self.cycle is not before:
            self._head_bytes = 0
            self._waiting_since = self.loop.time()
            return
        self._head_bytes += len(data)
        if self._head_bytes > MAX_HEADER_BYTES and not self.transport.is_closing():
            self.transport.write(_TOO_LARGE)
            self.transport.close()

    def _check_progress(self) -> None:
        """Close the connection if its client has kept us waiting for too long."""
        now = self.loop.time()
        waiting_for, limit = self._state()
        if waiting_for != self._waiting_for:
            self._waiting_for, self._waiting_since = waiting_for, max(self._waiting_since, now - _CHECK_SECONDS)
        elif now - self._waiting_since > limit:
            self.transport.abort()
            return
        self._check = self.loop.call_later(_CHECK_SECONDS, self._check_progress)

    def _state(self) -> tuple[str, float]:
        """Return what is waited for, and for how long at most."""
        if self.flow.write_paused:
            return "answer", _ANSWER_SECONDS
        if self.cycle is None or self.cycle.response_complete:  # idle ones are closed by uvicorn after an answer
            return ("head", _HEAD_SECONDS) if self.cycle is None or self._head_bytes else ("nothing", float("inf"))
        if self.cycle.more_body and not self.flow.read_paused:
            return "body", _BODY_SECONDS
        return "nothing", float("inf")
