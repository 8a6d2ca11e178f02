"""Copies obey what they are told about their target and their range."""

from __future__ import annotations

from typing import Any

import pytest

from tests.local.s3.conftest import read, refused


def test_a_copy_obeys_conditions_on_its_target(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="source", Body=b"new")
    etag = s3.put_object(Bucket=bucket, Key="target", Body=b"old")["ETag"]
    for condition in ({"IfNoneMatch": "*"}, {"IfMatch": '"0123"'}):
        with refused("PreconditionFailed", 412):
            s3.copy_object(Bucket=bucket, Key="target", CopySource=f"{bucket}/source", **condition)
    assert read(s3, bucket, "target") == b"old"
    s3.copy_object(Bucket=bucket, Key="target", CopySource=f"{bucket}/source", IfMatch=etag)
    assert read(s3, bucket, "target") == b"new"
    s3.copy_object(Bucket=bucket, Key="other", CopySource=f"{bucket}/source", IfNoneMatch="*")


@pytest.mark.parametrize("wanted", ["bytes=0-5", "bytes=3-1", "bytes=5-9", "bytes=1-", "bytes=-2", "items=0-1"])
def test_a_part_is_copied_from_a_range_that_is_there(s3: Any, bucket: str, wanted: str) -> None:
    s3.put_object(Bucket=bucket, Key="source", Body=b"01234")
    call = {"Bucket": bucket, "Key": "key"}
    call["UploadId"] = s3.create_multipart_upload(**call)["UploadId"]
    with refused("InvalidArgument", 400):
        s3.upload_part_copy(**call, PartNumber=1, CopySource=f"{bucket}/source", CopySourceRange=wanted)
    s3.upload_part_copy(**call, PartNumber=1, CopySource=f"{bucket}/source", CopySourceRange="bytes=1-4")
    assert [part["Size"] for part in s3.list_parts(**call)["Parts"]] == [4]


@pytest.mark.parametrize("more", [{"ETag": '"0123"'}, {"VersionId": "1"}])
def test_many_objects_are_not_deleted_under_conditions_that_we_do_not_know(
    s3: Any, bucket: str, more: dict[str, str]
) -> None:
    s3.put_object(Bucket=bucket, Key="key", Body=b"1")
    with refused("NotImplemented", 501):
        s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "key", **more}]})
    assert read(s3, bucket, "key") == b"1"
