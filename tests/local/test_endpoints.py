"""Endpoints over a model that was really trained."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from botocore.exceptions import ClientError

from airflow_ll.records import encode_records
from tests.local.support import CSV, IMAGE, ROLE, in_service, rows, variant

if TYPE_CHECKING:
    from airflow_ll.artifacts import LinearModel
    from tests.conftest import Runtime

ARN = "arn:aws:sagemaker:us-east-1:123456789012"


@pytest.fixture(scope="module")
def endpoint(data_runtime: Runtime, model: str) -> str:
    sagemaker = data_runtime.client("sagemaker")
    sagemaker.create_endpoint_config(EndpointConfigName="first", ProductionVariants=[variant(model)])
    sagemaker.create_endpoint(EndpointName="scorer", EndpointConfigName="first")
    sagemaker.get_waiter("endpoint_in_service").wait(
        EndpointName="scorer", WaiterConfig={"Delay": 1, "MaxAttempts": 60}
    )
    return "scorer"


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


@pytest.mark.usefixtures("endpoint")
@pytest.mark.parametrize("member", ["TargetModel", "TargetContainerHostname", "InferenceComponentName", "SessionId"])
def test_what_other_kinds_of_endpoints_take_is_refused(data_runtime: Runtime, member: str) -> None:
    with pytest.raises(ClientError, match=f"serves one LinearLearner model a variant: give no {member}"):
        invoke(data_runtime, CSV, "text/csv", **{member: "x"})


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
