"""What the events of assets say: record sets, models, endpoints, predictions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from airflow_ll.hooks.uploading import Upload

__all__ = ["record_set_events", "resource_events"]


def record_set_events(context: Mapping[str, Any], outlets: Iterable[Any], uploads: Sequence[Upload]) -> None:
    """Put the facts about a task's record sets in the extra of each asset that the task has as an outlet.

    ``rows``, ``columns``, ``bytes`` and ``schema_checksum`` are of all channels together, ``record_sets`` has the URI
    of each channel's manifest.
    """
    from airflow.sdk import Asset

    extra = {
        "rows": sum(one.record_set.num_records for one in uploads),
        "columns": uploads[0].record_set.feature_dim,
        "bytes": sum(one.size for one in uploads),
        "schema_checksum": uploads[0].schema_checksum,
        "record_sets": {one.record_set.channel: one.record_set.s3_data for one in uploads},
    }
    for asset in outlets:
        if isinstance(asset, Asset):
            context["outlet_events"][asset].extra.update(extra)


def resource_events(context: Mapping[str, Any], outlets: Iterable[Any], result: Mapping[str, Any]) -> None:
    """Put the facts of a task's result in the extra of each asset that the task has as an outlet.

    Names, ARNs, URIs, status and times, and the metrics of a model: what is long stays in XCom.
    """
    from airflow.sdk import Asset

    facts = {key: value for key, value in result.items() if isinstance(value, (str, int, float)) or key == "metrics"}
    for asset in outlets:
        if isinstance(asset, Asset):
            context["outlet_events"][asset].extra.update(facts)
