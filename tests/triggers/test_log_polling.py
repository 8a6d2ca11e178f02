"""The logs of many jobs are read together: every line once, in order, and each by who waits for its job."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from airflow_ll.hooks.log_survey import JobLog
from airflow_ll.hooks.logs import GROUP
from airflow_ll.hooks.resources import TRAINING_JOB
from airflow_ll.hyperparameters import LinearLearnerHyperparameters
from airflow_ll.requests import TrainingJobSpec, image_uri, training_job
from airflow_ll.triggers import LinearLearnerTrainingTrigger
from airflow_ll.triggers.poller import subscribe_to_log
from tests.hooks.conftest import hook, location
from tests.operators.conftest import ROLE, calls
from tests.triggers.test_poller import prefix

if TYPE_CHECKING:
    from airflow_ll.hooks import LinearLearnerHook
    from tests.conftest import Runtime

__all__ = ["hook", "location", "prefix"]

JOBS, INSTANCES = 6, 2
SETTINGS = {"aws_conn_id": "aws_default", "region_name": None, "verify": None, "botocore_config": None}


@pytest.fixture
def jobs(hook: LinearLearnerHook, location: str, prefix: str) -> list[str]:
    """Short training jobs of two instances."""
    rows = hook.upload_record_set(np.eye(40, 3), np.arange(40.0) % 2, data_location=location).record_set
    names = [f"{prefix}-{number}" for number in range(JOBS)]
    for name in names:
        spec = TrainingJobSpec(
            training_job_name=name,
            role=ROLE,
            image_uri=image_uri("us-east-1"),
            hyperparameters=LinearLearnerHyperparameters(predictor_type="regressor", epochs=3, num_models=1),
            channels=[rows],
            output_path=location,
            instance_count=INSTANCES,
        )
        hook.create(TRAINING_JOB, training_job(spec))
    return names


def cloudwatch(runtime: Runtime, job: str) -> dict[str, list[str]]:
    """Return what each stream of a job has."""
    client = runtime.client("logs")
    streams = client.describe_log_streams(logGroupName=GROUP, logStreamNamePrefix=f"{job}/")["logStreams"]
    written = {}
    for stream in streams:
        name = stream["logStreamName"]
        answer = client.get_log_events(logGroupName=GROUP, logStreamName=name, startFromHead=True)
        written[name] = [event["message"] for event in answer["events"]]
    return written


def test_every_line_of_many_jobs_is_read_once_in_order(
    runtime: Runtime, hook: LinearLearnerHook, jobs: list[str]
) -> None:
    readings_told: list[str] = []

    async def follow(job: str, ended: asyncio.Future[float]) -> dict[str, list[str]]:
        read: dict[str, list[str]] = {}
        async with subscribe_to_log(JobLog(job, INSTANCES), SETTINGS, 1.0) as readings:
            while True:
                begun, events = await readings.next()
                readings_told.append(job)
                for event in events:
                    read.setdefault(event.stream, []).append(event.message)
                if begun is not None and ended.done() and begun > ended.result():
                    return read

    async def wait() -> list[dict[str, list[str]]]:
        ended: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        following = [asyncio.ensure_future(follow(job, ended)) for job in jobs]
        await asyncio.gather(*(anext(LinearLearnerTrainingTrigger(job, poll_interval=1.0).run()) for job in jobs))
        ended.set_result(time.monotonic())
        return await asyncio.gather(*following)

    before = len(calls(runtime, "FilterLogEvents"))
    for job, read in zip(jobs, asyncio.run(wait()), strict=True):
        assert read == cloudwatch(runtime, job)
        assert any("#quality_metric" in line for lines in read.values() for line in lines)
    assert 0 < len(calls(runtime, "FilterLogEvents")) - before < len(readings_told) / 2, "a call is for several jobs"


def test_a_trigger_logs_up_to_the_end_of_its_job(
    runtime: Runtime, jobs: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    async def wait() -> list[Any]:
        triggers = (LinearLearnerTrainingTrigger(job, instance_count=INSTANCES) for job in jobs[:2])
        return await asyncio.gather(*(anext(trigger.run()) for trigger in triggers))

    assert [one.payload["status"] for one in asyncio.run(wait())] == ["ended", "ended"]
    logged = capsys.readouterr().out
    for job in jobs[:2]:
        for stream, lines in cloudwatch(runtime, job).items():
            assert f"[{stream.rsplit('/', 1)[1].rsplit('-', 1)[0]}] {lines[-1]}" in logged
    assert "Progress: epoch 3 of 3, train objective" in logged
