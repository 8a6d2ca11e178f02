"""What the tests of others' clients share: the runtime behind an Airflow connection, and small data in it."""

from __future__ import annotations

from tests.operators.conftest import aws, dag_id, location, metadata

__all__ = ["aws", "dag_id", "location", "metadata"]
