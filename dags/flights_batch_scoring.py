"""### Late flights: score one day with the newest model.

The data are of 2013, so the run of a day scores the same day of 2013: that of 2026-12-01 scores 2013-12-01, and that of
29 February the 28th. The param `day` overrides this; a run triggered without a logical date (as the UI does) takes the
day on which it may start.

The result is one Parquet object a day, `flights/scores/date=2013-12-01/scores.parquet`: the flights' keys, the score
and the predicted label. A second run of a day replaces it as a whole, so clearing and backfilling are safe:
`airflow backfill create --dag-id flights_batch_scoring --from-date 2013-12-01 --to-date 2013-12-31`.
"""

# TaskFlow passes XComs where a task declares values, and fills context arguments itself.
# mypy: disable-error-code="arg-type, call-arg, index"
from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

from airflow.sdk import Param, dag, task

from airflow_ll.operators import (
    LinearLearnerModelOperator,
    LinearLearnerTeardownOperator,
    LinearLearnerTransformOperator,
)
from flights import data, features, storage
from flights.assets import FLIGHTS_MODEL

PARAMS = {
    "day": Param(None, "The day of 2013 to score, instead of the run's own", type=["null", "string"], format="date"),
    "bucket": Param("airflow-ll-flights", "Where record sets and predictions go", type="string"),
    "role": Param("arn:aws:iam::123456789012:role/flights", "SageMaker's execution role", type="string"),
}
ROLE = "{{ params.role }}"
PREFIX = "s3://{{ params.bucket }}/flights"


@dag(
    schedule="@daily",
    start_date=datetime(data.YEAR, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=2,
    params=PARAMS,
    default_args={"retries": 2, "retry_delay": timedelta(seconds=5)},
    tags=["linear-learner", "flights"],
    doc_md=__doc__,
)
def flights_batch_scoring() -> None:
    """Score one day's flights."""

    @task
    def day_to_score(params: dict[str, Any], dag_run: Any) -> str:
        """Choose the day once, so that all tasks of the run agree."""
        if params["day"]:
            return str(date.fromisoformat(params["day"]))
        return data.same_day_of_2013(dag_run.logical_date or dag_run.run_after).isoformat()

    @task(inlets=[FLIGHTS_MODEL])
    def newest_model(inlet_events: Any) -> str:
        """Find the model that the last successful retraining published."""
        from airflow.sdk.exceptions import AirflowFailException

        events = inlet_events[FLIGHTS_MODEL]
        if not len(events):
            raise AirflowFailException("No flights model has been published yet: run the DAG flights_retraining first.")
        return str(events[-1].extra["model_data"])

    @task.linear_learner_record_set(data_location=f"{PREFIX}/record-sets")
    def rows(day: str) -> Any:
        scheduled = data.load_day(date.fromisoformat(day))
        return features.feature_matrix(data.departed(scheduled), scheduled)

    day = day_to_score()
    model = LinearLearnerModelOperator(task_id="model", role=ROLE, model_data=newest_model())
    transform = LinearLearnerTransformOperator(
        task_id="transform",
        model_name=model.output["model_name"],
        records=rows(day),
        instance_type="ml.m5.large",
        accept="application/jsonlines",
        output_path=f"{PREFIX}/scoring/{{{{ run_id }}}}",
    )
    teardown = LinearLearnerTeardownOperator(task_id="teardown").as_teardown(setups=model)

    @task
    def write_scores(outputs: list[str], day: str, params: dict[str, Any]) -> dict[str, Any]:
        """Join the predictions to their flights by position, and replace the day's object."""
        import pandas as pd

        flights = data.departed(data.load_day(date.fromisoformat(day)))
        predictions = pd.DataFrame(storage.read_predictions(outputs), columns=["score", "predicted_label"])
        scores = data.flight_keys(flights).reset_index(drop=True).join(predictions, validate="one_to_one")
        uri = f"s3://{params['bucket']}/flights/scores/date={day}/scores.parquet"
        storage.write_parquet(scores, uri)
        return {"scores": uri, "day": day, "rows": len(scores), "late": int(scores["predicted_label"].sum())}

    transform >> teardown
    write_scores(transform.output["outputs"], day)


flights_batch_scoring()
