"""### A record set on as many workers as there are.

Each month of flights becomes a part of one record set in a mapped task of its own; with Celery or Kubernetes they run
on as many machines as the executor has. One more task joins the parts: with its manifest the record set exists. Rows,
columns, bytes and the manifest's URI are in the event of the asset `flights_rows`.
"""

# TaskFlow passes XComs where a task declares values, and fills context arguments itself.
# mypy: disable-error-code="arg-type, call-arg"
from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import Asset, Param, dag, task

from airflow_ll.operators import LinearLearnerRecordSetManifestOperator
from flights import data, features

MONTHS: dict[str, Any] = {"type": "integer", "minimum": 1, "maximum": 12}
PARAMS = {
    "months": Param(list(range(1, 13)), "Months of 2013", type="array", items=MONTHS, minItems=1),
    "bucket": Param("airflow-ll-flights", "Where the record set goes", type="string"),
}
FLIGHTS_ROWS = Asset("flights_rows")


@dag(
    schedule=None,
    params=PARAMS,
    default_args={"retries": 2, "retry_delay": timedelta(seconds=5)},
    tags=["linear-learner", "flights"],
    doc_md=__doc__,
)
def mapped_record_set() -> None:
    """Convert the flights month by month into one record set."""

    @task
    def months(params: dict[str, Any]) -> list[int]:
        return sorted(set(params["months"]))

    @task.linear_learner_record_set_shard(
        data_location="s3://{{ params.bucket }}/flights/record-sets", predictor_type="binary_classifier"
    )
    def month_of_flights(month: int) -> Any:
        scheduled = data.load([month])
        flights = data.arrived(scheduled)
        return features.feature_matrix(flights, scheduled), data.is_late(flights).to_numpy()

    LinearLearnerRecordSetManifestOperator(
        task_id="record_set", shards=month_of_flights.expand(month=months()), outlets=[FLIGHTS_ROWS]
    )


mapped_record_set()
