"""Endpoints and transform jobs over a model that was really trained."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from botocore.exceptions import ClientError

from airflow_ll.artifacts import LinearModel
from airflow_ll.records import encode_records
from tests.local.support import FEATURES, IMAGE, ROLE, rows, wait_for

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Runtime

ARN = "arn:aws:sagemaker:us-east-1:123456789012"
CSV = b"1,2,3,4,5\n-1,-2,0,0,0\n"


def variant(model: str = "scorer", **changes: Any) -> dict[str, Any]:
    given = {"VariantName": "AllTraffic", "ModelName": model, "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}
    return given | changes


def in_service(runtime: Runtime, name: str) -> dict[str, Any]:
    sagemaker = runtime.client("sagemaker")
    description: dict[str, Any] = wait_for(
        lambda: sagemaker.describe_endpoint(EndpointName=name),
        lambda endpoint: endpoint["EndpointStatus"] not in ("Creating", "Updating"),
    )
    return description


@pytest.fixture(scope="module")
def model(data_runtime: Runtime, trained: dict[str, Any]) -> str:
    container = {"Image": IMAGE, "ModelDataUrl": trained["ModelArtifacts"]["S3ModelArtifacts"]}
    sagemaker = data_runtime.client("sagemaker")
    sagemaker.create_model(ModelName="scorer", ExecutionRoleArn=ROLE, PrimaryContainer=container)
    return "scorer"


@pytest.fixture(scope="module")
def endpoint(data_runtime: Runtime, model: str) -> str:
    sagemaker = data_runtime.client("sagemaker")
    sagemaker.create_endpoint_config(EndpointConfigName="first", ProductionVariants=[variant(model)])
    sagemaker.create_endpoint(EndpointName="scorer", EndpointConfigName="first")
    sagemaker.get_waiter("endpoint_in_service").wait(
        EndpointName="scorer", WaiterConfig={"Delay": 1, "MaxAttempts": 60}
    )
    return "scorer"


@pytest.fixture(scope="module")
def local_model(
    data_runtime: Runtime, trained: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> LinearModel:
    path: Path = tmp_path_factory.mktemp("model") / "model.tar.gz"
    key = trained["ModelArtifacts"]["S3ModelArtifacts"].removeprefix("s3://data/")
    data_runtime.client("s3").download_file("data", key, str(path))
    return LinearModel.load(path)


def invoke(runtime: Runtime, body: bytes, content_type: str, **arguments: Any) -> tuple[bytes, str, str]:
    answer = runtime.client("sagemaker-runtime").invoke_endpoint(
        **({"EndpointName": "scorer", "Body": body, "ContentType": content_type} | arguments)
    )
    return answer["Body"].read(), answer["ContentType"], answer["InvokedProductionVariant"]


def test_an_endpoint_says_what_it_serves(data_runtime: Runtime, endpoint: str) -> None:
    description = data_runtime.client("sagemaker").describe_endpoint(EndpointName=endpoint)

    assert description["EndpointStatus"] == "InService"
    assert description["EndpointConfigName"] == "first"
    assert (
        description["ProductionVariants"][0].items()
        >= {
            "VariantName": "AllTraffic",
            "CurrentWeight": 1.0,
            "DesiredWeight": 1.0,
            "CurrentInstanceCount": 1,
            "DesiredInstanceCount": 1,
        }.items()
    )
    config = data_runtime.client("sagemaker").describe_endpoint_config(EndpointConfigName="first")
    assert "DataCaptureConfig" not in config  # the SDK sends back what it finds, and an empty one is refused


@pytest.mark.usefixtures("endpoint")
@pytest.mark.parametrize("content_type", ["text/csv", "application/json", "application/x-recordio-protobuf"])
def test_an_endpoint_scores_as_its_model(data_runtime: Runtime, local_model: LinearModel, content_type: str) -> None:
    features, _ = rows(20, seed=3)
    body = {
        "text/csv": "\n".join(",".join(map(str, row)) for row in features).encode(),
        "application/json": json.dumps({"instances": [{"features": row.tolist()} for row in features]}).encode(),
        "application/x-recordio-protobuf": encode_records(features),
    }[content_type]

    answer, kind, name = invoke(data_runtime, body, content_type)

    scores = [one["score"] for one in json.loads(answer)["predictions"]]
    assert (kind, name) == ("application/json", "AllTraffic")
    np.testing.assert_allclose(scores, local_model.predict(features).scores, rtol=1e-6)


@pytest.mark.usefixtures("endpoint")
def test_accept_chooses_the_answers_form(data_runtime: Runtime) -> None:
    answer, kind, _ = invoke(data_runtime, CSV, "text/csv", Accept="application/jsonlines")

    assert kind == "application/jsonlines"
    assert [json.loads(line).keys() for line in answer.splitlines()] == [{"score", "predicted_label"}] * 2


@pytest.mark.usefixtures("endpoint")
@pytest.mark.parametrize(("body", "content_type", "status"), [(b"1,2\n", "text/csv", 400), (b"x", "image/png", 415)])
def test_what_the_model_refuses_is_a_model_error(
    data_runtime: Runtime, body: bytes, content_type: str, status: int
) -> None:
    with pytest.raises(ClientError) as refused:
        invoke(data_runtime, body, content_type)

    answer = refused.value.response
    assert answer["Error"]["Code"] == "ModelError"
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 424
    assert answer["OriginalStatusCode"] == status  # type: ignore[typeddict-item]
    assert answer["Error"]["Message"].startswith(f"Received client error ({status}) from primary with message ")


def test_a_taken_endpoint_name_is_refused_as_airflow_expects(data_runtime: Runtime, endpoint: str) -> None:
    with pytest.raises(ClientError) as refused:
        data_runtime.client("sagemaker").create_endpoint(EndpointName=endpoint, EndpointConfigName="first")

    assert refused.value.response["Error"] == {
        "Code": "ValidationException",
        "Message": f'Cannot create already existing endpoint "{ARN}:endpoint/scorer".',
    }


def test_an_update_serves_the_old_until_the_new_is_ready(data_runtime: Runtime, model: str) -> None:
    sagemaker = data_runtime.client("sagemaker")
    two = [variant(model, VariantName="a"), variant(model, VariantName="b", InitialVariantWeight=0.0)]
    sagemaker.create_endpoint_config(EndpointConfigName="before", ProductionVariants=[variant(model)])
    sagemaker.create_endpoint_config(EndpointConfigName="after", ProductionVariants=two)
    sagemaker.create_endpoint(EndpointName="changing", EndpointConfigName="before")
    with pytest.raises(ClientError, match="Cannot update in-progress endpoint"):
        sagemaker.delete_endpoint(EndpointName="changing")
    in_service(data_runtime, "changing")

    sagemaker.update_endpoint(EndpointName="changing", EndpointConfigName="after")
    sagemaker.delete_endpoint_config(EndpointConfigName="after")
    _, _, during = invoke(data_runtime, CSV, "text/csv", EndpointName="changing")
    description = in_service(data_runtime, "changing")
    _, _, weighted = invoke(data_runtime, CSV, "text/csv", EndpointName="changing")
    _, _, chosen = invoke(data_runtime, CSV, "text/csv", EndpointName="changing", TargetVariant="b")
    sagemaker.delete_endpoint(EndpointName="changing")

    assert during in ("AllTraffic", "a")
    assert (description["EndpointConfigName"], weighted, chosen) == ("after", "a", "b")
    with pytest.raises(ClientError, match="Could not find endpoint"):
        sagemaker.describe_endpoint(EndpointName="changing")
    with pytest.raises(ClientError, match="Endpoint changing of account 123456789012 not found"):
        invoke(data_runtime, CSV, "text/csv", EndpointName="changing")


def test_an_update_to_a_broken_model_is_rolled_back(data_runtime: Runtime, model: str) -> None:
    sagemaker, s3 = data_runtime.client("sagemaker"), data_runtime.client("s3")
    s3.put_object(Bucket="data", Key="broken/model.tar.gz", Body=b"this is no archive")
    container = {"Image": IMAGE, "ModelDataUrl": "s3://data/broken/model.tar.gz"}
    sagemaker.create_model(ModelName="broken", ExecutionRoleArn=ROLE, PrimaryContainer=container)
    for name, served in (("working", model), ("broken", "broken")):
        sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant(served)])
    sagemaker.create_endpoint(EndpointName="rolled-back", EndpointConfigName="working")
    in_service(data_runtime, "rolled-back")

    sagemaker.update_endpoint(EndpointName="rolled-back", EndpointConfigName="broken")
    description = in_service(data_runtime, "rolled-back")

    assert (description["EndpointStatus"], description["EndpointConfigName"]) == ("InService", "working")
    assert "s3://data/broken/model.tar.gz" in description["FailureReason"]
    assert invoke(data_runtime, CSV, "text/csv", EndpointName="rolled-back")[2] == "AllTraffic"
    sagemaker.create_endpoint(EndpointName="never-up", EndpointConfigName="broken")
    assert in_service(data_runtime, "never-up")["EndpointStatus"] == "Failed"
    for name in ("rolled-back", "never-up"):
        sagemaker.delete_endpoint(EndpointName=name)


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


@pytest.mark.usefixtures("model")
def test_filters_are_refused_and_not_ignored(data_runtime: Runtime) -> None:
    with pytest.raises(ClientError, match=r"does not support DataProcessing\.JoinSource Input yet"):
        transform(data_runtime, "joined", "train/", {}, DataProcessing={"JoinSource": "Input"})
