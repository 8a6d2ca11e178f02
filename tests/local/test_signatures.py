"""A runtime that asks for signatures: real clients, and everybody who is not let in."""

from __future__ import annotations

import http.client
import json
import stat
import subprocess
import sys
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from airflow_ll.exceptions import LinearLearnerError
from airflow_ll.local import boto_session
from airflow_ll.local.auth.keys import SECRET_VARIABLE, AccessKey, read_keys
from airflow_ll.local.auth.sigv4 import ChunkChain, SignedRequest, read_claim
from airflow_ll.local.server import Options, run
from airflow_ll.testing import LocalRuntime, start_runtime
from tests.local.support import IMAGE, ROLE, training_ended, training_request, upload_training_data, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KEY_ID, SECRET = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"  # of AWS's documentation
CHUNKED = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"


class Signed:
    """A running one, and clients with any key."""

    def __init__(self, runtime: LocalRuntime) -> None:
        self.runtime, self.url, self.data_dir = runtime, runtime.url, runtime.data_dir

    def client(self, service: str, key_id: str = KEY_ID, secret_key: str = SECRET, **config: Any) -> Any:
        session: Any = boto_session(self.url, access_key=key_id, secret_key=secret_key)
        return session.client(service, config=Config(**{"retries": {"max_attempts": 0}, **config}))


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Signed]:
    folder = tmp_path_factory.mktemp("signed")
    keys = folder / "keys"
    keys.write_text(f"# ours\nOTHER:{'s' * 40}\n\n")
    keys.chmod(0o600)
    options = ("--host", "0.0.0.0", "--require-signature", "--access-key", KEY_ID, "--access-key-file", str(keys))
    runtime = start_runtime(folder / "runtime", *options, **{SECRET_VARIABLE: SECRET})
    yield Signed(runtime)
    runtime.stop()


def test_signed_calls_of_all_services_are_answered(signed: Signed) -> None:
    upload_training_data(signed)  # type: ignore[arg-type]
    sagemaker = signed.client("sagemaker")
    sagemaker.create_training_job(**training_request("signed"))
    job = training_ended(signed, "signed")  # type: ignore[arg-type]
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    container = {"Image": IMAGE, "ModelDataUrl": job["ModelArtifacts"]["S3ModelArtifacts"]}
    sagemaker.create_model(ModelName="m", ExecutionRoleArn=ROLE, PrimaryContainer=container)
    variant = {"VariantName": "v", "ModelName": "m", "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}
    sagemaker.create_endpoint_config(EndpointConfigName="c", ProductionVariants=[variant])
    sagemaker.create_endpoint(EndpointName="e", EndpointConfigName="c")
    wait_for(lambda: sagemaker.describe_endpoint(EndpointName="e"), lambda one: one["EndpointStatus"] == "InService")
    answer = signed.client("sagemaker-runtime").invoke_endpoint(
        EndpointName="e", Body=b"1,2,3,4,5\n", ContentType="text/csv"
    )
    assert "predictions" in json.loads(answer["Body"].read())
    assert signed.client("logs").describe_log_groups()["logGroups"]
    assert signed.client("sts", "OTHER", "s" * 40).get_caller_identity()["Account"] == "123456789012"
    assert signed.client("cloudwatch").list_metrics()["Metrics"]


def test_objects_with_odd_names_are_signed(signed: Signed) -> None:
    s3 = signed.client("s3")
    s3.create_bucket(Bucket="odd")
    for key in ("a b", "a+b", "é/ü", "a//b", "a/../b", "100%", "a?b#c", "~-_.", "x=y&z"):
        s3.put_object(Bucket="odd", Key=key, Body=key.encode())
        assert s3.get_object(Bucket="odd", Key=key)["Body"].read() == key.encode()
        assert s3.list_objects_v2(Bucket="odd", Prefix=key)["KeyCount"] == 1
        assert s3.put_object_tagging(Bucket="odd", Key=key, Tagging={"TagSet": [{"Key": "k", "Value": "v"}]})


def test_a_presigned_address_needs_no_client(signed: Signed) -> None:
    s3 = signed.client("s3", signature_version="s3v4")
    s3.create_bucket(Bucket="shared")
    put = s3.generate_presigned_url("put_object", {"Bucket": "shared", "Key": "a b"}, ExpiresIn=60)
    with urllib.request.urlopen(urllib.request.Request(put, b"payload", method="PUT"), timeout=30) as answer:
        assert answer.status == 200
    get = s3.generate_presigned_url("get_object", {"Bucket": "shared", "Key": "a b"}, ExpiresIn=60)
    with urllib.request.urlopen(get, timeout=30) as answer:
        assert answer.read() == b"payload"
    sts = signed.client("sts").generate_presigned_url("get_caller_identity", ExpiresIn=60, HttpMethod="GET")
    with urllib.request.urlopen(sts, timeout=60) as answer:
        assert b"123456789012" in answer.read()

    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(get.replace("a%20b", "other"), timeout=30)
    with refused.value as error:
        assert error.code == 403
        assert b"<Code>SignatureDoesNotMatch</Code>" in error.read()


STRANGERS = [
    ("sagemaker", "list_models", {}, "UnrecognizedClientException", "InvalidSignatureException"),
    ("sagemaker-runtime", "invoke_endpoint", {"EndpointName": "e", "Body": b"1"}, *["UnrecognizedClientException"], ""),
    ("logs", "describe_log_groups", {}, "UnrecognizedClientException", "InvalidSignatureException"),
    ("sts", "get_caller_identity", {}, "InvalidClientTokenId", "SignatureDoesNotMatch"),
    ("iam", "list_roles", {}, "InvalidClientTokenId", "SignatureDoesNotMatch"),
    ("s3", "list_buckets", {}, "InvalidAccessKeyId", "SignatureDoesNotMatch"),
    ("s3", "put_object", {"Bucket": "b", "Key": "k", "Body": b"x" * 3_000_000}, "InvalidAccessKeyId", ""),
]


@pytest.mark.parametrize(("service", "operation", "arguments", "unknown", "mismatch"), STRANGERS)
def test_strangers_are_refused(
    signed: Signed, service: str, operation: str, arguments: dict[str, Any], unknown: str, mismatch: str
) -> None:
    for key_id, secret_key, code in (("AKNOBODY", SECRET, unknown), (KEY_ID, "another-secret", mismatch)):
        with pytest.raises(ClientError) as refused:
            getattr(signed.client(service, key_id, secret_key), operation)(**arguments)
        assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
        assert refused.value.response["Error"]["Code"] == (code or refused.value.response["Error"]["Code"])


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, "AccessDenied"),
        ({"X-Amz-Target": "SageMaker.ListModels"}, "MissingAuthenticationTokenException"),
        ({"Authorization": "AWS4-HMAC-SHA256 nonsense"}, "AuthorizationHeaderMalformed"),
        ({"Authorization": "Basic bG9jYWw6bG9jYWw="}, "AuthorizationHeaderMalformed"),
    ],
)
def test_the_unsigned_are_refused(signed: Signed, headers: dict[str, str], code: str) -> None:
    request = urllib.request.Request(f"{signed.url}/", b"{}", headers)

    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=30)

    with refused.value as error:
        assert code in error.read().decode()


def test_a_body_that_was_changed_on_the_way_is_refused(signed: Signed) -> None:
    request = AWSRequest("POST", f"{signed.url}/", {"X-Amz-Target": "SageMaker.ListModels"}, b"{}")
    SigV4Auth(Credentials(KEY_ID, SECRET), "sagemaker", "us-east-1").add_auth(request)
    connection = http.client.HTTPConnection(signed.url.removeprefix("http://"), timeout=30)
    answers = []
    for body in (b"{}", b'{"MaxResults": 1}'):
        connection.request("POST", "/", body, dict(request.headers))
        answer = connection.getresponse()
        answers.append((answer.status, b"InvalidSignatureException" in answer.read()))
    connection.close()

    assert answers == [(200, False), (403, True)]


@pytest.mark.parametrize("trailer", [False, True])
@pytest.mark.parametrize("tampered", ["", "data", "signature", "order", "trailer"])
def test_signed_chunks_are_verified_one_by_one(signed: Signed, trailer: bool, tampered: str) -> None:
    from airflow_ll.local.auth import sigv4

    if tampered == "trailer" and not trailer:
        pytest.skip("there is none")
    s3 = signed.client("s3")
    s3.create_bucket(Bucket="chunks")
    key = f"{trailer}-{tampered}"
    chunks = [b"a" * 70_000, b"b" * 10, b""]
    kind = f"{CHUNKED}-TRAILER" if trailer else CHUNKED
    request = AWSRequest("PUT", f"{signed.url}/chunks/{key}", {"Content-Encoding": "aws-chunked"}, b"")
    request.headers["X-Amz-Content-SHA256"] = kind
    request.headers["X-Amz-Decoded-Content-Length"] = str(sum(map(len, chunks)))
    if trailer:
        request.headers["X-Amz-Trailer"] = "x-amz-checksum-crc32c"
    signer = SigV4Auth(Credentials(KEY_ID, SECRET), "s3", "us-east-1")
    signer.payload = lambda request: kind  # type: ignore[method-assign]
    signer.add_auth(request)
    headers = [(name.lower(), value) for name, value in request.headers.items()]
    claim = read_claim(SignedRequest("PUT", f"/chunks/{key}".encode(), b"", headers))
    chain = ChunkChain(claim, claim.credential.signing_key(SECRET), trailer=trailer)
    body = [encoded(chain, chunk) for chunk in chunks]
    if trailer:
        chain.trailer_ends([("x-amz-checksum-crc32c", crc32c(b"".join(chunks)))], "")
        body[-1] = body[-1].removesuffix(b"\r\n")
        body.append(f"x-amz-checksum-crc32c:{crc32c(b''.join(chunks))}\r\n".encode())
        body.append(f"x-amz-trailer-signature:{chain._previous}\r\n\r\n".encode())
    if tampered == "data":
        body[1] = body[1].replace(b"b", b"c")
    elif tampered == "signature":
        body[0] = body[0].replace(b"chunk-signature=", b"chunk-signature=0", 1)
    elif tampered == "order":
        body[0], body[1] = body[1], body[0]
    elif tampered == "trailer":
        body[-1] = b"x-amz-trailer-signature:" + b"0" * 64 + b"\r\n\r\n"
    connection = http.client.HTTPConnection(signed.url.removeprefix("http://"), timeout=30)
    connection.request("PUT", f"/chunks/{key}", b"".join(body), dict(request.headers))
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()

    assert answer.status == (403 if tampered else 200), text
    assert ("SignatureDoesNotMatch" in text) == bool(tampered)
    listed = s3.list_objects_v2(Bucket="chunks", Prefix=key).get("Contents", [])
    assert [one["Size"] for one in listed if one["Key"] == key] == ([] if tampered else [70_010])
    assert sigv4.ALGORITHM == "AWS4-HMAC-SHA256"


def encoded(chain: ChunkChain, chunk: bytes) -> bytes:
    """Return a chunk as it is sent, signed."""
    chain.update(chunk)
    chain.chunk_ends("")
    return f"{len(chunk):x};chunk-signature={chain._previous}\r\n".encode() + chunk + b"\r\n"


def crc32c(data: bytes) -> str:
    from airflow_ll.local.s3.checksums import Checksum, hasher

    sums = hasher("CRC32C")
    sums.update(data)
    return Checksum.of_digest("CRC32C", sums.digest()).value


def test_no_secret_is_written_anywhere(signed: Signed) -> None:
    with pytest.raises(ClientError):
        signed.client("sagemaker").describe_training_job(TrainingJobName="nobody")
    with pytest.raises(ClientError):
        signed.client("iam").get_mfa_device(SerialNumber="device-of-nobody")  # its traceback is logged
    presigned = signed.client("s3", signature_version="s3v4").generate_presigned_url("list_buckets")
    urllib.request.urlopen(presigned, timeout=30).close()
    signature = presigned.rpartition("=")[2]
    assert " s3 GET / 200 " in (signed.data_dir / "access.log").read_text()

    for path in signed.data_dir.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert SECRET.encode() not in content, path
            assert b"s" * 40 not in content, path
            assert signature.encode() not in content, path


def test_the_connection_that_is_printed_has_no_secret(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "airflow_ll", "local", "--port", "0", "--data-dir", str(tmp_path / "runtime")]
    command += ["--require-signature", "--access-key", KEY_ID]
    with subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(2)]
        process.terminate()

    assert KEY_ID in lines[1]
    assert SECRET not in "".join(lines)


def environment() -> dict[str, str]:
    import os

    return os.environ | {SECRET_VARIABLE: SECRET}


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"host": "0.0.0.0"}, r"--host 0\.0\.0\.0 is refused, use 127\.0\.0\.1 or add --require-signature\."),
    ({"host": "0.0.0.0", "require_signature": True}, r"--require-signature needs access keys"),
    ({"access_key": "me", "require_signature": True}, f"'me' cannot be used: .*{SECRET_VARIABLE}"),
    ({"access_key": "me me", "require_signature": True}, "'me me' cannot be used"),
]


@pytest.mark.parametrize(("options", "sentence"), REFUSED)
def test_nobody_is_let_in_by_mistake(tmp_path: Path, options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(LinearLearnerError, match=sentence):
        run(Options(tmp_path / "new", port=0, **options))

    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("text", "mode", "sentence"),
    [
        ("ME:secret-secret\n", 0o644, "can be read or written by others: chmod 600"),
        ("ME secret-secret\n", 0o600, "Line 1 of .* is no access key: write ID:SECRET"),
        ("# none\nME:short\n", 0o600, "Line 2 of .* is no access key"),
        ("# none\n", 0o600, "has no access key: write one ID:SECRET a line"),
    ],
)
def test_a_bad_file_of_keys_is_one_sentence(tmp_path: Path, text: str, mode: int, sentence: str) -> None:
    path = tmp_path / "keys"
    path.write_text(text)
    path.chmod(mode)

    with pytest.raises(LinearLearnerError, match=sentence) as refused:
        read_keys(None, path)

    assert "secret-secret" not in str(refused.value)
    assert stat.S_IMODE(path.stat().st_mode) == mode


def test_keys_without_signatures_are_a_mistake(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text("ME:secret-secret\n")
    path.chmod(0o600)

    with pytest.raises(LinearLearnerError, match="no use without --require-signature"):
        run(Options(tmp_path / "new", port=0, access_key_file=path))
    assert "secret" not in repr(AccessKey("ME", "secret-secret"))
