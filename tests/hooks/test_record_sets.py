"""A record set is complete or it is not there."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from botocore.exceptions import ClientError

from airflow_ll.exceptions import DataError, RequestError
from airflow_ll.hooks.linear_learner import LinearLearnerHook, split_s3_uri
from airflow_ll.hooks.record_sets import upload_record_set
from airflow_ll.records import RecordSet, parse_manifest, read_records

if TYPE_CHECKING:
    from collections.abc import Callable

FEATURES = np.arange(22, dtype=np.float32).reshape(11, 2)
LABELS = (np.arange(11) % 2).astype(np.float32)


def refuse_puts(hook: LinearLearnerHook, wanted: Callable[[str], bool]) -> None:
    """Let S3 writes of some keys fail, as a full disk or a lost permission would."""

    def before_send(request: Any, **_: Any) -> None:
        if request.method == "PUT" and wanted(request.url):
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "PutObject")

    hook.client("s3").meta.events.register("before-send.s3.PutObject", before_send)


def test_what_is_uploaded_reads_back_equal(hook: LinearLearnerHook, location: str) -> None:
    result = upload_record_set(hook, FEATURES, LABELS, data_location=location, instance_count=3).to_dict()

    prefix, names = parse_manifest(hook.read(result["s3_data"]))
    assert result["s3_data"] == f"{prefix}.amazon.manifest"
    assert names == ["matrix_0.pbr", "matrix_1.pbr", "matrix_2.pbr"]
    parts = [read_records(hook.read(prefix + name)) for name in names]
    np.testing.assert_array_equal(np.concatenate([part.features for part in parts]), FEATURES)
    np.testing.assert_array_equal(np.concatenate([part.labels for part in parts]), LABELS)
    assert result["bytes"] == sum(len(hook.read(prefix + name)) for name in names)
    assert (result["num_records"], result["feature_dim"], result["shards"]) == (11, 2, 3)
    assert RecordSet.from_dict(json.loads(json.dumps(result))).channel == "train"


def test_the_facts_are_kept_beside_the_prefix_where_no_channel_reads_them(
    hook: LinearLearnerHook, location: str
) -> None:
    result = upload_record_set(hook, FEATURES, data_location=location).to_dict()

    prefix = result["s3_data"].removesuffix(".amazon.manifest")
    names = sorted(key.rsplit("/", 1)[1] for key in hook.keys(prefix))
    assert names == [".amazon.manifest", "matrix_000000.pbr"]
    assert json.loads(hook.read(f"{prefix.rstrip('/')}.meta/record_set.json"))["shards"][0]["bytes"] == result["bytes"]


def test_the_same_data_is_adopted_and_other_data_has_another_prefix(hook: LinearLearnerHook, location: str) -> None:
    first = upload_record_set(hook, FEATURES, LABELS, data_location=location).to_dict()
    again = upload_record_set(hook, FEATURES, LABELS, data_location=location).to_dict()
    other = upload_record_set(hook, FEATURES, 1 - LABELS, data_location=location).to_dict()

    assert again == {**first, "adopted": True}
    assert other["adopted"] is False
    assert other["s3_data"] != first["s3_data"]


def test_a_lost_shard_is_uploaded_again(hook: LinearLearnerHook, location: str) -> None:
    first = upload_record_set(hook, FEATURES, data_location=location, instance_count=2).to_dict()
    prefix = first["s3_data"].removesuffix(".amazon.manifest")
    bucket, key = split_s3_uri(prefix + "matrix_1.pbr")
    hook.client("s3").delete_object(Bucket=bucket, Key=key)

    again = upload_record_set(hook, FEATURES, data_location=location, instance_count=2).to_dict()
    assert again["adopted"] is False
    assert hook.read(prefix + "matrix_1.pbr")


@pytest.mark.parametrize("refused", ["matrix_1", ".amazon.manifest", ".meta/"])
def test_a_failed_upload_leaves_nothing(hook: LinearLearnerHook, location: str, refused: str) -> None:
    refuse_puts(hook, lambda url: refused in url)

    with pytest.raises(ClientError):
        upload_record_set(hook, FEATURES, data_location=location, instance_count=2)
    assert list(LinearLearnerHook().keys(location)) == []


def test_a_retry_skips_the_shards_of_a_killed_attempt(hook: LinearLearnerHook, location: str) -> None:
    whole = upload_record_set(hook, FEATURES, data_location=location, instance_count=3).to_dict()
    prefix = whole["s3_data"].removesuffix(".amazon.manifest")
    for name in (".amazon.manifest", "matrix_2.pbr"):  # what a kill -9 before the last shard leaves
        bucket, key = split_s3_uri(prefix + name)
        hook.client("s3").delete_object(Bucket=bucket, Key=key)
    put: list[str] = []
    hook.client("s3").meta.events.register("before-send.s3.PutObject", lambda request, **_: put.append(request.url))

    upload_record_set(hook, FEATURES, data_location=location, instance_count=3)
    assert [url.rsplit("/", 1)[1] for url in put] == ["matrix_2.pbr", "record_set.json", ".amazon.manifest"]


def test_checks_come_before_the_first_upload(hook: LinearLearnerHook, location: str) -> None:
    with pytest.raises(DataError, match="0 or 1"):
        upload_record_set(hook, FEATURES, LABELS + 1, data_location=location, predictor_type="binary_classifier")
    with pytest.raises(DataError, match="11 row"):
        upload_record_set(hook, FEATURES, data_location=location, instance_count=12)
    assert list(hook.keys(location)) == []


def test_invalid_rows_can_be_left_out(hook: LinearLearnerHook, location: str) -> None:
    features = FEATURES.copy()
    features[3, 0] = np.nan
    result = upload_record_set(hook, features, LABELS, data_location=location, on_invalid="drop").to_dict()

    batch = read_records(hook.read(result["s3_data"].removesuffix(".amazon.manifest") + "matrix_000000.pbr"))
    np.testing.assert_array_equal(batch.labels, np.delete(LABELS, 3))


@pytest.mark.parametrize(
    "labels", [[1, None] + [0] * 9, pa.array([1, None] + [0] * 9), pd.Series([1, None] + [0] * 9, dtype="Int64")]
)
def test_rows_without_a_label_can_be_left_out(hook: LinearLearnerHook, location: str, labels: Any) -> None:
    kept = upload_record_set(hook, FEATURES, labels, data_location=location, on_invalid="drop")
    assert (kept.record_set.num_records, kept.dropped) == (10, 1)
    with pytest.raises(DataError, match="the first is nan at row 1"):
        upload_record_set(hook, FEATURES, labels, data_location=location)
    with pytest.raises(DataError, match=r"All 11 row\(s\) have a NaN"):
        upload_record_set(hook, np.full((11, 1), np.nan), data_location=location, on_invalid="drop")


def test_without_a_location_the_default_bucket_is_created(hook: LinearLearnerHook) -> None:
    result = upload_record_set(hook, FEATURES).to_dict()
    assert result["s3_data"].startswith("s3://sagemaker-us-east-1-123456789012/record-sets/")


def test_a_location_must_be_an_s3_uri(hook: LinearLearnerHook) -> None:
    with pytest.raises(RequestError, match="s3://bucket/prefix"):
        upload_record_set(hook, FEATURES, data_location="/tmp/rows")
