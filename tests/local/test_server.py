"""The runtime as a process: how it starts, ends, and comes back after kill -9."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import psutil  # type: ignore[import-untyped]
import pytest
from botocore.exceptions import ClientError

from airflow_ll.exceptions import LinearLearnerError
from airflow_ll.local import boto_session
from airflow_ll.local.server import Options, run
from tests.local.support import (
    IMAGE,
    ROLE,
    long_training_request,
    training_ended,
    training_request,
    upload_training_data,
    wait_for,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Runtime


def children(data_dir: Path) -> list[int]:
    """Return the processes that work below a data directory."""
    return [
        process.pid
        for process in psutil.process_iter(["cmdline"])
        if any(word.startswith(f"{data_dir}/") for word in process.info["cmdline"] or [])
    ]


def serve_and_train(runtime: Runtime) -> None:
    """Bring up an endpoint ``scorer`` on the finished job ``done`` and leave the job ``running`` in training."""
    sagemaker = runtime.client("sagemaker")
    sagemaker.create_training_job(**training_request("done"))
    model_data = training_ended(runtime, "done")["ModelArtifacts"]["S3ModelArtifacts"]
    container = {"Image": IMAGE, "ModelDataUrl": model_data}
    sagemaker.create_model(ModelName="scorer", ExecutionRoleArn=ROLE, PrimaryContainer=container)
    variant = {
        "VariantName": "AllTraffic",
        "ModelName": "scorer",
        "InitialInstanceCount": 1,
        "InstanceType": "ml.m5.large",
    }
    sagemaker.create_endpoint_config(EndpointConfigName="scorer", ProductionVariants=[variant])
    sagemaker.create_endpoint(EndpointName="scorer", EndpointConfigName="scorer")
    wait_for(
        lambda: sagemaker.describe_endpoint(EndpointName="scorer"), lambda one: one["EndpointStatus"] == "InService"
    )
    sagemaker.create_training_job(**long_training_request("running"))
    wait_for(
        lambda: sagemaker.describe_training_job(TrainingJobName="running"),
        lambda job: job["SecondaryStatus"] == "Training",
    )


def score(runtime: Runtime) -> Any:
    answer = runtime.client("sagemaker-runtime").invoke_endpoint(
        EndpointName="scorer", Body=b"1,2,3,4,5\n", ContentType="text/csv"
    )
    return json.loads(answer["Body"].read())


def log_lines(runtime: Runtime, job: str) -> list[str]:
    logs = runtime.client("logs")
    events = logs.filter_log_events(logGroupName="/aws/sagemaker/TrainingJobs", logStreamNamePrefix=f"{job}/")["events"]
    return [event["message"] for event in events]


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.1", "example.com"])
def test_only_loopback_addresses_are_served(tmp_path: Path, host: str) -> None:
    with pytest.raises(LinearLearnerError, match=rf"--host {host} is refused, use 127\.0\.0\.1"):
        run(Options(tmp_path, host, 0))

    assert list(tmp_path.iterdir()) == []


def test_a_taken_port_is_one_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(LinearLearnerError, match=f"cannot listen on 127.0.0.1:{port}"):
            run(Options(tmp_path, "127.0.0.1", port))


def test_a_data_directory_serves_one_runtime_at_a_time(fresh_runtime: Callable[[], Runtime]) -> None:
    first = fresh_runtime()
    command = [sys.executable, "-m", "airflow_ll", "local", "--port", "0", "--data-dir", str(first.data_dir)]

    second = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert second.returncode == 2
    assert second.stdout == ""
    assert second.stderr == (
        f"airflow-ll: The data directory {first.data_dir} is in use by another embedded runtime "
        f"(process {first.process.pid} at {first.url}): stop that one or use another --data-dir.\n"
    )


def test_it_says_how_to_reach_it_while_it_runs(fresh_runtime: Callable[[], Runtime]) -> None:
    runtime = fresh_runtime()
    assert runtime.process.stdout is not None
    name, _, value = runtime.process.stdout.readline().strip().partition("=")
    connection = json.loads(value.strip("'"))
    state = json.loads((runtime.data_dir / "runtime.json").read_text())

    assert (name, connection["conn_type"]) == ("export AIRFLOW_CONN_AWS_DEFAULT", "aws")
    assert connection["extra"]["endpoint_url"] == runtime.url
    assert state == {"url": runtime.url, "pid": runtime.process.pid}
    runtime.stop()
    assert runtime.process.returncode == 0
    assert not (runtime.data_dir / "runtime.json").exists()


def test_one_line_a_call_in_the_access_log(fresh_runtime: Callable[[], Runtime]) -> None:
    runtime = fresh_runtime()
    sagemaker = runtime.client("sagemaker")
    with pytest.raises(ClientError):
        sagemaker.describe_training_job(TrainingJobName="nobody")
    runtime.client("s3").create_bucket(Bucket="data")
    runtime.stop()

    lines = [line.split() for line in (runtime.data_dir / "access.log").read_text().splitlines()]

    assert [line[1:5] for line in lines] == [
        ["sagemaker", "DescribeTrainingJob", "nobody", "400"],
        ["s3", "PUT", "/data", "200"],
    ]


def test_the_sts_of_the_sagemaker_sdk_stays_here(runtime: Runtime) -> None:
    session = boto_session(runtime.url)
    client = session.client("sts", region_name="us-east-1", endpoint_url="https://sts.us-east-1.amazonaws.com")

    assert client.get_caller_identity()["Account"] == "123456789012"
    assert session.resource("s3").meta.client.meta.endpoint_url == runtime.url


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_and_all_its_children(fresh_runtime: Callable[[], Runtime], number: signal.Signals) -> None:
    runtime = fresh_runtime()
    upload_training_data(runtime)
    serve_and_train(runtime)
    wait_for(lambda: children(runtime.data_dir), lambda pids: len(pids) == 2)  # Training begins before its process

    runtime.process.send_signal(number)

    assert runtime.process.wait(timeout=30) == 0
    wait_for(lambda: children(runtime.data_dir), lambda left: not left)  # by its watchdog, had it to end in a hurry
    assert (runtime.data_dir / "runtime.log").read_text() == ""


def test_kill_9_loses_nothing_that_was_acknowledged(fresh_runtime: Callable[[], Runtime]) -> None:
    runtime = fresh_runtime()
    upload_training_data(runtime)
    serve_and_train(runtime)
    sagemaker = runtime.client("sagemaker")
    workers = 2 * max(2, os.cpu_count() or 1)
    for position in range(workers):
        sagemaker.create_training_job(**long_training_request(f"filler-{position}"))
    sagemaker.create_training_job(**training_request("waiting"))
    done, lines, scored = (
        sagemaker.describe_training_job(TrainingJobName="done"),
        log_lines(runtime, "done"),
        score(runtime),
    )

    os.killpg(runtime.process.pid, signal.SIGKILL)
    runtime.process.wait()
    wait_for(lambda: children(runtime.data_dir), lambda left: not left)
    again = fresh_runtime()

    sagemaker = again.client("sagemaker")
    interrupted = sagemaker.describe_training_job(TrainingJobName="running")
    assert interrupted["TrainingJobStatus"] == "Failed"
    assert interrupted["FailureReason"] == (
        "InternalServerError: the embedded runtime ended while the job was in its phase Training. "
        "Please try again with a new job."
    )
    assert interrupted["TrainingEndTime"]
    kept = sagemaker.describe_training_job(TrainingJobName="done")
    assert {**kept, "ResponseMetadata": None} == {**done, "ResponseMetadata": None}
    assert log_lines(again, "done") == lines
    assert sagemaker.describe_endpoint(EndpointName="scorer")["EndpointStatus"] == "InService"
    assert score(again) == scored
    for position in range(workers):
        if sagemaker.describe_training_job(TrainingJobName=f"filler-{position}")["TrainingJobStatus"] == "InProgress":
            sagemaker.stop_training_job(TrainingJobName=f"filler-{position}")
    assert training_ended(again, "waiting")["TrainingJobStatus"] == "Completed"


def test_a_serving_process_that_died_is_started_again(fresh_runtime: Callable[[], Runtime]) -> None:
    runtime = fresh_runtime()
    upload_training_data(runtime)
    serve_and_train(runtime)
    scored = score(runtime)
    server = next(pid for pid in children(runtime.data_dir) if "/endpoints/" in " ".join(psutil.Process(pid).cmdline()))

    os.kill(server, signal.SIGKILL)
    wait_for(lambda: psutil.pid_exists(server), lambda alive: not alive)

    assert score(runtime) == scored


def test_a_newer_data_directory_is_refused(tmp_path: Path) -> None:
    import sqlite3

    from airflow_ll.local.store import Store

    connection = sqlite3.connect(tmp_path / "runtime.db")
    connection.execute("PRAGMA user_version = 99")
    connection.close()

    with pytest.raises(LinearLearnerError, match="was written by a newer airflow-ll"):
        Store(tmp_path / "runtime.db")
