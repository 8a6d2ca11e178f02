"""Record sets, shards and manifests."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import airflow_ll.exceptions
import airflow_ll.records
from airflow_ll.exceptions import DataError
from airflow_ll.records import RecordSet, manifest_body, parse_manifest, shard_bounds, shard_name


def test_a_record_set_is_flat_json_and_back() -> None:
    records = RecordSet("s3://bucket/prefix/.amazon.manifest", 10, 3, channel="validation")
    values = json.loads(json.dumps(records.to_dict()))
    assert values == {
        "s3_data": "s3://bucket/prefix/.amazon.manifest",
        "num_records": 10,
        "feature_dim": 3,
        "channel": "validation",
        "s3_data_type": "ManifestFile",
        "distribution": "ShardedByS3Key",
    }
    assert RecordSet.from_dict(values | {"shards": 1, "bytes": 560}) == records


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"s3_data": "/tmp/x"}, "s3_data must be a URI"),
        ({"num_records": 0}, "num_records must be an integer of at least 1, but is 0"),
        ({"feature_dim": "3"}, "feature_dim must be an integer of at least 1, but is '3'"),
        ({"num_records": True}, "num_records must be"),
        ({"distribution": "Sharded"}, "distribution must be one of ShardedByS3Key, FullyReplicated"),
        ({"s3_data_type": "AugmentedManifestFile"}, "s3_data_type must be one of"),
    ],
)
def test_a_record_set_that_no_job_would_take_is_refused(change: dict[str, Any], message: str) -> None:
    values = RecordSet("s3://bucket/.amazon.manifest", 10, 3).to_dict()
    with pytest.raises(DataError, match=message):
        RecordSet.from_dict(values | change)


def test_a_result_without_the_keys_is_refused() -> None:
    with pytest.raises(DataError, match="but num_records, feature_dim is missing"):
        RecordSet.from_dict({"s3_data": "s3://bucket/x"})


@given(rows=st.integers(1, 10_000), shards=st.integers(1, 200))
def test_shards_partition_the_rows(rows: int, shards: int) -> None:
    if rows < shards:
        with pytest.raises(DataError, match=rf"use at most {rows} instance"):
            shard_bounds(rows, shards)
        return
    bounds = shard_bounds(rows, shards)
    assert len(bounds) == shards
    assert [begin for begin, _ in bounds] == [0, *(end for _, end in bounds[:-1])]
    assert bounds[-1][1] == rows
    assert all(end > begin for begin, end in bounds)


def test_no_rows_and_no_shards_are_refused() -> None:
    with pytest.raises(DataError, match="no rows"):
        shard_bounds(0, 1)
    with pytest.raises(DataError, match="at least 1, but is 0"):
        shard_bounds(5, 0)


def test_shard_names_sort_in_order() -> None:
    names = [shard_name(index, 12) for index in range(12)]
    assert names == sorted(names)
    assert (names[0], names[-1]) == ("matrix_00.pbr", "matrix_11.pbr")
    with pytest.raises(DataError, match="Shard 12 does not exist"):
        shard_name(12, 12)


def test_a_manifest_is_parsed_back_and_the_prefix_ends_in_a_slash() -> None:
    body = manifest_body("s3://bucket/prefix", ["a.pbr", "deep/b.pbr"])
    assert parse_manifest(body) == ("s3://bucket/prefix/", ["a.pbr", "deep/b.pbr"])


@pytest.mark.parametrize(
    "name", ["../x", "/etc/passwd", "a/../b", "", ".", "a//b", "a\\..\\b", "a\x00b", 7, None, ["a"]]
)
def test_names_that_leave_the_prefix_are_refused(name: Any) -> None:
    with pytest.raises(DataError, match="does not stay below its prefix"):
        parse_manifest(json.dumps([{"prefix": "s3://bucket/p/"}, name]).encode())
    with pytest.raises(DataError, match="does not stay below its prefix"):
        manifest_body("s3://bucket/p/", [name])


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe",
        b"{}",
        b"[]",
        b'["a"]',
        b'[{"prefix": 1}]',
        b'[{"prefix": "https://bucket/p/"}]',
        b'[{"prefix": "s3://Bucket_/"}]',
        b'[{"prefix": "s3://bucket/p/", "other": 1}, "a"]',
        b"[" * 100_000,
    ],
)
def test_what_is_no_manifest_is_refused(body: bytes) -> None:
    with pytest.raises(DataError, match="manifest"):
        parse_manifest(body)


@given(body=st.binary(max_size=60))
def test_random_manifests_never_crash(body: bytes) -> None:
    try:
        prefix, names = parse_manifest(body)
    except DataError:
        return
    assert prefix.startswith("s3://")
    assert isinstance(names, list)


def test_every_public_name_is_there_and_none_else() -> None:
    for name in airflow_ll.records.__all__:
        assert getattr(airflow_ll.records, name).__name__ == name
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        airflow_ll.records.nothing  # noqa: B018


def test_the_error_of_damaged_records_is_the_one_of_all_modules() -> None:
    assert airflow_ll.records.RecordFormatError is airflow_ll.exceptions.RecordFormatError
    script = "import sys; from airflow_ll.records import RecordFormatError; assert 'numpy' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True)


def test_record_sets_need_no_numpy_and_encoding_no_scipy() -> None:
    script = (
        "import sys; from airflow_ll.records import RecordSet, encode_records;"
        "assert encode_records([[1.0]]); assert 'scipy' not in sys.modules; assert 'pyarrow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
    script = "import sys; from airflow_ll.records import RecordSet, shard_bounds; assert 'numpy' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True)
