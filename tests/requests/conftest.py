"""No example has a time limit: what takes milliseconds here takes a second on a loaded machine."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("without time limit", deadline=None)
settings.load_profile("without time limit")
