"""What moto was told is there again after the runtime was killed."""

from __future__ import annotations

import gzip
import json
import os
import signal
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest
from botocore.exceptions import ClientError
from botocore.serialize import create_serializer
from starlette.requests import Request

from airflow_ll.local import mutations
from airflow_ll.local.calls import Call
from airflow_ll.local.protocol import service_model

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Runtime

TRUST = json.dumps({"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}})
TARGET = {
    "ServiceNamespace": "dynamodb",
    "ResourceId": "table/scores",
    "ScalableDimension": "dynamodb:table:ReadCapacityUnits",
}
TRACKING = {"PredefinedMetricSpecification": {"PredefinedMetricType": "DynamoDBReadCapacityUtilization"}}


def kill(runtime: Runtime) -> None:
    os.kill(runtime.process.pid, signal.SIGKILL)
    runtime.process.wait()


def alarm(name: str, **members: Any) -> dict[str, Any]:
    given = {
        "AlarmName": name,
        "Namespace": name,
        "MetricName": "Failures",
        "Statistic": "Sum",
        "Period": 60,
        "EvaluationPeriods": 1,
        "Threshold": 1.0,
        "ComparisonOperator": "GreaterThanThreshold",
    }
    return given | members


def journal(runtime: Runtime) -> list[tuple[str, str]]:
    """Return operation and parameters of what is kept."""
    with closing(sqlite3.connect(runtime.data_dir / "runtime.db")) as connection:
        return connection.execute("SELECT operation, parameters FROM mutation ORDER BY id").fetchall()


def operations(runtime: Runtime) -> list[str]:
    return [operation for operation, _ in journal(runtime)]


def told(runtime: Runtime) -> str:
    return (runtime.data_dir / "runtime.log").read_text()


def test_alarms_and_their_states_survive(fresh_runtime: Callable[[], Runtime]) -> None:
    runtime = fresh_runtime()
    cloudwatch = runtime.client("cloudwatch")
    cloudwatch.put_metric_alarm(**alarm("rang", Tags=[{"Key": "owner", "Value": "tests"}]))
    cloudwatch.put_metric_alarm(**alarm("silent"))
    cloudwatch.put_metric_alarm(**alarm("deleted"))
    cloudwatch.set_alarm_state(AlarmName="rang", StateValue="ALARM", StateReason="a test")
    cloudwatch.disable_alarm_actions(AlarmNames=["rang", "silent"])
    cloudwatch.enable_alarm_actions(AlarmNames=["silent"])
    cloudwatch.delete_alarms(AlarmNames=["deleted"])
    cloudwatch.put_dashboard(DashboardName="board", DashboardBody='{"widgets": []}')

    for _ in range(2):  # what was repeated is repeated again
        kill(runtime)
        runtime = fresh_runtime()
    found = runtime.client("cloudwatch").describe_alarms()["MetricAlarms"]
    tags = runtime.client("cloudwatch").list_tags_for_resource(ResourceARN=found[0]["AlarmArn"])["Tags"]

    assert [(one["AlarmName"], one["StateValue"], one["ActionsEnabled"]) for one in found] == [
        ("rang", "ALARM", False),
        ("silent", "OK", True),
    ]
    assert found[0]["StateReason"] == "a test"
    assert tags == [{"Key": "owner", "Value": "tests"}]
    assert runtime.client("cloudwatch").get_dashboard(DashboardName="board")["DashboardBody"] == '{"widgets": []}'
    assert told(runtime) == ""


def test_scaling_and_roles_survive_with_their_ids(fresh_runtime: Callable[[], Runtime]) -> None:
    runtime = fresh_runtime()
    scaling, iam = runtime.client("application-autoscaling"), runtime.client("iam")
    arn = scaling.register_scalable_target(**TARGET, MinCapacity=1, MaxCapacity=4)["ScalableTargetARN"]
    scaling.register_scalable_target(**TARGET, MaxCapacity=9)
    policy = {"PolicyType": "TargetTrackingScaling", "TargetTrackingScalingPolicyConfiguration": {"TargetValue": 50.0}}
    policy["TargetTrackingScalingPolicyConfiguration"] |= TRACKING  # type: ignore[operator]
    kept = [scaling.put_scaling_policy(**TARGET, PolicyName="kept", **policy)["PolicyARN"] for _ in range(2)][1]
    scaling.put_scaling_policy(**TARGET, PolicyName="deleted", **policy)
    scaling.delete_scaling_policy(**TARGET, PolicyName="deleted")
    scaling.put_scheduled_action(
        **TARGET, ScheduledActionName="nightly", Schedule="rate(1 day)", ScalableTargetAction={"MinCapacity": 0}
    )
    role = iam.create_role(RoleName="trainer", AssumeRolePolicyDocument=TRUST)["Role"]
    iam.put_role_policy(RoleName="trainer", PolicyName="inline", PolicyDocument=TRUST)
    iam.create_role(RoleName="deleted", AssumeRolePolicyDocument=TRUST)
    iam.put_role_policy(RoleName="deleted", PolicyName="inline", PolicyDocument=TRUST)
    iam.delete_role_policy(RoleName="deleted", PolicyName="inline")
    iam.delete_role(RoleName="deleted")

    kill(runtime)
    runtime = fresh_runtime()
    scaling, iam = runtime.client("application-autoscaling"), runtime.client("iam")
    (target,) = scaling.describe_scalable_targets(ServiceNamespace="dynamodb")["ScalableTargets"]
    (again,) = scaling.describe_scaling_policies(ServiceNamespace="dynamodb")["ScalingPolicies"]
    (action,) = scaling.describe_scheduled_actions(ServiceNamespace="dynamodb")["ScheduledActions"]

    assert (target["MinCapacity"], target["MaxCapacity"], target["ScalableTargetARN"]) == (1, 9, arn)
    assert (again["PolicyARN"], again["PolicyName"]) == (kept, "kept")
    assert action["ScheduledActionName"] == "nightly"
    assert [one["RoleId"] for one in iam.list_roles()["Roles"]] == [role["RoleId"]]
    assert iam.list_role_policies(RoleName="trainer")["PolicyNames"] == ["inline"]
    assert told(runtime) == ""


def test_metric_data_survive_with_their_times(fresh_runtime: Callable[[], Runtime]) -> None:
    runtime = fresh_runtime()
    cloudwatch = runtime.client("cloudwatch")
    cloudwatch.put_metric_alarm(**alarm("metric"))
    data = [{"MetricName": "Failures", "Value": 3.0, "Dimensions": []}] * 2
    cloudwatch.put_metric_data(Namespace="metric", MetricData=data)
    many = [{"MetricName": f"{'long' * 20}{number}", "Value": 1.0} for number in range(200)]
    cloudwatch.put_metric_data(Namespace="compressed", MetricData=many)  # botocore compresses it
    (before,) = cloudwatch.describe_alarms()["MetricAlarms"]

    kill(runtime)
    runtime = fresh_runtime()
    cloudwatch = runtime.client("cloudwatch")
    (after,) = cloudwatch.describe_alarms()["MetricAlarms"]

    assert (before["StateValue"], after["StateValue"]) == ("ALARM", "ALARM")
    assert after["StateReason"] == before["StateReason"]
    assert len(cloudwatch.list_metrics(Namespace="compressed")["Metrics"]) == 200
    assert told(runtime) == ""


def test_refused_and_reading_calls_are_not_kept(fresh_runtime: Callable[[], Runtime]) -> None:
    runtime = fresh_runtime()
    cloudwatch, iam = runtime.client("cloudwatch"), runtime.client("iam")
    with pytest.raises(ClientError):
        cloudwatch.set_alarm_state(AlarmName="absent", StateValue="ALARM", StateReason="a test")
    with pytest.raises(ClientError):
        runtime.client("application-autoscaling").delete_scaling_policy(**TARGET, PolicyName="absent")
    with pytest.raises(ClientError):
        iam.delete_role(RoleName="absent")
    cloudwatch.describe_alarms()
    iam.list_roles()
    runtime.client("sts").assume_role(RoleArn="arn:aws:iam::123456789012:role/any", RoleSessionName="session")

    assert journal(runtime) == []


def test_repeated_and_undone_calls_do_not_grow_the_journal(fresh_runtime: Callable[[], Runtime]) -> None:
    runtime = fresh_runtime()
    cloudwatch, iam = runtime.client("cloudwatch"), runtime.client("iam")
    for number in range(100):
        cloudwatch.put_metric_alarm(**alarm("same", Threshold=float(number)))
        cloudwatch.set_alarm_state(AlarmName="same", StateValue="OK", StateReason=str(number))
    for number in range(5):
        cloudwatch.put_metric_alarm(**alarm(f"gone-{number}"))
        cloudwatch.disable_alarm_actions(AlarmNames=["same", f"gone-{number}"])
        cloudwatch.delete_alarms(AlarmNames=[f"gone-{number}"])
        iam.create_role(RoleName="gone", AssumeRolePolicyDocument=TRUST)
        iam.delete_role(RoleName="gone")

    assert operations(runtime) == ["PutMetricAlarm", "SetAlarmState", "DisableAlarmActions"]
    kill(runtime)
    runtime = fresh_runtime()
    (found,) = runtime.client("cloudwatch").describe_alarms()["MetricAlarms"]
    assert (found["Threshold"], found["StateReason"], found["ActionsEnabled"]) == (99.0, "99", False)
    assert told(runtime) == ""


def test_a_later_put_outdoes_what_was_set_before(fresh_runtime: Callable[[], Runtime]) -> None:
    runtime = fresh_runtime()
    cloudwatch = runtime.client("cloudwatch")
    cloudwatch.put_metric_alarm(**alarm("one"))
    cloudwatch.put_metric_alarm(**alarm("two"))
    cloudwatch.set_alarm_state(AlarmName="one", StateValue="ALARM", StateReason="a test")
    cloudwatch.disable_alarm_actions(AlarmNames=["one"])
    cloudwatch.put_metric_alarm(**alarm("one", Threshold=7.0))
    before = cloudwatch.describe_alarms()["MetricAlarms"]

    kill(runtime)
    after = fresh_runtime().client("cloudwatch").describe_alarms()["MetricAlarms"]

    seen = ("AlarmName", "StateValue", "ActionsEnabled", "Threshold")
    assert [[one[member] for member in seen] for one in after] == [[one[member] for member in seen] for one in before]


def test_secrets_are_not_kept_and_what_cannot_be_repeated_is_told(fresh_runtime: Callable[[], Runtime]) -> None:
    runtime = fresh_runtime()
    iam = runtime.client("iam")
    iam.create_user(UserName="somebody")
    iam.create_login_profile(UserName="somebody", Password="open-sesame")
    key = iam.create_access_key(UserName="somebody")["AccessKey"]
    iam.create_role(RoleName="kept", AssumeRolePolicyDocument=TRUST)
    kept = (runtime.data_dir / "runtime.db").read_bytes() + (runtime.data_dir / "runtime.db-wal").read_bytes()

    kill(runtime)
    with closing(sqlite3.connect(runtime.data_dir / "runtime.db")) as connection, connection:
        wrong = "(NULL, 'iam', 'us-east-1', 'DeleteUser', '[]', '{\"UserName\": \"nobody\"}', 1, 0)"
        connection.execute(f"INSERT INTO mutation VALUES {wrong}")
        connection.execute("INSERT INTO mutation VALUES (NULL, 'unknown', 'us-east-1', 'Do', '[]', '{}', 1, 0)")
    runtime = fresh_runtime()
    iam = runtime.client("iam")
    keys = iam.list_access_keys(UserName="somebody")["AccessKeyMetadata"]
    lines = told(runtime).splitlines()

    assert b"open-sesame" not in kept
    assert key["SecretAccessKey"].encode() not in kept
    assert b"Signature=" not in kept
    assert [one["AccessKeyId"] for one in keys] == [key["AccessKeyId"]]
    assert [one["RoleName"] for one in iam.list_roles()["Roles"]] == ["kept"]
    assert len(lines) == 2
    assert "iam DeleteUser of an earlier run cannot be repeated: 404" in lines[0]
    assert "unknown Do of an earlier run cannot be repeated" in lines[1]


def said(service: str, path: str, headers: dict[str, str], body: bytes) -> mutations.Mutation | None:
    """Return what a request changes."""
    credential = f"AWS4-HMAC-SHA256 Credential=key/20000101/us-east-1/{service}/aws4_request"
    lines = [(key.lower().encode(), value.encode()) for key, value in {**headers, "Authorization": credential}.items()]
    call = Call(Request({"type": "http", "method": "POST", "path": path, "query_string": b"", "headers": lines}))
    plain = call.unpacked(body)
    call.read(plain)
    return mutations.read(call, plain)


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("protocol", ["smithy-rpc-v2-cbor", "json", "query"])
def test_all_protocols_say_the_same(protocol: str, compressed: bool) -> None:
    dimensions = [{"Name": "a", "Value": "b.c"}, {"Name": "c", "Value": "ü&="}]
    statistics = {"SampleCount": 2.0, "Sum": 3.5, "Minimum": 1.0, "Maximum": 2.5}
    data = [{"MetricName": "m", "Dimensions": dimensions, "Timestamp": 1700000000, "StatisticValues": statistics}] * 11
    calls = {
        "PutMetricAlarm": alarm("spoken", Dimensions=dimensions, ActionsEnabled=False, AlarmActions=[]),
        "DeleteAlarms": {"AlarmNames": [f"alarm-{number}" for number in range(12)]},
        "PutMetricData": {"Namespace": "n", "MetricData": data},
    }
    for name, parameters in calls.items():
        model = service_model("cloudwatch").operation_model(name)
        made = create_serializer(protocol, include_validation=False).serialize_to_request(dict(parameters), model)
        body = urlencode(made["body"]).encode() if isinstance(made["body"], dict) else made["body"]
        if compressed:
            body, made["headers"] = gzip.compress(body), {**made["headers"], "Content-Encoding": "gzip"}
        found = said("monitoring", made["url_path"], made["headers"], body)

        assert found is not None
        plain = json.loads(json.dumps(found.parameters).replace('"2023-11-14T22:13:20Z"', "1700000000"))
        assert (found.operation, plain) == (name, parameters)


def test_what_only_reads_or_cannot_be_read_is_no_change() -> None:
    for body in (b"Action=GetRole&RoleName=r", b"Action=SimulateCustomPolicy", b"Action=Unknown", b"", b"\xff=&.=.&="):
        assert said("iam", "/", {}, body) is None
    for body in (b"{", b"[]", b"[" * 100_000):
        assert said("monitoring", "/", {"x-amz-target": "GraniteServiceVersion20100801.DeleteAlarms"}, body) is None
    assert said("sts", "/", {}, b"Action=AssumeRole&RoleArn=r") is None


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (gzip.compress(bytes(40 << 20)), "more than the 33554432 bytes allowed when it is unpacked"),
        (gzip.compress(b"{}")[:-4], "cut off"),
        (b"no gzip", "is not gzip"),
    ],
)
def test_a_compressed_body_is_unpacked_within_bounds(data_runtime: Runtime, body: bytes, words: str) -> None:
    client = data_runtime.client("cloudwatch")

    def compressed(request: Any, **_: Any) -> None:
        request.data = body
        request.headers["Content-Encoding"] = "gzip"

    client.meta.events.register("before-sign.cloudwatch.ListMetrics", compressed)
    with pytest.raises(ClientError, match=words):
        client.list_metrics()
