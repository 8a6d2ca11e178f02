"""Rows go to an endpoint in every form, and its answers are held to what they must be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from airflow.sdk import DAG

from airflow_ll.artifacts import Predictions
from airflow_ll.exceptions import ExpectationError, RequestError
from airflow_ll.hooks import LinearLearnerHook
from airflow_ll.hooks.expectations import Expectations, check
from airflow_ll.hooks.predicting import predict
from airflow_ll.operators import (
    LinearLearnerDeployOperator,
    LinearLearnerPredictOperator,
    LinearLearnerRecordSetOperator,
    LinearLearnerTeardownOperator,
)
from tests.operators.conftest import ROLE, RUNS_A_DAG, run_dag

if TYPE_CHECKING:
    from tests.conftest import Runtime

pytestmark = RUNS_A_DAG

ROWS = [[float(row), 1.0, 0.5] for row in range(4)]
SUMS = [sum(row) for row in ROWS]
FORMS = ["text/csv", "application/json", "application/jsonlines", "application/x-recordio-protobuf"]


def test_a_smoke_test_in_every_form(
    aws: Runtime, dag_id: str, location: str, model_data: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with DAG(dag_id) as dag:
        records: Any = LinearLearnerRecordSetOperator(
            task_id="upload", features=ROWS, labels=SUMS, data_location=location
        )
        deployment: Any = LinearLearnerDeployOperator(
            task_id="deploy", role=ROLE, model_data=model_data, poll_interval=1
        )
        asked: dict[str, Any] = {"endpoint_name": deployment.output["endpoint_name"]}
        forms = LinearLearnerPredictOperator.partial(
            task_id="forms", features=ROWS, expectations={"scores": SUMS}, target_variant="AllTraffic", **asked
        ).expand_kwargs([{"content_type": one, "accept": one} for one in FORMS])
        whole = LinearLearnerPredictOperator(
            task_id="records",
            records=records.output,
            expectations={"max_mean_absolute_error": 1e-4, "min_score": 0, "max_score": 10},
            **asked,
        )
        wrong = LinearLearnerPredictOperator(
            task_id="wrong",
            features=ROWS,
            expectations={"scores": [0.0, *SUMS[1:]], "min_score": 2},
            retries=2,
            **asked,
        )
        teardown = LinearLearnerTeardownOperator(task_id="teardown").as_teardown(setups=records)
        records >> deployment >> [forms, whole, wrong] >> teardown
    ran = run_dag(dag)

    assert [ran.states[name] for name in ("forms", "records", "wrong")] == ["success", "success", "failed"]
    told = ran.result("records")
    assert [one["score"] for one in told["predictions"]] == pytest.approx(SUMS)
    assert told["measured"]["mean_absolute_error"] == pytest.approx(0, abs=1e-5)
    out = capsys.readouterr().out
    assert "1 of 4 rows are not: row 0: 1.5 instead of 0.0" in out
    assert "min_score must be at least 2, got 1.5" in out


def test_neither_or_both_sources_are_refused(aws: Runtime, dag_id: str, capsys: pytest.CaptureFixture[str]) -> None:
    with DAG(dag_id) as dag:
        LinearLearnerPredictOperator(task_id="none", endpoint_name="e")
        LinearLearnerPredictOperator(task_id="both", endpoint_name="e", features=ROWS, records={})
    assert set(run_dag(dag).states.values()) == {"failed"}
    out = capsys.readouterr().out
    assert "needs either features or records, got none" in out
    assert "needs either features or records, got both" in out


def test_expectations_of_classes() -> None:
    answers = Predictions(np.array([0.1, 0.9], np.float32), np.array([0, 1]))
    assert check(Expectations(min_accuracy=0.5), answers, [0, 0])["accuracy"] == 0.5
    with pytest.raises(ExpectationError, match=r"accuracy must be at least 0.9, got 0.5"):
        check(Expectations(min_accuracy=0.9), answers, [0, 0])
    with pytest.raises(ExpectationError, match=r"predicted_labels .* 1 of 2 rows are not: row 1: 1 instead of 0"):
        check(Expectations(predicted_labels=[0, 0]), answers)
    with pytest.raises(ExpectationError, match=r"predicted_labels must be 1 of shape \(1,\), got 2"):
        check(Expectations(predicted_labels=[0]), answers)
    with pytest.raises(RequestError, match="need the true labels: give label_column"):
        check(Expectations(min_accuracy=0.9), answers)
    with pytest.raises(RequestError, match=r"Expectations\.min_accuracy must be a number from 0 to 1"):
        Expectations(min_accuracy=90)


class Recording:
    """An endpoint that takes down the requests it gets; it counts their rows by the lines of CSV."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []

    def invoke_endpoint(self, **request: Any) -> Any:
        """Answer with as many scores as there are rows."""
        import io

        self.requests.append(request)
        rows = request["Body"].count(b"\n") if request["ContentType"] == "text/csv" else 1
        return {"Body": io.BytesIO(b"0.5\n" * rows), "ContentType": "text/csv"}


def test_no_request_is_larger_than_sagemaker_takes() -> None:
    endpoint, features = Recording(), np.random.default_rng(0).normal(size=(3000, 400))
    assert len(predict(endpoint, "e", features, "text/csv").scores) == 3000
    assert len(endpoint.requests) > 1
    assert max(len(one["Body"]) for one in endpoint.requests) < 6 * 1024 * 1024


def test_wide_sparse_rows_travel_in_a_form_that_leaves_zeros_out() -> None:
    from scipy import sparse

    features = sparse.csr_matrix(([1.0, 2.0], ([0, 0], [5, 999_999])), shape=(1, 1_000_000))
    endpoint = Recording()
    predict(endpoint, "e", features, "application/x-recordio-protobuf")
    assert len(endpoint.requests[0]["Body"]) < 1000
    with pytest.raises(RequestError, match="send sparse rows as application/x-recordio-protobuf"):
        predict(endpoint, "e", features, "text/csv")


def test_the_request_is_the_sdks(shared: Any) -> None:
    import base64
    import json

    from airflow_ll.hooks.predicting import invocation

    recording = json.loads((shared / "golden" / "predict_recordio.json").read_text())
    recorded = next(one["kwargs"] for one in recording["calls"] if one["operation"] == "InvokeEndpoint")
    recorded["Body"] = base64.b64decode(recorded["Body"]["b64"])
    rows = np.array([[0, 0.25, 0.5], [0.75, 1, 1.25]], np.float32)

    assert invocation(rows, recorded["EndpointName"], FORMS[3], FORMS[3]) == recorded


def test_an_endpoint_that_is_not_there_is_told(aws: Runtime) -> None:
    with pytest.raises(Exception, match="not found"):
        LinearLearnerHook().predict("not-there", ROWS)
