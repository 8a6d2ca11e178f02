"""Tuning jobs through boto3: real training jobs, their objectives, their end; kill and restart."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from airflow_ll.local.early_stopping import hopeless
from airflow_ll.records import encode_records
from tests.local.support import (
    channel,
    long_training_request,
    rows,
    training_request,
    upload_training_data,
    wait_for,
)
from tests.local.tuning_support import USE_BIAS, WD, tuning_request

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Runtime


def tuning_ended(runtime: Runtime, name: str, seconds: float = 600) -> dict[str, Any]:
    """Wait for the end of a tuning job and return its description."""
    sagemaker = runtime.client("sagemaker")
    description: dict[str, Any] = wait_for(
        lambda: sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=name),
        lambda job: job["HyperParameterTuningJobStatus"] in ("Completed", "Failed", "Stopped"),
        seconds,
    )
    return description


def trained_jobs(runtime: Runtime, name: str, **request: Any) -> list[dict[str, Any]]:
    """Return all training jobs of a tuning job, page by page."""
    pages = runtime.client("sagemaker").get_paginator("list_training_jobs_for_hyper_parameter_tuning_job")
    found = pages.paginate(HyperParameterTuningJobName=name, PaginationConfig={"PageSize": 3}, **request)
    return [job for page in found for job in page["TrainingJobSummaries"]]


@pytest.fixture(scope="module")
def tuned(data_runtime: Runtime) -> dict[str, Any]:
    """The description of a tuning job that ran."""
    data_runtime.client("sagemaker").create_hyper_parameter_tuning_job(**tuning_request("tuned"))
    return tuning_ended(data_runtime, "tuned")


def test_a_tuning_job_trains_within_its_limits_and_finds_the_best(data_runtime: Runtime, tuned: dict[str, Any]) -> None:
    jobs = trained_jobs(data_runtime, "tuned")

    assert tuned["HyperParameterTuningJobStatus"] == "Completed", tuned.get("FailureReason")
    assert tuned["TrainingJobStatusCounters"] == {
        "Completed": 4,
        "InProgress": 0,
        "RetryableError": 0,
        "NonRetryableError": 0,
        "Stopped": 0,
    }
    assert tuned["ObjectiveStatusCounters"] == {"Succeeded": 4, "Pending": 0, "Failed": 0}
    assert tuned["HyperParameterTuningEndTime"] >= tuned["CreationTime"]
    assert len(jobs) == 4
    values = [job["FinalHyperParameterTuningJobObjectiveMetric"]["Value"] for job in jobs]
    best = tuned["BestTrainingJob"]
    assert best["FinalHyperParameterTuningJobObjectiveMetric"] == {
        "Type": "Minimize",
        "MetricName": "validation:objective_loss",
        "Value": min(values),
    }
    assert best["TunedHyperParameters"].keys() == {"wd", "use_bias", "mini_batch_size"}
    assert best == jobs[values.index(min(values))]
    assert "OverallBestTrainingJob" not in tuned  # that of warm starts
    for job in jobs:
        assert 1e-7 <= float(job["TunedHyperParameters"]["wd"]) <= 1
        assert 100 <= int(job["TunedHyperParameters"]["mini_batch_size"]) <= 200
        assert job["ObjectiveStatus"] == "Succeeded"


def test_its_training_jobs_are_real_ones_of_one_model(data_runtime: Runtime, tuned: dict[str, Any]) -> None:
    sagemaker = data_runtime.client("sagemaker")
    best = tuned["BestTrainingJob"]
    job = sagemaker.describe_training_job(TrainingJobName=best["TrainingJobName"])

    assert job["TuningJobArn"] == tuned["HyperParameterTuningJobArn"]
    assert job["HyperParameters"] == tuned["TrainingJobDefinition"]["StaticHyperParameters"] | best[
        "TunedHyperParameters"
    ] | {"_tuning_objective_metric": "validation:objective_loss"}
    assert best["TrainingJobName"].startswith("tuned-00")
    assert sagemaker.list_tags(ResourceArn=best["TrainingJobArn"])["Tags"] == [{"Key": "owner", "Value": "tests"}]
    log = data_runtime.client("logs").filter_log_events(
        logGroupName="/aws/sagemaker/TrainingJobs",
        logStreamNamePrefix=best["TrainingJobName"],
        filterPattern='"train_binary_classification_cross_entropy_objective"',
    )["events"]
    assert log
    assert all('"model": 0' in event["message"] for event in log)  # num_models is 2 in the request


def test_its_training_jobs_are_listed_in_any_order(data_runtime: Runtime, tuned: dict[str, Any]) -> None:
    by_name = trained_jobs(data_runtime, "tuned", SortOrder="Descending")
    by_value = trained_jobs(data_runtime, "tuned", SortBy="FinalObjectiveMetricValue")
    failed = trained_jobs(data_runtime, "tuned", StatusEquals="Failed")

    names = [job["TrainingJobName"] for job in by_name]
    values = [job["FinalHyperParameterTuningJobObjectiveMetric"]["Value"] for job in by_value]
    assert names == sorted(names, reverse=True)
    assert len(names) == 4
    assert values == sorted(values)
    assert by_value[0]["TrainingJobName"] == tuned["BestTrainingJob"]["TrainingJobName"]
    assert failed == []


def test_lists_show_the_strategy(data_runtime: Runtime, tuned: dict[str, Any]) -> None:
    sagemaker = data_runtime.client("sagemaker")
    (found,) = sagemaker.list_hyper_parameter_tuning_jobs(NameContains="tuned", StatusEquals="Completed")[
        "HyperParameterTuningJobSummaries"
    ]

    assert (found["Strategy"], found["ResourceLimits"]["MaxNumberOfTrainingJobs"]) == ("Random", 4)
    assert found["TrainingJobStatusCounters"] == tuned["TrainingJobStatusCounters"]


def test_a_seed_repeats_the_search(data_runtime: Runtime) -> None:
    limits = {"MaxNumberOfTrainingJobs": 2, "MaxParallelTrainingJobs": 1}
    for name in ("seeded-1", "seeded-2"):
        data_runtime.client("sagemaker").create_hyper_parameter_tuning_job(
            **tuning_request(name, RandomSeed=7, ResourceLimits=limits)
        )
    for name in ("seeded-1", "seeded-2"):
        assert tuning_ended(data_runtime, name)["HyperParameterTuningJobStatus"] == "Completed"

    first, second = (trained_jobs(data_runtime, name) for name in ("seeded-1", "seeded-2"))
    assert [job["TunedHyperParameters"] for job in first] == [job["TunedHyperParameters"] for job in second]


def test_the_grid_trains_every_combination(data_runtime: Runtime) -> None:
    ranges = {"CategoricalParameterRanges": [USE_BIAS, {"Name": "wd", "Values": ["0.001", "0.1"]}]}
    static = training_request("x")["HyperParameters"]
    request = tuning_request(
        "grid",
        definition={"StaticHyperParameters": static},
        Strategy="Grid",
        ParameterRanges=ranges,
        ResourceLimits={"MaxParallelTrainingJobs": 4},
        HyperParameterTuningJobObjective={"Type": "Maximize", "MetricName": "validation:roc_auc_score"},
    )
    data_runtime.client("sagemaker").create_hyper_parameter_tuning_job(**request)

    description = tuning_ended(data_runtime, "grid")
    jobs = trained_jobs(data_runtime, "grid")

    assert description["HyperParameterTuningJobStatus"] == "Completed", [job.get("FailureReason") for job in jobs]
    assert sorted(tuple(job["TunedHyperParameters"].values()) for job in jobs) == [
        ("False", "0.001"),
        ("False", "0.1"),
        ("True", "0.001"),
        ("True", "0.1"),
    ]
    best = description["BestTrainingJob"]["FinalHyperParameterTuningJobObjectiveMetric"]
    assert best["Value"] == max(job["FinalHyperParameterTuningJobObjectiveMetric"]["Value"] for job in jobs)


def test_a_bayesian_search_ends_at_its_target(data_runtime: Runtime) -> None:
    criteria = {"TargetObjectiveMetricValue": 100.0}  # any loss is below
    request = tuning_request("target", Strategy="Bayesian", TuningJobCompletionCriteria=criteria)
    data_runtime.client("sagemaker").create_hyper_parameter_tuning_job(**request)

    description = tuning_ended(data_runtime, "target")

    assert description["HyperParameterTuningJobStatus"] == "Completed"
    assert 1 <= description["TrainingJobStatusCounters"]["Completed"] < 4
    assert description["HyperParameterTuningJobConfig"]["TuningJobCompletionCriteria"] == criteria


@pytest.mark.parametrize("early_stopping", ["Auto", "Off"])
def test_early_stopping_ends_a_hopeless_job(data_runtime: Runtime, early_stopping: str) -> None:
    epochs = 1500
    name = f"early-{early_stopping}"
    static = training_request("x")["HyperParameters"] | {"epochs": str(epochs), "early_stopping_patience": "1000000"}
    rates = {"Name": "learning_rate", "Values": ["0.05", "1e-9"]}  # the second one learns nothing
    request = tuning_request(
        name,
        definition={"StaticHyperParameters": static},
        Strategy="Grid",
        ParameterRanges={"CategoricalParameterRanges": [rates]},
        ResourceLimits={"MaxParallelTrainingJobs": 1},
        TrainingJobEarlyStoppingType=early_stopping,
    )
    data_runtime.client("sagemaker").create_hyper_parameter_tuning_job(**request)

    description = tuning_ended(data_runtime, name)
    good, bad = trained_jobs(data_runtime, name)
    ended = data_runtime.client("sagemaker").describe_training_job(TrainingJobName=bad["TrainingJobName"])
    log = data_runtime.client("logs").filter_log_events(
        logGroupName="/aws/sagemaker/TrainingJobs",
        logStreamNamePrefix=bad["TrainingJobName"],
        filterPattern='"validation binary_classification_cross_entropy_objective"',
    )["events"]

    stopped = early_stopping == "Auto"
    assert description["HyperParameterTuningJobStatus"] == "Completed"
    assert description["TrainingJobStatusCounters"]["Completed"] == 2 - stopped
    assert description["TrainingJobStatusCounters"]["Stopped"] == int(stopped)
    assert description["ObjectiveStatusCounters"] == {"Succeeded": 2, "Pending": 0, "Failed": 0}
    assert description["BestTrainingJob"]["TrainingJobName"] == good["TrainingJobName"]
    assert good["TrainingJobStatus"] == "Completed"
    assert bad["TunedHyperParameters"] == {"learning_rate": "1e-9"}
    assert bad["FinalHyperParameterTuningJobObjectiveMetric"]["Value"] == pytest.approx(0.693, abs=0.05)
    assert ended["SecondaryStatus"] == bad["TrainingJobStatus"] == ("Stopped" if stopped else "Completed")
    assert ended["ModelArtifacts"]["S3ModelArtifacts"].startswith("s3://data/tuned/")
    assert (0 < len(log) < epochs) == stopped


@pytest.mark.parametrize(
    ("losses", "ended", "stop"),
    [
        ([], [[1.0]], False),
        ([9.0], [], False),
        ([9.0], [[]], False),
        ([1.0], [[1.0]], False),  # not worse
        ([1.1], [[1.0, 0.1]], True),  # held against the first epoch
        ([1.1, 0.7], [[1.0, 0.2]], True),  # against the average, 0.6
        ([1.1, 0.5], [[1.0, 0.2]], False),
        ([2.0], [[1.0], [3.0], [5.0]], False),  # the median, not the best
        ([4.0], [[1.0], [3.0], [5.0]], True),
        ([0.0, 0.0, 2.5], [[3.0, 1.0]], True),  # of a job that ended in fewer epochs all count
    ],
)
def test_the_median_rule(losses: list[float], ended: list[list[float]], stop: bool) -> None:
    assert hopeless(losses, ended) is stop


def test_a_metric_that_no_job_has_fails_it(data_runtime: Runtime) -> None:
    request = tuning_request(
        "silent",
        definition={"InputDataConfig": [channel("train", "s3://data/train/")]},
        ResourceLimits={"MaxNumberOfTrainingJobs": 1, "MaxParallelTrainingJobs": 1},
    )
    data_runtime.client("sagemaker").create_hyper_parameter_tuning_job(**request)

    description = tuning_ended(data_runtime, "silent")

    assert description["HyperParameterTuningJobStatus"] == "Failed"
    assert description["FailureReason"].startswith("No objective metrics found after running 1 training jobs.")
    assert description["ObjectiveStatusCounters"] == {"Succeeded": 0, "Pending": 0, "Failed": 1}
    assert "BestTrainingJob" not in description


def test_failing_jobs_fail_it(data_runtime: Runtime) -> None:
    static = tuning_request("x")["TrainingJobDefinition"]["StaticHyperParameters"] | {"feature_dim": "9"}
    request = tuning_request(
        "failing",
        definition={"StaticHyperParameters": static},
        ResourceLimits={"MaxNumberOfTrainingJobs": 2, "MaxParallelTrainingJobs": 1},
    )
    data_runtime.client("sagemaker").create_hyper_parameter_tuning_job(**request)

    description = tuning_ended(data_runtime, "failing")

    assert description["HyperParameterTuningJobStatus"] == "Failed"
    assert description["FailureReason"].startswith("All training jobs failed.")
    assert description["TrainingJobStatusCounters"]["NonRetryableError"] == 2


def long_tuning_request(name: str, **config: Any) -> dict[str, Any]:
    """Return a tuning job whose training jobs go on until somebody stops them."""
    static = long_training_request("x")["HyperParameters"]
    ranges = {"ContinuousParameterRanges": [WD]}
    return tuning_request(name, definition={"StaticHyperParameters": static}, ParameterRanges=ranges, **config)


def test_stop_ends_its_training_jobs(data_runtime: Runtime) -> None:
    sagemaker = data_runtime.client("sagemaker")
    sagemaker.create_hyper_parameter_tuning_job(**long_tuning_request("stopped-tuning"))
    wait_for(lambda: trained_jobs(data_runtime, "stopped-tuning"), lambda jobs: len(jobs) == 2)

    sagemaker.stop_hyper_parameter_tuning_job(HyperParameterTuningJobName="stopped-tuning")
    description = tuning_ended(data_runtime, "stopped-tuning")

    assert description["HyperParameterTuningJobStatus"] == "Stopped"
    assert description["TrainingJobStatusCounters"]["Stopped"] == 2
    assert {job["TrainingJobStatus"] for job in trained_jobs(data_runtime, "stopped-tuning")} == {"Stopped"}
    with pytest.raises(ClientError, match="because the hyperparameter tuning job is in status Stopped"):
        sagemaker.stop_hyper_parameter_tuning_job(HyperParameterTuningJobName="stopped-tuning")

    sagemaker.delete_hyper_parameter_tuning_job(HyperParameterTuningJobName="stopped-tuning")
    with pytest.raises(sagemaker.exceptions.ResourceNotFound, match="can't find a tuning job"):
        sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName="stopped-tuning")


def test_a_running_one_is_not_deleted(data_runtime: Runtime) -> None:
    sagemaker = data_runtime.client("sagemaker")
    sagemaker.create_hyper_parameter_tuning_job(**long_tuning_request("running-tuning"))
    try:
        with pytest.raises(ClientError, match="because the hyperparameter tuning job is in status InProgress"):
            sagemaker.delete_hyper_parameter_tuning_job(HyperParameterTuningJobName="running-tuning")
    finally:
        sagemaker.stop_hyper_parameter_tuning_job(HyperParameterTuningJobName="running-tuning")
        tuning_ended(data_runtime, "running-tuning")


def test_it_survives_a_killed_runtime(fresh_runtime: Callable[[], Runtime]) -> None:
    first = fresh_runtime()
    upload_training_data(first)
    first.client("s3").put_object(Bucket="data", Key="train/part-1.pbr", Body=encode_records(*rows(4000)))
    static = tuning_request("x")["TrainingJobDefinition"]["StaticHyperParameters"] | {"epochs": "200"}
    request = tuning_request("durable", definition={"StaticHyperParameters": static})
    first.client("sagemaker").create_hyper_parameter_tuning_job(**request)
    sagemaker = first.client("sagemaker")
    wait_for(
        lambda: [
            sagemaker.describe_training_job(TrainingJobName=job["TrainingJobName"])["SecondaryStatus"]
            for job in sagemaker.list_training_jobs()["TrainingJobSummaries"]
        ],
        lambda statuses: "Training" in statuses or "Completed" in statuses,
    )
    os.kill(first.process.pid, signal.SIGKILL)
    first.process.wait()

    second = fresh_runtime()
    description = tuning_ended(second, "durable")

    assert description["HyperParameterTuningJobStatus"] == "Completed"
    counters = description["TrainingJobStatusCounters"]
    assert counters["Completed"] == 4
    assert counters["Stopped"] == counters["NonRetryableError"] == 0
    completed = [job for job in trained_jobs(second, "durable") if job["TrainingJobStatus"] == "Completed"]
    assert sorted(job["TrainingJobName"][:11] for job in completed) == [f"durable-{n:03d}" for n in range(1, 5)]


def test_a_taken_name_is_refused_in_awss_words(data_runtime: Runtime, tuned: dict[str, Any]) -> None:
    sagemaker = data_runtime.client("sagemaker")

    with pytest.raises(sagemaker.exceptions.ResourceInUse) as error:
        sagemaker.create_hyper_parameter_tuning_job(**tuning_request("tuned"))

    assert tuned["HyperParameterTuningJobName"] == "tuned"
    assert error.value.response["Error"]["Message"] == (
        "A hyperparameter tuning job with the name, tuned, already exists. Choose a different name."
    )
