"""What the flights DAGs read from and write to S3."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pandas as pd

__all__ = ["read_predictions", "write_parquet"]


def read_predictions(uris: Iterable[str]) -> list[dict[str, Any]]:
    """Read the JSON Lines that a batch transform wrote, in the order of its input: of shards, then of rows."""
    s3 = _s3()
    return [json.loads(line) for uri in sorted(uris) for line in s3.read_key(uri).splitlines() if line.strip()]


def write_parquet(table: pd.DataFrame, uri: str) -> None:
    """Write the table as one object, which S3 replaces as a whole: a reader sees the old one or the new one."""
    _s3().load_bytes(table.to_parquet(index=False), key=uri, replace=True)


def _s3() -> Any:
    from airflow.providers.amazon.aws.hooks.s3 import S3Hook

    return S3Hook()
