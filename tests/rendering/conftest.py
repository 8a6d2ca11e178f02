"""A runtime behind an Airflow connection, to hold what was rendered against what is sent."""

from __future__ import annotations

from tests.operators.conftest import aws, dag_id, location, metadata, rows

__all__ = ["aws", "dag_id", "location", "metadata", "rows"]
