"""Wait until a record set is complete."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import PokeReturnValue

from airflow_ll.hooks.failures import is_not_found
from airflow_ll.hooks.resources import RECORD_SET
from airflow_ll.sensors.base import LinearLearnerResourceSensor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_ll.triggers.record_set import LinearLearnerRecordSetTrigger

__all__ = ["LinearLearnerRecordSetSensor"]


class LinearLearnerRecordSetSensor(LinearLearnerResourceSensor):
    """Wait until a record set is complete: its manifest is written last.

    The result has ``s3_data`` and ``shards``.

    :param s3_data: S3 URI of the manifest.
    """

    resource = RECORD_SET
    template_fields: Sequence[str] = ("s3_data", *LinearLearnerResourceSensor.template_fields)

    def __init__(self, *, s3_data: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.s3_data = s3_data

    def trigger(self, **settings: Any) -> LinearLearnerRecordSetTrigger:
        """Return the trigger that waits for the manifest."""
        from airflow_ll.triggers.record_set import LinearLearnerRecordSetTrigger

        return LinearLearnerRecordSetTrigger(self.s3_data, **settings)

    def look(self) -> PokeReturnValue:
        """Say whether the manifest is there."""
        from airflow_ll.records import parse_manifest

        try:
            _, names = parse_manifest(self.hook.read(self.s3_data))
        except Exception as error:
            if not is_not_found(error):
                raise
            self.log.info("There is no record set %s yet", self.s3_data)
            return PokeReturnValue(is_done=False)
        return PokeReturnValue(is_done=True, xcom_value={"s3_data": self.s3_data, "shards": len(names)})
