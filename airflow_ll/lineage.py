"""OpenLineage: what a task has read and written, from record set to training, model, endpoint and predictions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Lineage", "dataset_name"]


@dataclass(frozen=True)
class Lineage:
    """What a task has read and written.

    :param read: S3 URIs and ARNs; None is nothing.
    :param written: S3 URIs and ARNs; None is nothing.
    :param rows: how many rows were written, when it is known.
    """

    read: Sequence[str | None] = ()
    written: Sequence[str | None] = ()
    rows: int | None = None

    def facets(self) -> Any:
        """Return the ``OperatorLineage``; only OpenLineage's listener asks for it, so its provider is there."""
        from airflow.providers.common.compat.openlineage.facet import InputDataset, OutputDataset
        from airflow.providers.common.compat.openlineage.facet import OutputStatisticsOutputDatasetFacet as Statistics
        from airflow.providers.openlineage.extractors import OperatorLineage

        facets = {} if self.rows is None else {"outputStatistics": Statistics(rowCount=self.rows)}
        return OperatorLineage(
            inputs=[InputDataset(*dataset_name(one)) for one in dict.fromkeys(self.read) if one],
            outputs=[
                OutputDataset(*dataset_name(one), outputFacets=facets) for one in dict.fromkeys(self.written) if one
            ],
        )


def dataset_name(uri: str) -> tuple[str, str]:
    """Return OpenLineage's namespace and name of an S3 URI or an ARN.

    ``s3://bucket/key`` is ``("s3://bucket", "key")``; ``arn:aws:sagemaker:<region>:<account>:model/<name>`` is
    ``("arn:aws:sagemaker:<region>:<account>", "model/<name>")``.
    """
    if uri.startswith("arn:"):
        *place, name = uri.split(":", 5)
        return ":".join(place), name
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return f"s3://{bucket}", key.rstrip("/") or "/"
