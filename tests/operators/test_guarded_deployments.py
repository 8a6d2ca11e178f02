"""Canaries, alarms, autoscaling, data capture, asynchronous and serverless endpoints: through the operators."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from airflow.sdk import DAG

from airflow_ll.operators import LinearLearnerDeployOperator, LinearLearnerTeardownOperator
from tests.operators.conftest import ROLE, RUNS_A_DAG, run_dag

if TYPE_CHECKING:
    from tests.conftest import Runtime

pytestmark = RUNS_A_DAG


def deployed(dag_id: str, model_data: str, **settings: Any) -> Any:
    """Return a DAG that deploys to a long-lived endpoint."""
    with DAG(dag_id) as dag:
        LinearLearnerDeployOperator(
            task_id="deploy",
            role=ROLE,
            model_data=model_data,
            endpoint_name=dag_id.replace("_", "-"),
            poll_interval=1,
            **settings,
        )
    return dag


@pytest.mark.parametrize("deferrable", [False, True], ids=["sync", "deferrable"])
def test_a_canary_goes_back_when_its_alarm_goes_off(
    aws: Runtime, dag_id: str, model_data: str, capsys: pytest.CaptureFixture[str], *, deferrable: bool
) -> None:
    name, cloudwatch = dag_id.replace("_", "-"), aws.client("cloudwatch")
    cloudwatch.put_metric_alarm(
        AlarmName=name,
        Namespace="test",
        MetricName=name,
        Statistic="Sum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=1.0,
        ComparisonOperator="GreaterThanThreshold",
    )
    canary: dict[str, Any] = {
        "initial_instance_count": 2,
        "deployment_config": {"traffic": "CANARY", "step_size": 50, "wait_interval": 100, "alarms": [name]},
        "deferrable": deferrable,
    }
    first = run_dag(deployed(dag_id, model_data, **canary)).result("deploy")
    cloudwatch.set_alarm_state(AlarmName=name, StateValue="ALARM", StateReason="a test")
    capsys.readouterr()
    second = run_dag(deployed(dag_id, model_data, **canary))
    served = aws.client("sagemaker").describe_endpoint(EndpointName=name)
    cloudwatch.set_alarm_state(AlarmName=name, StateValue="OK", StateReason="a test")
    third = run_dag(deployed(dag_id, model_data, **canary)).result("deploy")

    assert second.states == {"deploy": "failed"}
    out = capsys.readouterr().out
    assert f"was not updated: it still serves {first['endpoint_config_name']}" in out
    assert "alarm" in out
    assert (served["EndpointStatus"], served["EndpointConfigName"]) == ("InService", first["endpoint_config_name"])
    assert f"endpoint-config/{first['endpoint_config_name']}" in third["retired"]


def test_autoscaling_is_held_over_updates_and_let_go_at_the_end(aws: Runtime, dag_id: str, model_data: str) -> None:
    name, scaling = dag_id.replace("_", "-"), aws.client("application-autoscaling")
    settings: dict[str, Any] = {"autoscaling": {"min_capacity": 1, "max_capacity": 3, "target_value": 100}}

    def targets() -> list[tuple[int, int]]:
        ids = [f"endpoint/{name}/variant/AllTraffic"]
        found = scaling.describe_scalable_targets(ServiceNamespace="sagemaker", ResourceIds=ids)["ScalableTargets"]
        return [(one["MinCapacity"], one["MaxCapacity"]) for one in found]

    run_dag(deployed(dag_id, model_data, **settings))
    before = targets()
    run_dag(deployed(dag_id, model_data, instance_type="ml.c5.large", **settings))
    after = targets()
    policies = scaling.describe_scaling_policies(ServiceNamespace="sagemaker")["ScalingPolicies"]
    with DAG(dag_id) as dag:
        LinearLearnerTeardownOperator(task_id="teardown", endpoint_name=name)
    torn = run_dag(dag)

    assert before == after == [(1, 3)]
    assert [one["PolicyName"] for one in policies if name in one["ResourceId"]] == ["airflow-ll-target-tracking"]
    assert [one.split("/")[0] for one in torn.result("teardown")["deleted"]] == ["endpoint", "endpoint-config", "model"]
    assert targets() == []


def test_capture_and_asynchronous_and_serverless(aws: Runtime, dag_id: str, location: str, model_data: str) -> None:
    kinds: dict[str, dict[str, Any]] = {
        "capture": {"data_capture": {"destination_s3_uri": f"{location}/captured", "sampling_percentage": 50}},
        "asynchronous": {"async_inference": {"output_path": f"{location}/answers"}},
        "serverless": {"serverless": {"memory_size": 1024, "max_concurrency": 2}},
    }
    with DAG(dag_id) as dag:
        for task_id, settings in kinds.items():
            LinearLearnerDeployOperator(task_id=task_id, role=ROLE, model_data=model_data, poll_interval=1, **settings)
        teardown = LinearLearnerTeardownOperator(task_id="teardown", trigger_rule="all_done")
        [dag.get_task(task_id) for task_id in kinds] >> teardown
    ran = run_dag(dag)

    assert ran.state == "success", ran.states
    asked = {
        task_id: next(
            line for line in (aws.data_dir / "access.log").read_text().splitlines() if f" CreateEndpoint {name}" in line
        )
        for task_id, name in ((one, ran.result(one)["endpoint_name"]) for one in kinds)
    }
    assert asked.keys() == kinds.keys()
    assert len(ran.result("teardown")["deleted"]) == 9
