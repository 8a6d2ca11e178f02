"""The runtime behind ``aws_default``, without a metadata database."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from airflow_ll.hooks import LinearLearnerHook
from tests.operators.conftest import BUCKET, connection, location

if TYPE_CHECKING:
    from tests.conftest import Runtime

__all__ = ["location"]


@pytest.fixture
def hook(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> LinearLearnerHook:
    """A hook on the runtime."""
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", connection(runtime.url))
    runtime.client("s3").create_bucket(Bucket=BUCKET)
    return LinearLearnerHook()
