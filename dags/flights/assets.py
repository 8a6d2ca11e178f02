"""What the flights DAGs hand to each other."""

from __future__ import annotations

from airflow.sdk import Asset

__all__ = ["FLIGHTS_MODEL"]

FLIGHTS_MODEL = Asset("flights_model")
"""The newest model that passed its quality check; each event's extra has its ``model_data`` and its figures."""
