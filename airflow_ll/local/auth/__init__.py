"""Who may call: signatures (``sigv4.py``), the keys they are made with (``keys.py``), and the gate (``guard.py``)."""

from __future__ import annotations
