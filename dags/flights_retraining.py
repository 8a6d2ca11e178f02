"""### Late flights: retrain, check, publish.

Trains a binary LinearLearner on the flights that left New York in `train_months`, asks its endpoint about a few
flights, scores the whole `held_out_month` by batch transform and compares with what happened. A model that is good
enough becomes the newest one of the asset `flights_model`, which `flights_batch_scoring` uses. The endpoint is torn
down whatever happened.

Every step finds its own earlier work by name, so clearing a task, retrying it or losing its worker never trains twice.
"""

# TaskFlow passes XComs where a task declares values, and fills context arguments itself.
# mypy: disable-error-code="arg-type, call-arg, index"
from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import Param, dag, task

from airflow_ll.operators import (
    LinearLearnerDeployOperator,
    LinearLearnerPredictOperator,
    LinearLearnerTeardownOperator,
    LinearLearnerTrainingOperator,
    LinearLearnerTransformOperator,
)
from flights import data, features, quality, storage
from flights.assets import FLIGHTS_MODEL

MONTHS: dict[str, Any] = {"type": "integer", "minimum": 1, "maximum": 12}
SHARE: dict[str, Any] = {"type": "number", "minimum": 0, "maximum": 1}
PARAMS = {
    "train_months": Param([1, 2, 3, 4, 5, 6, 7, 8, 9, 10], "Months of 2013", type="array", items=MONTHS, minItems=1),
    "held_out_month": Param(11, "The month that judges the model", **MONTHS),
    "epochs": Param(15, "Passes over the training rows at most", type="integer", minimum=1),
    "seed": Param(2013, "Of the shuffle of the training rows", type="integer", minimum=0),
    "min_auc": Param(0.86, "Below this the run fails", **SHARE),
    "min_accuracy": Param(0.90, "Below this the run fails", **SHARE),
    "bucket": Param("airflow-ll-flights", "Where record sets, models and predictions go", type="string"),
    "role": Param("arn:aws:iam::123456789012:role/flights", "SageMaker's execution role", type="string"),
}
ROLE = "{{ params.role }}"
PREFIX = "s3://{{ params.bucket }}/flights"


@dag(
    schedule=None,
    params=PARAMS,
    default_args={"retries": 2, "retry_delay": timedelta(seconds=5)},
    tags=["linear-learner", "flights"],
    doc_md=__doc__,
)
def flights_retraining() -> None:
    """Retrain the flights model."""

    @task.linear_learner_record_set(data_location=f"{PREFIX}/record-sets")
    def training_rows(params: dict[str, Any]) -> Any:
        scheduled = data.load(params["train_months"])
        train, _ = data.train_validation_split(data.arrived(scheduled), params["seed"])
        return features.feature_matrix(train, scheduled), data.is_late(train).to_numpy()

    @task.linear_learner_record_set(data_location=f"{PREFIX}/record-sets", channel="validation")
    def validation_rows(params: dict[str, Any]) -> Any:
        scheduled = data.load(params["train_months"])
        _, validation = data.train_validation_split(data.arrived(scheduled), params["seed"])
        return features.feature_matrix(validation, scheduled), data.is_late(validation).to_numpy()

    @task.linear_learner_record_set(data_location=f"{PREFIX}/record-sets")
    def held_out_rows(params: dict[str, Any]) -> Any:
        data.check_held_out(params["held_out_month"], params["train_months"])
        scheduled = data.load([params["held_out_month"]])
        return features.feature_matrix(data.arrived(scheduled), scheduled)

    @task
    def a_few_flights(params: dict[str, Any]) -> list[list[float]]:
        scheduled = data.load([params["held_out_month"]])
        few = data.arrived(scheduled).sample(5, random_state=params["seed"])
        rows: list[list[float]] = features.feature_matrix(few, scheduled).tolist()
        return rows

    train = LinearLearnerTrainingOperator(
        task_id="train",
        role=ROLE,
        records=[training_rows(), validation_rows()],
        hyperparameters={"predictor_type": "binary_classifier", "epochs": "{{ params.epochs }}"},
        instance_type="ml.m5.xlarge",
        output_path=f"{PREFIX}/models",
    )
    deploy = LinearLearnerDeployOperator(
        task_id="deploy",
        role=ROLE,
        model_data=train.output["model_data"],
        instance_type="ml.m5.large",
    )
    predict = LinearLearnerPredictOperator(
        task_id="predict", endpoint_name=deploy.output["endpoint_name"], features=a_few_flights()
    )
    transform = LinearLearnerTransformOperator(
        task_id="transform",
        model_name=deploy.output["model_name"],
        records=held_out_rows(),
        instance_type="ml.m5.large",
        accept="application/jsonlines",
        output_path=f"{PREFIX}/transforms/{{{{ run_id }}}}",
    )
    # Airflow skips a teardown whose setups all failed, and a deployment that fails halfway leaves something behind.
    teardown = LinearLearnerTeardownOperator(task_id="teardown").as_teardown(setups=train, on_failure_fail_dagrun=True)

    @task
    def check_quality(outputs: list[str], params: dict[str, Any]) -> dict[str, Any]:
        """Measure the transform's own output; a model below the thresholds fails at once, since a retry cannot help."""
        from airflow.sdk.exceptions import AirflowFailException

        labels = data.is_late(data.arrived(data.load([params["held_out_month"]]))).to_numpy()
        figures = quality.measure(storage.read_predictions(outputs), labels)
        if found := quality.faults(figures, min_auc=params["min_auc"], min_accuracy=params["min_accuracy"]):
            raise AirflowFailException(" ".join(found))
        return figures

    @task(outlets=[FLIGHTS_MODEL])
    def publish(
        model_data: str, figures: dict[str, Any], answers: dict[str, Any], run_id: str, outlet_events: Any
    ) -> dict[str, Any]:
        """Make this model the newest one, and report: daily scoring takes the asset's last event."""
        report = {
            "run_id": run_id,
            "model_data": model_data,
            "endpoint_answers": len(answers["predictions"]),
            **figures,
        }
        outlet_events[FLIGHTS_MODEL].extra = report
        return report

    checked = check_quality(transform.output["outputs"])
    [predict, transform] >> teardown
    publish(train.output["model_data"], checked, predict.output)


flights_retraining()
