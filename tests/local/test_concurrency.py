"""Many calls at once, and the end of the runtime in the middle of them."""

from __future__ import annotations

import datetime as dt
import http.client
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from airflow_ll.local.metrics import parse_metrics
from airflow_ll.local.processes import kill_leftovers
from airflow_ll.local.store import Store
from tests.conftest import start_runtime
from tests.local.support import long_training_request, upload_training_data, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Runtime

CALLERS = 60  # more than the threads that answer


def samples(client: Any, job: str) -> float:
    """Return how many values of train:progress CloudWatch has of a job."""
    now = dt.datetime.now(dt.UTC)
    answer = client.get_metric_statistics(
        Namespace="/aws/sagemaker/TrainingJobs",
        MetricName="train:progress",
        Dimensions=[{"Name": "TrainingJobName", "Value": job}],
        StartTime=now - dt.timedelta(hours=1),
        EndTime=now + dt.timedelta(hours=1),
        Period=3600,
        Statistics=["SampleCount"],
    )
    return float(sum(point["SampleCount"] for point in answer["Datapoints"]))


def test_many_first_readers_of_metrics_do_not_wait_for_each_other(
    tmp_path: Path, fresh_runtime: Callable[[], Runtime]
) -> None:
    (tmp_path / "runtime").mkdir()
    store = Store(tmp_path / "runtime" / "runtime.db")
    store.add_metrics("kept", [("train:progress", float(value), time.time()) for value in range(700)])
    store.close()
    client = fresh_runtime().client("cloudwatch", max_pool_connections=CALLERS, read_timeout=200)

    with ThreadPoolExecutor(CALLERS) as callers:
        counts = list(callers.map(lambda _: samples(client, "kept"), range(CALLERS)))

    assert counts == [700] * CALLERS


def test_metrics_of_a_running_job_are_all_published(data_runtime: Runtime) -> None:
    sagemaker, cloudwatch = data_runtime.client("sagemaker"), data_runtime.client("cloudwatch")
    sagemaker.create_training_job(**long_training_request("live"))
    try:
        first = wait_for(lambda: samples(cloudwatch, "live"), bool)
        later = wait_for(lambda: samples(cloudwatch, "live"), lambda count: count > first)
    finally:
        sagemaker.stop_training_job(TrainingJobName="live")

    assert later > first


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "None"])
def test_what_is_no_number_is_no_metric(value: str) -> None:
    line = "#quality_metric: host=algo-1, epoch=0, train binary_classification_cross_entropy_objective <loss>={}"

    assert list(parse_metrics(line.format(value))) == []
    assert list(parse_metrics(line.format("0.5"))) == [("train:objective_loss", 0.5)]


@pytest.mark.parametrize(
    ("call", "arguments"),
    [
        (("iam", "get_mfa_device"), {"SerialNumber": "device-of-nobody"}),
        (("cloudwatch", "get_metric_stream"), {"Name": "nobody"}),
    ],
)
def test_what_moto_does_not_know_is_not_retried(runtime: Runtime, call: tuple[str, str], arguments: Any) -> None:
    service, operation = call
    with pytest.raises(ClientError, match="cannot answer this call") as refused:
        getattr(runtime.client(service), operation)(**arguments)

    assert refused.value.response["Error"]["Code"] == "UnknownOperationException"


def test_the_bodies_and_answers_of_moto_are_bounded_to_us(runtime: Runtime) -> None:
    connection = http.client.HTTPConnection(runtime.url.removeprefix("http://"), timeout=60)
    scope = "AWS4-HMAC-SHA256 Credential=k/20260101/us-east-1/sts/aws4_request, Signature=0"
    headers = {"Authorization": scope, "Content-Type": "application/x-www-form-urlencoded"}
    answers = []
    try:
        for body in (b"Action=GetCallerIdentity&Version=2011-06-15", b"x" * (33 << 20)):
            connection.request("POST", "/", body, headers)
            answer = connection.getresponse()
            answer.read()
            answers.append((answer.status, answer.getheader("Access-Control-Allow-Origin")))
    finally:
        connection.close()

    assert answers == [(200, None), (400, None)]


def test_the_roles_that_are_created_are_found(runtime: Runtime) -> None:
    iam = runtime.client("iam")
    iam.create_role(RoleName="trainer", AssumeRolePolicyDocument="{}")

    assert iam.get_role(RoleName="trainer")["Role"]["Arn"] == "arn:aws:iam::123456789012:role/trainer"


def test_an_earlier_runtimes_learners_are_killed_and_nothing_else(tmp_path: Path) -> None:
    nested = start_runtime(tmp_path / "nested")
    try:
        kill_leftovers(tmp_path)
        assert nested.client("sagemaker").list_models()["Models"] == []
    finally:
        nested.stop()


def test_a_terminated_runtime_leaves_no_half_trained_model(
    tmp_path: Path, fresh_runtime: Callable[[], Runtime]
) -> None:
    runtime = fresh_runtime()
    upload_training_data(runtime)
    sagemaker = runtime.client("sagemaker")
    sagemaker.create_training_job(**long_training_request("interrupted"))
    wait_for(
        lambda: sagemaker.describe_training_job(TrainingJobName="interrupted"),
        lambda job: job["SecondaryStatus"] == "Training",
    )
    wait_for(lambda: samples(runtime.client("cloudwatch"), "interrupted"), bool)  # a model could be saved by now
    runtime.process.send_signal(signal.SIGTERM)
    assert runtime.process.wait(timeout=30) == 0

    again = fresh_runtime()
    job = again.client("sagemaker").describe_training_job(TrainingJobName="interrupted")

    assert (job["TrainingJobStatus"], job["ModelArtifacts"]) == ("Failed", {})
    assert job["FailureReason"].startswith("InternalServerError: the embedded runtime ended while the job was in its")
    assert list((tmp_path / "runtime").glob("jobs/*")) == []
    assert (tmp_path / "runtime" / "runtime.log").read_text() == ""


def test_callers_that_wait_do_not_hold_up_the_end(tmp_path: Path) -> None:
    """An endpoint whose model does not arrive keeps its callers waiting, right after a restart."""
    store = Store(tmp_path / "runtime.db")
    variant = {"VariantName": "v", "Weight": 1.0, "InstanceCount": 1, "ModelData": "s3://data/model.tar.gz"}
    variant["Image"] = "i"
    plan = {"Id": "p", "EndpointConfigName": "c", "Variants": [variant]}
    body = {"EndpointName": "slow", "EndpointStatus": "InService", "_Deployment": plan}
    store.create("endpoint", "slow", "arn:slow", "InService", body)
    store.close()
    with socket.create_server(("127.0.0.1", 0)) as mute, ThreadPoolExecutor(CALLERS) as callers:
        endpoint = f"http://127.0.0.1:{mute.getsockname()[1]}"
        runtime = start_runtime(tmp_path, "--s3-endpoint", endpoint, AWS_ACCESS_KEY_ID="a", AWS_SECRET_ACCESS_KEY="b")
        try:
            client = runtime.client("sagemaker-runtime", max_pool_connections=CALLERS)
            waiting = [callers.submit(was_answered, client) for _ in range(CALLERS)]
            mute.accept()[0].close()  # the runtime asks for the model: nobody is answered before it is there
            assert runtime.client("sagemaker").list_models()["Models"] == []  # others are answered meanwhile
            runtime.process.send_signal(signal.SIGTERM)
            assert runtime.process.wait(timeout=30) == 0
        finally:
            runtime.process.kill()
            runtime.stop()
        assert not any(one.result() for one in waiting)


def was_answered(client: Any) -> bool:
    """Return whether an invocation was answered."""
    try:
        client.invoke_endpoint(EndpointName="slow", Body=b"1", ContentType="text/csv")
    except (ClientError, BotoCoreError):
        return False
    return True
