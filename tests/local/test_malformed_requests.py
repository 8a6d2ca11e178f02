"""Requests that no client of ours would send are refused with a 4xx: boto retries everything else."""

from __future__ import annotations

import base64
import http.client
import json
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_ll.local.protocol import operation_model
from airflow_ll.local.sagemaker import OPERATIONS
from tests.local.support import IMAGE, ROLE, channel, training_request

if TYPE_CHECKING:
    from tests.conftest import Runtime

HUGE = base64.b64encode(b"[1" + b"0" * 400 + b', "a"]').decode()
HALF = base64.b64encode(b'[1, "\\ud800"]').decode()

RESOURCES = training_request("x")["ResourceConfig"]


def post(runtime: Runtime, target: str, body: bytes, service: str = "sagemaker", path: str = "/") -> tuple[int, Any]:
    """Send a body of any kind; return the status and the JSON of the answer."""
    connection = http.client.HTTPConnection(runtime.url.removeprefix("http://"), timeout=30)
    scope = f"AWS4-HMAC-SHA256 Credential=k/20260101/us-east-1/{service}/aws4_request, Signature=0"
    headers = {"Authorization": scope, "Content-Type": "application/x-amz-json-1.1"}
    try:
        connection.request("POST", path, body, headers | ({"X-Amz-Target": target} if target else {}))
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read() or b"null")
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("target", "service"),
    [
        ("SageMaker.TrainForMe", "sagemaker"),
        ("SageMaker.Two Words", "sagemaker"),
        ("Logs_20140328.Nothing", "logs"),
        ("DynamoDB_20120810.ListTables", "dynamodb"),
    ],
)
def test_an_unknown_operation_is_not_retried(runtime: Runtime, target: str, service: str) -> None:
    status, answer = post(runtime, target, b"{}", service)

    assert (status, answer["__type"]) == (400, "UnknownOperationException")


def test_a_path_that_is_no_operation_is_not_retried(runtime: Runtime) -> None:
    assert post(runtime, "", b"{}")[0] == 400


@pytest.mark.parametrize("path", ["/moto-api/reset", "/moto-api/", "/moto-api/data.json", "//moto-api/reset", "/x"])
@pytest.mark.parametrize("service", ["monitoring", "sts", "iam", "application-autoscaling"])
def test_moto_s_own_paths_are_closed(runtime: Runtime, service: str, path: str) -> None:
    cloudwatch = runtime.client("cloudwatch")
    alarm = {"Namespace": "n", "MetricName": "m", "Period": 60, "EvaluationPeriods": 1, "Statistic": "Sum"}
    cloudwatch.put_metric_alarm(AlarmName="kept", Threshold=1, ComparisonOperator="GreaterThanThreshold", **alarm)

    status, answer = post(runtime, "", b"", service, path)

    assert (status, answer["__type"]) == (400, "UnknownOperationException")
    assert cloudwatch.describe_alarms(AlarmNames=["kept"])["MetricAlarms"]


@pytest.mark.parametrize("levels", [100, 200, 300, 400, 600])
def test_a_search_of_many_levels_is_refused(runtime: Runtime, levels: int) -> None:
    expression = b'{"SubExpressions": [' * levels + b"{}" + b"]}" * levels
    body = b'{"Resource": "TrainingJob", "SearchExpression": ' + expression + b"}"
    assert post(runtime, "SageMaker.Search", body)[0] == 400


@pytest.mark.parametrize("body", [b"{", b"[]", b"3", b'"\xff"', b"[" * 200_000, b'{"MaxResults": NaN}'])
def test_a_body_that_is_no_request_is_refused(runtime: Runtime, body: bytes) -> None:
    status, answer = post(runtime, "SageMaker.ListTrainingJobs", body)

    assert (status, answer["__type"]) == (400, "SerializationException")


@pytest.mark.parametrize(
    ("operation", "members"),
    [
        ("GetLogEvents", {"logGroupName": "g", "logStreamName": "s", "startTime": 1 << 80}),
        ("ListTrainingJobs", {"CreationTimeAfter": 1 << 80}),
        ("ListTrainingJobs", {"CreationTimeAfter": int("9" * 400)}),
        ("ListTrainingJobs", {"MaxResults": 1 << 31}),
        ("DescribeTrainingJob", {"TrainingJobName": "\ud800"}),
        ("CreateTrainingJob", training_request("surrogate", HyperParameters={"x": "\udfff"})),
    ],
)
def test_what_no_store_can_hold_is_refused(runtime: Runtime, operation: str, members: dict[str, Any]) -> None:
    service, prefix = ("logs", "Logs_20140328") if "Log" in operation else ("sagemaker", "SageMaker")
    status, answer = post(runtime, f"{prefix}.{operation}", json.dumps(members).encode(), service)

    assert (status, answer["__type"]) == (400, "SerializationException")


def test_escaped_characters_are_not_surrogates(runtime: Runtime) -> None:
    status, answer = post(runtime, "SageMaker.ListTrainingJobs", b'{"Smile": "\\ud83d\\ude00", "MaxResults": 1}')

    assert status == 200, answer


@pytest.mark.parametrize("token", ["scrambled", "MTI=", "WyJ4IiwgeyJ5IjogMX1d", "bnVsbA==", "é", HUGE, HALF])
def test_a_bad_page_token_is_refused(runtime: Runtime, token: str) -> None:
    with pytest.raises(ClientError, match=r"The specified NextToken is invalid\."):
        runtime.client("sagemaker").list_training_jobs(NextToken=token)


@pytest.mark.parametrize("token", ["scrambled", "f/" + "9" * 56, "f/1", "x/" + "0" * 56, "f/" + "\u0660" * 56])
def test_a_bad_log_token_is_refused(runtime: Runtime, trained: dict[str, Any], token: str) -> None:
    logs = runtime.client("logs")
    group = {"logGroupName": "/aws/sagemaker/TrainingJobs"}
    prefix = trained["TrainingJobName"]
    stream = logs.describe_log_streams(**group, logStreamNamePrefix=prefix)["logStreams"][0]["logStreamName"]

    with pytest.raises(ClientError, match=r"The specified nextToken is invalid\.") as refused:
        logs.get_log_events(**group, logStreamName=stream, nextToken=token)

    assert refused.value.response["Error"]["Code"] == "InvalidParameterException"


@pytest.mark.parametrize("bucket", ["no-such-bucket", "Not_Valid", "[no $bucket", "a b"])
def test_an_impossible_bucket_is_one_without_objects(data_runtime: Runtime, bucket: str) -> None:
    sagemaker = data_runtime.client("sagemaker")
    inputs = [channel("train", f"s3://{bucket}/train/")]
    container = {"Image": IMAGE, "ModelDataUrl": f"s3://{bucket}/model.tar.gz"}

    with pytest.raises(ClientError, match=r"\(ValidationException\).* No S3 objects found under S3 URL"):
        sagemaker.create_training_job(**training_request("impossible", InputDataConfig=inputs))
    with pytest.raises(ClientError, match=r"\(ValidationException\).* Could not find model data at s3://"):
        sagemaker.create_model(ModelName="impossible", ExecutionRoleArn=ROLE, PrimaryContainer=container)


def test_a_key_may_have_any_character(data_runtime: Runtime) -> None:
    data_runtime.client("s3").put_object(Bucket="data", Key="odd/a?b#c\td//é", Body=b"x")

    with pytest.raises(ClientError, match=r"does not support the image"):
        data_runtime.client("sagemaker").create_model(
            ModelName="odd",
            ExecutionRoleArn=ROLE,
            PrimaryContainer={"Image": "xgboost:1", "ModelDataUrl": "s3://data/odd/a?b#c\td//é"},
        )
    data_runtime.client("sagemaker").create_model(
        ModelName="odd",
        ExecutionRoleArn=ROLE,
        PrimaryContainer={"Image": IMAGE, "ModelDataUrl": "s3://data/odd/a?b#c\td//é"},
    )


def test_a_body_beyond_the_limit_is_refused(runtime: Runtime) -> None:
    status, answer = post(runtime, "SageMaker.ListTrainingJobs", b" " * (33 << 20))

    assert (status, answer["__type"]) == (400, "ValidationException")
    assert "more than the" in answer["message"]


def test_the_pages_of_a_browser_reach_nothing(data_runtime: Runtime) -> None:
    s3 = data_runtime.client("s3")
    s3.put_object(Bucket="data", Key="precious", Body=b"x")
    connection = http.client.HTTPConnection(data_runtime.url.removeprefix("http://"), timeout=30)
    body = b"<Delete><Object><Key>precious</Key></Object></Delete>"
    try:  # such a request asks no one before: it has no header that a page may not send
        connection.request(
            "POST", "/data?delete", body, {"Origin": "https://example.com", "Content-Type": "text/plain"}
        )
        assert connection.getresponse().status == 403
    finally:
        connection.close()

    assert s3.get_object(Bucket="data", Key="precious")["Body"].read() == b"x"


@pytest.mark.parametrize(
    ("path", "host"),
    [("/data/a?X-Amz-Credential=", "localhost"), ("/data/a?x=X-Amz-Credential=", "localhost"), ("/data/a", "[")],
)
def test_an_odd_address_is_not_a_fault(data_runtime: Runtime, path: str, host: str) -> None:
    connection = http.client.HTTPConnection(data_runtime.url.removeprefix("http://"), timeout=30)
    try:
        connection.request("GET", path, headers={"Host": host})
        assert connection.getresponse().status in (403, 404, 501)
    finally:
        connection.close()


def test_the_access_log_names_the_whole_key(data_runtime: Runtime) -> None:
    data_runtime.client("s3").put_object(Bucket="data", Key="logged/a?b#c d\n", Body=b"x")

    assert " s3 PUT /data/logged/a%3Fb%23c%20d%0A 200 " in (data_runtime.data_dir / "access.log").read_text()


TEXT = st.text(max_size=8) | st.sampled_from(["trained", "data", "s3://data/train/", ROLE, IMAGE, "File", "é", "\0"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


def shaped(shape: Any, depth: int = 0) -> st.SearchStrategy[Any]:
    """Return values of a shape's JSON type, often with members that break its rules."""
    kind = shape.type_name
    if kind == "structure":
        members = {name: shaped(member, depth + 1) for name, member in shape.members.items() if depth < 4}
        optional = {name: value for name, value in members.items() if name not in shape.required_members}
        required = {name: value for name, value in members.items() if name in shape.required_members}
        return st.fixed_dictionaries(required, optional=optional)
    if kind == "list":
        return st.lists(shaped(shape.member, depth + 1), min_size=1, max_size=2)
    if kind == "map":
        return st.dictionaries(TEXT, shaped(shape.value, depth + 1), max_size=2)
    if kind in ("integer", "long"):
        return st.integers(0, 3)
    if kind in ("float", "double", "timestamp"):
        return st.floats(0, 3)
    if kind == "boolean":
        return st.booleans()
    return st.sampled_from(shape.enum) if getattr(shape, "enum", None) else TEXT


@pytest.mark.parametrize("operation", sorted(OPERATIONS))
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_no_request_is_a_fault_of_the_runtime(data_runtime: Runtime, operation: str, data: st.DataObject) -> None:
    shape = operation_model("sagemaker", operation).input_shape
    request = data.draw(shaped(shape) | JSON)
    status, answer = post(data_runtime, f"SageMaker.{operation}", json.dumps(request).encode())

    assert status < 500, answer
