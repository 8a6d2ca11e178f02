"""The runtime behind an Airflow connection, for the examples of the documentation."""

from __future__ import annotations

from tests.operators.conftest import aws, metadata

__all__ = ["aws", "metadata"]
