"""Multipart uploads through boto3."""

from __future__ import annotations

import base64
import hashlib
import io
import random
import zlib
from typing import TYPE_CHECKING, Any

import pytest
from boto3.s3.transfer import TransferConfig

from tests.local.s3.conftest import LocalS3, read, refused, s3_client

if TYPE_CHECKING:
    from collections.abc import Sequence

MIB = 1 << 20
DATA = random.Random(2).randbytes(11 * MIB + 7)
PARTS = [DATA[: 5 * MIB], DATA[5 * MIB : 10 * MIB + 1], DATA[10 * MIB + 1 :]]


class Upload:
    """One upload by hand."""

    def __init__(self, s3: Any, bucket: str, key: str = "key", **more: Any) -> None:
        self.s3, self.call = s3, {"Bucket": bucket, "Key": key}
        self.call["UploadId"] = s3.create_multipart_upload(**self.call, **more)["UploadId"]

    def put(self, number: int, data: bytes, **more: Any) -> dict[str, Any]:
        """Upload a part and return its entry in the list of parts."""
        answer = self.s3.upload_part(**self.call, PartNumber=number, Body=data, **more)
        checksums = {name: value for name, value in answer.items() if name.startswith("Checksum")}
        return {"PartNumber": number, "ETag": answer["ETag"], **checksums}

    def complete(self, parts: Sequence[dict[str, Any]], **more: Any) -> Any:
        """Complete it."""
        return self.s3.complete_multipart_upload(**self.call, MultipartUpload={"Parts": parts}, **more)


def test_a_large_file_goes_up_in_parts_and_down_in_ranges(s3: Any, bucket: str) -> None:
    config = TransferConfig(multipart_threshold=5 * MIB, multipart_chunksize=5 * MIB)
    s3.upload_fileobj(
        io.BytesIO(DATA), bucket, "key", Config=config, ExtraArgs={"ContentType": "x/y", "Tagging": "a=1"}
    )
    down = io.BytesIO()
    s3.download_fileobj(bucket, "key", down, Config=config)
    assert down.getvalue() == DATA
    head = s3.head_object(Bucket=bucket, Key="key")
    assert (head["ContentType"], head["ContentLength"]) == ("x/y", len(DATA))
    assert s3.get_object_tagging(Bucket=bucket, Key="key")["TagSet"] == [{"Key": "a", "Value": "1"}]
    across = read(s3, bucket, "key", Range=f"bytes={5 * MIB - 3}-{10 * MIB + 2}")
    assert across == DATA[5 * MIB - 3 : 10 * MIB + 3]


def test_parts_count_as_completed_in_order_and_only_once(s3: Any, s3_server: LocalS3, bucket: str) -> None:
    before = len(s3_server.blob_files())
    upload = Upload(s3, bucket)
    upload.put(7, b"replaced")
    third, first = upload.put(900, PARTS[2]), upload.put(2, PARTS[0])
    second = upload.put(7, PARTS[1])
    upload.put(901, b"not asked for")
    answer = upload.complete([first, second, third])
    md5s = b"".join(hashlib.md5(part).digest() for part in PARTS)
    assert answer["ETag"] == f'"{hashlib.md5(md5s).hexdigest()}-3"'
    assert read(s3, bucket, "key") == DATA
    assert len(s3_server.blob_files()) == before + 3
    assert upload.complete([first, second, third])["ETag"] == answer["ETag"]
    with refused("NoSuchUpload", 404):
        upload.put(1, b"late")
    with refused("NoSuchUpload", 404):
        s3.list_parts(**upload.call)


@pytest.mark.parametrize("algorithm", ["CRC32", "SHA1", "SHA256"])
def test_a_composite_checksum_is_that_of_the_checksums(s3: Any, bucket: str, algorithm: str) -> None:
    upload = Upload(s3, bucket, ChecksumAlgorithm=algorithm)
    answer = upload.complete([upload.put(i, part, ChecksumAlgorithm=algorithm) for i, part in enumerate(PARTS, 1)])
    if algorithm == "CRC32":
        digests = b"".join(zlib.crc32(part).to_bytes(4, "big") for part in PARTS)
        whole = zlib.crc32(digests).to_bytes(4, "big")
    else:
        digests = b"".join(hashlib.new(algorithm.lower(), part).digest() for part in PARTS)
        whole = hashlib.new(algorithm.lower(), digests).digest()
    assert answer[f"Checksum{algorithm}"] == f"{base64.b64encode(whole).decode()}-3"
    assert answer["ChecksumType"] == "COMPOSITE"
    got = s3.get_object(Bucket=bucket, Key="key", ChecksumMode="ENABLED")
    assert got["Body"].read() == DATA


def test_a_full_object_checksum_is_that_of_all_bytes(s3: Any, bucket: str) -> None:
    whole = base64.b64encode(zlib.crc32(DATA).to_bytes(4, "big")).decode()
    upload = Upload(s3, bucket, ChecksumAlgorithm="CRC32", ChecksumType="FULL_OBJECT")
    parts = [upload.put(i, part) for i, part in enumerate(PARTS, 1)]
    with refused("BadDigest", 400):
        upload.complete(parts, ChecksumCRC32="AAAAAA==")
    with refused("InvalidRequest", 400):
        upload.complete(parts, MpuObjectSize=1)
    assert upload.complete(parts, ChecksumCRC32=whole)["ChecksumCRC32"] == whole
    got = s3.get_object(Bucket=bucket, Key="key", ChecksumMode="ENABLED")
    assert (got["Body"].read() == DATA, got["ChecksumCRC32"]) == (True, whole)


def test_wrong_lists_of_parts_are_refused(s3: Any, bucket: str) -> None:
    upload = Upload(s3, bucket)
    first, second = upload.put(1, PARTS[0]), upload.put(2, b"tiny")
    third = upload.put(3, b"tiny too")
    with refused("InvalidPartOrder", 400):
        upload.complete([second, first])
    with refused("InvalidPart", 400):
        upload.complete([first, {**second, "ETag": first["ETag"]}])
    with refused("InvalidPart", 400):
        upload.complete([first, {**second, "PartNumber": 4}])
    with refused("InvalidPart", 400):
        upload.complete([first, {**second, "ChecksumCRC32": "x"}])
    with refused("EntityTooSmall", 400):
        upload.complete([first, second, third])
    with refused("MalformedXML", 400):
        upload.complete([])
    with refused("404", 404):
        s3.head_object(Bucket=bucket, Key="key")
    upload.complete([first, second])


@pytest.mark.parametrize("number", [0, 10_001])
def test_part_numbers_go_from_1_to_10000(s3: Any, bucket: str, number: int) -> None:
    with refused("InvalidArgument", 400):
        Upload(s3, bucket).put(number, b"")


def test_a_part_with_another_checksum_than_the_upload_is_refused(s3: Any, bucket: str) -> None:
    upload = Upload(s3, bucket, ChecksumAlgorithm="SHA256")
    with refused("InvalidRequest", 400):
        upload.put(1, b"x", ChecksumAlgorithm="SHA1")


def test_an_aborted_upload_leaves_nothing(s3: Any, s3_server: LocalS3, bucket: str) -> None:
    before = len(s3_server.blob_files())
    upload = Upload(s3, bucket)
    part = upload.put(1, PARTS[0])
    assert len(s3_server.blob_files()) == before + 1
    s3.abort_multipart_upload(**upload.call)
    assert len(s3_server.blob_files()) == before
    with refused("NoSuchUpload", 404):
        upload.complete([part])
    with refused("NoSuchUpload", 404):
        s3.abort_multipart_upload(**upload.call)


def test_a_conditional_completion_keeps_what_is_there(s3: Any, bucket: str) -> None:
    upload = Upload(s3, bucket)
    part = upload.put(1, b"from parts")
    s3.put_object(Bucket=bucket, Key="key", Body=b"first")
    with refused("PreconditionFailed", 412):
        upload.complete([part], IfNoneMatch="*")
    assert read(s3, bucket, "key") == b"first"
    upload.complete([part])
    assert read(s3, bucket, "key") == b"from parts"


def test_parts_and_uploads_are_listed_in_pages(s3: Any, bucket: str) -> None:
    uploads = [Upload(s3, bucket, key) for key in ("b", "a", "a", "c/d", "ü +")]
    for number in (3, 1, 20, 7):
        uploads[0].put(number, bytes(number))
    paginate = s3.get_paginator("list_parts").paginate
    pages = list(paginate(**uploads[0].call, PaginationConfig={"PageSize": 2}))
    assert [(part["PartNumber"], part["Size"]) for page in pages for part in page["Parts"]] == [
        (1, 1), (3, 3), (7, 7), (20, 20),
    ]  # fmt: skip
    paginate = s3.get_paginator("list_multipart_uploads").paginate
    pages = list(paginate(Bucket=bucket, PaginationConfig={"PageSize": 2}))
    found = [(upload["Key"], upload["UploadId"]) for page in pages for upload in page["Uploads"]]
    assert found == sorted((upload.call["Key"], upload.call["UploadId"]) for upload in uploads)
    assert [upload["Key"] for upload in s3.list_multipart_uploads(Bucket=bucket, Prefix="c/")["Uploads"]] == ["c/d"]
    behind = s3.list_multipart_uploads(Bucket=bucket, KeyMarker="a")["Uploads"]
    assert [upload["Key"] for upload in behind] == ["b", "c/d", "ü +"]


def test_parts_may_be_copied_from_objects(s3: Any, s3_server: LocalS3, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="source", Body=DATA)
    before = len(s3_server.blob_files())
    upload = Upload(s3, bucket, ChecksumAlgorithm="CRC32")
    ranges = [f"bytes=0-{6 * MIB - 1}", f"bytes={6 * MIB}-{len(DATA) - 1}"]
    parts = []
    for number, wanted in enumerate(ranges, 1):
        copied = s3.upload_part_copy(
            **upload.call, PartNumber=number, CopySource={"Bucket": bucket, "Key": "source"}, CopySourceRange=wanted
        )["CopyPartResult"]
        parts.append({"PartNumber": number, "ETag": copied["ETag"], "ChecksumCRC32": copied["ChecksumCRC32"]})
    assert parts[0]["ETag"] == f'"{hashlib.md5(DATA[: 6 * MIB]).hexdigest()}"'
    upload.complete(parts)
    s3.delete_object(Bucket=bucket, Key="source")
    assert read(s3, bucket, "key") == DATA
    assert len(s3_server.blob_files()) == before


def test_stale_uploads_are_collected(own_server: LocalS3) -> None:
    s3 = s3_client(own_server.url)
    s3.create_bucket(Bucket="bucket")
    Upload(s3, "bucket").put(1, PARTS[0])
    uploads = own_server.app.service.uploads
    assert uploads.collect(older_than=3600.0) == 0
    assert len(s3.list_multipart_uploads(Bucket="bucket")["Uploads"]) == 1
    assert uploads.collect(older_than=-3600.0) == 1
    assert "Uploads" not in s3.list_multipart_uploads(Bucket="bucket")
    assert own_server.blob_files() == []
