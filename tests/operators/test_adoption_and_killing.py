"""A retry never starts a second job and never loses one; killing a task stops what it pays for."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

import pytest
from airflow.sdk import DAG, timezone

from airflow_ll.operators import LinearLearnerTeardownOperator, LinearLearnerTrainingOperator
from airflow_ll.operators.deploy import LinearLearnerDeployOperator
from airflow_ll.operators.record_set import LinearLearnerRecordSetOperator
from tests.local import support
from tests.operators.conftest import ROLE, RUNS_A_DAG, calls, run_dag

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Runtime

pytestmark = RUNS_A_DAG

# No early stopping: the job ends when it is stopped.
ENDLESS = {"predictor_type": "regressor", "epochs": 1_000_000, "early_stopping_patience": 2_000_000, "num_models": 1}


class KilledWhileWaiting(LinearLearnerTrainingOperator):
    """A training task that gets SIGTERM, as a worker's does when somebody kills the task."""

    def after_look(self, name: str) -> Callable[[], None] | None:
        assert callable(signal.getsignal(signal.SIGTERM)), "Airflow handles the signal"
        return lambda: signal.raise_signal(signal.SIGTERM)


@pytest.fixture
def sigterm() -> Any:
    """Give back the handler that a task replaces."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def training(dag_id: str, rows: str, location: str, kind: Any = LinearLearnerTrainingOperator, **settings: Any) -> Any:
    """Return a DAG that uploads and trains."""
    hyperparameters = settings.pop("hyperparameters", ENDLESS)
    with DAG(dag_id) as dag:
        records = LinearLearnerRecordSetOperator(task_id="upload", features=rows, data_location=location)
        kind(
            task_id="train",
            role=ROLE,
            records=records.output,
            output_path=location,
            hyperparameters=hyperparameters,
            poll_interval=1,
            **settings,
        )
    return dag


def wait_for(runtime: Runtime, name: str, *statuses: str) -> str:
    """Return a job's status when it is one of ``statuses``."""
    client = runtime.client("sagemaker")
    status: str = support.wait_for(
        lambda: client.describe_training_job(TrainingJobName=name)["TrainingJobStatus"], lambda now: now in statuses
    )
    return status


def test_a_killed_task_stops_its_job_and_is_no_success(
    aws: Runtime, dag_id: str, rows: str, location: str, sigterm: None
) -> None:
    ran = run_dag(training(dag_id, rows, location, KilledWhileWaiting))

    assert ran.states == {"upload": "success", "train": "failed"}
    (created,) = calls(aws, "CreateTrainingJob", dag_id.replace("_", "-"))
    name = next(word for word in created.split() if word.startswith(dag_id.replace("_", "-")))
    assert wait_for(aws, name, "Stopped") == "Stopped"


def test_an_unfinished_job_is_adopted_and_a_stopped_one_has_a_next_generation(
    aws: Runtime, dag_id: str, rows: str, location: str
) -> None:
    moment = timezone.utcnow()
    when = {"logical_date": moment, "run_after": moment}
    first = run_dag(training(dag_id, rows, location, wait_for_completion=False), **when).result("train")
    again = run_dag(training(dag_id, rows, location, wait_for_completion=False), **when).result("train")
    aws.client("sagemaker").stop_training_job(TrainingJobName=first["training_job_name"])
    third = run_dag(training(dag_id, rows, location, wait_for_completion=False), **when).result("train")
    aws.client("sagemaker").stop_training_job(TrainingJobName=third["training_job_name"])

    assert (first["adopted"], again["adopted"], third["adopted"]) == (False, True, False)
    assert again["training_job_name"] == first["training_job_name"]
    assert third["training_job_name"] == first["training_job_name"].removesuffix("g0") + "g1"
    assert len(calls(aws, "CreateTrainingJob", first["training_job_name"][:-3])) == 2
    assert wait_for(aws, first["training_job_name"], "Stopped") == "Stopped"


def test_an_edited_dag_stops_the_running_job_and_starts_the_edited_one(
    aws: Runtime, dag_id: str, rows: str, location: str
) -> None:
    moment = timezone.utcnow()
    when = {"logical_date": moment, "run_after": moment}
    first = run_dag(training(dag_id, rows, location, wait_for_completion=False), **when).result("train")
    edited = training(dag_id, rows, location, hyperparameters={"predictor_type": "regressor", "epochs": 1})
    second = run_dag(edited, **when).result("train")

    assert wait_for(aws, first["training_job_name"], "Stopped") == "Stopped"
    assert second["status"] == "Completed"
    assert second["training_job_name"].endswith("g1")


@pytest.mark.parametrize("deferrable", [False, True], ids=["sync", "deferrable"])
def test_a_wait_that_takes_too_long_stops_the_job(
    aws: Runtime, dag_id: str, rows: str, location: str, *, deferrable: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    ran = run_dag(training(dag_id, rows, location, wait_timeout=2, deferrable=deferrable))

    assert ran.states == {"upload": "success", "train": "failed"}
    assert "did not end within 2 seconds (wait_timeout)" in capsys.readouterr().out
    assert len(calls(aws, "StopTrainingJob", dag_id.replace("_", "-"))) == 1


def test_somebody_elses_job_of_the_name_is_refused(
    aws: Runtime, dag_id: str, rows: str, location: str, capsys: pytest.CaptureFixture[str]
) -> None:
    name = f"{dag_id.replace('_', '-')}-mine"
    quick = {"predictor_type": "regressor", "epochs": 1}
    explicit = {"training_job_name": name, "hyperparameters": quick}
    assert run_dag(training(dag_id, rows, location, **explicit)).states["train"] == "success"
    capsys.readouterr()
    assert run_dag(training(dag_id, rows, location, **explicit)).states["train"] == "failed"

    assert f"The training job '{name}' exists already and belongs to task 'train'" in capsys.readouterr().out
    assert len(calls(aws, "CreateTrainingJob", name)) == 1


def test_teardown_cleans_up_after_a_failed_deployment(aws: Runtime, dag_id: str, rows: str, location: str) -> None:
    model_data = f"{location}/model.tar.gz"
    bucket, key = model_data.removeprefix("s3://").split("/", 1)
    aws.client("s3").put_object(Bucket=bucket, Key=key, Body=b"not a model")
    with DAG(dag_id) as dag:
        records = LinearLearnerRecordSetOperator(task_id="upload", features=rows, data_location=location)
        deployment = LinearLearnerDeployOperator(task_id="deploy", role=ROLE, model_data=model_data, poll_interval=1)
        LinearLearnerTeardownOperator(
            task_id="teardown", endpoint_name="{{ ti.xcom_pull(task_ids='deploy') }}"
        ).as_teardown(setups=records)
        records >> deployment >> dag.get_task("teardown")
    ran = run_dag(dag)

    assert ran.states == {"upload": "success", "deploy": "failed", "teardown": "success"}
    hashes = aws.client("sagemaker").list_endpoint_configs(NameContains=dag_id.replace("_", "-"))
    assert hashes["EndpointConfigs"] == [], "what the failed deployment had made is gone"
    assert [name.split("/")[0] for name in ran.result("teardown")["deleted"]] == [
        "endpoint",
        "endpoint-config",
        "model",
    ]


def test_a_long_lived_endpoint_is_created_then_updated(aws: Runtime, dag_id: str, rows: str, location: str) -> None:
    endpoint = f"{dag_id.replace('_', '-')}-live"

    def dag(epochs: int) -> Any:
        made = training(dag_id, rows, location, hyperparameters={"predictor_type": "regressor", "epochs": epochs})
        with made:
            deployment = LinearLearnerDeployOperator(
                task_id="deploy",
                role=ROLE,
                endpoint_name=endpoint,
                model_data="{{ ti.xcom_pull(task_ids='train')['model_data'] }}",
                poll_interval=1,
            )
            made.get_task("train") >> deployment
        return made

    first, second = (run_dag(dag(epochs)).result("deploy") for epochs in (1, 2))
    description = aws.client("sagemaker").describe_endpoint(EndpointName=endpoint)

    assert (first["endpoint_name"], second["endpoint_name"]) == (endpoint, endpoint)
    assert description["EndpointConfigName"] == second["endpoint_config_name"] != first["endpoint_config_name"]
    assert len(calls(aws, "CreateEndpoint", endpoint)) == 1
    assert len(calls(aws, "UpdateEndpoint", endpoint)) == 1
    with DAG(f"{dag_id}") as ended:
        LinearLearnerTeardownOperator(task_id="teardown", endpoint_name=endpoint)
    deleted = run_dag(ended).result("teardown")["deleted"]
    assert deleted[0] == f"endpoint/{endpoint}"
    assert len(deleted) == 3
