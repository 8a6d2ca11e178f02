"""The same calls to our S3 and to moto's: the answers must agree, but for the differences that are named here."""

from __future__ import annotations

import functools
import logging
import os
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from moto.server import ThreadedMotoServer

from tests.local.s3.conftest import LocalS3, s3_client

if TYPE_CHECKING:
    from collections.abc import Iterator

Operation = tuple[str, dict[str, Any]]

keys = st.sampled_from(["a", "a/", "a/b", "a/b/c", "b", "ü/1", "z +&"])
bodies = st.sampled_from([b"", b"x", b"0123456789" * 50, bytes(range(256)) * 1000])


def operation(
    name: str, required: dict[str, Any], optional: dict[str, Any] | None = None
) -> st.SearchStrategy[Operation]:
    return st.tuples(st.just(name), st.fixed_dictionaries(required, optional=optional or {}))


sources = st.builds(lambda key: {"Bucket": "{bucket}", "Key": key}, keys)
tag_sets = st.lists(
    st.builds(lambda key, value: {"Key": key, "Value": value}, st.sampled_from("abc"), st.sampled_from(["", "1 2"])),
    min_size=1,
    max_size=2,
    unique_by=lambda tag: tag["Key"],
)
deletes = st.lists(keys, min_size=1, max_size=4, unique=True).map(
    lambda names: {"Objects": [{"Key": k} for k in names]}
)
lists = {
    "Prefix": st.sampled_from(["", "a", "a/", "ü", "no"]),
    "Delimiter": st.sampled_from(["/", "b"]),
    "MaxKeys": st.integers(1, 4),
}
operations = st.one_of(
    operation(
        "put_object",
        {"Key": keys, "Body": bodies},
        {
            "ContentType": st.just("text/csv"),
            "CacheControl": st.just("no-store"),
            "Metadata": st.just({"one": "1"}),
            "Tagging": st.sampled_from(["a=1", "a=1&b=2%203"]),
            "StorageClass": st.sampled_from(["STANDARD", "STANDARD_IA"]),
            "IfNoneMatch": st.just("*"),
        },
    ),
    operation(
        "get_object",
        {"Key": keys},
        {
            "Range": st.sampled_from(["bytes=0-0", "bytes=3-", "bytes=100-200", "bytes=300000-"]),
            "IfMatch": st.sampled_from(['"d41d8cd98f00b204e9800998ecf8427e"', '"0123"']),
            "IfNoneMatch": st.sampled_from(['"d41d8cd98f00b204e9800998ecf8427e"', '"0123"']),
            "ResponseContentType": st.just("x/y"),
        },
    ),
    operation("head_object", {"Key": keys}),
    operation("delete_object", {"Key": keys}),
    operation("delete_objects", {"Delete": deletes}),
    operation(
        "copy_object",
        {"Key": keys, "CopySource": sources},
        {"MetadataDirective": st.sampled_from(["COPY", "REPLACE"]), "Metadata": st.just({"two": "2"})},
    ),
    # Not with a limit: moto does not count common prefixes.
    operation("list_objects", {}, {name: lists[name] for name in ("Prefix", "Delimiter")}),
    # Not with a delimiter: moto lists a common prefix again if the marker lies below it.
    operation("list_objects", {"Marker": keys}, {"MaxKeys": lists["MaxKeys"]}),
    operation("list_objects_v2", {}, lists | {"StartAfter": keys}),
    operation("get_object_tagging", {"Key": keys}),
    operation("put_object_tagging", {"Key": keys, "Tagging": st.builds(lambda tags: {"TagSet": tags}, tag_sets)}),
    operation("delete_object_tagging", {"Key": keys}),
    operation("get_bucket_location", {}),
    operation(
        "upload_in_parts",
        {
            "Key": keys,
            "sizes": st.sampled_from([[1], [1, 10], [10, 10], [5 << 20, 1]]),
            "end": st.sampled_from(["complete", "abort", "leave", "wrong"]),
        },
    ),
)


@pytest.fixture(scope="module")
def clients(s3_server: LocalS3) -> Iterator[tuple[Any, Any]]:
    """Clients of ours and of moto's."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    ours, theirs = s3_client(s3_server.url), s3_client(f"http://{host}:{port}")
    yield ours, theirs
    ours.close()
    theirs.close()
    server.stop()


def upload_in_parts(client: Any, Bucket: str, Key: str, sizes: list[int], end: str) -> Any:
    call = {"Bucket": Bucket, "Key": Key}
    call["UploadId"] = client.create_multipart_upload(**call)["UploadId"]
    parts = [
        {"PartNumber": i, "ETag": client.upload_part(**call, PartNumber=i, Body=bytes(size))["ETag"]}
        for i, size in enumerate(sizes, 1)
    ]
    listed = client.list_parts(**call)["Parts"]
    assert [part["ETag"] for part in listed] == [part["ETag"] for part in parts]
    if end == "leave":
        return [(part["PartNumber"], part["Size"]) for part in listed]
    if end == "abort":
        return client.abort_multipart_upload(**call)
    if end == "wrong":
        parts[0]["ETag"] = '"0123"'
    return client.complete_multipart_upload(**call, MultipartUpload={"Parts": parts})


# Members that must differ (times, the server's address, the account), or that moto leaves out where AWS has them:
# the AES256 that S3 uses unasked, types of checksums, checksums in lists of the first version.
LEFT_OUT = {"ResponseMetadata", "LastModified", "Location", "Owner"} | {
    "ServerSideEncryption",
    "ChecksumType",
    "ChecksumAlgorithm",
}
MOTO_DIFFERS = {
    # Left out if empty, not encoded; NextMarker without a delimiter too, and no key.
    "list_objects": {"Marker", "Prefix", "NextMarker"},
    "list_objects_v2": {"StartAfter", "NextContinuationToken"},  # not encoded; a token is anything
    "upload_in_parts": {"VersionId"},  # "null" for a bucket without versions
}


def comparable(value: Any, left_out: set[str]) -> Any:
    """Return an answer without members that may differ; those of one operation only at the top."""
    if hasattr(value, "read"):
        return value.read()
    if isinstance(value, dict):
        return {key: comparable(inner, LEFT_OUT) for key, inner in value.items() if key not in left_out}
    if isinstance(value, list):
        return [comparable(inner, LEFT_OUT) for inner in value]
    return value


def answer(client: Any, bucket: str, name: str, arguments: dict[str, Any]) -> Any:
    """Return what a call gives, or its error."""
    if "CopySource" in arguments:
        arguments = arguments | {"CopySource": arguments["CopySource"] | {"Bucket": bucket}}
    call = getattr(client, name, None) or functools.partial(upload_in_parts, client)
    try:
        return comparable(call(Bucket=bucket, **arguments), LEFT_OUT | MOTO_DIFFERS.get(name, set()))
    except ClientError as error:
        response: Any = error.response
        return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]


@settings(max_examples=40, deadline=None, derandomize=True, phases=[Phase.explicit, Phase.generate])
@given(steps=st.lists(operations, min_size=5, max_size=25))
def test_moto_answers_the_same(clients: tuple[Any, Any], steps: list[Operation]) -> None:
    bucket = f"differential-{os.urandom(8).hex()}"
    for client in clients:
        client.create_bucket(Bucket=bucket)
    for name, arguments in steps:
        ours, theirs = (answer(client, bucket, name, arguments) for client in clients)
        # moto breaks down when the tags of nothing are deleted.
        assert ours == (("NoSuchKey", 404) if theirs == ("500", 500) else theirs), (name, arguments)
