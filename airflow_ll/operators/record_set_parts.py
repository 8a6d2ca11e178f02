"""One record set from many tasks: dynamic task mapping writes its parts, one task joins them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_ll.assets import record_set_events
from airflow_ll.hooks.connected import task_identity
from airflow_ll.hooks.failures import clear_failures
from airflow_ll.lineage import Lineage
from airflow_ll.operators.base import LinearLearnerOperator
from airflow_ll.operators.record_set import RecordSetTask

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from airflow_ll.hooks.row_sources import Source

__all__ = ["LinearLearnerRecordSetManifestOperator", "LinearLearnerRecordSetShardOperator"]


class LinearLearnerRecordSetShardOperator(RecordSetTask):
    """Write the shards of one part of a record set; map it over the parts, on as many workers as there are.

    ``LinearLearnerRecordSetShardOperator.partial(task_id="shards", ...).expand(features=[...])`` writes one part for
    each element; :class:`LinearLearnerRecordSetManifestOperator` makes the record set of them. Categorical columns need
    a ``schema``: vocabularies that each part learns for itself would not fit together.
    """

    def convert(self, context: Any, source: Source, labels: Any = None) -> dict[str, Any]:
        """Have this part complete."""
        from airflow_ll.hooks.parts import write_part

        identity = task_identity(context)
        conversion = self.conversion(replace(identity, map_index=-1), source, self.row_options(labels))
        return write_part(self.hook, conversion, max(0, identity.map_index))


class LinearLearnerRecordSetManifestOperator(LinearLearnerOperator):
    """Make one record set of the parts that mapped shard tasks have written: with its manifest it exists.

    The parts follow one another in the order of the mapped tasks. Parts that older attempts left are removed.

    :param shards: the results of the shard tasks: ``shards.output``.
    :param channel: the channel of the training job that reads it: "train", "validation" or "test".
    :param distribution: "ShardedByS3Key" or "FullyReplicated".
    :param encrypt: whether S3 encrypts the objects with keys of its own (SSE-S3).
    :param kms_key_id: the KMS key that encrypts the objects instead (SSE-KMS).
    :param expected_bucket_owner: account id; a bucket of somebody else is refused.
    :param tags: of the objects.
    """

    template_fields: Sequence[str] = (
        "shards",
        "channel",
        "distribution",
        "kms_key_id",
        "expected_bucket_owner",
        "tags",
        *LinearLearnerOperator.template_fields,
    )

    def __init__(
        self,
        *,
        shards: Iterable[Mapping[str, Any]],
        channel: str = "train",
        distribution: str = "ShardedByS3Key",
        encrypt: bool = False,
        kms_key_id: str | None = None,
        expected_bucket_owner: str | None = None,
        tags: Mapping[str, str] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.shards = shards
        self.channel = channel
        self.distribution = distribution
        self.encrypt = encrypt
        self.kms_key_id = kms_key_id
        self.expected_bucket_owner = expected_bucket_owner
        self.tags = tags

    @clear_failures
    def execute(self, context: Any) -> dict[str, Any]:
        """Join the parts and return the record set."""
        from airflow_ll.hooks.parts import join_parts
        from airflow_ll.hooks.storage import ObjectSettings

        settings = ObjectSettings(
            encrypt=self.encrypt,
            kms_key_id=self.kms_key_id,
            expected_bucket_owner=self.expected_bucket_owner,
            tags=self.tags or {},
        )
        upload = join_parts(
            self.hook, list(self.shards), channel=self.channel, distribution=self.distribution, settings=settings
        )
        record_set_events(context, self.outlets, [upload])
        self.lineage = Lineage(written=[upload.record_set.s3_data], rows=upload.record_set.num_records)
        return upload.to_dict()
