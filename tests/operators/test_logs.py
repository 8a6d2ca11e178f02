"""The job's log appears in the task's log: every line once, in order, in both modes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from airflow.sdk import DAG

from airflow_ll.operators import LinearLearnerRecordSetOperator, LinearLearnerTrainingOperator
from tests.operators.conftest import ROLE, RUNS_A_DAG, run_dag

if TYPE_CHECKING:
    from tests.conftest import Runtime

pytestmark = RUNS_A_DAG


def cloudwatch(runtime: Runtime, job: str) -> list[str]:
    """Return what the job has written."""
    client = runtime.client("logs")
    group = "/aws/sagemaker/TrainingJobs"
    (stream,) = client.describe_log_streams(logGroupName=group, logStreamNamePrefix=f"{job}/")["logStreams"]
    answer = client.get_log_events(logGroupName=group, logStreamName=stream["logStreamName"], startFromHead=True)
    return [event["message"] for event in answer["events"]]


@pytest.mark.parametrize("deferrable", [False, True], ids=["sync", "deferrable"])
def test_every_line_of_the_job_appears_once_in_order(
    aws: Runtime, dag_id: str, rows: str, location: str, *, deferrable: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    with DAG(dag_id) as dag:
        records = LinearLearnerRecordSetOperator(task_id="upload", features=rows, data_location=location)
        LinearLearnerTrainingOperator(
            task_id="train",
            role=ROLE,
            hyperparameters={"predictor_type": "regressor", "epochs": 3, "num_models": 1},
            records=records.output,
            output_path=location,
            deferrable=deferrable,
        )
    job = run_dag(dag).result("train")["training_job_name"]
    written, logged = cloudwatch(aws, job), capsys.readouterr().out

    metrics = [line for line in written if "#quality_metric" in line]
    assert metrics
    positions = [logged.find(line) for line in metrics]
    assert -1 not in positions
    assert positions == sorted(positions)
    assert [logged.count(line) for line in metrics] == [1] * len(metrics)
