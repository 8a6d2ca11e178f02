"""The embedded SageMaker-compatible runtime: one process, one port, no AWS account.

``airflow-ll local`` runs it; :func:`boto_session` gives boto3 clients for it. See ``docs/runtime.md``.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_ll.local.clients import airflow_connection, boto_session

__all__ = ["airflow_connection", "boto_session"]

_EXPORTS = {"airflow_connection": "airflow_ll.local.clients", "boto_session": "airflow_ll.local.clients"}


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_EXPORTS[name]), name)
