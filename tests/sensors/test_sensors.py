"""Sensors end with their resource: well, or with what went wrong."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from airflow.sdk import DAG

from airflow_ll.hooks import LinearLearnerHook
from airflow_ll.hooks.record_sets import upload_record_set
from airflow_ll.hyperparameters import LinearLearnerHyperparameters
from airflow_ll.requests import TrainingJobSpec, image_uri, training_job
from airflow_ll.sensors import (
    LinearLearnerEndpointSensor,
    LinearLearnerRecordSetSensor,
    LinearLearnerTrainingSensor,
    LinearLearnerTransformSensor,
)
from airflow_ll.triggers import (
    LinearLearnerEndpointTrigger,
    LinearLearnerRecordSetTrigger,
    LinearLearnerTrainingTrigger,
    LinearLearnerTransformTrigger,
)
from tests.operators.conftest import ROLE, RUNS_A_DAG, aws, dag_id, location, metadata, run_dag

if TYPE_CHECKING:
    from tests.conftest import Runtime

__all__ = ["aws", "dag_id", "location", "metadata"]

pytestmark = RUNS_A_DAG


def start(aws: Runtime, name: str, location: str, **hyperparameters: Any) -> None:
    """Start a training job that no DAG knows of."""
    uploaded = upload_record_set(LinearLearnerHook(), np.eye(40, 3), np.arange(40.0) % 2, data_location=location)
    request = training_job(
        TrainingJobSpec(
            training_job_name=name,
            role=ROLE,
            image_uri=image_uri("us-east-1"),
            hyperparameters=LinearLearnerHyperparameters(predictor_type="regressor", **hyperparameters),
            channels=[uploaded.record_set],
            output_path=location,
        )
    )
    aws.client("sagemaker").create_training_job(**request)


@pytest.mark.parametrize("deferrable", [False, True], ids=["sync", "deferrable"])
def test_a_training_job_is_awaited(aws: Runtime, dag_id: str, location: str, *, deferrable: bool) -> None:
    job = dag_id.replace("_", "-")
    start(aws, job, location, epochs=2)
    with DAG(dag_id) as dag:
        LinearLearnerTrainingSensor(
            task_id="wait", training_job_name=job, poke_interval=0.5, timeout=240, deferrable=deferrable
        )
    ran = run_dag(dag)

    assert ran.states == {"wait": "success"}
    assert ran.result("wait") == {"training_job_name": job, "status": "Completed"}


@pytest.mark.parametrize("deferrable", [False, True], ids=["sync", "deferrable"])
def test_a_stopped_training_job_fails_the_sensor(
    aws: Runtime, dag_id: str, location: str, *, deferrable: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    job = dag_id.replace("_", "-")
    start(aws, job, location, epochs=1_000_000, early_stopping_patience=2_000_000)
    aws.client("sagemaker").stop_training_job(TrainingJobName=job)
    with DAG(dag_id) as dag:
        LinearLearnerTrainingSensor(
            task_id="wait", training_job_name=job, poke_interval=0.5, timeout=240, deferrable=deferrable
        )

    assert run_dag(dag).states == {"wait": "failed"}
    assert "was stopped before its end: somebody stopped it" in capsys.readouterr().out


@pytest.mark.parametrize("deferrable", [False, True], ids=["sync", "deferrable"])
@pytest.mark.parametrize(
    "sensor", [LinearLearnerTrainingSensor, LinearLearnerTransformSensor, LinearLearnerEndpointSensor]
)
def test_what_does_not_exist_yet_is_waited_for_until_the_timeout(
    aws: Runtime, dag_id: str, sensor: Any, *, deferrable: bool
) -> None:
    with DAG(dag_id) as dag:
        sensor(
            task_id="wait",
            **{sensor.resource.argument: "not-there"},
            poke_interval=0.2,
            timeout=1,
            deferrable=deferrable,
        )
    assert run_dag(dag).states == {"wait": "failed"}


@pytest.mark.parametrize("deferrable", [False, True], ids=["sync", "deferrable"])
def test_a_record_set_is_there_with_its_manifest(aws: Runtime, dag_id: str, location: str, *, deferrable: bool) -> None:
    uploaded = upload_record_set(LinearLearnerHook(), np.eye(4), data_location=location, instance_count=2)
    s3_data = uploaded.record_set.s3_data
    settings: dict[str, Any] = {"poke_interval": 0.2, "deferrable": deferrable}
    with DAG(dag_id) as dag:
        LinearLearnerRecordSetSensor(task_id="there", s3_data=s3_data, timeout=120, **settings)
        LinearLearnerRecordSetSensor(task_id="gone", s3_data=f"{location}/gone", timeout=1, **settings)
    ran = run_dag(dag)

    assert ran.states == {"there": "success", "gone": "failed"}
    assert ran.result("there") == {"s3_data": s3_data, "shards": 2}


def test_a_trigger_sees_the_manifest_appear(aws: Runtime, location: str) -> None:
    async def event_after(upload: Any, trigger: LinearLearnerRecordSetTrigger) -> Any:
        waiting = asyncio.ensure_future(anext(trigger.run()))
        await asyncio.sleep(0.3)
        assert not waiting.done()
        upload()
        return (await waiting).payload

    hook, uri = LinearLearnerHook(), f"{location}/set/.amazon.manifest"
    trigger = LinearLearnerRecordSetTrigger(uri, poll_interval=0.1, wait_for_creation=True)
    event = asyncio.run(event_after(lambda: hook.write(uri, b"[]"), trigger))
    assert (event["status"], event["name"]) == ("ended", uri)


@pytest.mark.parametrize(
    "trigger",
    [
        LinearLearnerEndpointTrigger,
        LinearLearnerRecordSetTrigger,
        LinearLearnerTrainingTrigger,
        LinearLearnerTransformTrigger,
    ],
)
def test_a_trigger_survives_a_move_to_another_triggerer(trigger: Any) -> None:
    first = trigger("name", aws_conn_id="ours", deadline=12.5, stop_on_kill=True, carry={"adopted": True})
    path, arguments = first.serialize()
    module, _, name = path.rpartition(".")
    moved = getattr(__import__(module, fromlist=[name]), name)(**json.loads(json.dumps(arguments)))

    assert moved.serialize() == first.serialize()
