"""When there are no instances of a type, the next one is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from airflow.sdk import DAG

from airflow_ll.local.faults import write_rules
from airflow_ll.operators import LinearLearnerRecordSetOperator, LinearLearnerTrainingOperator
from tests.operators.conftest import ROLE, RUNS_A_DAG, calls, run_dag

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.conftest import Runtime

pytestmark = RUNS_A_DAG


@pytest.fixture
def lacking(aws: Runtime, dag_id: str) -> Iterator[Callable[[int], None]]:
    """A function that lets the first jobs of this test get no instances."""
    part = dag_id.replace("_", "-")
    yield lambda times: write_rules(aws.data_dir, [f"capacity kind=training-job resource={part}* times={times}"])
    write_rules(aws.data_dir, [])


def training(dag_id: str, rows: str, location: str, **settings: Any) -> Any:
    """Return a DAG whose training may use two types."""
    with DAG(dag_id) as dag:
        records = LinearLearnerRecordSetOperator(task_id="upload", features=rows, data_location=location)
        LinearLearnerTrainingOperator(
            task_id="train",
            role=ROLE,
            records=records.output,
            output_path=location,
            hyperparameters={"predictor_type": "regressor", "epochs": 1, "num_models": 1},
            instance_type=["ml.m5.xlarge", "ml.c5.xlarge"],
            poll_interval=1,
            **settings,
        )
    return dag


@pytest.mark.parametrize("deferrable", [False, True], ids=["sync", "deferrable"])
def test_the_next_type_trains(
    aws: Runtime, dag_id: str, rows: str, location: str, lacking: Callable[[int], None], *, deferrable: bool
) -> None:
    lacking(1)
    ran = run_dag(training(dag_id, rows, location, deferrable=deferrable))

    assert ran.state == "success", ran.states
    trained = ran.result("train")
    assert (trained["instance_type"], trained["status"]) == ("ml.c5.xlarge", "Completed")
    assert trained["training_job_name"].endswith("-g1")
    assert len(calls(aws, "CreateTrainingJob", dag_id.replace("_", "-"))) == 2


def test_without_a_further_type_the_task_fails_and_a_rerun_begins_anew(
    aws: Runtime,
    dag_id: str,
    rows: str,
    location: str,
    lacking: Callable[[int], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    from airflow.sdk import timezone

    moment = timezone.utcnow()
    lacking(2)
    first = run_dag(training(dag_id, rows, location), logical_date=moment, run_after=moment)
    again = run_dag(training(dag_id, rows, location), logical_date=moment, run_after=moment)

    assert first.states["train"] == "failed"
    assert "CapacityError" in capsys.readouterr().out
    trained = again.result("train")
    assert (trained["instance_type"], trained["training_job_name"][-3:]) == ("ml.m5.xlarge", "-g2")


def test_an_explicit_name_has_one_job(
    aws: Runtime, dag_id: str, rows: str, location: str, capsys: pytest.CaptureFixture[str]
) -> None:
    ran = run_dag(training(dag_id, rows, location, training_job_name=f"{dag_id.replace('_', '-')}-once"))

    assert ran.states["train"] == "failed"
    assert "A list of instance types needs a name for each job" in capsys.readouterr().out
