"""Wait until a record set is complete."""

from __future__ import annotations

from typing import Any

from airflow_ll.hooks.resources import RECORD_SET
from airflow_ll.triggers.base import LinearLearnerTrigger

__all__ = ["LinearLearnerRecordSetTrigger"]


class LinearLearnerRecordSetTrigger(LinearLearnerTrigger):
    """Wait until a record set's manifest is there.

    :param s3_data: S3 URI of the manifest.
    """

    resource = RECORD_SET

    def __init__(self, s3_data: str, **settings: Any) -> None:
        super().__init__(s3_data, **settings)
