"""Updates of endpoints in steps, watched by alarms, and the way back."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from tests.local.support import CSV, configure, in_service, processes, serve, variant, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Runtime

LONG = 3600  # the fast runtime waits a hundredth of it


def blue_green(kind: str, wait: int, **sizes: int) -> dict[str, Any]:
    routing: dict[str, Any] = {"Type": kind, "WaitIntervalInSeconds": wait}
    routing |= {member: {"Type": "CAPACITY_PERCENT", "Value": value} for member, value in sizes.items()}
    return {"BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": routing}}


def rolling(wait: int, percent: int = 50) -> dict[str, Any]:
    size = {"Type": "CAPACITY_PERCENT", "Value": percent}
    return {"RollingUpdatePolicy": {"MaximumBatchSize": size, "WaitIntervalInSeconds": wait}}


def alarms(*names: str) -> dict[str, Any]:
    return {"AutoRollbackConfiguration": {"Alarms": [{"AlarmName": name} for name in names]}}


@pytest.fixture
def endpoint(data_runtime: Runtime, model: str) -> Iterator[str]:
    """An endpoint with the variant ``old``, which is deleted at the end of a test; ``<name>-new`` has ``new``."""
    name = f"deployed-{uuid.uuid4().hex[:12]}"
    serve(data_runtime, name, variant(VariantName="old", InitialInstanceCount=2))
    configure(data_runtime, f"{name}-new", variant(VariantName="new", InitialInstanceCount=2))
    yield name
    in_service(data_runtime, name)
    data_runtime.client("sagemaker").delete_endpoint(EndpointName=name)


@pytest.fixture
def alarm(data_runtime: Runtime) -> str:
    """The name of an alarm on a metric that nobody publishes."""
    name = f"alarm-{uuid.uuid4().hex[:12]}"
    watch(data_runtime, name)
    return name


def watch(runtime: Runtime, name: str) -> None:
    """Create an alarm that goes off when the metric ``Failures`` of its own namespace is over 1."""
    runtime.client("cloudwatch").put_metric_alarm(
        AlarmName=name,
        Namespace=name,
        MetricName="Failures",
        Statistic="Sum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=1.0,
        ComparisonOperator="GreaterThanThreshold",
    )


def update(runtime: Runtime, endpoint: str, **members: Any) -> None:
    runtime.client("sagemaker").update_endpoint(EndpointName=endpoint, EndpointConfigName=f"{endpoint}-new", **members)


def baking(runtime: Runtime, endpoint: str) -> dict[str, Any]:
    """Wait until an endpoint bakes and return the summary of its deployment."""
    sagemaker = runtime.client("sagemaker")

    def bakes(description: dict[str, Any]) -> bool:
        variants = description.get("PendingDeploymentSummary", {}).get("ProductionVariants", [])
        return [one["VariantStatus"][0]["Status"] for one in variants] == ["Baking"]

    description = wait_for(lambda: sagemaker.describe_endpoint(EndpointName=endpoint), bakes, seconds=120)
    summary: dict[str, Any] = description["PendingDeploymentSummary"]
    return summary


def answering(runtime: Runtime, endpoint: str, times: int = 40) -> set[str]:
    """Return the variants that answer."""
    client = runtime.client("sagemaker-runtime")
    request = {"EndpointName": endpoint, "Body": CSV, "ContentType": "text/csv"}
    return {client.invoke_endpoint(**request)["InvokedProductionVariant"] for _ in range(times)}


def test_a_canary_shares_the_traffic_and_an_alarm_ends_it(data_runtime: Runtime, endpoint: str, alarm: str) -> None:
    update(data_runtime, endpoint, DeploymentConfig=blue_green("CANARY", LONG, CanarySize=50) | alarms(alarm))
    summary = baking(data_runtime, endpoint)
    during = answering(data_runtime, endpoint)
    described = data_runtime.client("sagemaker").describe_endpoint(EndpointName=endpoint)
    data_runtime.client("cloudwatch").set_alarm_state(AlarmName=alarm, StateValue="ALARM", StateReason="a test")
    after = in_service(data_runtime, endpoint)

    assert during == {"old", "new"}
    assert (described["EndpointStatus"], described["EndpointConfigName"]) == ("Updating", endpoint)
    assert summary["EndpointConfigName"] == f"{endpoint}-new"
    assert summary["ProductionVariants"][0]["CurrentInstanceCount"] == 2
    assert (after["EndpointStatus"], after["EndpointConfigName"]) == ("InService", endpoint)
    assert after["FailureReason"] == (
        f"One or more configured alarm(s) have been triggered during deployment: [{alarm}]"
    )
    assert "PendingDeploymentSummary" not in after
    assert answering(data_runtime, endpoint) == {"old"}
    assert len(processes(data_runtime, endpoint)) == 2


@pytest.mark.parametrize(
    "config",
    [
        blue_green("ALL_AT_ONCE", 10),
        blue_green("CANARY", 10, CanarySize=10),
        blue_green("LINEAR", 10, LinearStepSize=34),
        rolling(10, 34),
    ],
    ids=["all-at-once", "canary", "linear", "rolling"],
)
def test_a_deployment_without_alarms_ends_on_the_new_fleet(
    data_runtime: Runtime, endpoint: str, config: dict[str, Any]
) -> None:
    update(data_runtime, endpoint, DeploymentConfig=config)
    after = in_service(data_runtime, endpoint)

    assert (after["EndpointStatus"], after["EndpointConfigName"]) == ("InService", f"{endpoint}-new")
    assert after["LastDeploymentConfig"] == config
    assert "FailureReason" not in after
    assert answering(data_runtime, endpoint, 10) == {"new"}
    wait_for(lambda: processes(data_runtime, endpoint), lambda left: len(left) == 2)


def test_metrics_over_the_threshold_of_an_alarm_undo_an_update(
    data_runtime: Runtime, endpoint: str, alarm: str
) -> None:
    data_runtime.client("cloudwatch").put_metric_data(
        Namespace=alarm, MetricData=[{"MetricName": "Failures", "Value": 3.0, "Timestamp": dt.datetime.now(dt.UTC)}]
    )

    update(data_runtime, endpoint, DeploymentConfig=blue_green("ALL_AT_ONCE", LONG) | alarms(alarm))
    after = in_service(data_runtime, endpoint)

    assert after["EndpointConfigName"] == endpoint
    assert alarm in after["FailureReason"]
    (state,) = data_runtime.client("cloudwatch").describe_alarms(AlarmNames=[alarm])["MetricAlarms"]
    assert state["StateValue"] == "ALARM"
    assert state["StateReason"].startswith("Threshold Crossed: 1 datapoints [3.0]")


def test_an_alarm_that_does_not_exist_undoes_an_update(data_runtime: Runtime, endpoint: str) -> None:
    update(data_runtime, endpoint, DeploymentConfig=rolling(0) | alarms("nobody"))

    after = in_service(data_runtime, endpoint)

    assert after["EndpointConfigName"] == endpoint
    assert after["FailureReason"] == "The alarms of AutoRollbackConfiguration do not exist in CloudWatch: nobody."


def test_a_rolling_update_goes_back_in_batches(data_runtime: Runtime, endpoint: str, alarm: str) -> None:
    update(data_runtime, endpoint, DeploymentConfig=rolling(LONG) | alarms(alarm))
    summary = baking(data_runtime, endpoint)
    mixed, during = processes(data_runtime, endpoint), answering(data_runtime, endpoint)
    data_runtime.client("cloudwatch").set_alarm_state(AlarmName=alarm, StateValue="ALARM", StateReason="a test")
    after = in_service(data_runtime, endpoint)

    assert (summary["ProductionVariants"][0]["CurrentInstanceCount"], len(mixed)) == (1, 2)
    assert during == {"old", "new"}
    assert (after["EndpointStatus"], after["EndpointConfigName"]) == ("InService", endpoint)
    assert answering(data_runtime, endpoint) == {"old"}
    assert len(processes(data_runtime, endpoint)) == 2


def test_a_rollback_that_fails_leaves_a_mix_and_the_next_update_repairs_it(
    data_runtime: Runtime, endpoint: str, alarm: str
) -> None:
    update(data_runtime, endpoint, DeploymentConfig=rolling(LONG) | alarms(alarm))
    baking(data_runtime, endpoint)
    for file in (data_runtime.data_dir / "endpoints" / endpoint).glob("*/old/model/*"):
        file.unlink()
    data_runtime.client("cloudwatch").set_alarm_state(AlarmName=alarm, StateValue="ALARM", StateReason="a test")
    broken = in_service(data_runtime, endpoint)
    mix = answering(data_runtime, endpoint)
    update(data_runtime, endpoint)
    repaired = in_service(data_runtime, endpoint)

    assert broken["EndpointStatus"] == "UpdateRollbackFailed"
    assert alarm in broken["FailureReason"]
    assert "variant old did not pass the ping health check" in broken["FailureReason"]
    assert mix == {"old", "new"}
    assert (repaired["EndpointStatus"], repaired["EndpointConfigName"]) == ("InService", f"{endpoint}-new")
    assert answering(data_runtime, endpoint) == {"new"}


@pytest.mark.parametrize(
    ("config", "text"),
    [
        (blue_green("ALL_AT_ONCE", 0) | rolling(0), "BlueGreenUpdatePolicy and RollingUpdatePolicy: give one"),
        (blue_green("CANARY", 0), "Value null at '.*canarySize' failed to satisfy constraint"),
        (blue_green("LINEAR", 0), "Value null at '.*linearStepSize' failed to satisfy constraint"),
        (blue_green("CANARY", 0, LinearStepSize=10, CanarySize=10), "LinearStepSize is for the traffic routing type"),
        (blue_green("CANARY", 0, CanarySize=51), "CanarySize must be from 0% to 50% of the variant's instances"),
        (blue_green("LINEAR", 0, LinearStepSize=9), "LinearStepSize must be from 10% to 50%"),
        (rolling(0, 51), "MaximumBatchSize must be from 5% to 50% .* got CAPACITY_PERCENT 51, which is 51%"),
        (
            {
                "BlueGreenUpdatePolicy": {
                    "TrafficRoutingConfiguration": {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 600},
                    "MaximumExecutionTimeoutInSeconds": 600,
                }
            },
            "MaximumExecutionTimeoutInSeconds must be larger than the waiting times",
        ),
        (alarms("same", "same"), "The alarms of AutoRollbackConfiguration must be different"),
    ],
)
def test_configurations_that_cannot_be_carried_out_are_refused(
    data_runtime: Runtime, model: str, config: dict[str, Any], text: str
) -> None:
    name = configure(data_runtime, f"refused-{uuid.uuid4().hex[:8]}", variant(model))

    with pytest.raises(ClientError, match=text):
        data_runtime.client("sagemaker").create_endpoint(
            EndpointName=name, EndpointConfigName=name, DeploymentConfig=config
        )
