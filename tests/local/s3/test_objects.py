"""Objects through boto3."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import random
import urllib.request
import zlib
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from tests.local.s3.conftest import LocalS3

DATA = random.Random(1).randbytes(3_000_001)


def code(error: pytest.ExceptionInfo[ClientError]) -> tuple[str, int]:
    """Return the error's code and HTTP status."""
    response: Any = error.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]


def read(s3: Any, bucket: str, key: str, **more: Any) -> bytes:
    """Return an object's bytes."""
    with s3.get_object(Bucket=bucket, Key=key, **more)["Body"] as body:
        content: bytes = body.read()
    return content


@pytest.mark.parametrize("size", [0, 1, 65_536, 1 << 20, len(DATA)])
def test_an_object_comes_back_as_it_was_put(s3: Any, bucket: str, size: int) -> None:
    put = s3.put_object(Bucket=bucket, Key="key", Body=DATA[:size])
    got = s3.get_object(Bucket=bucket, Key="key", ChecksumMode="ENABLED")
    assert got["Body"].read() == DATA[:size]
    assert got["ETag"] == put["ETag"] == f'"{hashlib.md5(DATA[:size]).hexdigest()}"'
    assert got["ContentLength"] == size
    assert base64.b64decode(got["ChecksumCRC32"]) == zlib.crc32(DATA[:size]).to_bytes(4, "big")
    assert got["ContentType"] == "binary/octet-stream"
    assert abs(got["LastModified"] - datetime.now(UTC)) < timedelta(seconds=60)


@pytest.mark.parametrize(
    "key",
    ["a", "a/", "a/b", "/", "//x", "../../etc/passwd", "a/../b", ".", "ü/名前/🙂", "sp ace+plus%25", "q?x=1&y#z", "\x01<&\"'>\r\n", "k" * 1024],
)  # fmt: skip
def test_any_key_is_only_a_name(s3: Any, bucket: str, key: str) -> None:
    s3.put_object(Bucket=bucket, Key="a/other", Body=b"other")
    s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    assert read(s3, bucket, key) == key.encode()
    assert key in [found["Key"] for found in s3.list_objects_v2(Bucket=bucket)["Contents"]]
    s3.delete_object(Bucket=bucket, Key=key)
    assert [found["Key"] for found in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["a/other"]
