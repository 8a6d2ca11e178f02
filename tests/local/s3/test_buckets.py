"""Buckets and lists through boto3."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.local.s3.conftest import LocalS3, refused, s3_client

if TYPE_CHECKING:
    from pathlib import Path


def test_buckets_are_created_listed_and_deleted(own_server: LocalS3) -> None:
    s3 = s3_client(own_server.url)
    for name in ("first-bucket", "second.bucket", "first-bucket"):
        s3.create_bucket(Bucket=name)
    assert [found["Name"] for found in s3.list_buckets()["Buckets"]] == ["first-bucket", "second.bucket"]
    s3.head_bucket(Bucket="first-bucket")
    assert s3.get_bucket_location(Bucket="first-bucket")["LocationConstraint"] is None
    s3.put_object(Bucket="first-bucket", Key="key", Body=b"")
    with refused("BucketNotEmpty", 409):
        s3.delete_bucket(Bucket="first-bucket")
    s3.delete_object(Bucket="first-bucket", Key="key")
    s3.create_multipart_upload(Bucket="first-bucket", Key="key")
    s3.delete_bucket(Bucket="first-bucket")
    with refused("404", 404):
        s3.head_bucket(Bucket="first-bucket")


def test_outside_us_east_1_the_location_is_named(tmp_path: Path) -> None:
    server = LocalS3(tmp_path, region="eu-west-1")
    s3 = s3_client(server.url)
    here = {"LocationConstraint": "eu-west-1"}
    s3.create_bucket(Bucket="bucket", CreateBucketConfiguration=here)
    assert s3.get_bucket_location(Bucket="bucket") | {"ResponseMetadata": {}} == here | {"ResponseMetadata": {}}
    with refused("BucketAlreadyOwnedByYou", 409):
        s3.create_bucket(Bucket="bucket", CreateBucketConfiguration=here)
    with refused("IllegalLocationConstraintException", 400):
        s3.create_bucket(Bucket="other")
    with refused("InvalidLocationConstraint", 400):
        s3.create_bucket(Bucket="other", CreateBucketConfiguration={"LocationConstraint": "eu-west-2"})
    server.stop()


@pytest.mark.parametrize("name", ["ab", "Upper", "under_score", "-dash", "dash-", "a..b", "192.168.0.1", "x" * 64])
def test_bad_bucket_names_are_refused(s3: Any, name: str) -> None:
    with refused("InvalidBucketName", 400):
        s3.create_bucket(Bucket=name)


@pytest.mark.parametrize(
    ("operation", "more"),
    [
        ("list_objects", {}),
        ("list_objects_v2", {}),
        ("list_multipart_uploads", {}),
        ("get_bucket_location", {}),
        ("delete_bucket", {}),
        ("put_object", {"Key": "key", "Body": b"x" * 100_000}),
        ("get_object", {"Key": "key"}),
        ("delete_object", {"Key": "key"}),
        ("delete_objects", {"Delete": {"Objects": [{"Key": "key"}]}}),
        ("create_multipart_upload", {"Key": "key"}),
        ("upload_part", {"Key": "key", "UploadId": "u", "PartNumber": 1, "Body": b"x"}),
        ("copy_object", {"Key": "key", "CopySource": "no-such-bucket/other"}),
    ],
)
def test_a_bucket_that_is_not_there_is_said_so(s3: Any, operation: str, more: dict[str, Any]) -> None:
    with refused("NoSuchBucket", 404):
        getattr(s3, operation)(Bucket="no-such-bucket", **more)


def test_a_bucket_may_be_named_by_the_host(s3_server: LocalS3, s3: Any, bucket: str) -> None:
    import http.client
    from urllib.parse import urlsplit

    s3.put_object(Bucket=bucket, Key="folder/key", Body=b"here")
    connection = http.client.HTTPConnection(urlsplit(s3_server.url).netloc)
    connection.request("GET", "/folder/key", headers={"host": f"{bucket}.localhost:1234"})
    assert connection.getresponse().read() == b"here"
    connection.close()


def test_many_objects_are_deleted_with_one_call(s3: Any, bucket: str) -> None:
    for i in range(20):
        s3.put_object(Bucket=bucket, Key=f"k{i} &<", Body=b"")
    objects = [{"Key": f"k{i} &<"} for i in range(30)]
    answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": objects})
    assert answer["Deleted"] == objects
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0
    assert "Deleted" not in s3.delete_objects(Bucket=bucket, Delete={"Objects": objects, "Quiet": True})
    with refused("MalformedXML", 400):
        s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": str(i)} for i in range(1001)]})


def listed(keys: set[str], prefix: str, delimiter: str, after: str) -> list[str]:
    """Return what a complete list holds, by the documented rules."""
    found = set()
    for key in keys:
        if key.startswith(prefix):
            end = key.find(delimiter, len(prefix)) if delimiter else -1
            found.add(key[: end + len(delimiter)] if end >= 0 else key)
    return sorted((item for item in found if item.encode() > after.encode()), key=str.encode)


def entries(page: dict[str, Any]) -> list[str]:
    """Return keys and common prefixes of a page in order."""
    keys = [found["Key"] for found in page.get("Contents", [])]
    assert keys == sorted(keys, key=str.encode)
    return sorted(keys + [found["Prefix"] for found in page.get("CommonPrefixes", [])], key=str.encode)


names = st.text(st.sampled_from("ab/-ü\U0001f642"), min_size=1, max_size=6)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    keys=st.sets(names, max_size=12),
    prefix=st.one_of(st.just(""), names),
    delimiter=st.sampled_from(["", "/", "ü", "b/"]),
    after=st.one_of(st.just(""), names),
    size=st.integers(1, 5),
)
def test_the_pages_of_a_list_are_the_list(
    s3: Any, bucket: str, keys: set[str], prefix: str, delimiter: str, after: str, size: int
) -> None:
    present = {found["Key"] for found in s3.list_objects_v2(Bucket=bucket).get("Contents", [])}
    for key in keys - present:
        s3.put_object(Bucket=bucket, Key=key, Body=b"")
    if present - keys:
        s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key} for key in present - keys]})
    call = {"Bucket": bucket, "Prefix": prefix, "Delimiter": delimiter, "PaginationConfig": {"PageSize": size}}
    pages = list(s3.get_paginator("list_objects_v2").paginate(**call, StartAfter=after))
    assert [item for page in pages for item in entries(page)] == listed(keys, prefix, delimiter, after)
    assert all(page["KeyCount"] == len(entries(page)) <= size for page in pages)
    assert all(page["KeyCount"] == size for page in pages[:-1])
    first = list(s3.get_paginator("list_objects").paginate(**call, Marker=after))
    assert [item for page in first for item in entries(page)] == listed(keys, prefix, delimiter, after)


def test_a_page_of_none_is_empty_and_final(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="key", Body=b"")
    page = s3.list_objects_v2(Bucket=bucket, MaxKeys=0)
    assert (page["KeyCount"], page["IsTruncated"]) == (0, False)


def test_wrong_list_parameters_are_refused(s3: Any, bucket: str) -> None:
    with refused("InvalidArgument", 400):
        s3.list_objects_v2(Bucket=bucket, ContinuationToken="???")
    with refused("InvalidArgument", 400):
        s3.list_objects_v2(Bucket=bucket, MaxKeys=-1)
    with refused("InvalidArgument", 400):
        s3.list_objects_v2(Bucket=bucket, EncodingType="rot13")
