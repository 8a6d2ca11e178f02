"""Interrupted training jobs go on from their checkpoints; limits of time and memory hold."""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from airflow_ll.local.faults import write_rules
from airflow_ll.local.instances import memory_bytes
from airflow_ll.local.processes import Processes
from tests.local.support import (
    long_training_request,
    training_ended,
    training_request,
    upload_training_data,
    wait_for,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.conftest import Runtime

LOG_GROUP = "/aws/sagemaker/TrainingJobs"
GOES_ON = "The checkpoint is of this job: training goes on from it."
STOPPING = {"MaxRuntimeInSeconds": 600, "MaxWaitTimeInSeconds": 1200}


def checkpointed_request(name: str, epochs: int, **changes: Any) -> dict[str, Any]:
    """Return a training job of many short epochs that keeps checkpoints."""
    parameters = training_request(name)["HyperParameters"] | {
        "epochs": str(epochs),
        "early_stopping_patience": "1000000",
        "mini_batch_size": "2",
    }
    config = {"CheckpointConfig": {"S3Uri": f"s3://data/checkpoints/{name}"}}
    return training_request(name, HyperParameters=parameters, **(config | changes))


def log_of(runtime: Runtime, name: str) -> list[str]:
    """Return all lines that a job logged, which is one stream also after a restart."""
    logs = runtime.client("logs")
    (stream,) = logs.describe_log_streams(logGroupName=LOG_GROUP, logStreamNamePrefix=f"{name}/")["logStreams"]
    pages = logs.get_paginator("filter_log_events").paginate(
        logGroupName=LOG_GROUP, logStreamNames=[stream["logStreamName"]]
    )
    return [event["message"] for page in pages for event in page["events"]]


def wait_for_line(runtime: Runtime, name: str, line: str) -> None:
    """Wait until a job has logged a line."""
    logs = runtime.client("logs")
    wait_for(
        lambda: logs.filter_log_events(
            logGroupName=LOG_GROUP, logStreamNamePrefix=f"{name}/", filterPattern=f'"{line}"'
        )["events"],
        bool,
    )


def wait_for_checkpoint(runtime: Runtime, name: str) -> None:
    """Wait until a job that runs has a checkpoint on S3."""
    s3, sagemaker = runtime.client("s3"), runtime.client("sagemaker")
    wait_for(
        lambda: s3.list_objects_v2(Bucket="data", Prefix=f"checkpoints/{name}/"), lambda found: found["KeyCount"] > 0
    )
    assert sagemaker.describe_training_job(TrainingJobName=name)["SecondaryStatus"] == "Training"


def wait_for_training(runtime: Runtime, name: str) -> float:
    """Wait until a job trains and return since when, in seconds since the epoch."""
    job = wait_for(
        lambda: runtime.client("sagemaker").describe_training_job(TrainingJobName=name),
        lambda job: job["SecondaryStatus"] == "Training",
    )
    return float(job["SecondaryStatusTransitions"][-1]["StartTime"].timestamp())


def phases(job: dict[str, Any]) -> list[str]:
    return [one["Status"] for one in job["SecondaryStatusTransitions"]]


def test_checkpoints_are_in_step_with_s3(data_runtime: Runtime) -> None:
    data_runtime.client("sagemaker").create_training_job(**checkpointed_request("kept", 3))

    assert training_ended(data_runtime, "kept")["TrainingJobStatus"] == "Completed"
    found = data_runtime.client("s3").list_objects_v2(Bucket="data", Prefix="checkpoints/kept/")["Contents"]
    assert [one["Key"] for one in found] == ["checkpoints/kept/linear-learner.npz"]

    # The same job under another name goes on from where the first ended, with more epochs.
    uri = {"S3Uri": "s3://data/checkpoints/kept"}
    data_runtime.client("sagemaker").create_training_job(**checkpointed_request("kept-longer", 5, CheckpointConfig=uri))
    assert training_ended(data_runtime, "kept-longer")["TrainingJobStatus"] == "Completed"
    log = log_of(data_runtime, "kept-longer")
    assert any(GOES_ON in line for line in log)
    assert sum("#throughput_metric" in line for line in log) == 2


@pytest.fixture
def faults(data_runtime: Runtime) -> Iterator[Callable[..., None]]:
    """A function that gives the shared runtime fault rules, which are gone afterwards."""
    yield lambda *rules: write_rules(data_runtime.data_dir, rules)
    write_rules(data_runtime.data_dir, [])


def test_a_spot_job_goes_on_where_it_was_interrupted(data_runtime: Runtime, faults: Callable[..., None]) -> None:
    # A slow machine has no checkpoint by the first interruption, so each leaves more time than the one before.
    faults(*(f"spot-interruption resource=reclaimed times=1 seconds={seconds}" for seconds in (5, 10, 20, 40)))
    request = checkpointed_request("reclaimed", 100_000, EnableManagedSpotTraining=True, StoppingCondition=STOPPING)
    data_runtime.client("sagemaker").create_training_job(**request)

    job = wait_for(
        lambda: data_runtime.client("sagemaker").describe_training_job(TrainingJobName="reclaimed"),
        lambda job: phases(job).count("Training") >= 2 or "TrainingEndTime" in job,
        180,
    )
    assert phases(job)[:7] == [
        *("Starting", "Downloading", "Training", "Interrupted"),
        *("Starting", "Downloading", "Training"),
    ]
    wait_for_line(data_runtime, "reclaimed", GOES_ON)
    data_runtime.client("sagemaker").stop_training_job(TrainingJobName="reclaimed")
    assert training_ended(data_runtime, "reclaimed")["TrainingJobStatus"] in ("Stopped", "Completed")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("spot", [True, False])
def test_jobs_go_on_after_a_restart(fresh_runtime: Callable[[], Runtime], number: signal.Signals, spot: bool) -> None:
    first = fresh_runtime()
    upload_training_data(first)
    changes = {"EnableManagedSpotTraining": True, "StoppingCondition": STOPPING} if spot else {}
    sagemaker = first.client("sagemaker")
    sagemaker.create_training_job(**checkpointed_request("durable", 100_000, **changes))
    wait_for_checkpoint(first, "durable")
    os.kill(first.process.pid, number)
    first.process.wait()

    second = fresh_runtime()
    sagemaker = second.client("sagemaker")
    wait_for_line(second, "durable", GOES_ON)
    description = sagemaker.describe_training_job(TrainingJobName="durable")
    sagemaker.stop_training_job(TrainingJobName="durable")
    ended = training_ended(second, "durable")

    assert phases(description)[:5] == [
        *("Starting", "Downloading", "Training"),
        *("Interrupted" if spot else "Restarting", "Starting"),
    ]
    assert description["TrainingStartTime"] == ended["TrainingStartTime"]
    assert ended["TrainingJobStatus"] == "Stopped"
    assert ended["ModelArtifacts"]["S3ModelArtifacts"]  # a stopped trainer keeps what it has


def test_the_time_of_training_counts_on_after_a_restart(fresh_runtime: Callable[[], Runtime]) -> None:
    limit, before, away = 16, 10, 6
    first = fresh_runtime()
    upload_training_data(first)
    request = checkpointed_request("limited", 1_000_000, StoppingCondition={"MaxRuntimeInSeconds": limit})
    first.client("sagemaker").create_training_job(**request)
    started = wait_for_training(first, "limited")
    time.sleep(max(0.0, started + before - time.time()))
    os.kill(first.process.pid, signal.SIGKILL)
    first.process.wait()
    time.sleep(away)

    second = fresh_runtime()
    job = training_ended(second, "limited")

    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "MaxRuntimeExceeded")
    last = [phase for phase in job["SecondaryStatusTransitions"] if phase["Status"] == "Training"][-1]
    # Without the first part it would be the whole limit.
    assert (last["EndTime"] - last["StartTime"]).total_seconds() < limit - before / 2
    whole = (job["TrainingEndTime"] - job["TrainingStartTime"]).total_seconds()
    assert job["TrainingTimeInSeconds"] == job["BillableTimeInSeconds"] <= whole - away + 1


def test_a_retry_strategy_begins_again_after_a_restart(fresh_runtime: Callable[[], Runtime]) -> None:
    first = fresh_runtime()
    upload_training_data(first)
    sagemaker = first.client("sagemaker")
    sagemaker.create_training_job(**long_training_request("retried", RetryStrategy={"MaximumRetryAttempts": 1}))
    sagemaker.create_training_job(**long_training_request("given-up"))
    for name in ("retried", "given-up"):
        wait_for(
            lambda name=name: sagemaker.describe_training_job(TrainingJobName=name),
            lambda job: job["SecondaryStatus"] == "Training",
        )
    os.kill(first.process.pid, signal.SIGKILL)
    first.process.wait()

    second = fresh_runtime()
    sagemaker = second.client("sagemaker")
    retried = wait_for(
        lambda: sagemaker.describe_training_job(TrainingJobName="retried"),
        lambda job: phases(job).count("Training") == 2,
    )
    given_up = training_ended(second, "given-up")
    sagemaker.stop_training_job(TrainingJobName="retried")

    assert "Restarting" in phases(retried)
    assert given_up["TrainingJobStatus"] == "Failed"
    assert given_up["FailureReason"].startswith("InternalServerError: the embedded runtime ended while the job was in")
    assert training_ended(second, "retried")["TrainingJobStatus"] == "Stopped"


def test_a_checkpoint_bucket_that_is_not_there_is_the_customers(data_runtime: Runtime) -> None:
    request = checkpointed_request("nowhere", 2, CheckpointConfig={"S3Uri": "s3://no-such-bucket/checkpoints"})
    data_runtime.client("sagemaker").create_training_job(**request)

    description = training_ended(data_runtime, "nowhere")

    assert description["TrainingJobStatus"] == "Failed"
    assert description["FailureReason"].startswith("ClientError: Unable to read the checkpoints at s3://no-such-bucket")


def test_a_spot_job_ends_when_its_time_to_wait_is_over(data_runtime: Runtime) -> None:
    stopping = {"MaxRuntimeInSeconds": 3, "MaxWaitTimeInSeconds": 3}
    request = long_training_request("impatient", EnableManagedSpotTraining=True, StoppingCondition=stopping)
    data_runtime.client("sagemaker").create_training_job(**request)

    description = training_ended(data_runtime, "impatient")

    # The wait counts from the creation, the run from the start of training: the wait is over first.
    assert (description["TrainingJobStatus"], description["SecondaryStatus"]) == ("Stopped", "MaxWaitTimeExceeded")


INVALID_WAIT = "Invalid MaxWaitTimeInSeconds. It must be present and be greater than or equal to MaxRuntimeInSeconds"
WAITS: list[tuple[dict[str, Any], str]] = [
    (
        {"StoppingCondition": STOPPING},
        "Invalid MaxWaitTimeInSeconds. It is only supported when EnableManagedSpotTraining is set to true",
    ),
    ({"EnableManagedSpotTraining": True}, INVALID_WAIT),
    (
        {
            "EnableManagedSpotTraining": True,
            "StoppingCondition": {"MaxRuntimeInSeconds": 60, "MaxWaitTimeInSeconds": 59},
        },
        INVALID_WAIT,
    ),
]


@pytest.mark.parametrize(("changes", "message"), WAITS, ids=range(len(WAITS)))
def test_a_wrong_time_to_wait_is_refused(data_runtime: Runtime, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ClientError) as refused:
        data_runtime.client("sagemaker").create_training_job(**training_request("refused", **changes))

    assert refused.value.response["Error"] == {"Code": "ValidationException", "Message": message}


@pytest.mark.parametrize(
    ("instance_type", "gib"),
    [
        ("ml.m5.large", 8),
        ("ml.c5.xlarge", 8),
        ("ml.r5.2xlarge", 64),
        ("ml.c5d.18xlarge", 144),
        ("ml.t3.medium", 4),
        ("ml.p3.2xlarge", None),
    ],
)
def test_an_instance_type_has_its_memory(instance_type: str, gib: int | None) -> None:
    assert memory_bytes(instance_type) == (None if gib is None else gib << 30)


@pytest.mark.skipif(sys.platform != "linux", reason="prlimit is Linux's")
def test_a_process_cannot_hold_more_than_its_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # It begins when the limit is there.
    code = (
        "import resource, time\n"
        "while resource.getrlimit(resource.RLIMIT_DATA)[0] == resource.RLIM_INFINITY: time.sleep(0.01)\n"
        "blocks = [bytearray(1 << 20) for _ in range(600)]\n"
        "print('held')"
    )
    monkeypatch.setattr("airflow_ll.local.processes._LEARNER", (sys.executable, "-c"))
    processes, said = Processes(), dict[int, str]()
    try:
        for mib in (300, 2000):
            child = processes.start([code], tmp_path, memory=mib << 20)
            said[mib] = "\n".join(line for lines in child.lines() for line in lines)
            child.process.wait()
            processes.forget(child)
    finally:
        processes.end_all(0)

    assert "MemoryError" in said[300]
    assert said[2000] == "held"
