"""How traffic moves, and how many instances there are."""

from __future__ import annotations

from typing import Any

import botocore.session
import pytest
from botocore.validate import ParamValidator

from airflow_ll.exceptions import RequestError
from airflow_ll.requests import AutoScaling, DeploymentConfig, deployment_config, scalable_target, scaling_policy


def test_the_steps_of_a_linear_deployment() -> None:
    spec = DeploymentConfig("LINEAR", 20, wait_interval=60, termination_wait=300, alarms=["errors", "latency"])
    assert deployment_config(spec) == {
        "BlueGreenUpdatePolicy": {
            "TrafficRoutingConfiguration": {
                "Type": "LINEAR",
                "WaitIntervalInSeconds": 60,
                "LinearStepSize": {"Type": "CAPACITY_PERCENT", "Value": 20},
            },
            "TerminationWaitInSeconds": 300,
        },
        "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": "errors"}, {"AlarmName": "latency"}]},
    }


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"traffic": "CANARY"}, "step_size must be given for CANARY and LINEAR and only then, got None with CANARY"),
        ({"step_size": 10}, "got 10 with ALL_AT_ONCE"),
        ({"traffic": "CANARY", "step_size": 60}, "at most 50 percent"),
        ({"traffic": "BLUE"}, "one of 'ALL_AT_ONCE', 'CANARY', 'LINEAR', got 'BLUE'"),
        ({"max_execution_timeout": 60}, "from 600 to 28800, got 60"),
    ],
)
def test_a_wrong_deployment_is_one_sentence(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(RequestError, match=sentence):
        DeploymentConfig(**settings)


def test_scaling_by_invocations_or_by_concurrency() -> None:
    spec = AutoScaling(4, 100, 2, 300, 60, disable_scale_in=True)
    model = botocore.session.get_session().get_service_model("application-autoscaling")
    for serverless, metric in ((False, "InvocationsPerInstance"), (True, "ProvisionedConcurrencyUtilization")):
        target = scalable_target("e", "v", spec, serverless=serverless)
        policy = scaling_policy("e", "v", spec, serverless=serverless)
        for operation, request in (("RegisterScalableTarget", target), ("PutScalingPolicy", policy)):
            shape = model.operation_model(operation).input_shape
            assert shape is not None
            assert not ParamValidator().validate(request, shape).has_errors()
        assert (target["MinCapacity"], target["MaxCapacity"]) == (2, 4)
        tracking = policy["TargetTrackingScalingPolicyConfiguration"]
        assert tracking["PredefinedMetricSpecification"] == {"PredefinedMetricType": f"SageMakerVariant{metric}"}
        assert tracking["ScaleInCooldown"] == 300
    with pytest.raises(RequestError, match=r"min_capacity must be at most max_capacity \(1\), got 2"):
        AutoScaling(1, 100, 2)
