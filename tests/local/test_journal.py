"""Random histories of calls: what the journal keeps of one leads moto to the same state."""

from __future__ import annotations

import json
import random
import re
from typing import TYPE_CHECKING, Any

import pytest

from airflow_ll.local import memory
from airflow_ll.local.journal import Journal
from airflow_ll.local.memory import Memory
from airflow_ll.local.mutations import Mutation, wire_request
from airflow_ll.local.store import Store

if TYPE_CHECKING:
    from pathlib import Path

TRUST = json.dumps({"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}})
SAGEMAKER = {"ServiceNamespace": "sagemaker"}
LOOKS: list[tuple[str, str, dict[str, Any]]] = [
    ("monitoring", "DescribeAlarms", {}),
    ("monitoring", "ListDashboards", {}),
    ("application-autoscaling", "DescribeScalableTargets", SAGEMAKER),
    ("application-autoscaling", "DescribeScalingPolicies", SAGEMAKER),
    ("application-autoscaling", "DescribeScheduledActions", SAGEMAKER),
    ("iam", "GetAccountAuthorizationDetails", {}),
    ("iam", "ListInstanceProfiles", {}),
]
# Times are those of the repetition; moto counts a policy that is attached twice as two attachments.
NOT_COMPARED = re.compile(
    r"\d{4}-\d\d-\d\dT[\d:.]+(Z|\+00:00)?|\"(\w*Time\w*|LastModified)\": [\d.e+]+"
    r"|<RequestId>.*?</RequestId>|<AttachmentCount>.*?</AttachmentCount>"
)


class Moto:
    """moto in this process, without a server."""

    def __init__(self) -> None:
        _, self.client = memory._load()

    def call(self, service: str, operation: str, parameters: dict[str, Any]) -> tuple[int, str]:
        path, headers, body = wire_request(Mutation(service, "us-east-1", operation, parameters))
        try:
            answer = self.client.post(path, headers=headers, data=body)
        except ValueError:
            return 500, ""  # moto stumbles when a role is removed that is not in the profile
        return answer.status_code, answer.get_data(as_text=True)

    def state(self) -> list[str]:
        return [NOT_COMPARED.sub("", self.call(*look)[1]) for look in LOOKS]

    def forget(self) -> None:
        self.client.post("/moto-api/reset")


@pytest.fixture(scope="module")
def moto() -> Moto:
    return Moto()


Calls = dict[str, list[dict[str, Any]]]


def alarm_calls(chance: random.Random) -> Calls:
    name, number, some = chance.choice("abc"), chance.randint(0, 9), chance.sample("abc", chance.randint(1, 2))
    metric = {"Namespace": "n", "MetricName": "m", "Statistic": "Sum", "Period": 60, "EvaluationPeriods": 1}
    alarm = {"AlarmName": name, "Threshold": float(number), "ComparisonOperator": "GreaterThanThreshold", **metric}
    return {
        "PutMetricAlarm": [alarm, alarm | {"ActionsEnabled": False}, alarm | {"AlarmDescription": "d"}],
        "SetAlarmState": [{"AlarmName": name, "StateValue": "ALARM", "StateReason": str(number)}],
        **{f"{verb}AlarmActions": [{"AlarmNames": some}] for verb in ("Enable", "Disable")},
        "DeleteAlarms": [{"AlarmNames": some}],
        "PutDashboard": [{"DashboardName": name, "DashboardBody": json.dumps({"widgets": [number]})}],
        "DeleteDashboards": [{"DashboardNames": some}],
    }


def scaling_calls(chance: random.Random) -> Calls:
    name, policy, number = chance.choice("abc"), chance.choice("pq"), chance.randint(0, 9)
    dimension = {"ScalableDimension": "sagemaker:variant:DesiredInstanceCount"}
    variant = SAGEMAKER | dimension | {"ResourceId": f"endpoint/{name}/variant/v"}
    maybe = [{}, {"MinCapacity": number % 3}, {"MaxCapacity": number}, {"MinCapacity": 1, "MaxCapacity": number}]
    tracking = {"TargetTrackingScalingPolicyConfiguration": {"TargetValue": float(number)}}
    action = variant | {"ScheduledActionName": policy}
    return {
        "RegisterScalableTarget": [variant | one for one in maybe],
        "DeregisterScalableTarget": [variant],
        "PutScalingPolicy": [variant | {"PolicyName": policy, "PolicyType": "TargetTrackingScaling"} | tracking],
        "DeleteScalingPolicy": [variant | {"PolicyName": policy}],
        "PutScheduledAction": [
            action | {"Schedule": f"rate({number} days)"} | more
            for more in ({}, {"ScalableTargetAction": {"MinCapacity": number}})
        ],
        "DeleteScheduledAction": [action],
    }


def identity_calls(chance: random.Random) -> Calls:
    name, policy, role, number = chance.choice("abc"), chance.choice("pq"), chance.choice("rs"), chance.randint(0, 9)
    arn = f"arn:aws:iam::123456789012:policy/{policy}"
    attached, inline = {"RoleName": role, "PolicyArn": arn}, {"RoleName": role, "PolicyName": policy}
    member = {"InstanceProfileName": policy, "RoleName": role}
    return {
        "CreateRole": [{"RoleName": role, "AssumeRolePolicyDocument": TRUST}] * 2,
        "TagRole": [{"RoleName": role, "Tags": [{"Key": policy, "Value": str(number)}]}],
        "UpdateAssumeRolePolicy": [{"RoleName": role, "PolicyDocument": TRUST}],
        "PutRolePolicy": [inline | {"PolicyDocument": TRUST}],
        "CreatePolicy": [{"PolicyName": policy, "PolicyDocument": TRUST}],
        "DeletePolicy": [{"PolicyArn": arn}],
        "AttachRolePolicy": [attached],
        "DetachRolePolicy": [attached],
        "DeleteRolePolicy": [inline],
        "DeleteRole": [{"RoleName": role}],
        **{f"{verb}InstanceProfile": [{"InstanceProfileName": policy}] for verb in ("Create", "Delete")},
        "AddRoleToInstanceProfile": [member],
        "RemoveRoleFromInstanceProfile": [member],
        **{f"{verb}User": [{"UserName": name}] for verb in ("Create", "Delete")},
        "UpdateUser": [{"UserName": name, "NewUserName": chance.choice("abc")}],
    }


def random_call(chance: random.Random) -> tuple[str, str, dict[str, Any]]:
    """Return a call about few resources, so that calls about the same are frequent."""
    calls = {"monitoring": alarm_calls, "application-autoscaling": scaling_calls, "iam": identity_calls}
    given = [(service, name, one) for service in calls for name, some in calls[service](chance).items() for one in some]
    return chance.choice(given)


@pytest.mark.parametrize("seed", range(8))
def test_the_journal_of_any_history_leads_to_the_same_state(
    moto: Moto, tmp_path: Path, seed: int, caplog: pytest.LogCaptureFixture
) -> None:
    chance, store = random.Random(seed), Store(tmp_path / "runtime.db")
    journal, repeating = Journal(store), Memory(store)
    repeating._client = moto.client
    moto.forget()
    accepted = 0
    for number in range(120):
        call = random_call(chance)
        mutation = Mutation(call[0], "us-east-1", *call[1:])
        repeating._seed(mutation, number)
        if moto.call(*call)[0] < 300:
            journal.add(mutation, number)
            accepted += 1
    wanted = moto.state()
    kept = list(journal.entries())

    moto.forget()
    empty = moto.state()
    repeating._repeat()

    assert moto.state() == wanted != empty
    assert len(kept) < accepted
    assert [line for line in caplog.messages if "cannot be repeated" in line] == []
    store.close()
