"""The events of a record set task's assets: one channel's facts, or those of all."""

from __future__ import annotations

from collections import defaultdict
from types import SimpleNamespace
from typing import Any

from airflow.sdk import Asset

from airflow_ll.assets import record_set_events
from airflow_ll.hooks.uploading import Upload
from airflow_ll.records import RecordSet


def _upload(channel: str, rows: int) -> Upload:
    return Upload(RecordSet(f"s3://rows/{channel}/.amazon.manifest", rows, 7, channel), 1, 10 * rows, adopted=False)


def test_an_asset_named_after_a_channel_is_its_record_set_and_any_other_all_of_them() -> None:
    assets = [Asset(name) for name in ("flights/train", "flights_validation", "flights", "flights_strain")]
    events: dict[Asset, Any] = defaultdict(lambda: SimpleNamespace(extra={}))
    record_set_events({"outlet_events": events}, assets, [_upload("train", 80), _upload("validation", 20)])

    facts = [(events[asset].extra["rows"], events[asset].extra["bytes"]) for asset in assets]
    assert facts == [(80, 800), (20, 200), (100, 1000), (100, 1000)]
    assert list(events[assets[0]].extra["record_sets"]) == ["train"]
    assert list(events[assets[2]].extra["record_sets"]) == ["train", "validation"]
