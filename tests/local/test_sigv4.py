"""Signature Version 4 by AWS's own worked examples."""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib

import pytest

from airflow_ll.local.auth.sigv4 import ChunkChain, Problem, SignatureError, SignedRequest, read_claim, verify

# The key and the examples of AWS's documentation ("Authenticating Requests: Using the Authorization Header", "... Using
# Query Parameters", "... Transferring Payload in Multiple Chunks", "... Including Trailing Headers").
KEY_ID, SECRET = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
THEN = dt.datetime(2013, 5, 24, tzinfo=dt.UTC)
EMPTY = hashlib.sha256(b"").hexdigest()
CHUNKED = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
CREDENTIAL = f"{KEY_ID}/20130524/us-east-1/s3/aws4_request"


def example(
    method: str, path: str, headers: dict[str, str], signature: str, *, query: str = "", signed: str | None = None
) -> SignedRequest:
    names = ";".join(sorted(headers)) if signed is None else signed
    value = f"AWS4-HMAC-SHA256 Credential={CREDENTIAL},SignedHeaders={names},Signature={signature}"
    return SignedRequest(method, path.encode(), query.encode(), [*headers.items(), ("authorization", value)])


HOST, TIME = {"host": "examplebucket.s3.amazonaws.com"}, {"x-amz-date": "20130524T000000Z"}
GET_OBJECT = example(
    "GET",
    "/test.txt",
    {**HOST, "range": "bytes=0-9", "x-amz-content-sha256": EMPTY, **TIME},
    "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
)
LIST_OBJECTS = example(
    "GET",
    "/",
    {**HOST, "x-amz-content-sha256": EMPTY, **TIME},
    "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
    query="max-keys=2&prefix=J",
)
PRESIGNED = SignedRequest(
    "GET",
    b"/test.txt",
    (
        f"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={CREDENTIAL.replace('/', '%2F')}"
        "&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host"
        "&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
    ).encode(),
    list(HOST.items()),
)
UPLOAD = {
    "host": "s3.amazonaws.com",
    **TIME,
    "x-amz-storage-class": "REDUCED_REDUNDANCY",
    "content-encoding": "aws-chunked",
    "x-amz-decoded-content-length": "66560",
}
IN_CHUNKS = example(
    "PUT",
    "/examplebucket/chunkObject.txt",
    {**UPLOAD, "x-amz-content-sha256": CHUNKED, "content-length": "66824"},
    "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9",
)
WITH_TRAILER = example(
    "PUT",
    "/examplebucket/chunkObject.txt",
    {**UPLOAD, "x-amz-content-sha256": f"{CHUNKED}-TRAILER", "x-amz-trailer": "x-amz-checksum-crc32c"},
    "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e",
)


def secret(key_id: str) -> str | None:
    return SECRET if key_id == KEY_ID else None


def check(request: SignedRequest, payload: str, now: dt.datetime = THEN) -> bytes:
    return verify(request, read_claim(request), secret, payload, now)


@pytest.mark.parametrize(
    ("request_", "payload"),
    [
        (GET_OBJECT, EMPTY),
        (LIST_OBJECTS, EMPTY),
        (PRESIGNED, "UNSIGNED-PAYLOAD"),
        (IN_CHUNKS, CHUNKED),
        (WITH_TRAILER, f"{CHUNKED}-TRAILER"),
    ],
)
def test_the_examples_of_aws(request_: SignedRequest, payload: str) -> None:
    check(request_, payload)

    for change in ({"method": "POST"}, {"raw_path": b"/other"}, {"query": request_.query + b"&versionId=1"}):
        with pytest.raises(SignatureError) as refused:
            check(dataclasses.replace(request_, **change), payload)
        assert refused.value.problem is Problem.MISMATCH


@pytest.mark.parametrize(
    ("request_", "signatures", "trailer"),
    [
        (
            IN_CHUNKS,
            [
                "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
                "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
                "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9",
            ],
            None,
        ),
        (
            WITH_TRAILER,
            [
                "b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2",
                "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7",
                "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992",
            ],
            "d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435",
        ),
    ],
)
def test_the_chunks_of_the_examples(request_: SignedRequest, signatures: list[str], trailer: str | None) -> None:
    claim = read_claim(request_)
    chain = ChunkChain(claim, claim.credential.signing_key(SECRET), trailer=trailer is not None)

    for data, signature in zip((b"a" * 65536, b"a" * 1024, b""), signatures, strict=True):
        chain.update(data)
        assert chain.chunk_ends(signature)
    if trailer:
        assert chain.trailer_ends([("x-amz-checksum-crc32c", "sOO8/Q==")], trailer)
    assert not chain.chunk_ends(signatures[-1])


@pytest.mark.parametrize(
    ("request_", "now", "problem"),
    [
        (GET_OBJECT, THEN + dt.timedelta(minutes=16), Problem.SKEWED),
        (GET_OBJECT, THEN - dt.timedelta(minutes=16), Problem.SKEWED),
        (PRESIGNED, THEN + dt.timedelta(days=1, seconds=1), Problem.EXPIRED),
        (PRESIGNED, THEN - dt.timedelta(minutes=16), Problem.SKEWED),
        (dataclasses.replace(GET_OBJECT, headers=GET_OBJECT.headers[:-1]), THEN, Problem.MISSING),
        (dataclasses.replace(GET_OBJECT, headers=[*GET_OBJECT.headers, ("x-amz-acl", "p")]), THEN, Problem.UNSIGNED),
        (dataclasses.replace(PRESIGNED, query=PRESIGNED.query.replace(b"86400", b"604801")), THEN, Problem.MALFORMED),
        (dataclasses.replace(PRESIGNED, query=PRESIGNED.query.replace(b"-SHA256", b"-SHA1")), THEN, Problem.MALFORMED),
        (dataclasses.replace(PRESIGNED, query=PRESIGNED.query.replace(b"Key", b"x")), THEN, Problem.MISMATCH),
        (example("GET", "/", {**HOST, **TIME}, "0" * 64, signed="x-amz-date"), THEN, Problem.MALFORMED),
        (example("GET", "/", {**HOST, "x-amz-date": "20130525T000000Z"}, "0" * 64), THEN, Problem.MALFORMED),
        (example("GET", "/", {**HOST, "x-amz-date": "yesterday"}, "0" * 64), THEN, Problem.MALFORMED),
        (example("GET", "/", HOST, "0" * 64), THEN, Problem.MALFORMED),
    ],
)
def test_what_proves_nothing(request_: SignedRequest, now: dt.datetime, problem: Problem) -> None:
    if problem is Problem.MISMATCH:
        request_ = dataclasses.replace(PRESIGNED, query=PRESIGNED.query[:-1] + b"5")

    with pytest.raises(SignatureError) as refused:
        check(request_, "UNSIGNED-PAYLOAD" if request_.query else EMPTY, now)

    assert refused.value.problem is problem
