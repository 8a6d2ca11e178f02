"""The connections of the HTTP server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.auto import AutoHTTPProtocol

if TYPE_CHECKING:
    import asyncio

__all__ = ["Connection"]


class Connection(AutoHTTPProtocol):  # type: ignore[misc,valid-type]
    """A connection whose requests know it: ``scope["state"]["transport"]``."""

    app_state: dict[str, Any]

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Take a new connection."""
        self.app_state = {**self.app_state, "transport": transport}
        super().connection_made(transport)
