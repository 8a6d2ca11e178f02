"""A small S3 on disk: durable before it acknowledges, streaming in and out.

Objects are rows of a SQLite index that name immutable blobs (:mod:`~airflow_ll.local.s3.blobs`); a commit
of the index is the moment at which a write exists (:mod:`~airflow_ll.local.s3.index`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_ll.local.s3.app import S3App, create_app, operation_name, refusal

__all__ = ["S3App", "create_app", "operation_name", "refusal"]


def __getattr__(name: str) -> object:
    if name in __all__:
        from airflow_ll.local.s3 import app

        return getattr(app, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
