"""Transform jobs over a model that was really trained."""

from __future__ import annotations

import csv
import gzip
import json
import struct
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from botocore.exceptions import ClientError

from airflow_ll.local.s3.checksums import hasher
from airflow_ll.records import encode_records
from tests.local.support import FEATURES, rows, wait_for

if TYPE_CHECKING:
    from airflow_ll.artifacts import LinearModel
    from tests.conftest import Runtime


def transform(runtime: Runtime, name: str, source: str, data: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Run a transform job over ``s3://data/<source>`` and return its description."""
    sagemaker = runtime.client("sagemaker")
    sagemaker.create_transform_job(
        **{
            "TransformJobName": name,
            "ModelName": "scorer",
            "TransformInput": {
                "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://data/{source}"}},
                **data,
            },
            "TransformOutput": {
                "S3OutputPath": f"s3://data/{name}",
                "Accept": "application/jsonlines",
                "AssembleWith": "Line",
            },
            "TransformResources": {"InstanceCount": 1, "InstanceType": "ml.m5.large"},
            **changes,
        }
    )
    description: dict[str, Any] = wait_for(
        lambda: sagemaker.describe_transform_job(TransformJobName=name),
        lambda job: job["TransformJobStatus"] in ("Completed", "Failed", "Stopped"),
    )
    return description


@pytest.mark.usefixtures("model")
@pytest.mark.parametrize(
    ("name", "content_type", "split", "strategy"),
    [
        ("lines-in-batches", "text/csv", "Line", "MultiRecord"),
        ("lines-one-by-one", "text/csv", "Line", "SingleRecord"),
        ("records", "application/x-recordio-protobuf", "RecordIO", "MultiRecord"),
        ("whole", "text/csv", "None", "MultiRecord"),
    ],
)
def test_a_transform_job_writes_one_out_for_each_input_in_order(
    data_runtime: Runtime, local_model: LinearModel, name: str, content_type: str, split: str, strategy: str
) -> None:
    s3 = data_runtime.client("s3")
    features = {part: rows(30, seed=seed)[0] for seed, part in enumerate(("a.dat", "deep/b.dat"))}
    for part, matrix in features.items():
        csv = "\n".join(",".join(map(str, row)) for row in matrix).encode()
        body = encode_records(matrix) if split == "RecordIO" else csv
        s3.put_object(Bucket="data", Key=f"in-{name}/{part}", Body=body)

    data = {"ContentType": content_type, "SplitType": split}
    description = transform(data_runtime, name, f"in-{name}/", data, BatchStrategy=strategy)

    assert description["TransformJobStatus"] == "Completed", description.get("FailureReason")
    assert description["TransformStartTime"] <= description["TransformEndTime"]
    for part, matrix in features.items():
        out = s3.get_object(Bucket="data", Key=f"{name}/{part}.out")["Body"].read()
        scores = [json.loads(line)["score"] for line in out.splitlines()]
        np.testing.assert_allclose(scores, local_model.predict(matrix).scores, rtol=1e-6)


@pytest.mark.usefixtures("model")
def test_record_io_answers_are_joined_as_they_are(data_runtime: Runtime) -> None:
    body = encode_records(rows(10)[0])
    data_runtime.client("s3").put_object(Bucket="data", Key="in-binary/part.pbr", Body=body)

    transform(
        data_runtime,
        "binary",
        "in-binary/",
        {"ContentType": "application/x-recordio-protobuf", "SplitType": "RecordIO"},
        BatchStrategy="SingleRecord",
        TransformOutput={"S3OutputPath": "s3://data/binary", "Accept": "application/x-recordio-protobuf"},
    )

    out = data_runtime.client("s3").get_object(Bucket="data", Key="binary/part.pbr.out")["Body"].read()
    assert out.count(bytes.fromhex("0a23d7ce")) == 10


@pytest.mark.usefixtures("model")
def test_rows_that_the_model_refuses_fail_the_job_with_its_words(data_runtime: Runtime) -> None:
    data_runtime.client("s3").put_object(Bucket="data", Key="in-bad/a.csv", Body=b"1,2\n")

    description = transform(data_runtime, "bad", "in-bad/", {"ContentType": "text/csv", "SplitType": "Line"})

    assert description["TransformJobStatus"] == "Failed"
    assert description["FailureReason"].startswith("ClientError: See job logs for more information")
    assert f"does not match the feature dimension of the model: {FEATURES}" in description["FailureReason"]
    events = data_runtime.client("logs").filter_log_events(
        logGroupName="/aws/sagemaker/TransformJobs", logStreamNamePrefix="bad/", filterPattern="ClientError"
    )["events"]
    assert events[0]["message"] == "[sagemaker logs]: data/in-bad/a.csv: ClientError: 400"


def put(runtime: Runtime, key: str, body: bytes | str) -> None:
    runtime.client("s3").put_object(Bucket="data", Key=key, Body=body)


def read(runtime: Runtime, key: str) -> bytes:
    body: bytes = runtime.client("s3").get_object(Bucket="data", Key=key)["Body"].read()
    return body


def csv_output(name: str) -> dict[str, Any]:
    return {"S3OutputPath": f"s3://data/{name}", "Accept": "text/csv", "AssembleWith": "Line"}


def completed(description: dict[str, Any]) -> dict[str, Any]:
    assert description["TransformJobStatus"] == "Completed", description.get("FailureReason")
    return description


CSV_LINES = {"ContentType": "text/csv", "SplitType": "Line"}


@pytest.mark.usefixtures("model")
@pytest.mark.parametrize("strategy", ["MultiRecord", "SingleRecord"])
def test_csv_is_filtered_joined_and_filtered_again(
    data_runtime: Runtime, local_model: LinearModel, strategy: str
) -> None:
    name, features = f"joined-{strategy.lower()}", rows(20, seed=11)[0]
    lines = [f'"id, {number}",' + ",".join(map(str, row)) for number, row in enumerate(features.tolist())]
    put(data_runtime, f"in-{name}/a.csv", "\r\n".join(lines))

    completed(
        transform(
            data_runtime,
            name,
            f"in-{name}/",
            CSV_LINES,
            BatchStrategy=strategy,
            TransformOutput=csv_output(name),
            DataProcessing={"InputFilter": "$[1:]", "JoinSource": "Input", "OutputFilter": "$[0,-2:]"},
        )
    )

    stored = list(csv.reader(read(data_runtime, f"{name}/a.csv.out").decode().splitlines()))
    expected = local_model.predict(features)
    assert expected.labels is not None
    assert [row[0] for row in stored] == [f"id, {number}" for number in range(20)]
    np.testing.assert_allclose([float(row[1]) for row in stored], expected.scores, rtol=1e-6)
    assert [int(row[2]) for row in stored] == expected.labels.tolist()


@pytest.mark.usefixtures("model")
def test_json_lines_get_their_predictions_as_an_attribute(data_runtime: Runtime, local_model: LinearModel) -> None:
    features = rows(7, seed=12)[0]
    lines = [json.dumps({"id": number, "features": row}) for number, row in enumerate(features.tolist())]
    put(data_runtime, "in-attributes/a.jsonl", "\n".join(lines))

    completed(
        transform(
            data_runtime,
            "attributes",
            "in-attributes/",
            {"ContentType": "application/jsonlines", "SplitType": "Line"},
            DataProcessing={"JoinSource": "Input", "OutputFilter": "$['id','SageMakerOutput']"},
        )
    )

    stored = [json.loads(line) for line in read(data_runtime, "attributes/a.jsonl.out").splitlines()]
    assert [one["id"] for one in stored] == list(range(7))
    scores = [one["SageMakerOutput"]["score"] for one in stored]
    np.testing.assert_allclose(scores, local_model.predict(features).scores, rtol=1e-6)


@pytest.mark.usefixtures("model")
def test_a_json_document_is_joined_as_a_whole_and_gets_an_inference_id(data_runtime: Runtime) -> None:
    put(
        data_runtime,
        "in-document/a.json",
        json.dumps({"day": 3, "body": {"instances": [{"features": [1, 2, 3, 4, 5]}]}}),
    )

    description = completed(
        transform(
            data_runtime,
            "document",
            "in-document/",
            {"ContentType": "application/json"},
            TransformOutput={"S3OutputPath": "s3://data/document", "Accept": "application/json"},
            DataProcessing={
                "InputFilter": "$.body",
                "JoinSource": "Input",
                "OutputFilter": "$['day','SageMakerOutput']",
            },
            DataCaptureConfig={"DestinationS3Uri": "s3://data/captured/", "GenerateInferenceId": True},
        )
    )

    stored = json.loads(read(data_runtime, "document/a.json.out"))
    assert stored.keys() == {"day", "SageMakerOutput", "SageMakerInferenceId", "SageMakerInferenceTime"}
    assert (stored["day"], len(stored["SageMakerOutput"]["predictions"])) == (3, 1)
    assert stored["SageMakerInferenceTime"] == description["TransformStartTime"].strftime("%Y-%m-%dT%H:%M:%SZ")
    assert description["DataCaptureConfig"]["GenerateInferenceId"] is True
    manifests = {}
    for side in ("input", "output"):
        folder = f"captured/{side}/{description['TransformStartTime'].strftime('%Y/%m/%d/%H')}/"
        (entry,) = data_runtime.client("s3").list_objects_v2(Bucket="data", Prefix=folder)["Contents"]
        manifests[side] = json.loads(read(data_runtime, entry["Key"]))
    assert manifests == {
        "input": [{"prefix": "s3://data/in-document/"}, "a.json"],
        "output": [{"prefix": "s3://data/document/"}, "a.json.out"],
    }


@pytest.mark.usefixtures("model")
def test_instances_and_concurrent_requests_keep_the_order_of_rows(
    data_runtime: Runtime, local_model: LinearModel
) -> None:
    parts = {f"part-{number}.csv.gz": rows(50, seed=20 + number)[0] for number in range(5)}
    for part, features in parts.items():
        text = "\n".join(",".join(map(str, row)) for row in features.tolist())
        put(data_runtime, f"in-many/{part}", gzip.compress(text.encode()))
    manifest = [{"prefix": "s3://data/in-many/"}, *sorted(parts)]
    put(data_runtime, "in-many.manifest", json.dumps(manifest))
    source = {"S3DataSource": {"S3DataType": "ManifestFile", "S3Uri": "s3://data/in-many.manifest"}}

    description = completed(
        transform(
            data_runtime,
            "many",
            "",
            {"DataSource": source, **CSV_LINES, "CompressionType": "Gzip"},
            BatchStrategy="SingleRecord",
            MaxConcurrentTransforms=4,
            MaxPayloadInMB=1,
            Environment={"SAGEMAKER_PROGRAM": "x", "PYTHONPATH": "/nowhere"},
            TransformOutput=csv_output("many"),
            TransformResources={"InstanceCount": 3, "InstanceType": "ml.m5.large"},
        )
    )

    assert (description["MaxConcurrentTransforms"], description["Environment"]["PYTHONPATH"]) == (4, "/nowhere")
    for part, features in parts.items():
        stored = np.loadtxt(read(data_runtime, f"many/{part}.out").decode().splitlines(), delimiter=",")
        np.testing.assert_allclose(stored[:, 0], local_model.predict(features).scores, rtol=1e-6)


def tf_record(data: bytes) -> bytes:
    """Frame ``data`` as TensorFlow does."""

    def checksum(of: bytes) -> bytes:
        crc = hasher("CRC32C")
        crc.update(of)
        value = int.from_bytes(crc.digest(), "big")
        return struct.pack("<I", (((value >> 15) | (value << 17)) + 0xA282EAD8) & 0xFFFFFFFF)

    length = struct.pack("<Q", len(data))
    return length + checksum(length) + data + checksum(data)


@pytest.mark.usefixtures("model")
def test_tf_records_are_unwrapped_when_they_are_sent_one_by_one(
    data_runtime: Runtime, local_model: LinearModel
) -> None:
    features = rows(6, seed=31)[0]
    body = b"".join(tf_record(",".join(map(str, row)).encode()) for row in features.tolist())
    put(data_runtime, "in-tf/a.tfrecord", body)

    completed(
        transform(
            data_runtime,
            "tf",
            "in-tf/",
            {"ContentType": "text/csv", "SplitType": "TFRecord"},
            BatchStrategy="SingleRecord",
            TransformOutput=csv_output("tf"),
        )
    )

    stored = np.loadtxt(read(data_runtime, "tf/a.tfrecord.out").decode().splitlines(), delimiter=",")
    np.testing.assert_allclose(stored[:, 0], local_model.predict(features).scores, rtol=1e-6)


@pytest.mark.usefixtures("model")
def test_an_object_that_fails_does_not_keep_the_others_from_being_stored(data_runtime: Runtime) -> None:
    put(data_runtime, "in-mixed/a.csv", "1,2,3,4,5\n1,2\n")
    put(data_runtime, "in-mixed/b.csv", "1,2,3,4,5\n")

    description = transform(
        data_runtime, "mixed", "in-mixed/", CSV_LINES, BatchStrategy="SingleRecord", TransformOutput=csv_output("mixed")
    )

    assert description["TransformJobStatus"] == "Failed"
    stored = data_runtime.client("s3").list_objects_v2(Bucket="data", Prefix="mixed/")["Contents"]
    assert [entry["Key"] for entry in stored] == ["mixed/b.csv.out"]


@pytest.mark.usefixtures("model")
def test_rows_and_predictions_that_do_not_pair_fail_the_job(data_runtime: Runtime) -> None:
    put(data_runtime, "in-unpaired/a.jsonl", json.dumps({"instances": [{"features": [1, 2, 3, 4, 5]}] * 2}))

    description = transform(
        data_runtime,
        "unpaired",
        "in-unpaired/",
        {"ContentType": "application/json"},
        TransformOutput={"S3OutputPath": "s3://data/unpaired", "Accept": "application/json"},
        DataProcessing={"OutputFilter": "$.predictions[2]"},
    )

    assert description["TransformJobStatus"] == "Failed"
    assert "the index 2 is outside an array of 2" in description["FailureReason"]


@pytest.mark.usefixtures("model")
@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"MaxPayloadInMB": 101}, "MaxPayloadInMB cannot be greater than 100 MB"),
        (
            {"MaxConcurrentTransforms": 17},
            r"\(MaxConcurrentTransforms \* MaxPayloadInMB\) cannot exceed 100 MB, got 17 \* 6",
        ),
        (
            {"MaxPayloadInMB": 50, "MaxConcurrentTransforms": 3},
            r"\(MaxConcurrentTransforms \* MaxPayloadInMB\) cannot exceed 100 MB",
        ),
        (
            {"DataProcessing": {"InputFilter": "features"}},
            "InputFilter is not a supported JSONPath: 'features' does not",
        ),
        ({"DataProcessing": {"OutputFilter": "$..id"}}, "OutputFilter is not a supported JSONPath"),
        ({"DataProcessing": {"JoinSource": "Input"}}, "ContentType and TransformOutput.Accept must be the same"),
        (
            {"DataProcessing": {"JoinSource": "Input"}, "TransformOutput": {"S3OutputPath": "s3://data/x"}},
            "TransformOutput.Accept must be one of text/csv, application/json, application/jsonlines",
        ),
        (
            {
                "DataProcessing": {"InputFilter": "$[1:]"},
                "TransformOutput": {"S3OutputPath": "s3://data/x", "Accept": "text/csv"},
            },
            "SplitType and AssembleWith must be Line",
        ),
    ],
)
def test_jobs_that_cannot_process_their_data_are_refused(
    data_runtime: Runtime, changes: dict[str, Any], text: str
) -> None:
    with pytest.raises(ClientError, match=text):
        transform(data_runtime, "refused", "train/", CSV_LINES, **changes)
