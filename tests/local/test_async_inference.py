"""Asynchronous endpoints, captured data and the metrics of invocations."""

from __future__ import annotations

import base64
import datetime as dt
import json
import uuid
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from botocore.exceptions import ClientError

from tests.local.support import CSV, in_service, serve, variant, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_ll.artifacts import LinearModel
    from tests.conftest import Runtime

TOPIC = "arn:aws:sns:us-east-1:123456789012:t"
OUTPUT = {"S3OutputPath": "s3://data/async/out", "S3FailurePath": "s3://data/async/failed"}


@pytest.fixture
def endpoint(data_runtime: Runtime, model: str) -> Iterator[str]:
    """A name for the endpoint of a test, which is deleted at its end."""
    name = f"served-{uuid.uuid4().hex[:12]}"
    yield name
    in_service(data_runtime, name)
    data_runtime.client("sagemaker").delete_endpoint(EndpointName=name)


def put(runtime: Runtime, key: str, body: bytes) -> str:
    runtime.client("s3").put_object(Bucket="data", Key=key, Body=body)
    return f"s3://data/{key}"


def arrived(runtime: Runtime, uri: str) -> bytes:
    """Wait for an object and return it."""
    s3, key = runtime.client("s3"), uri.removeprefix("s3://data/")

    def read() -> bytes | None:
        try:
            body: bytes = s3.get_object(Bucket="data", Key=key)["Body"].read()
        except s3.exceptions.NoSuchKey:
            return None
        return body

    body: bytes = wait_for(read, lambda found: found is not None)
    return body


def test_results_and_failures_of_asynchronous_requests_come_to_s3(
    data_runtime: Runtime, endpoint: str, local_model: LinearModel
) -> None:
    config = {"OutputConfig": OUTPUT, "ClientConfig": {"MaxConcurrentInvocationsPerInstance": 2}}
    described = serve(data_runtime, endpoint, AsyncInferenceConfig=config)
    client = data_runtime.client("sagemaker-runtime")
    features = [np.arange(5, dtype=np.float32) * number for number in range(12)]

    accepted = []
    for number, row in enumerate(features):
        source = put(data_runtime, f"async/in/{number}.csv", ",".join(map(str, row)).encode())
        accepted.append(
            client.invoke_endpoint_async(
                EndpointName=endpoint, InputLocation=source, ContentType="text/csv", InferenceId=f"row {number}"
            )
        )
    broken = client.invoke_endpoint_async(
        EndpointName=endpoint, InputLocation=put(data_runtime, "async/in/bad.csv", b"1,2\n"), ContentType="text/csv"
    )
    absent = client.invoke_endpoint_async(EndpointName=endpoint, InputLocation="s3://data/async/in/none.csv")
    inline = client.invoke_endpoint_async(EndpointName=endpoint, Body=b"1,2,3,4,5\n", ContentType="text/csv")

    assert described["AsyncInferenceConfig"] == config
    assert [one["ResponseMetadata"]["HTTPStatusCode"] for one in accepted] == [202] * 12
    assert [one["InferenceId"] for one in accepted] == [f"row {number}" for number in range(12)]
    assert all(one["OutputLocation"].startswith("s3://data/async/out/") for one in accepted)
    scores = [json.loads(arrived(data_runtime, one["OutputLocation"]))["predictions"][0]["score"] for one in accepted]
    np.testing.assert_allclose(scores, local_model.predict(np.array(features)).scores, rtol=1e-6)
    assert b"does not match the feature dimension of the model" in arrived(data_runtime, broken["FailureLocation"])
    assert b"NoSuchKey" in arrived(data_runtime, absent["FailureLocation"])
    assert b"score" in arrived(data_runtime, inline["OutputLocation"])
    for arguments, text in (
        ({}, "Give one of InputLocation and Body"),
        ({"InputLocation": "ftp://x"}, "Value 'ftp://x' at 'inputLocation' failed to satisfy constraint"),
        ({"InputLocation": "s3://data/x", "RequestTTLSeconds": 21_601}, "'requestTTLSeconds' failed to satisfy"),
    ):
        with pytest.raises(ClientError, match=text):
            client.invoke_endpoint_async(**({"EndpointName": endpoint} | arguments))
    with pytest.raises(ClientError, match="is asynchronous: call InvokeEndpointAsync instead"):
        client.invoke_endpoint(EndpointName=endpoint, Body=CSV, ContentType="text/csv")


def test_only_asynchronous_endpoints_take_asynchronous_requests(data_runtime: Runtime, endpoint: str) -> None:
    serve(data_runtime, endpoint)

    with pytest.raises(ClientError, match="has no AsyncInferenceConfig: call InvokeEndpoint instead"):
        data_runtime.client("sagemaker-runtime").invoke_endpoint_async(
            EndpointName=endpoint, InputLocation="s3://data/async/in/0.csv"
        )


@pytest.mark.usefixtures("model")
@pytest.mark.parametrize(
    ("variants", "output", "text"),
    [
        ([variant()], {}, "Value null at 'asyncInferenceConfig.outputConfig.s3OutputPath'"),
        ([variant(), variant(VariantName="b")], OUTPUT, "An asynchronous endpoint has one production variant"),
        (
            [variant()],
            OUTPUT | {"NotificationConfig": {"SuccessTopic": "arn:aws:sns:us-east-1:123456789012:t"}},
            "There is no SNS here",
        ),
    ],
)
def test_asynchronous_configurations_that_cannot_be_served_are_refused(
    data_runtime: Runtime, variants: list[dict[str, Any]], output: dict[str, Any], text: str
) -> None:
    with pytest.raises(ClientError, match=text):
        data_runtime.client("sagemaker").create_endpoint_config(
            EndpointConfigName="refused", ProductionVariants=variants, AsyncInferenceConfig={"OutputConfig": output}
        )


def captured(runtime: Runtime, prefix: str, count: int) -> list[dict[str, Any]]:
    """Wait until so many records are captured below a prefix and return them."""
    s3 = runtime.client("s3")

    def read() -> list[dict[str, Any]]:
        keys = [one["Key"] for one in s3.list_objects_v2(Bucket="data", Prefix=prefix).get("Contents", [])]
        bodies = [s3.get_object(Bucket="data", Key=key)["Body"].read() for key in keys if key.endswith(".jsonl")]
        return [json.loads(line) for body in bodies for line in body.splitlines()]

    records: list[dict[str, Any]] = wait_for(read, lambda found: len(found) >= count)
    assert len(records) == count
    return records


def test_captured_data_has_the_format_and_the_paths_of_sagemaker(data_runtime: Runtime, endpoint: str) -> None:
    config = {
        "EnableCapture": True,
        "InitialSamplingPercentage": 100,
        "DestinationS3Uri": "s3://data/endpoint-captures/",
        "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
        "CaptureContentTypeHeader": {"CsvContentTypes": ["text/csv"]},
    }
    described = serve(data_runtime, endpoint, DataCaptureConfig=config)
    client = data_runtime.client("sagemaker-runtime")

    before = dt.datetime.now(dt.UTC)
    answer = client.invoke_endpoint(
        EndpointName=endpoint, Body=CSV, ContentType="text/csv", InferenceId="mine", CustomAttributes="a=b"
    )
    body = answer["Body"].read()
    (record,) = captured(data_runtime, f"endpoint-captures/{endpoint}/AllTraffic/{before:%Y/%m/%d}/", 1)

    assert described["DataCaptureConfig"] == {
        "EnableCapture": True,
        "CaptureStatus": "Started",
        "CurrentSamplingPercentage": 100,
        "DestinationS3Uri": "s3://data/endpoint-captures/",
        "KmsKeyId": "",
    }
    assert record["captureData"] == {
        "endpointInput": {
            "observedContentType": "text/csv",
            "mode": "INPUT",
            "data": CSV.decode(),
            "encoding": "CSV",
        },
        "endpointOutput": {
            "observedContentType": "application/json",
            "mode": "OUTPUT",
            "data": base64.b64encode(body).decode(),
            "encoding": "BASE64",
        },
    }
    assert record["eventVersion"] == "0"
    metadata = record["eventMetadata"]
    assert (metadata["inferenceId"], metadata["customAttributes"]) == ("mine", ["a=b"])
    assert uuid.UUID(metadata["eventId"])
    assert dt.datetime.fromisoformat(metadata["inferenceTime"]) >= before.replace(microsecond=0)


def statistics(runtime: Runtime, endpoint: str, name: str) -> dict[str, float]:
    """Return the sums over the last hour of a metric of an endpoint."""
    now = dt.datetime.now(dt.UTC)
    points = runtime.client("cloudwatch").get_metric_statistics(
        Namespace="AWS/SageMaker",
        MetricName=name,
        Dimensions=[{"Name": "EndpointName", "Value": endpoint}, {"Name": "VariantName", "Value": "AllTraffic"}],
        StartTime=now - dt.timedelta(hours=1),
        EndTime=now + dt.timedelta(hours=1),
        Period=60,
        Statistics=["Sum", "SampleCount"],
    )["Datapoints"]
    return {name: sum(point[name] for point in points) for name in ("Sum", "SampleCount")}


def test_invocations_are_metrics_that_alarms_can_watch(data_runtime: Runtime, endpoint: str) -> None:
    serve(data_runtime, endpoint)
    client, cloudwatch = data_runtime.client("sagemaker-runtime"), data_runtime.client("cloudwatch")

    for body in (CSV, CSV, CSV, b"1,2\n"):
        try:
            client.invoke_endpoint(EndpointName=endpoint, Body=body, ContentType="text/csv")
        except client.exceptions.ModelError:
            assert body == b"1,2\n"

    assert statistics(data_runtime, endpoint, "Invocations") == {"Sum": 4.0, "SampleCount": 4.0}
    assert statistics(data_runtime, endpoint, "Invocation4XXErrors") == {"Sum": 1.0, "SampleCount": 4.0}
    assert statistics(data_runtime, endpoint, "Invocation5XXErrors") == {"Sum": 0.0, "SampleCount": 4.0}
    assert statistics(data_runtime, endpoint, "ModelLatency")["Sum"] > 0
    query = {
        "Id": "errors",
        "MetricStat": {
            "Metric": {
                "Namespace": "AWS/SageMaker",
                "MetricName": "Invocation4XXErrors",
                "Dimensions": [
                    {"Name": "EndpointName", "Value": endpoint},
                    {"Name": "VariantName", "Value": "AllTraffic"},
                ],
            },
            "Period": 3600,
            "Stat": "Sum",
        },
    }
    now = dt.datetime.now(dt.UTC)
    (result,) = cloudwatch.get_metric_data(
        MetricDataQueries=[query], StartTime=now - dt.timedelta(hours=1), EndTime=now + dt.timedelta(hours=1)
    )["MetricDataResults"]
    assert sum(result["Values"]) == 1.0


def test_an_alarm_on_an_endpoint_goes_off_when_somebody_looks(data_runtime: Runtime, endpoint: str) -> None:
    serve(data_runtime, endpoint)
    client, cloudwatch = data_runtime.client("sagemaker-runtime"), data_runtime.client("cloudwatch")
    for name, threshold in ((f"{endpoint}-low", 0.0), (f"{endpoint}-high", 5.0)):
        cloudwatch.put_metric_alarm(
            AlarmName=name,
            Namespace="AWS/SageMaker",
            MetricName="Invocation4XXErrors",
            Dimensions=[{"Name": "EndpointName", "Value": endpoint}, {"Name": "VariantName", "Value": "AllTraffic"}],
            Statistic="Sum",
            Period=3600,
            EvaluationPeriods=1,
            Threshold=threshold,
            ComparisonOperator="GreaterThanThreshold",
        )

    with pytest.raises(client.exceptions.ModelError):
        client.invoke_endpoint(EndpointName=endpoint, Body=b"1,2\n", ContentType="text/csv")

    alarms = cloudwatch.describe_alarms(AlarmNamePrefix=endpoint)["MetricAlarms"]
    assert {alarm["AlarmName"]: alarm["StateValue"] for alarm in alarms} == {
        f"{endpoint}-low": "ALARM",
        f"{endpoint}-high": "OK",
    }
