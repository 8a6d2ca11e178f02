"""What CreateHyperParameterTuningJob refuses, and in which words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from tests.local.support import IMAGE, channel
from tests.local.tuning_support import BATCH, USE_BIAS, WD, tuning_request

if TYPE_CHECKING:
    from tests.conftest import Runtime


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
