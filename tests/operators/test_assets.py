"""Models, endpoints and predictions are assets, whose events say what there is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import DAG, Asset

from airflow_ll.operators import (
    LinearLearnerDeployOperator,
    LinearLearnerPredictOperator,
    LinearLearnerRecordSetOperator,
    LinearLearnerTeardownOperator,
    LinearLearnerTrainingOperator,
)
from tests.operators.conftest import ROLE, RUNS_A_DAG, run_dag

if TYPE_CHECKING:
    from tests.conftest import Runtime

pytestmark = RUNS_A_DAG


def test_models_endpoints_and_predictions_are_assets(aws: Runtime, dag_id: str, rows: str, location: str) -> None:
    from airflow.models.asset import AssetEvent
    from airflow.utils.session import create_session

    names = ("rows", "model", "endpoint", "predictions")
    assets = {name: Asset(f"{dag_id}_{name}") for name in names}
    with DAG(dag_id) as dag:
        records = LinearLearnerRecordSetOperator(
            task_id="upload", features=rows, data_location=location, outlets=[assets["rows"]]
        )
        training: Any = LinearLearnerTrainingOperator(
            task_id="train",
            role=ROLE,
            records=records.output,
            hyperparameters={"predictor_type": "regressor", "epochs": 1, "num_models": 1},
            output_path=location,
            poll_interval=1,
            outlets=[assets["model"]],
        )
        deployment: Any = LinearLearnerDeployOperator(
            task_id="deploy",
            training_job_name=training.output["training_job_name"],
            poll_interval=1,
            deferrable=True,
            outlets=[assets["endpoint"]],
        )
        predictions = LinearLearnerPredictOperator(
            task_id="predict",
            endpoint_name=deployment.output["endpoint_name"],
            features=rows,
            output_path=location,
            outlets=[assets["predictions"]],
        )
        predictions >> LinearLearnerTeardownOperator(task_id="teardown").as_teardown(setups=training)
    ran = run_dag(dag)

    assert ran.state == "success", ran.states
    with create_session() as session:
        events = session.query(AssetEvent).filter(AssetEvent.source_dag_id == dag_id).all()
        extras = {event.source_task_id: dict(event.extra) for event in events}
    assert extras["upload"]["rows"] == 400
    assert extras["train"]["model_data"] == ran.result("train")["model_data"]
    assert extras["train"]["metrics"] == ran.result("train")["metrics"]
    assert extras["deploy"]["endpoint_name"] == ran.result("deploy")["endpoint_name"]
    assert extras["predict"]["output"] == ran.result("predict")["output"]
    assert extras["predict"]["num_predictions"] == 400
    assert "predictions" not in extras["predict"], "what is long stays in XCom"
