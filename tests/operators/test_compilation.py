"""A model is compiled for the machines that serve it, and only for those."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from airflow.sdk import DAG

from airflow_ll.hooks import LinearLearnerHook
from airflow_ll.operators import (
    LinearLearnerCompileOperator,
    LinearLearnerDeployOperator,
    LinearLearnerPredictOperator,
    LinearLearnerRecordSetOperator,
    LinearLearnerTeardownOperator,
    LinearLearnerTrainingOperator,
)
from airflow_ll.sensors import LinearLearnerCompilationSensor
from tests.operators.conftest import ROLE, RUNS_A_DAG, calls, run_dag

if TYPE_CHECKING:
    from tests.conftest import Runtime

pytestmark = RUNS_A_DAG


def compiled(dag_id: str, rows: str, location: str, instance_type: str, *, deferrable: bool) -> Any:
    """Return a DAG that trains, compiles for ml_c5 and deploys what was compiled."""
    waiting: dict[str, Any] = {"poll_interval": 1, "deferrable": deferrable}
    with DAG(dag_id) as dag:
        records = LinearLearnerRecordSetOperator(task_id="upload", features=rows, data_location=location)
        training: Any = LinearLearnerTrainingOperator(
            task_id="train",
            role=ROLE,
            records=records.output,
            output_path=location,
            hyperparameters={
                "predictor_type": "binary_classifier",
                "epochs": 30,
                "learning_rate": 0.1,
                "num_models": 1,
            },
            tags={"team": "ml"},
            **waiting,
        )
        compilation: Any = LinearLearnerCompileOperator(
            task_id="compile",
            training_job_name=training.output["training_job_name"],
            target_instance_family="ml_c5",
            output_path=f"{location}/compiled",
            compile_max_run=600,
            **waiting,
        )
        deployment: Any = LinearLearnerDeployOperator(
            task_id="deploy",
            training_job_name=training.output["training_job_name"],
            compilation_job_name=compilation.output["compilation_job_name"],
            instance_type=instance_type,
            **waiting,
        )
        predictions = LinearLearnerPredictOperator(
            task_id="predict", endpoint_name=deployment.output["endpoint_name"], features=rows, output_path=location
        )
        teardown = LinearLearnerTeardownOperator(task_id="teardown", delete_artifacts=True).as_teardown(setups=training)
        deployment >> predictions >> teardown
    return dag


@pytest.mark.parametrize("deferrable", [False, True], ids=["sync", "deferrable"])
def test_a_compiled_model_serves(aws: Runtime, dag_id: str, rows: str, location: str, *, deferrable: bool) -> None:
    ran = run_dag(compiled(dag_id, rows, location, "ml.c5.large", deferrable=deferrable))

    assert ran.state == "success", ran.states
    compilation, training = ran.result("compile"), ran.result("train")
    assert (compilation["status"], compilation["target_device"]) == ("COMPLETED", "ml_c5")
    assert compilation["model_data"].startswith(f"{location}/compiled")
    assert compilation["image_uri"] != training["image_uri"]
    assert compilation["compilation_end_time"] >= compilation["compilation_start_time"]
    predicted = [one["predicted_label"] for one in ran.result("predict")["predictions"]]
    assert np.mean(predicted == np.load(rows)["labels"][:100]) > 0.9
    assert len(calls(aws, "CreateCompilationJob", compilation["compilation_job_name"])) == 1
    deleted = ran.result("teardown")["deleted"]
    assert deleted[3:] == [f"{location}/{training['training_job_name']}/", compilation["model_data"]]
    left = [key for uri in deleted[3:] for key in LinearLearnerHook().keys(uri)]
    assert left == []


def test_a_model_compiled_for_other_machines_is_refused(
    aws: Runtime, dag_id: str, rows: str, location: str, capsys: pytest.CaptureFixture[str]
) -> None:
    ran = run_dag(compiled(dag_id, rows, location, "ml.m5.large", deferrable=False))

    assert ran.states["deploy"] == "failed"
    assert "compiled for ml_c5, and instance_type is 'ml.m5.large': compile for ml_m5" in capsys.readouterr().out
    assert calls(aws, "CreateModel", dag_id.replace("_", "-")) == []
    job = ran.result("compile")["compilation_job_name"]
    with DAG(f"{dag_id}_waits") as dag:
        for deferrable in (False, True):
            LinearLearnerCompilationSensor(
                task_id=f"wait_{deferrable}", compilation_job_name=job, poke_interval=0.5, deferrable=deferrable
            )
    assert set(run_dag(dag).states.values()) == {"success"}


def test_what_a_compilation_needs_is_told_before_aws_is_asked(
    aws: Runtime, dag_id: str, location: str, capsys: pytest.CaptureFixture[str]
) -> None:
    LinearLearnerHook().write(f"{location}/model.tar.gz", b"")
    with DAG(dag_id) as dag:
        LinearLearnerCompileOperator(
            task_id="nothing", target_instance_family="ml_c5", model_data=f"{location}/model.tar.gz", role=ROLE
        )
        LinearLearnerCompileOperator(
            task_id="platform",
            target_platform={"OS": "LINUX"},
            model_data=f"{location}/model.tar.gz",
            role=ROLE,
            feature_dim=3,
        )
    assert set(run_dag(dag).states.values()) == {"failed"}
    out = capsys.readouterr().out
    assert "A compilation job needs training_job_name, or else model_data, role and feature_dim" in out
    assert "target_platform has os, arch and accelerator, got OS" in out
    assert calls(aws, "CreateCompilationJob", dag_id.replace("_", "-")) == []
