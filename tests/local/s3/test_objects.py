"""Objects through boto3."""

from __future__ import annotations

import base64
import hashlib
import http.client
import random
import zlib
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import ClientError

from tests.local.s3.conftest import ACCOUNT, LocalS3, read, refused, s3_client

if TYPE_CHECKING:
    from collections.abc import Iterator

DATA = random.Random(1).randbytes(3_000_001)
KEYS = [
    "a", "a/", "a/b", "/", "//x", "../../etc/passwd", "a/../b", ".", "ü/名前/🙂", "sp ace+plus%25", "q?x=1&y#z",
    "\x01<&\"'>\r\n", "k" * 1024,
]  # fmt: skip


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


@pytest.mark.parametrize("key", KEYS)
def test_any_key_is_only_a_name(s3: Any, bucket: str, key: str) -> None:
    s3.put_object(Bucket=bucket, Key="a/other", Body=b"other")
    s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    assert read(s3, bucket, key) == key.encode()
    assert key in [found["Key"] for found in s3.list_objects_v2(Bucket=bucket)["Contents"]]
    s3.delete_object(Bucket=bucket, Key=key)
    assert [found["Key"] for found in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["a/other"]


def test_a_key_of_more_than_1024_bytes_is_refused(s3: Any, bucket: str) -> None:
    with refused("KeyTooLongError", 400):
        s3.put_object(Bucket=bucket, Key="ü" * 513, Body=b"")


@pytest.mark.parametrize(
    ("wanted", "start", "stop"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=10-19", 10, 20),
        ("bytes=1048570-2097160", 1_048_570, 2_097_161),
        ("bytes=2999999-", 2_999_999, len(DATA)),
        ("bytes=-5", len(DATA) - 5, len(DATA)),
        ("bytes=-99999999", 0, len(DATA)),
        ("bytes=5-99999999", 5, len(DATA)),
    ],
)
def test_a_range_is_that_part_without_the_checksum_of_the_whole(
    s3: Any, bucket: str, wanted: str, start: int, stop: int
) -> None:
    s3.put_object(Bucket=bucket, Key="key", Body=DATA)
    got = s3.get_object(Bucket=bucket, Key="key", Range=wanted, ChecksumMode="ENABLED")
    assert got["Body"].read() == DATA[start:stop]
    assert got["ResponseMetadata"]["HTTPStatusCode"] == 206
    assert got["ContentRange"] == f"bytes {start}-{stop - 1}/{len(DATA)}"
    assert "ChecksumCRC32" not in got


@pytest.mark.parametrize("wanted", ["bytes=5-4", "bytes=0-1,3-4", "lines=1-2"])
def test_a_range_of_unknown_form_means_the_whole(s3: Any, bucket: str, wanted: str) -> None:
    s3.put_object(Bucket=bucket, Key="key", Body=b"0123456789")
    assert read(s3, bucket, "key", Range=wanted) == b"0123456789"


@pytest.mark.parametrize(("size", "wanted"), [(10, "bytes=10-"), (10, "bytes=-0"), (0, "bytes=0-")])
def test_a_range_behind_the_end_is_refused(s3: Any, bucket: str, size: int, wanted: str) -> None:
    s3.put_object(Bucket=bucket, Key="key", Body=bytes(size))
    with refused("InvalidRange", 416):
        s3.get_object(Bucket=bucket, Key="key", Range=wanted)


def test_what_a_client_says_of_an_object_is_kept(s3: Any, bucket: str) -> None:
    said: dict[str, Any] = {
        "ContentType": "text/csv",
        "ContentEncoding": "gzip",
        "ContentDisposition": 'attachment; filename="x.csv"',
        "ContentLanguage": "de",
        "CacheControl": "no-store",
        "Metadata": {"one": "1", "two": "2"},
        "StorageClass": "STANDARD_IA",
        "ServerSideEncryption": "aws:kms",
        "SSEKMSKeyId": "alias/key",
        "WebsiteRedirectLocation": "/elsewhere",
    }
    put = s3.put_object(Bucket=bucket, Key="key", Body=b"x", Tagging="a=1&b=%20", **said)
    assert (put["ServerSideEncryption"], put["SSEKMSKeyId"]) == ("aws:kms", "alias/key")
    for got in (s3.head_object(Bucket=bucket, Key="key"), s3.get_object(Bucket=bucket, Key="key")):
        assert {name: got[name] for name in said} == said
    assert s3.get_object(Bucket=bucket, Key="key")["TagCount"] == 2
    assert s3.list_objects_v2(Bucket=bucket)["Contents"][0]["StorageClass"] == "STANDARD_IA"
    got = s3.get_object(Bucket=bucket, Key="key", ResponseContentType="text/plain", ResponseCacheControl="max-age=1")
    assert (got["ContentType"], got["CacheControl"]) == ("text/plain", "max-age=1")


@pytest.mark.parametrize(
    ("refusal", "wrong"),
    [
        ("InvalidStorageClass", {"StorageClass": "COLD"}),
        ("InvalidArgument", {"ServerSideEncryption": "rot13"}),
        ("MetadataTooLarge", {"Metadata": {"a": "x" * 2048}}),
        ("InvalidTag", {"Tagging": "&".join(f"k{i}=v" for i in range(11))}),
        ("InvalidTag", {"Tagging": "aws:x=1"}),
        ("InvalidTag", {"Tagging": "a=1&a=2"}),
        ("InvalidDigest", {"ContentMD5": "bm90IGFuIG1kNQ=="}),
        ("BadDigest", {"ContentMD5": base64.b64encode(bytes(16)).decode()}),
        ("BadDigest", {"ChecksumCRC32": "AAAAAA=="}),
        ("BadDigest", {"ChecksumCRC32C": "AAAAAA=="}),
        ("BadDigest", {"ChecksumSHA256": base64.b64encode(bytes(32)).decode()}),
    ],
)
def test_a_refused_put_leaves_nothing(
    s3: Any, s3_server: LocalS3, bucket: str, refusal: str, wrong: dict[str, Any]
) -> None:
    before = s3_server.blob_files()
    with refused(refusal, 400):
        s3.put_object(Bucket=bucket, Key="key", Body=DATA[:100_000], **wrong)
    with refused("404", 404):
        s3.head_object(Bucket=bucket, Key="key")
    assert s3_server.blob_files() == before


@pytest.mark.parametrize("algorithm", ["CRC32", "SHA1", "SHA256"])
def test_boto_verifies_the_checksums_we_send(s3: Any, bucket: str, algorithm: str) -> None:
    s3.put_object(Bucket=bucket, Key="key", Body=DATA, ChecksumAlgorithm=algorithm)
    got = s3.get_object(Bucket=bucket, Key="key", ChecksumMode="ENABLED")
    assert got["Body"].read() == DATA
    assert got[f"Checksum{algorithm}"]
    assert got["ChecksumType"] == "FULL_OBJECT"


def test_only_conditions_that_hold_let_a_write_through(s3: Any, bucket: str) -> None:
    etag = s3.put_object(Bucket=bucket, Key="key", Body=b"1", IfNoneMatch="*")["ETag"]
    with refused("PreconditionFailed", 412):
        s3.put_object(Bucket=bucket, Key="key", Body=b"2", IfNoneMatch="*")
    with refused("PreconditionFailed", 412):
        s3.put_object(Bucket=bucket, Key="key", Body=b"2", IfMatch='"0123"')
    with refused("NoSuchKey", 404):
        s3.put_object(Bucket=bucket, Key="other", Body=b"2", IfMatch=etag)
    with refused("NotImplemented", 501):
        s3.put_object(Bucket=bucket, Key="key", Body=b"2", IfNoneMatch=etag)
    with refused("PreconditionFailed", 412):
        s3.delete_object(Bucket=bucket, Key="key", IfMatch='"0123"')
    assert read(s3, bucket, "key") == b"1"
    s3.put_object(Bucket=bucket, Key="key", Body=b"2", IfMatch=etag)
    assert read(s3, bucket, "key") == b"2"


def test_conditional_reads_follow_etag_and_time(s3: Any, bucket: str) -> None:
    etag = s3.put_object(Bucket=bucket, Key="key", Body=b"1")["ETag"]
    modified = s3.head_object(Bucket=bucket, Key="key")["LastModified"]
    earlier, call = modified - timedelta(days=1), {"Bucket": bucket, "Key": "key"}
    for allowed in (
        {"IfMatch": etag},
        {"IfMatch": "*"},
        {"IfNoneMatch": '"0123"'},
        {"IfModifiedSince": earlier},
        {"IfUnmodifiedSince": modified},
        {"IfMatch": etag, "IfUnmodifiedSince": earlier},
        {"IfNoneMatch": '"0123"', "IfModifiedSince": modified},
    ):
        assert s3.get_object(**call, **allowed)["Body"].read() == b"1"
    for unchanged in ({"IfNoneMatch": etag}, {"IfModifiedSince": modified}):
        with refused("304", 304):
            s3.get_object(**call, **unchanged)
    for failed in ({"IfMatch": '"0123"'}, {"IfUnmodifiedSince": earlier}):
        with refused("PreconditionFailed", 412):
            s3.get_object(**call, **failed)


def test_a_copy_lives_on_its_own(s3: Any, s3_server: LocalS3, bucket: str) -> None:
    source = {"Bucket": bucket, "Key": "ü source"}
    s3.put_object(Bucket=bucket, Key="ü source", Body=DATA, ContentType="text/x", Metadata={"a": "1"}, Tagging="t=1")
    s3.put_object(Bucket=bucket, Key="other", Body=b"x")
    before = len(s3_server.blob_files())
    s3.copy_object(Bucket=bucket, Key="kept", CopySource=source)
    s3.copy_object(
        Bucket=bucket, Key="new", CopySource=source, MetadataDirective="REPLACE", Metadata={"b": "2"},
        TaggingDirective="REPLACE", Tagging="u=2", StorageClass="GLACIER_IR", ChecksumAlgorithm="SHA256",
    )  # fmt: skip
    assert len(s3_server.blob_files()) == before
    s3.delete_object(**source)
    kept, new = (s3.get_object(Bucket=bucket, Key=key, ChecksumMode="ENABLED") for key in ("kept", "new"))
    assert kept["Body"].read() == new["Body"].read() == DATA
    assert (kept["ContentType"], kept["Metadata"], kept["TagCount"]) == ("text/x", {"a": "1"}, 1)
    assert (new["ContentType"], new["Metadata"], new["StorageClass"]) == (
        "binary/octet-stream",
        {"b": "2"},
        "GLACIER_IR",
    )
    assert base64.b64decode(new["ChecksumSHA256"]) == hashlib.sha256(DATA).digest()
    assert s3.get_object_tagging(Bucket=bucket, Key="new")["TagSet"] == [{"Key": "u", "Value": "2"}]
    s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "kept"}, {"Key": "new"}]})
    assert len(s3_server.blob_files()) == before - 1


def test_a_copy_onto_itself_must_change_something(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="key", Body=DATA, Metadata={"a": "1"})
    with refused("InvalidRequest", 400):
        s3.copy_object(Bucket=bucket, Key="key", CopySource=f"{bucket}/key")
    s3.copy_object(
        Bucket=bucket, Key="key", CopySource=f"{bucket}/key", MetadataDirective="REPLACE", Metadata={"a": "2"}
    )
    assert s3.head_object(Bucket=bucket, Key="key")["Metadata"] == {"a": "2"}
    assert read(s3, bucket, "key") == DATA


def test_a_copy_obeys_conditions_on_its_source(s3: Any, bucket: str) -> None:
    etag = s3.put_object(Bucket=bucket, Key="key", Body=b"1")["ETag"]
    with refused("PreconditionFailed", 412):
        s3.copy_object(Bucket=bucket, Key="copy", CopySource=f"{bucket}/key", CopySourceIfNoneMatch=etag)
    with refused("NoSuchKey", 404):
        s3.copy_object(Bucket=bucket, Key="copy", CopySource=f"{bucket}/nothing")
    s3.copy_object(Bucket=bucket, Key="copy", CopySource=f"{bucket}/key", CopySourceIfMatch=etag)
    assert read(s3, bucket, "copy") == b"1"


def test_tags_are_put_read_and_deleted(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="key", Body=b"1")
    call = {"Bucket": bucket, "Key": "key"}
    tags = [{"Key": "a & b", "Value": ""}, {"Key": "ü", "Value": "<1>"}]
    s3.put_object_tagging(**call, Tagging={"TagSet": tags})
    assert s3.get_object_tagging(**call)["TagSet"] == tags
    s3.delete_object_tagging(**call)
    assert s3.get_object_tagging(**call)["TagSet"] == []
    with refused("NoSuchKey", 404):
        s3.put_object_tagging(Bucket=bucket, Key="nothing", Tagging={"TagSet": tags})


def test_an_overwritten_or_deleted_object_frees_its_bytes(s3: Any, s3_server: LocalS3, bucket: str) -> None:
    before = len(s3_server.blob_files())
    for i in range(3):
        s3.put_object(Bucket=bucket, Key="key", Body=DATA[i:])
        assert len(s3_server.blob_files()) == before + 1
    s3.delete_object(Bucket=bucket, Key="key")
    assert len(s3_server.blob_files()) == before


def test_a_reader_gets_the_whole_object_that_it_began_to_read(s3: Any, s3_server: LocalS3, bucket: str) -> None:
    content = DATA * 10  # more than socket buffers hold
    before = len(s3_server.blob_files())
    s3.put_object(Bucket=bucket, Key="key", Body=content)
    body = s3.get_object(Bucket=bucket, Key="key")["Body"]
    start = body.read(1000)
    s3.put_object(Bucket=bucket, Key="key", Body=b"new")
    s3.delete_object(Bucket=bucket, Key="key")
    assert start + body.read() == content
    wait_until(lambda: len(s3_server.blob_files()) == before)


def wait_until(holds: Any) -> None:
    """Fail unless ``holds`` becomes true."""
    import time

    deadline = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < deadline, "it never became true"
        time.sleep(0.05)


@pytest.fixture
def connection(s3_server: LocalS3) -> Iterator[http.client.HTTPConnection]:
    """A plain kept-alive connection."""
    connected = http.client.HTTPConnection(urlsplit(s3_server.url).netloc, timeout=60)
    yield connected
    connected.close()


def test_a_refusal_leaves_the_connection_usable(connection: http.client.HTTPConnection, bucket: str) -> None:
    for path, expected in [("/no-such-bucket/key", 404), (f"/{bucket}/key?acl", 501), (f"/{bucket}/key", 200)]:
        connection.request("PUT", path, DATA)
        answer = connection.getresponse()
        assert (answer.status, answer.read()[:1] in (b"<", b"")) == (expected, True)


def chunked(*pieces: bytes, trailer: str = "") -> bytes:
    """Return an aws-chunked body with (unchecked) chunk signatures."""
    chunks = b"".join(b"%x;chunk-signature=%s\r\n%s\r\n" % (len(piece), b"0" * 64, piece) for piece in pieces)
    return chunks + b"0;chunk-signature=" + b"0" * 64 + b"\r\n" + trailer.encode() + b"\r\n"


def put_chunked(connection: http.client.HTTPConnection, path: str, body: bytes, length: int) -> tuple[int, bytes]:
    """Put a body in aws-chunked framing."""
    headers = {
        "x-amz-content-sha256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
        "x-amz-decoded-content-length": str(length),
        "x-amz-trailer": "x-amz-checksum-crc32",
        "content-encoding": "aws-chunked,gzip",
    }
    connection.request("PUT", path, body, headers)
    answer = connection.getresponse()
    return answer.status, answer.read()


def test_aws_chunked_bodies_are_taken_out_of_their_framing(
    connection: http.client.HTTPConnection, s3: Any, bucket: str
) -> None:
    crc = base64.b64encode(zlib.crc32(DATA).to_bytes(4, "big")).decode()
    body = chunked(DATA[:65_536], DATA[65_536:65_537], DATA[65_537:], trailer=f"x-amz-checksum-crc32:{crc}\r\n")
    assert put_chunked(connection, f"/{bucket}/key", body, len(DATA)) == (200, b"")
    assert read(s3, bucket, "key") == DATA
    assert s3.head_object(Bucket=bucket, Key="key")["ContentEncoding"] == "gzip"


@pytest.mark.parametrize(
    ("body", "length", "refusal"),
    [
        (chunked(b"abc", trailer="x-amz-checksum-crc32:AAAAAA==\r\n"), 3, b"BadDigest"),
        (chunked(b"abc"), 4, b"IncompleteBody"),
        (chunked(b"abc")[:80], 3, b"IncompleteBody"),
        (b"zz\r\nabc\r\n0\r\n\r\n", 3, b"IncompleteBody"),
        (b"2\r\nabc\r\n0\r\n\r\n", 3, b"IncompleteBody"),
        (b"3" * 100_000, 3, b"IncompleteBody"),
        (b"", 0, b"IncompleteBody"),
    ],
)
def test_broken_framing_is_refused(
    connection: http.client.HTTPConnection, bucket: str, body: bytes, length: int, refusal: bytes
) -> None:
    status, answer = put_chunked(connection, f"/{bucket}/key", body, length)
    assert (status, refusal in answer) == (400, True)


def test_a_client_that_goes_away_leaves_nothing(s3: Any, s3_server: LocalS3, bucket: str) -> None:
    before = len(s3_server.blob_files())
    gone = http.client.HTTPConnection(urlsplit(s3_server.url).netloc)
    gone.putrequest("PUT", f"/{bucket}/key")
    gone.putheader("content-length", "5000000")
    gone.endheaders(DATA)
    wait_until(lambda: len(s3_server.blob_files()) == before + 1)
    gone.close()
    wait_until(lambda: len(s3_server.blob_files()) == before)
    with refused("404", 404):
        s3.head_object(Bucket=bucket, Key="key")


def test_another_account_is_refused(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="key", Body=b"1", ExpectedBucketOwner=ACCOUNT)
    with refused("AccessDenied", 403):
        s3.get_object(Bucket=bucket, Key="key", ExpectedBucketOwner="000000000000")
    with refused("AccessDenied", 403):
        s3.put_object(Bucket=bucket, Key="key", Body=DATA, ExpectedBucketOwner="000000000000")
    with refused("AccessDenied", 403):
        s3.copy_object(Bucket=bucket, Key="copy", CopySource=f"{bucket}/key", ExpectedSourceBucketOwner="000000000000")


@pytest.mark.parametrize(
    ("operation", "more"),
    [
        ("get_object_acl", {}),
        ("get_object", {"VersionId": "1"}),
        ("get_object", {"PartNumber": 1}),
        ("put_object", {"Body": b"", "SSECustomerAlgorithm": "AES256", "SSECustomerKey": "k" * 32}),
        ("copy_object", {"CopySource": "bucket/key?versionId=1"}),
    ],
)
def test_what_we_do_not_know_is_refused(s3: Any, bucket: str, operation: str, more: dict[str, Any]) -> None:
    with pytest.raises(ClientError) as error:
        getattr(s3, operation)(Bucket=bucket, Key="key", **more)
    assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 501


@pytest.mark.parametrize("more", [{"ResponseContentType": "a\r\nset-cookie: x=1"}, {"ResponseCacheControl": "\u2028"}])
def test_a_response_header_cannot_smuggle_another_one(s3: Any, bucket: str, more: dict[str, Any]) -> None:
    s3.put_object(Bucket=bucket, Key="key", Body=b"1")
    with refused("InvalidArgument", 400):
        s3.get_object(Bucket=bucket, Key="key", **more)
    assert read(s3, bucket, "key") == b"1"


def test_a_lost_blob_is_an_error_and_no_torn_answer(own_server: LocalS3) -> None:
    s3 = s3_client(own_server.url)
    s3.create_bucket(Bucket="bucket")
    s3.put_object(Bucket="bucket", Key="key", Body=DATA)
    own_server.blob_files()[0].unlink()
    with refused("500", 500):
        s3.get_object(Bucket="bucket", Key="key")
    s3.put_object(Bucket="bucket", Key="key", Body=b"again")
    assert read(s3, "bucket", "key") == b"again"
