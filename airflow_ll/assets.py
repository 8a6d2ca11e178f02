"""What the events of assets say: record sets, models, endpoints, predictions."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from airflow_ll.hooks.uploading import Upload

__all__ = ["record_set_events", "resource_events"]


def record_set_events(context: Mapping[str, Any], outlets: Iterable[Any], uploads: Sequence[Upload]) -> None:
    """Put the facts about a task's record sets in the extra of each asset that the task has as an outlet.

    An asset whose name ends with a channel's, such as ``flights/train`` or ``flights_train``, is that channel's record
    set. Any other stands for all of them: ``rows`` and ``bytes`` are of all together then. ``record_sets`` has the URI
    of each channel's manifest.
    """
    from airflow.sdk import Asset

    for asset in outlets:
        if isinstance(asset, Asset):
            channel = re.split(r"[^a-zA-Z0-9]", asset.name)[-1]
            own = [one for one in uploads if one.record_set.channel == channel] or uploads
            context["outlet_events"][asset].extra.update(_facts(own))


def _facts(uploads: Sequence[Upload]) -> dict[str, Any]:
    return {
        "rows": sum(one.record_set.num_records for one in uploads),
        "columns": uploads[0].record_set.feature_dim,
        "bytes": sum(one.size for one in uploads),
        "schema_checksum": uploads[0].schema_checksum,
        "record_sets": {one.record_set.channel: one.record_set.s3_data for one in uploads},
    }


def resource_events(context: Mapping[str, Any], outlets: Iterable[Any], result: Mapping[str, Any]) -> None:
    """Put the facts of a task's result in the extra of each asset that the task has as an outlet.

    Names, ARNs, URIs, status and times, and the metrics of a model: what is long stays in XCom.
    """
    from airflow.sdk import Asset

    facts = {key: value for key, value in result.items() if isinstance(value, (str, int, float)) or key == "metrics"}
    for asset in outlets:
        if isinstance(asset, Asset):
            context["outlet_events"][asset].extra.update(facts)
