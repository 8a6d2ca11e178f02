"""Record set, training, deployment, prediction, transform, teardown: as DAGs on the embedded runtime."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from airflow.sdk import DAG

from airflow_ll.operators import (
    LinearLearnerDeployOperator,
    LinearLearnerPredictOperator,
    LinearLearnerRecordSetOperator,
    LinearLearnerTeardownOperator,
    LinearLearnerTrainingOperator,
    LinearLearnerTransformOperator,
)
from tests.operators.conftest import ROLE, RUNS_A_DAG, calls, run_dag

if TYPE_CHECKING:
    from tests.conftest import Runtime

pytestmark = RUNS_A_DAG


def whole(dag_id: str, rows: str, location: str, *, deferrable: bool) -> Any:
    """Return a DAG that uses every operator."""
    with DAG(dag_id) as dag:
        records = LinearLearnerRecordSetOperator(
            task_id="upload", features=rows, data_location=location, predictor_type="binary_classifier"
        )
        training: Any = LinearLearnerTrainingOperator(
            task_id="train",
            role=ROLE,
            hyperparameters={
                "predictor_type": "binary_classifier",
                "epochs": 30,
                "learning_rate": 0.1,
                "num_models": 1,
            },
            records=records.output,
            output_path=location,
            poll_interval=1,
            deferrable=deferrable,
        )
        deployment: Any = LinearLearnerDeployOperator(
            task_id="deploy",
            role=ROLE,
            model_data=training.output["model_data"],
            poll_interval=1,
            deferrable=deferrable,
        )
        predictions = LinearLearnerPredictOperator(
            task_id="predict",
            endpoint_name=deployment.output["endpoint_name"],
            features=rows,
            output_path=location,
        )
        in_other_words = LinearLearnerPredictOperator.partial(
            task_id="predict_in_other_words",
            endpoint_name=deployment.output["endpoint_name"],
            features=rows,
            output_path=location,
        ).expand(content_type=["application/json", "application/x-recordio-protobuf"])
        transform = LinearLearnerTransformOperator(
            task_id="transform",
            records=records.output,
            model_name="{{ ti.xcom_pull(task_ids='deploy')['model_name'] }}",
            output_path=f"{location}/scores",
            poll_interval=1,
            deferrable=deferrable,
        )
        teardown = LinearLearnerTeardownOperator(task_id="teardown").as_teardown(setups=training)
        training >> deployment >> [predictions, in_other_words, transform] >> teardown
    return dag


@pytest.mark.parametrize("deferrable", [False, True], ids=["sync", "deferrable"])
def test_the_whole_sequence(aws: Runtime, dag_id: str, rows: str, location: str, *, deferrable: bool) -> None:
    ran = run_dag(whole(dag_id, rows, location, deferrable=deferrable))

    assert ran.state == "success", ran.states
    training, deployment = ran.result("train"), ran.result("deploy")
    assert training["status"] == "Completed"
    assert training["hyperparameters"]["feature_dim"] == "5"
    assert training["hyperparameters"]["mini_batch_size"] == "400"
    assert training["metrics"]
    assert datetime.fromisoformat(training["training_end_time"]) >= datetime.fromisoformat(training["creation_time"])
    assert deployment["status"] == "InService"
    json.dumps([training, deployment])

    data = np.load(rows)
    predicted = ran.result("predict")
    assert predicted["num_predictions"] == 400
    assert len(predicted["predictions"]) == 100
    for index in (0, 1):
        task_instance = ran.run.get_task_instance("predict_in_other_words", map_index=index)
        again = task_instance.xcom_pull(task_ids="predict_in_other_words", map_indexes=index)
        assert again["predictions"] == predicted["predictions"]
    transform = ran.result("transform")
    assert transform["outputs"] == [f"{location}/scores/matrix_000000.pbr.out"]
    bucket, key = transform["outputs"][0].removeprefix("s3://").split("/", 1)
    body = aws.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read().decode()
    lines = [json.loads(line) for line in body.splitlines()]
    assert [line["predicted_label"] for line in lines[:100]] == [
        one["predicted_label"] for one in predicted["predictions"]
    ]
    assert np.mean([line["predicted_label"] for line in lines] == data["labels"]) > 0.9

    kinds = [name.split("/")[0] for name in ran.result("teardown")["deleted"]]
    assert kinds == ["endpoint", "endpoint-config", "model"]
    sagemaker = aws.client("sagemaker")
    assert sagemaker.list_endpoints(NameContains=deployment["endpoint_name"])["Endpoints"] == []
    assert sagemaker.list_models(NameContains=deployment["model_name"])["Models"] == []
    assert len(calls(aws, "CreateTrainingJob", training["training_job_name"])) == 1


@pytest.mark.parametrize("deferrable", [False, True], ids=["sync", "deferrable"])
def test_a_rerun_of_the_same_run_adopts_everything(
    aws: Runtime, dag_id: str, rows: str, location: str, *, deferrable: bool
) -> None:
    from airflow.sdk import timezone

    moment = timezone.utcnow()
    first = run_dag(whole(dag_id, rows, location, deferrable=deferrable), logical_date=moment, run_after=moment)
    again = run_dag(whole(dag_id, rows, location, deferrable=deferrable), logical_date=moment, run_after=moment)

    assert (first.state, again.state, again.run_id) == ("success", "success", first.run_id)
    job = first.result("train")["training_job_name"]
    assert again.result("train")["training_job_name"] == job
    assert again.result("train")["adopted"] is True
    assert again.result("upload")["adopted"] is True
    assert again.result("transform")["adopted"] is True
    assert len(calls(aws, "CreateTrainingJob", job)) == 1
