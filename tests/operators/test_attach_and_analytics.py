"""A job that somebody else started is waited for and told completely; what it measured is a table."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Any

import pytest
from airflow.sdk import DAG

from airflow_ll.hooks import LinearLearnerHook
from airflow_ll.operators import (
    LinearLearnerAnalyticsOperator,
    LinearLearnerAttachOperator,
    LinearLearnerRecordSetOperator,
    LinearLearnerTrainingOperator,
)
from tests.operators.conftest import ROLE, RUNS_A_DAG, calls, run_dag

if TYPE_CHECKING:
    from tests.conftest import Runtime

pytestmark = RUNS_A_DAG

HYPERPARAMETERS = {
    "predictor_type": "binary_classifier",
    "epochs": 3,
    "use_bias": False,
    "learning_rate": 0.1,
    "wd": "auto",
    "num_models": 1,
}


def trained(dag_id: str, rows: str, location: str, **settings: Any) -> Any:
    """Return a DAG that uploads and starts a training job."""
    hyperparameters = settings.pop("hyperparameters", HYPERPARAMETERS)
    with DAG(f"{dag_id}_other") as dag:
        records = LinearLearnerRecordSetOperator(task_id="upload", features=rows, data_location=location)
        LinearLearnerTrainingOperator(
            task_id="train",
            role=ROLE,
            records=records.output,
            output_path=location,
            hyperparameters=hyperparameters,
            tags={"team": "ml"},
            environment={"TOKEN": "secret-value"},
            poll_interval=1,
            **settings,
        )
    return dag


@pytest.mark.parametrize("deferrable", [False, True], ids=["sync", "deferrable"])
def test_a_running_job_is_awaited_logged_and_rebuilt(
    aws: Runtime,
    dag_id: str,
    rows: str,
    location: str,
    *,
    deferrable: bool,
    capsys: pytest.CaptureFixture[str],
) -> None:
    job = run_dag(trained(dag_id, rows, location, wait_for_completion=False)).result("train")["training_job_name"]
    capsys.readouterr()
    with DAG(dag_id) as dag:
        attached: Any = LinearLearnerAttachOperator(
            task_id="attach", training_job_name=job, poll_interval=1, deferrable=deferrable
        )
        LinearLearnerTrainingOperator(
            task_id="again",
            role=attached.output["role"],
            records=attached.output["channels"],
            hyperparameters=attached.output["hyperparameters"],
            output_path=attached.output["output_path"],
            poll_interval=1,
        )
    ran = run_dag(dag)

    assert ran.state == "success", ran.states
    told = ran.result("attach")
    assert told["status"] == "Completed"
    assert told["hyperparameters"] == {**HYPERPARAMETERS, "feature_dim": 5, "mini_batch_size": 400}
    assert (told["feature_dim"], told["mini_batch_size"], told["instance_type"]) == (5, 400, "ml.m5.xlarge")
    assert told["tags"] == [{"Key": "team", "Value": "ml"}]
    assert "secret-value" not in json.dumps(told)
    assert "#quality_metric" in capsys.readouterr().out, "its log appears in the task's log"
    again = aws.client("sagemaker").describe_training_job(TrainingJobName=ran.result("again")["training_job_name"])
    first = aws.client("sagemaker").describe_training_job(TrainingJobName=job)
    assert (again["HyperParameters"], again["InputDataConfig"]) == (first["HyperParameters"], first["InputDataConfig"])


def test_a_job_that_does_not_exist_or_has_failed_is_told_at_once(
    aws: Runtime, dag_id: str, rows: str, location: str, capsys: pytest.CaptureFixture[str]
) -> None:
    endless = {"predictor_type": "regressor", "epochs": 1_000_000, "early_stopping_patience": 2_000_000}
    dag = trained(dag_id, rows, location, wait_for_completion=False, hyperparameters=endless)
    job = run_dag(dag).result("train")["training_job_name"]
    aws.client("sagemaker").stop_training_job(TrainingJobName=job)
    with DAG(dag_id) as dag:
        LinearLearnerAttachOperator(task_id="stopped", training_job_name=job, poll_interval=1)
        LinearLearnerAttachOperator(task_id="missing", training_job_name="not-there", retries=3)

    assert set(run_dag(dag).states.values()) == {"failed"}
    out = capsys.readouterr().out
    assert f"The training job '{job}' was stopped before its end" in out
    assert "There is no training job 'not-there' in us-east-1" in out
    assert calls(aws, "StopTrainingJob", job)[1:] == [], "an attached job is not stopped by its task"


def test_the_analytics_are_final_metrics_and_a_table(aws: Runtime, dag_id: str, rows: str, location: str) -> None:
    training = run_dag(trained(dag_id, rows, location)).result("train")
    job = training["training_job_name"]
    with DAG(dag_id) as dag:
        LinearLearnerAnalyticsOperator(task_id="all", training_job_name=job, output_path=f"{location}/analytics")
        LinearLearnerAnalyticsOperator(task_id="one", training_job_name=job, metric_names=["train:objective_loss"])
        LinearLearnerAnalyticsOperator(task_id="wrong", training_job_name=job, metric_names=["train:loss"])
    ran = run_dag(dag)

    assert ran.states == {"all": "success", "one": "success", "wrong": "failed"}
    everything, one = ran.result("all"), ran.result("one")
    assert everything["metrics"] == training["metrics"]
    assert {row["metric_name"] for row in one["rows"]} == {"train:objective_loss"}
    assert {row["metric_name"] for row in everything["rows"]} >= {"train:objective_loss"}
    table = list(csv.DictReader(io.StringIO(LinearLearnerHook().read(everything["output"]).decode())))
    assert len(table) == everything["num_rows"] >= one["num_rows"] > 0
    assert [float(row["value"]) for row in table[:1]] == [everything["rows"][0]["value"]]
