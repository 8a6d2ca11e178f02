"""Both DAGs to their ends on the embedded runtime, on two months."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

from airflow_ll.records import parse_manifest, read_records
from airflow_ll.requests.names import TaskIdentity
from tests.dags.test_parsing import READS_AIRFLOWIGNORE, load
from tests.operators.conftest import RUNS_A_DAG, Ran, calls, connection, metadata

if TYPE_CHECKING:
    from tests.conftest import Runtime

__all__ = ["metadata"]

pytestmark = [*RUNS_A_DAG, READS_AIRFLOWIGNORE]

BUCKET = "airflow-ll-flights"
SMALL = {"train_months": [1], "held_out_month": 2, "epochs": 4, "min_auc": 0.8, "min_accuracy": 0.85}


@pytest.fixture
def aws(runtime: Runtime, metadata: None, monkeypatch: pytest.MonkeyPatch) -> Runtime:
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", connection(runtime.url))
    runtime.client("s3").create_bucket(Bucket=BUCKET)
    return runtime


def run(name: str, **settings: Any) -> Ran:
    return Ran(load(name).test(**settings))


def scores(runtime: Runtime, day: str) -> pd.DataFrame:
    stored = runtime.client("s3").get_object(Bucket=BUCKET, Key=f"flights/scores/date={day}/scores.parquet")
    return pd.read_parquet(io.BytesIO(stored["Body"].read()))


def read(runtime: Runtime, uri: str) -> bytes:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    body: bytes = runtime.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    return body


def test_a_model_is_trained_judged_published_and_used(aws: Runtime) -> None:
    retrained = run("flights_retraining", run_conf=SMALL)
    assert retrained.state == "success"
    assert set(retrained.states.values()) == {"success"}
    report = retrained.result("publish")
    assert report["rows"] == 23611
    assert report["auc"] > 0.8
    assert report["accuracy"] > report["majority_accuracy"]
    assert report["endpoint_answers"] == 5
    assert aws.client("sagemaker").list_endpoints(NameContains="flights")["Endpoints"] == []
    assert aws.client("sagemaker").list_models(NameContains="flights")["Models"] == []

    scored = run("flights_batch_scoring", logical_date=datetime(2026, 12, 1, tzinfo=UTC))
    assert set(scored.states.values()) == {"success"}
    assert scored.result("newest_model") == report["model_data"]
    first = scores(aws, "2013-12-01")
    assert len(first) == scored.result("write_scores")["rows"] == 981
    assert list(first)[-2:] == ["score", "predicted_label"]
    assert first["score"].between(0, 1).all()
    assert set(first["predicted_label"]) == {0, 1}

    again = run("flights_batch_scoring", run_conf={"day": "2013-12-01"}, logical_date=datetime(2027, 1, 1, tzinfo=UTC))
    assert again.state == "success"
    pd.testing.assert_frame_equal(scores(aws, "2013-12-01"), first)


def test_a_weak_model_fails_at_once_is_not_published_and_leaves_no_endpoint(aws: Runtime) -> None:
    ran = run("flights_retraining", run_conf=SMALL | {"min_auc": 0.999})
    assert ran.state == "failed"
    assert ran.states["check_quality"] == "failed"
    assert ran.run.get_task_instance("check_quality").try_number == 1
    assert ran.states["publish"] == "upstream_failed"
    assert ran.states["teardown"] == "success"
    run_hash = TaskIdentity("flights_retraining", ran.run_id, "deploy").run_hash
    assert len(calls(aws, "CreateEndpoint", run_hash)) == 1
    assert not aws.client("sagemaker").list_endpoints(NameContains=run_hash)["Endpoints"]


def test_mapped_months_become_one_record_set(aws: Runtime) -> None:
    ran = run("mapped_record_set", run_conf={"months": [2, 1]})
    assert ran.state == "success"
    result = ran.result("record_set")
    assert (result["num_records"], result["shards"]) == (26398 + 23611, 2)

    prefix, names = parse_manifest(read(aws, result["s3_data"]))
    assert [name.partition("-")[0] for name in names] == ["00000", "00001"]
    months = [read_records(read(aws, prefix + name)) for name in names]
    assert [month.features.shape for month in months] == [(rows, result["feature_dim"]) for rows in (26398, 23611)]
