"""Training jobs from Create to their end, through boto3 alone."""

from __future__ import annotations

import datetime as dt
import io
import os
import tarfile
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from airflow_ll.records import manifest_body
from tests.local.support import (
    channel,
    long_training_request,
    rows,
    training_ended,
    training_request,
    wait_for,
)

if TYPE_CHECKING:
    from tests.conftest import Runtime

LOG_GROUP = "/aws/sagemaker/TrainingJobs"


def test_a_completed_job_says_what_clients_read(trained: dict[str, Any]) -> None:
    statuses = [transition["Status"] for transition in trained["SecondaryStatusTransitions"]]
    messages = [transition["StatusMessage"] for transition in trained["SecondaryStatusTransitions"]]

    assert statuses == ["Starting", "Downloading", "Training", "Uploading", "Completed"]
    assert messages == [
        "Preparing the instances for training",
        "Downloading input data",
        "Training image download completed. Training in progress.",
        "Uploading generated training model",
        "Training job completed",
    ]
    assert trained["ModelArtifacts"] == {"S3ModelArtifacts": "s3://data/models/trained/output/model.tar.gz"}
    assert trained["OutputDataConfig"]["KmsKeyId"] == ""
    assert trained["TrainingStartTime"] <= trained["TrainingEndTime"]
    assert trained["BillableTimeInSeconds"] >= 1
    assert "Tags" not in trained


def test_the_model_is_a_real_artifact(data_runtime: Runtime, trained: dict[str, Any]) -> None:
    key = trained["ModelArtifacts"]["S3ModelArtifacts"].removeprefix("s3://data/")
    body = data_runtime.client("s3").get_object(Bucket="data", Key=key)["Body"].read()

    with tarfile.open(fileobj=io.BytesIO(body)) as archive:
        assert archive.getnames() == ["model_algo-1"]


def test_final_metrics_come_from_the_log(data_runtime: Runtime, trained: dict[str, Any]) -> None:
    final = {metric["MetricName"]: metric["Value"] for metric in trained["FinalMetricDataList"]}
    statistics = data_runtime.client("cloudwatch").get_metric_statistics(
        Namespace=LOG_GROUP,
        MetricName="train:progress",
        Dimensions=[{"Name": "TrainingJobName", "Value": "trained"}],
        StartTime=trained["TrainingStartTime"] - dt.timedelta(minutes=1),
        EndTime=trained["TrainingEndTime"] + dt.timedelta(minutes=1),
        Period=3600,
        Statistics=["Maximum"],
    )

    assert final["train:progress"] == 100
    assert final["train:objective_loss"] < 0.7
    assert final.keys() <= {one["Name"] for one in trained["AlgorithmSpecification"]["MetricDefinitions"]}
    assert max(point["Maximum"] for point in statistics["Datapoints"]) == 100


@pytest.mark.usefixtures("trained")
def test_logs_are_read_as_the_sdk_and_airflow_read_them(data_runtime: Runtime) -> None:
    logs = data_runtime.client("logs")
    streams = logs.describe_log_streams(
        logGroupName=LOG_GROUP, logStreamNamePrefix="trained/", orderBy="LogStreamName", limit=1
    )
    assert "nextToken" not in streams  # the SDK asks forever while there is one
    stream = {"logGroupName": LOG_GROUP, "logStreamName": streams["logStreams"][0]["logStreamName"]}

    first = logs.get_log_events(**stream, startFromHead=True)
    end = logs.get_log_events(**stream, startFromHead=True, nextToken=first["nextForwardToken"])
    newest = logs.get_log_events(**stream, limit=1)
    found = logs.filter_log_events(
        logGroupName=LOG_GROUP, logStreamNamePrefix="trained/", filterPattern='"#progress_metric"'
    )

    assert stream["logStreamName"].startswith("trained/algo-1-")
    assert any("#quality_metric: host=algo-1, train" in event["message"] for event in first["events"])
    assert (end["events"], end["nextForwardToken"]) == ([], first["nextForwardToken"])
    assert newest["events"] == first["events"][-1:]
    assert found["events"]
    assert all("#progress_metric" in event["message"] for event in found["events"])


@pytest.mark.usefixtures("trained")
def test_log_events_page_without_loss(data_runtime: Runtime) -> None:
    logs = data_runtime.client("logs")
    name = logs.describe_log_streams(logGroupName=LOG_GROUP, logStreamNamePrefix="trained/")["logStreams"][0]
    stream = {"logGroupName": LOG_GROUP, "logStreamName": name["logStreamName"]}
    whole = logs.get_log_events(**stream, startFromHead=True)["events"]

    paged: list[Any] = []
    answer = logs.get_log_events(**stream, startFromHead=True, limit=7)
    while answer["events"]:
        paged += answer["events"]
        answer = logs.get_log_events(**stream, limit=7, nextToken=answer["nextForwardToken"])

    assert paged == whole


def test_botos_waiter_ends(data_runtime: Runtime) -> None:
    sagemaker = data_runtime.client("sagemaker")
    sagemaker.create_training_job(**training_request("awaited"))

    waiter = sagemaker.get_waiter("training_job_completed_or_stopped")
    waiter.wait(TrainingJobName="awaited", WaiterConfig={"Delay": 1, "MaxAttempts": 200})

    assert sagemaker.describe_training_job(TrainingJobName="awaited")["TrainingJobStatus"] == "Completed"


def test_a_taken_name_is_refused(data_runtime: Runtime, trained: dict[str, Any]) -> None:
    sagemaker = data_runtime.client("sagemaker")

    with pytest.raises(sagemaker.exceptions.ResourceInUse) as refused:
        sagemaker.create_training_job(**training_request("trained"))

    assert refused.value.response["Error"]["Message"] == (
        "Training job names must be unique within an AWS account and region, "
        f"and a training job with this name already exists ({trained['TrainingJobArn']})"
    )


def test_a_manifest_and_two_instances_make_two_log_streams(data_runtime: Runtime) -> None:
    from airflow_ll.records import encode_records

    s3 = data_runtime.client("s3")
    for number in range(2):
        s3.put_object(Bucket="data", Key=f"sharded/part_{number}.pbr", Body=encode_records(*rows(200, seed=number)))
    body = manifest_body("s3://data/sharded/", ["part_0.pbr", "part_1.pbr"])
    s3.put_object(Bucket="data", Key="sharded/.amazon.manifest", Body=body)
    request = training_request(
        "sharded",
        InputDataConfig=[channel("train", "s3://data/sharded/.amazon.manifest", "ManifestFile")],
        ResourceConfig={"InstanceCount": 2, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 30},
    )
    data_runtime.client("sagemaker").create_training_job(**request)

    assert training_ended(data_runtime, "sharded")["TrainingJobStatus"] == "Completed"
    streams = data_runtime.client("logs").describe_log_streams(
        logGroupName=LOG_GROUP, logStreamNamePrefix="sharded/", limit=2
    )["logStreams"]
    assert [one["logStreamName"].split("-")[1] for one in streams] == ["1", "2"]


def test_a_manifest_of_missing_objects_fails_the_job(data_runtime: Runtime) -> None:
    body = manifest_body("s3://data/gone/", ["part_0.pbr"])
    data_runtime.client("s3").put_object(Bucket="data", Key="gone/.amazon.manifest", Body=body)
    inputs = [channel("train", "s3://data/gone/.amazon.manifest", "ManifestFile")]
    data_runtime.client("sagemaker").create_training_job(**training_request("gone", InputDataConfig=inputs))

    description = training_ended(data_runtime, "gone")

    assert description["TrainingJobStatus"] == "Failed"
    assert description["FailureReason"].startswith("ClientError: Data download failed:NoSuchKey (404): ")
    assert description["TrainingEndTime"]


def test_a_customers_error_is_a_client_error(data_runtime: Runtime) -> None:
    parameters = training_request("wrong")["HyperParameters"] | {"feature_dim": "9"}
    data_runtime.client("sagemaker").create_training_job(**training_request("wrong", HyperParameters=parameters))

    description = training_ended(data_runtime, "wrong")

    assert description["TrainingJobStatus"] == "Failed"
    assert description["FailureReason"].startswith("ClientError: ")
    assert "Traceback" not in description["FailureReason"]
    assert "ModelArtifacts" not in description or not description["ModelArtifacts"]


def test_a_running_job_stops_and_frees_its_process(data_runtime: Runtime) -> None:
    sagemaker = data_runtime.client("sagemaker")
    sagemaker.create_training_job(**long_training_request("stopped"))
    wait_for(
        lambda: sagemaker.describe_training_job(TrainingJobName="stopped"),
        lambda job: job["SecondaryStatus"] == "Training",
    )

    sagemaker.stop_training_job(TrainingJobName="stopped")
    assert sagemaker.describe_training_job(TrainingJobName="stopped")["TrainingJobStatus"] in ("Stopping", "Stopped")
    description = training_ended(data_runtime, "stopped")

    assert (description["TrainingJobStatus"], description["SecondaryStatus"]) == ("Stopped", "Stopped")
    assert description["TrainingEndTime"]
    with pytest.raises(ClientError, match="The request was rejected because the training job is in status Stopped"):
        sagemaker.stop_training_job(TrainingJobName="stopped")


def test_a_job_ends_at_its_time_limit(data_runtime: Runtime) -> None:
    request = long_training_request("limited", StoppingCondition={"MaxRuntimeInSeconds": 1})
    data_runtime.client("sagemaker").create_training_job(**request)

    description = training_ended(data_runtime, "limited")

    assert (description["TrainingJobStatus"], description["SecondaryStatus"]) == ("Stopped", "MaxRuntimeExceeded")


def test_a_queued_job_stops_at_once(data_runtime: Runtime) -> None:
    sagemaker = data_runtime.client("sagemaker")
    names = [f"queued-{number}" for number in range(10 + 2 * (os.cpu_count() or 1))]  # more than the workers
    try:
        for name in names:
            sagemaker.create_training_job(**long_training_request(name))
        sagemaker.stop_training_job(TrainingJobName=names[-1])
        description = sagemaker.describe_training_job(TrainingJobName=names[-1])
    finally:
        for name in names[:-1]:
            sagemaker.stop_training_job(TrainingJobName=name)
        for name in names:
            training_ended(data_runtime, name)

    assert description["TrainingJobStatus"] == "Stopped"
    assert [one["Status"] for one in description["SecondaryStatusTransitions"]] == ["Starting", "Stopping", "Stopped"]


@pytest.mark.usefixtures("trained")
def test_lists_filter_sort_and_page(data_runtime: Runtime) -> None:
    sagemaker = data_runtime.client("sagemaker")
    for number in range(3):
        sagemaker.create_training_job(**training_request(f"listed-{number}"))
    for number in range(3):
        training_ended(data_runtime, f"listed-{number}")

    pages = sagemaker.get_paginator("list_training_jobs").paginate(
        NameContains="LISTED", SortBy="Name", SortOrder="Descending", PaginationConfig={"PageSize": 2}
    )
    names = [[job["TrainingJobName"] for job in page["TrainingJobSummaries"]] for page in pages]
    failed = sagemaker.list_training_jobs(NameContains="listed", StatusEquals="Failed")

    assert names == [["listed-2", "listed-1"], ["listed-0"]]
    assert failed["TrainingJobSummaries"] == []
    assert "NextToken" not in failed


def test_tags_are_kept_added_and_deleted(data_runtime: Runtime, trained: dict[str, Any]) -> None:
    sagemaker = data_runtime.client("sagemaker")
    arn = trained["TrainingJobArn"]

    assert {"Key": "owner", "Value": "tests"} in sagemaker.list_tags(ResourceArn=arn)["Tags"]
    sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": "stage", "Value": "dev"}])
    sagemaker.delete_tags(ResourceArn=arn, TagKeys=["stage"])
    assert sagemaker.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "owner", "Value": "tests"}]
