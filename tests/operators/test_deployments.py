"""Everything that an endpoint can be, and what is left of it after an update."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from airflow.sdk import DAG

from airflow_ll.hooks import LinearLearnerHook
from airflow_ll.operators import LinearLearnerDeployOperator, LinearLearnerModelOperator, LinearLearnerTeardownOperator
from tests.operators.conftest import ROLE, RUNS_A_DAG, calls, run_dag

if TYPE_CHECKING:
    from tests.conftest import Runtime

pytestmark = RUNS_A_DAG


def live(dag_id: str, task_id: str = "deploy", **settings: Any) -> Any:
    """Return a DAG that deploys to an endpoint of the DAG's own name."""
    with DAG(dag_id) as dag:
        LinearLearnerDeployOperator(
            task_id=task_id, role=ROLE, endpoint_name=f"{dag_id.replace('_', '-')}-live", poll_interval=1, **settings
        )
    return dag


def names(aws: Runtime, dag_id: str) -> tuple[set[str], set[str]]:
    """Return the endpoint configs and models of a DAG."""
    sagemaker, part = aws.client("sagemaker"), dag_id.replace("_", "-")
    configs = sagemaker.list_endpoint_configs(NameContains=part)["EndpointConfigs"]
    models = sagemaker.list_models(NameContains=part)["Models"]
    return {one["EndpointConfigName"] for one in configs}, {one["ModelName"] for one in models}


@pytest.mark.parametrize("deferrable", [False, True], ids=["sync", "deferrable"])
def test_an_update_leaves_nothing_of_the_old_config_and_model(
    aws: Runtime, dag_id: str, model_data: str, *, deferrable: bool
) -> None:
    first = run_dag(live(dag_id, model_data=model_data, deferrable=deferrable)).result("deploy")
    second = run_dag(live(dag_id, model_data=model_data, deferrable=deferrable)).result("deploy")

    assert (first["retired"], second["status"]) == ([], "InService")
    assert second["retired"] == [
        f"endpoint-config/{first['endpoint_config_name']}",
        f"model/{first['model_name']}",
    ]
    assert names(aws, dag_id) == ({second["endpoint_config_name"]}, {second["model_name"]})
    served = aws.client("sagemaker").describe_endpoint(EndpointName=second["endpoint_name"])
    assert served["EndpointConfigName"] == second["endpoint_config_name"]
    log = (aws.data_dir / "access.log").read_text()
    assert log.index(f"UpdateEndpoint {second['endpoint_name']}") < log.index(
        f"DeleteEndpointConfig {first['endpoint_config_name']}"
    )


def test_a_failed_update_leaves_the_old_one_serving_and_says_why(
    aws: Runtime, dag_id: str, location: str, model_data: str, capsys: pytest.CaptureFixture[str]
) -> None:
    first = run_dag(live(dag_id, model_data=model_data)).result("deploy")
    broken = f"{location}/broken/model.tar.gz"
    LinearLearnerHook().write(broken, b"not a model")
    capsys.readouterr()
    failed = run_dag(live(dag_id, model_data=broken))

    assert failed.states == {"deploy": "failed"}
    assert (
        f"The endpoint '{first['endpoint_name']}' was not updated: it still serves {first['endpoint_config_name']}"
        in capsys.readouterr().out
    )
    configs, models = names(aws, dag_id)
    assert first["endpoint_config_name"] in configs
    assert first["model_name"] in models
    assert len(LinearLearnerHook().predict(first["endpoint_name"], [[1.0, 2.0, 3.0]]).scores) == 1
    third = run_dag(live(dag_id, model_data=model_data)).result("deploy")
    assert third["retired"][0] == f"endpoint-config/{first['endpoint_config_name']}"


def test_what_nobody_waited_for_is_retired_by_the_next_update_and_a_kept_one_never(
    aws: Runtime, dag_id: str, model_data: str
) -> None:
    settings: dict[str, Any] = {"model_data": model_data}
    first = run_dag(live(dag_id, **settings)).result("deploy")
    second = run_dag(live(dag_id, wait_for_completion=False, **settings)).result("deploy")
    third = run_dag(live(dag_id, keep_previous=True, **settings)).result("deploy")

    configs, _ = names(aws, dag_id)
    assert first["endpoint_config_name"] not in configs
    assert configs == {second["endpoint_config_name"], third["endpoint_config_name"]}
    assert third["retired"] == []


def test_a_model_that_another_endpoint_of_its_run_serves_stays(aws: Runtime, dag_id: str, model_data: str) -> None:
    part = dag_id.replace("_", "-")

    def two() -> Any:
        with DAG(dag_id) as dag:
            model: Any = LinearLearnerModelOperator(task_id="model", role=ROLE, model_data=model_data)
            for which in ("a", "b"):
                LinearLearnerDeployOperator(
                    task_id=which,
                    endpoint_name=f"{part}-{which}",
                    model_name=model.output["model_name"],
                    poll_interval=1,
                )
            dag.get_task("a") >> dag.get_task("b")
        return dag

    first, second = run_dag(two()), run_dag(two())

    model = first.result("model")["model_name"]
    assert second.result("a")["retired"] == [f"endpoint-config/{first.result('a')['endpoint_config_name']}"]
    assert f"model/{model}" in second.result("b")["retired"]
    assert names(aws, dag_id)[1] == {second.result("model")["model_name"]}


def test_variants_share_the_traffic(aws: Runtime, dag_id: str, model_data: str) -> None:
    with DAG(dag_id) as dag:
        challenger: Any = LinearLearnerModelOperator(task_id="challenger", role=ROLE, model_data=model_data)
        LinearLearnerDeployOperator(
            task_id="deploy",
            role=ROLE,
            model_data=model_data,
            instance_type="ml.m5.large",
            variants=[
                {"variant_name": "champion", "initial_weight": 0.9},
                {
                    "variant_name": "challenger",
                    "initial_weight": 0.1,
                    "model_name": "{{ ti.xcom_pull(task_ids='challenger')['model_name'] }}",
                    "instance_type": "ml.c5.large",
                },
            ],
            tags={"team": "ml"},
            poll_interval=1,
        )
        challenger >> dag.get_task("deploy")
        LinearLearnerTeardownOperator(task_id="teardown").as_teardown(setups=challenger) << dag.get_task("deploy")
    ran = run_dag(dag)

    assert ran.state == "success", ran.states
    deployed = ran.result("deploy")
    assert deployed["model_names"] == [deployed["model_name"], ran.result("challenger")["model_name"]]
    assert len(calls(aws, "CreateEndpointConfig", dag_id.replace("_", "-"))) == 1
    assert len(ran.result("teardown")["deleted"]) == 4


def test_faults_are_told_before_anything_exists(
    aws: Runtime, dag_id: str, model_data: str, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong: dict[str, dict[str, Any]] = {
        "canary": {"deployment_config": {"traffic": "CANARY"}},
        "scaling": {"autoscaling": {"max_capacity": 2, "target_value": 10, "min_capacity": 3}},
        "unknown": {"autoscaling": {"maximum": 2}},
        "nothing": {"model_data": None},
    }
    with DAG(dag_id) as dag:
        for task_id, settings in wrong.items():
            made: dict[str, Any] = {"model_data": model_data, **settings}
            LinearLearnerDeployOperator(task_id=task_id, role=ROLE, retries=2, **made)
    ran = run_dag(dag)

    assert set(ran.states.values()) == {"failed"}
    out = capsys.readouterr().out
    for sentence in (
        "DeploymentConfig.step_size must be given for CANARY and LINEAR",
        "AutoScaling.min_capacity must be at most max_capacity (2), got 3",
        "AutoScaling has no maximum: its fields are max_capacity",
        "A model needs model_data",
    ):
        assert sentence in out
    assert names(aws, dag_id) == (set(), set())
