"""Data that jobs cannot use fails them as the customer's error; what they can use is read whole and in order."""

from __future__ import annotations

import gzip
import io
from typing import TYPE_CHECKING, Any

import pytest

from airflow_ll.local import s3_data
from airflow_ll.local.s3_data import CustomerDataError
from airflow_ll.local.transform_records import batches, records
from airflow_ll.records import encode_records
from tests.local.support import IMAGE, ROLE, channel, rows, training_ended, training_request, wait_for

if TYPE_CHECKING:
    from tests.conftest import Runtime

GZIPPED = gzip.compress(encode_records(*rows(50)))


def put(runtime: Runtime, **objects: bytes) -> None:
    for key, body in objects.items():
        runtime.client("s3").put_object(Bucket="data", Key=key.replace("__", "/"), Body=body)


def train(runtime: Runtime, name: str, **changes: Any) -> dict[str, Any]:
    runtime.client("sagemaker").create_training_job(**training_request(name, **changes))
    return training_ended(runtime, name)


def test_a_compressed_channel_is_unpacked(data_runtime: Runtime) -> None:
    put(data_runtime, zipped__a=GZIPPED)
    inputs = [channel("train", "s3://data/zipped/") | {"CompressionType": "Gzip"}]

    assert train(data_runtime, "zipped", InputDataConfig=inputs)["TrainingJobStatus"] == "Completed"


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("plain", b"this is no gzip"),
        ("truncated", GZIPPED[:-20]),
        ("damaged", GZIPPED[:40] + bytes(200) + GZIPPED[240:]),
    ],
)
def test_what_is_no_gzip_is_a_client_error(data_runtime: Runtime, name: str, body: bytes) -> None:
    put(data_runtime, **{f"{name}__a": body})
    inputs = [channel("train", f"s3://data/{name}/") | {"CompressionType": "Gzip"}]
    job = train(data_runtime, name, InputDataConfig=inputs)

    assert job["TrainingJobStatus"] == "Failed"
    assert job["FailureReason"].startswith(f"ClientError: s3://data/{name}/a is not gzip: ")


def test_keys_that_no_folder_can_hold_are_a_client_error(data_runtime: Runtime) -> None:
    put(data_runtime, both__a=b"x", both__a__b=b"y")
    job = train(data_runtime, "both", InputDataConfig=[channel("train", "s3://data/both/")])

    assert job["FailureReason"] == "ClientError: The key both/a/b in bucket data is also a folder of others."


@pytest.mark.parametrize(
    ("name", "manifest"),
    [
        ("outside", b'[{"prefix": "s3://data/outside/"}, "../../../a"]'),
        ("lost", b'[{"prefix": "s3://[no $bucket/"}, "a"]'),
        ("broken", b"["),
    ],
)
def test_a_manifest_that_leads_astray_is_a_client_error(data_runtime: Runtime, name: str, manifest: bytes) -> None:
    put(data_runtime, **{f"{name}__manifest": manifest})
    uri = f"s3://data/{name}/manifest"
    job = train(data_runtime, name, InputDataConfig=[channel("train", uri, "ManifestFile")])

    assert job["FailureReason"].startswith(f"ClientError: Unable to parse the manifest {uri}: ")


@pytest.mark.parametrize("bucket", ["no-such-bucket", "[no $bucket"])
def test_an_output_that_cannot_be_written_is_a_client_error(data_runtime: Runtime, bucket: str) -> None:
    name = "output" if "$" in bucket else "bucket"
    job = train(data_runtime, name, OutputDataConfig={"S3OutputPath": f"s3://{bucket}/models"})

    assert job["TrainingJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("ClientError: Artifact upload failed:")
    assert job["ModelArtifacts"] == {}


def test_a_transform_output_that_cannot_be_written_is_a_client_error(
    data_runtime: Runtime, trained: dict[str, Any]
) -> None:
    sagemaker = data_runtime.client("sagemaker")
    container = {"Image": IMAGE, "ModelDataUrl": trained["ModelArtifacts"]["S3ModelArtifacts"]}
    sagemaker.create_model(ModelName="unwritten", ExecutionRoleArn=ROLE, PrimaryContainer=container)
    put(data_runtime, unwritten__a=b"1,2,3,4,5\n")
    source = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://data/unwritten/"}}
    sagemaker.create_transform_job(
        TransformJobName="unwritten",
        ModelName="unwritten",
        TransformInput={"DataSource": source, "ContentType": "text/csv", "SplitType": "Line"},
        TransformOutput={"S3OutputPath": "s3://no-such-bucket/scores"},
        TransformResources={"InstanceCount": 1, "InstanceType": "ml.m5.large"},
    )
    job = wait_for(
        lambda: sagemaker.describe_transform_job(TransformJobName="unwritten"),
        lambda one: one["TransformJobStatus"] != "InProgress",
    )

    assert job["TransformJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("ClientError: Artifact upload failed:")


@pytest.mark.parametrize(
    ("uri", "parts"),
    [
        ("s3://b/k", ("b", "k")),
        ("s3://b", ("b", "")),
        ("s3://b/a?b#c/", ("b", "a?b#c/")),
        ("s3://b//k", ("b", "/k")),
        ("s3://[b/k", ("[b", "k")),
    ],
)
def test_a_uri_is_a_bucket_and_a_key(uri: str, parts: tuple[str, str]) -> None:
    assert s3_data.split(uri) == parts


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
def test_bodies_are_as_full_as_the_limit_allows(limit: int) -> None:
    lines = [b"%d\n" % number for number in range(9)]
    given = list(batches(records(io.BytesIO(b"".join(lines)), "Line"), single=False, max_bytes=2 * limit))

    assert b"".join(given) == b"".join(lines)
    assert [len(body) for body in given[:-1]] == [2 * limit] * (len(given) - 1)
    assert list(batches(lines, single=True, max_bytes=100)) == lines


def test_a_record_beyond_the_limit_is_refused() -> None:
    with pytest.raises(CustomerDataError, match="a record of 9 bytes is larger than MaxPayloadInMB"):
        list(batches([b"12345678\n"], single=False, max_bytes=8))


@pytest.mark.parametrize("size", [0, 7, 9, 40])
def test_recordio_that_ends_early_is_refused(size: int) -> None:
    whole = encode_records(rows(2)[0])
    assert b"".join(records(io.BytesIO(whole), "RecordIO")) == whole
    if size:
        with pytest.raises(CustomerDataError, match="is not RecordIO"):
            list(records(io.BytesIO(whole[:size]), "RecordIO"))
    else:
        assert list(records(io.BytesIO(b""), "RecordIO")) == []
