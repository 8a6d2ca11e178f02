"""A tuning job's result is its best training job's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from airflow.sdk import DAG

from airflow_ll.operators import LinearLearnerModelOperator, LinearLearnerRecordSetOperator, LinearLearnerTuningOperator
from airflow_ll.sensors import LinearLearnerTuningSensor
from tests.operators.conftest import ROLE, RUNS_A_DAG, calls, run_dag

if TYPE_CHECKING:
    from tests.conftest import Runtime

pytestmark = RUNS_A_DAG


def tuned(dag_id: str, rows: str, location: str, **settings: Any) -> Any:
    """Return a DAG that tunes, and makes a model of the best job."""
    with DAG(dag_id) as dag:
        records: Any = LinearLearnerRecordSetOperator(
            task_id="upload", features=rows, data_location=location, split={"train": 0.8, "validation": 0.2}
        )
        tuning: Any = LinearLearnerTuningOperator(
            task_id="tune",
            role=ROLE,
            hyperparameters={"predictor_type": "binary_classifier", "epochs": 2},
            records=[records.output["train"], records.output["validation"]],
            output_path=location,
            ranges={
                "learning_rate": {"min_value": 0.01, "max_value": 0.5, "scaling_type": "Logarithmic"},
                "use_bias": ["True", "False"],
            },
            strategy="Random",
            max_jobs=2,
            max_parallel_jobs=2,
            tuning_options={"random_seed": 7},
            tags={"team": "ml"},
            poll_interval=1,
            **settings,
        )
        LinearLearnerModelOperator(task_id="model", training_job_name=tuning.output["training_job_name"])
    return dag


@pytest.mark.parametrize("deferrable", [False, True], ids=["sync", "deferrable"])
def test_the_best_job_of_a_tuning_job_is_the_result(
    aws: Runtime, dag_id: str, rows: str, location: str, *, deferrable: bool
) -> None:
    ran = run_dag(tuned(dag_id, rows, location, deferrable=deferrable))

    assert ran.state == "success", ran.states
    told = ran.result("tune")
    described = aws.client("sagemaker").describe_hyper_parameter_tuning_job(
        HyperParameterTuningJobName=told["tuning_job_name"]
    )
    best = described["BestTrainingJob"]
    assert (told["status"], told["training_job_name"]) == ("Completed", best["TrainingJobName"])
    assert told["objective_value"] == best["FinalHyperParameterTuningJobObjectiveMetric"]["Value"]
    assert told["tuned_hyperparameters"].keys() == {"learning_rate", "use_bias"}
    assert told["hyperparameters"]["learning_rate"] == told["tuned_hyperparameters"]["learning_rate"]
    assert told["training_jobs_completed"] == 2
    assert ran.result("model")["model_data"] == told["model_data"]
    assert len(calls(aws, "CreateHyperParameterTuningJob", told["tuning_job_name"])) == 1
    with DAG(f"{dag_id}_waits") as dag:
        LinearLearnerTuningSensor(
            task_id="wait", tuning_job_name=told["tuning_job_name"], poke_interval=0.5, deferrable=deferrable
        )
    assert run_dag(dag).states == {"wait": "success"}


def test_a_range_that_nothing_can_be_tuned_over_fails_before_aws_is_asked(
    aws: Runtime, dag_id: str, location: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with DAG(dag_id) as dag:
        LinearLearnerTuningOperator(
            task_id="tune",
            role=ROLE,
            hyperparameters={"predictor_type": "regressor"},
            records={"s3_data": f"{location}/.amazon.manifest", "num_records": 10, "feature_dim": 2},
            output_path=location,
            ranges={"optimizer": ["adam", "sgd"]},
        )
    assert run_dag(dag).states == {"tune": "failed"}
    assert "must be of tunable hyperparameters" in capsys.readouterr().out
    assert calls(aws, "CreateHyperParameterTuningJob", dag_id.replace("_", "-")) == []
