"""Bad input is one clear sentence in the task's log, and leaves nothing half-made behind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from airflow.sdk import DAG

from airflow_ll.exceptions import HyperparameterError
from airflow_ll.operators import LinearLearnerRecordSetOperator, LinearLearnerTrainingOperator
from tests.operators.conftest import BUCKET, ROLE, RUNS_A_DAG, calls, connection, run_dag

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Runtime

pytestmark = RUNS_A_DAG

RECORDS = {"s3_data": f"s3://{BUCKET}/some/.amazon.manifest", "num_records": 10, "feature_dim": 2}


def objects(runtime: Runtime, location: str) -> list[str]:
    """Return the keys below a location."""
    bucket, prefix = location.removeprefix("s3://").split("/", 1)
    found = runtime.client("s3").list_objects_v2(Bucket=bucket, Prefix=prefix)
    return [item["Key"] for item in found.get("Contents", [])]


def upload(dag_id: str, path: Path, **arrays: Any) -> Any:
    """Return a DAG that uploads arrays."""
    location = arrays.pop("location")
    np.savez(path / "rows.npz", **arrays)
    with DAG(dag_id) as dag:
        LinearLearnerRecordSetOperator(
            task_id="upload",
            features=str(path / "rows.npz"),
            data_location=location,
            predictor_type="binary_classifier",
        )
    return dag


def test_a_wrong_hyperparameter_is_an_import_error_of_the_dag_file() -> None:
    with DAG("parsed"), pytest.raises(HyperparameterError, match="learning_rate") as told:
        LinearLearnerTrainingOperator(
            task_id="train",
            role=ROLE,
            records=RECORDS,
            hyperparameters={"predictor_type": "regressor", "learning_rate": -1, "epoch": 3},
        )
    assert "epochs" in str(told.value), "every fault is told at once, with the nearest known name"


def test_a_wrong_rendered_hyperparameter_fails_before_anything_is_created(
    aws: Runtime, dag_id: str, location: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with DAG(dag_id, params={"rate": "-1"}) as dag:
        LinearLearnerTrainingOperator(
            task_id="train",
            role=ROLE,
            records=RECORDS,
            output_path=location,
            hyperparameters={"predictor_type": "regressor", "learning_rate": "{{ params.rate }}"},
            retries=3,
        )
    ran = run_dag(dag)

    assert ran.states == {"train": "failed"}
    assert "AirflowFailException: learning_rate must be" in capsys.readouterr().out
    assert calls(aws, "CreateTrainingJob", dag_id.replace("_", "-")) == []


def test_labels_outside_0_and_1(
    aws: Runtime, dag_id: str, location: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ran = run_dag(
        upload(dag_id, tmp_path, location=location, features=np.ones((3, 2)), labels=np.array([0.0, 1.0, 2.0]))
    )

    assert ran.states == {"upload": "failed"}
    assert "Labels must be 0 or 1 for a binary_classifier, but 1 of 3 are not" in capsys.readouterr().out
    assert objects(aws, location) == []


def test_a_nan_feature(
    aws: Runtime, dag_id: str, location: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    features = np.ones((3, 2))
    features[1, 1] = np.nan
    ran = run_dag(upload(dag_id, tmp_path, location=location, features=features, labels=np.zeros(3)))

    assert ran.states == {"upload": "failed"}
    assert "the first is nan at row 1, column 1" in capsys.readouterr().out
    assert objects(aws, location) == []


def test_a_missing_bucket(aws: Runtime, dag_id: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ran = run_dag(
        upload(dag_id, tmp_path, location="s3://not-there/rows", features=np.ones((3, 2)), labels=np.zeros(3))
    )

    assert ran.states == {"upload": "failed"}
    assert (
        f"The S3 bucket 'not-there' does not exist at {aws.url} (the Airflow connection 'aws_default')"
        in capsys.readouterr().out
    )


def test_a_missing_output_bucket_is_told_before_a_job_is_created(
    aws: Runtime, dag_id: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with DAG(dag_id) as dag:
        LinearLearnerTrainingOperator(
            task_id="train",
            role=ROLE,
            records=RECORDS,
            output_path="s3://not-there/models",
            hyperparameters={"predictor_type": "regressor"},
        )
    assert run_dag(dag).states == {"train": "failed"}
    assert "The S3 bucket 'not-there' does not exist" in capsys.readouterr().out
    assert calls(aws, "CreateTrainingJob", dag_id.replace("_", "-")) == []


def test_a_file_system_channel_reaches_the_service_which_here_has_no_file_systems(
    aws: Runtime, dag_id: str, location: str, capsys: pytest.CaptureFixture[str]
) -> None:
    efs = {"file_system_id": "fs-0123456789abcdef0", "file_system_type": "EFS", "directory_path": "/rows"}
    with DAG(dag_id) as dag:
        LinearLearnerTrainingOperator(
            task_id="train",
            role=ROLE,
            records=[{**efs, "num_records": 100, "feature_dim": 2}],
            output_path=location,
            hyperparameters={"predictor_type": "regressor"},
            job_options={"subnets": ["subnet-0123456789abcdef0"], "security_group_ids": ["sg-0123456789abcdef0"]},
        )
    assert run_dag(dag).states == {"train": "failed"}
    told = capsys.readouterr().out
    assert "AWS refused CreateTrainingJob" in told
    assert "does not support data sources other than S3DataSource" in told


def test_an_unreachable_endpoint(
    aws: Runtime, dag_id: str, location: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", connection("http://127.0.0.1:9"))
    with DAG(dag_id) as dag:
        LinearLearnerTrainingOperator(
            task_id="train",
            role=ROLE,
            records=RECORDS,
            output_path=location,
            hyperparameters={"predictor_type": "regressor"},
            botocore_config={"retries": {"mode": "standard", "max_attempts": 1}},
        )
    assert run_dag(dag).states == {"train": "failed"}
    output = capsys.readouterr().out
    assert "Nothing answers at http://127.0.0.1:9/" in output
    assert "the endpoint of the Airflow connection 'aws_default'" in output


def test_a_customer_error_of_the_job_is_not_retried(
    aws: Runtime, dag_id: str, location: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = str(tmp_path / "rows.npz")
    np.savez(rows, features=np.ones((20, 2)), labels=np.full(20, 7.0))
    with DAG(dag_id) as dag:
        records = LinearLearnerRecordSetOperator(task_id="upload", features=rows, data_location=location)
        LinearLearnerTrainingOperator(
            task_id="train",
            role=ROLE,
            records=records.output,
            output_path=location,
            hyperparameters={"predictor_type": "binary_classifier", "epochs": 1},
            poll_interval=1,
            retries=2,
        )
    ran = run_dag(dag)

    assert ran.states == {"upload": "success", "train": "failed"}
    assert "AirflowFailException: The training job" in capsys.readouterr().out
    assert len(calls(aws, "CreateTrainingJob", dag_id.replace("_", "-"))) == 1


def test_an_unknown_option_is_refused_with_the_known_ones(
    aws: Runtime, dag_id: str, location: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with DAG(dag_id) as dag:
        LinearLearnerTrainingOperator(
            task_id="train",
            role=ROLE,
            records=RECORDS,
            output_path=location,
            hyperparameters={"predictor_type": "regressor"},
            job_options={"volume_kms": "key"},
        )
    assert run_dag(dag).states == {"train": "failed"}
    assert "TrainingJobSpec has no volume_kms: its fields are training_job_name," in capsys.readouterr().out
