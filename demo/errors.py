"""What the demo tells its user when it cannot go on."""

from __future__ import annotations

__all__ = ["DemoError"]


class DemoError(Exception):
    """The demo cannot go on; the message is one sentence for the user."""
