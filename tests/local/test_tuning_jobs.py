"""Tuning jobs through boto3: real training jobs, their objectives, their end; what is refused; kill and restart."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from airflow_ll.records import encode_records
from tests.local.support import (
    IMAGE,
    ROLE,
    channel,
    long_training_request,
    rows,
    training_request,
    upload_training_data,
    wait_for,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Runtime

WD = {"Name": "wd", "MinValue": "1e-7", "MaxValue": "1", "ScalingType": "Logarithmic"}
USE_BIAS = {"Name": "use_bias", "Values": ["True", "False"]}
BATCH = {"Name": "mini_batch_size", "MinValue": "100", "MaxValue": "200"}


def tuning_request(name: str, *, definition: dict[str, Any] | None = None, **config: Any) -> dict[str, Any]:
    """Return a tuning job of four small training jobs, with changes to its definition and configuration."""
    training = training_request("unused")
    static = {key: value for key, value in training["HyperParameters"].items() if key != "mini_batch_size"}
    settings = {
        "Strategy": "Random",
        "HyperParameterTuningJobObjective": {"Type": "Minimize", "MetricName": "validation:objective_loss"},
        "ResourceLimits": {"MaxNumberOfTrainingJobs": 4, "MaxParallelTrainingJobs": 2},
        "ParameterRanges": {
            "ContinuousParameterRanges": [WD],
            "CategoricalParameterRanges": [USE_BIAS],
            "IntegerParameterRanges": [BATCH],
        },
        "TrainingJobEarlyStoppingType": "Off",
    } | config
    return {
        "HyperParameterTuningJobName": name,
        "HyperParameterTuningJobConfig": {key: value for key, value in settings.items() if value is not None},
        "TrainingJobDefinition": {
            "AlgorithmSpecification": {"TrainingImage": IMAGE, "TrainingInputMode": "File"},
            "RoleArn": ROLE,
            "InputDataConfig": [channel("train", "s3://data/train/"), channel("validation", "s3://data/train/")],
            "OutputDataConfig": {"S3OutputPath": "s3://data/tuned/"},
            "ResourceConfig": training["ResourceConfig"],
            "StoppingCondition": {"MaxRuntimeInSeconds": 600},
            "StaticHyperParameters": static,
        }
        | (definition or {}),
        "Tags": [{"Key": "owner", "Value": "tests"}],
    }


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


def null(path: str) -> str:
    constraint = "failed to satisfy constraint: Member must not be null"
    return f"1 validation error detected: Value null at '{path}' {constraint}"


CONFIG = "hyperParameterTuningJobConfig"


def continuous(**changes: str) -> dict[str, Any]:
    return {"ParameterRanges": {"ContinuousParameterRanges": [WD | changes]}}


def objective(metric: str, direction: str) -> dict[str, Any]:
    return {"HyperParameterTuningJobObjective": {"Type": direction, "MetricName": metric}}


REFUSALS: list[tuple[dict[str, Any], str]] = [
    ({"HyperParameterTuningJobObjective": None}, null(f"{CONFIG}.hyperParameterTuningJobObjective")),
    ({"ParameterRanges": None}, null(f"{CONFIG}.parameterRanges")),
    (
        {"ResourceLimits": {"MaxParallelTrainingJobs": 1}},
        null(f"{CONFIG}.resourceLimits.maxNumberOfTrainingJobs"),
    ),
    (
        objective("validation:objective_loss", "Maximize"),
        (
            "The objective metric type, [Maximize], that you specified for objective metric, "
            f"[validation:objective_loss], isn't valid for the [{IMAGE}] algorithm. "
            "Choose a valid objective metric type."
        ),
    ),
    (
        objective("validation:accuracy", "Maximize"),
        (
            "The objective metric for the hyperparameter tuning job, [validation:accuracy], isn't valid for the "
            f"[{IMAGE}] algorithm. Choose a valid objective metric."
        ),
    ),
    (
        {
            "ParameterRanges": {"IntegerParameterRanges": [BATCH | {"MinValue": "100", "MaxValue": "102"}]},
            "ResourceLimits": {"MaxNumberOfTrainingJobs": 10, "MaxParallelTrainingJobs": 1},
        },
        (
            "You don't have enough combinations of hyperparameter ranges. The total number of hyperparameter "
            "combinations for the provided ranges [3.0] must be equal or greater than the value of MaxNumberOfJobs, "
            "[10]. Provide additional ranges."
        ),
    ),
    ({"ParameterRanges": {}}, "A hyperparameter tuning job needs 1 to 30 hyperparameter ranges, got 0."),
    (
        {"ParameterRanges": {"ContinuousParameterRanges": [WD, WD]}},
        "The hyperparameter wd has more than one range: give it one.",
    ),
    (
        {"ParameterRanges": {"CategoricalParameterRanges": [{"Name": "predictor_type", "Values": ["regressor"]}]}},
        "The hyperparameter predictor_type is in StaticHyperParameters and has a range: remove it from one of them.",
    ),
    (
        {"ParameterRanges": {"ContinuousParameterRanges": [WD | {"Name": "mini_batch_size"}]}},
        "The hyperparameter mini_batch_size is an integer: it cannot be in ContinuousParameterRanges.",
    ),
    (continuous(MinValue="low"), "MinValue of the hyperparameter wd must be a number, got 'low'."),
    (continuous(MaxValue="nan"), "MaxValue of the hyperparameter wd must be a number, got 'nan'."),
    (
        continuous(MinValue="0.5", MaxValue="0.1"),
        "MinValue of the hyperparameter wd, 0.5, is larger than MaxValue, 0.1.",
    ),
    (
        continuous(MinValue="-1", ScalingType="Linear"),
        "The range of the hyperparameter wd must be within >= 0, got -1 to 1.",
    ),
    (
        continuous(MinValue="0"),
        "Logarithmic scaling of the hyperparameter wd needs a range above 0, got MinValue 0.",
    ),
    (
        continuous(ScalingType="ReverseLogarithmic"),
        (
            "ReverseLogarithmic scaling of the hyperparameter wd needs a continuous range within 0 <= x < 1.0, "
            "got 1e-7 to 1."
        ),
    ),
    (
        {"ParameterRanges": {"CategoricalParameterRanges": [USE_BIAS | {"Values": ["perhaps"]}]}},
        "The value 'perhaps' of the hyperparameter use_bias must be True or False.",
    ),
    (
        {"Strategy": "Grid"},
        "The Grid strategy searches CategoricalParameterRanges only: list the values to try.",
    ),
    (
        {"Strategy": "Grid", "ParameterRanges": {"CategoricalParameterRanges": [USE_BIAS]}},
        "MaxNumberOfTrainingJobs must be the number of combinations, 2, for the Grid strategy, or be left out, got 4.",
    ),
    (
        {"ResourceLimits": {"MaxNumberOfTrainingJobs": 2, "MaxParallelTrainingJobs": 3}},
        "MaxParallelTrainingJobs, 3, must not be larger than MaxNumberOfTrainingJobs, 2.",
    ),
    (
        {"Strategy": "Hyperband"},
        "The embedded runtime does not support the strategy Hyperband yet. Use Bayesian, Random or Grid.",
    ),
    (
        {"Strategy": "Evolution"},
        (
            f"1 validation error detected: Value 'Evolution' at '{CONFIG}.strategy' failed to satisfy constraint: "
            "Member must satisfy enum value set: [Bayesian, Random, Hyperband, Grid]"
        ),
    ),
]


@pytest.mark.parametrize(("config", "message"), REFUSALS, ids=range(len(REFUSALS)))
def test_create_refuses(data_runtime: Runtime, config: dict[str, Any], message: str) -> None:
    refused(data_runtime, tuning_request("refused", **config), message)


DEFINITION_REFUSALS: list[tuple[dict[str, Any], str]] = [
    ({"TrainingJobDefinition": None}, null("trainingJobDefinition")),
    (
        {"WarmStartConfig": {"ParentHyperParameterTuningJobs": [], "WarmStartType": "TransferLearning"}},
        (
            "1 validation error detected: Value '[]' at 'warmStartConfig.parentHyperParameterTuningJobs' failed to "
            "satisfy constraint: Member must have length greater than or equal to 1"
        ),
    ),
    (
        {
            "WarmStartConfig": {
                "ParentHyperParameterTuningJobs": [{"HyperParameterTuningJobName": "tuned"}],
                "WarmStartType": "TransferLearning",
            }
        },
        "The embedded runtime does not support WarmStartConfig yet. Start without parent tuning jobs.",
    ),
    (
        {"Autotune": {"Mode": "Enabled"}},
        "The embedded runtime does not support Autotune yet. Give the ranges.",
    ),
]


@pytest.mark.parametrize(("changes", "message"), DEFINITION_REFUSALS, ids=range(len(DEFINITION_REFUSALS)))
def test_create_refuses_beyond_the_configuration(data_runtime: Runtime, changes: dict[str, Any], message: str) -> None:
    request = tuning_request("refused") | changes
    refused(data_runtime, {key: value for key, value in request.items() if value is not None}, message)


def test_a_training_job_that_could_not_be_is_refused_with_its_path(data_runtime: Runtime) -> None:
    resources = {"InstanceType": "ml.m5.large", "InstanceCount": 0, "VolumeSizeInGB": 30}
    constraint = "Member must have value greater than or equal to 1"

    refused(
        data_runtime,
        tuning_request("refused", definition={"ResourceConfig": resources}),
        "1 validation error detected: Value '0' at 'trainingJobDefinition.resourceConfig.instanceCount' failed to "
        f"satisfy constraint: {constraint}",
    )


def test_a_range_of_what_is_not_tunable_names_what_is(data_runtime: Runtime) -> None:
    ranges = {"ContinuousParameterRanges": [WD | {"Name": "huber_delta"}]}
    message = (
        "The hyperparameter huber_delta is not tunable for this algorithm. Tunable are l1, learning_rate, "
        "mini_batch_size, positive_example_weight_mult, use_bias, wd."
    )

    refused(data_runtime, tuning_request("refused", ParameterRanges=ranges), message)


def test_data_that_is_not_there_is_refused(data_runtime: Runtime) -> None:
    request = tuning_request("refused", definition={"InputDataConfig": [channel("train", "s3://data/nothing/")]})

    with pytest.raises(ClientError, match='No S3 objects found under S3 URL "s3://data/nothing/"'):
        data_runtime.client("sagemaker").create_hyper_parameter_tuning_job(**request)


def test_a_taken_name_is_refused_in_awss_words(data_runtime: Runtime, tuned: dict[str, Any]) -> None:
    sagemaker = data_runtime.client("sagemaker")

    with pytest.raises(sagemaker.exceptions.ResourceInUse) as error:
        sagemaker.create_hyper_parameter_tuning_job(**tuning_request("tuned"))

    assert tuned["HyperParameterTuningJobName"] == "tuned"
    assert error.value.response["Error"]["Message"] == (
        "A hyperparameter tuning job with the name, tuned, already exists. Choose a different name."
    )


@pytest.mark.parametrize("operation", ["describe", "stop", "delete"])
def test_an_unknown_job_is_not_found(runtime: Runtime, operation: str) -> None:
    sagemaker = runtime.client("sagemaker")

    with pytest.raises(ClientError) as error:
        getattr(sagemaker, f"{operation}_hyper_parameter_tuning_job")(HyperParameterTuningJobName="nobody")

    assert error.value.response["Error"]["Code"] == "ResourceNotFound"
    assert error.value.response["Error"]["Message"].startswith("Amazon SageMaker can't find a tuning job")


def refused(runtime: Runtime, request: dict[str, Any], message: str) -> None:
    """Expect a refusal that leaves nothing behind."""
    sagemaker = runtime.client("sagemaker", parameter_validation=False)
    with pytest.raises(ClientError) as error:
        sagemaker.create_hyper_parameter_tuning_job(**request)

    assert error.value.response["Error"] == {"Code": "ValidationException", "Message": message}
    assert sagemaker.list_hyper_parameter_tuning_jobs(NameContains="refused")["HyperParameterTuningJobSummaries"] == []
