"""From a training job's description back to its spec."""

from __future__ import annotations

import copy
import json
from dataclasses import fields
from typing import Any

import pytest

from airflow_ll.exceptions import HyperparameterError, RequestError
from airflow_ll.requests import TrainingJobSpec, attach_training_job, channel_from_dict, training_job
from airflow_ll.requests.channels import channel_request
from airflow_ll.requests.estimator import enable_network_isolation, get_vpc_config, hyperparameters, train_image
from tests.requests.recorded_cases import CASES
from tests.requests.specs import IMAGE, ROLE, SPECS, TAGS, full_training

JOBS = {name: build(spec) for name, (operation, build, spec) in SPECS.items() if operation == "CreateTrainingJob"}
JOBS |= {case: build() for case, where, build in CASES if where == "CreateTrainingJob"}


def described(request: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Return what DescribeTrainingJob answers about ``request``."""
    answer = copy.deepcopy(request)
    answer.pop("Tags", None)
    answer["OutputDataConfig"].setdefault("KmsKeyId", "")
    answer |= {
        "TrainingJobArn": f"arn:aws:sagemaker:us-west-2:123456789012:training-job/{request['TrainingJobName']}",
        "TrainingJobStatus": "Completed",
        "EnableNetworkIsolation": request.get("EnableNetworkIsolation", False),
        "EnableInterContainerTrafficEncryption": request.get("EnableInterContainerTrafficEncryption", False),
        "EnableManagedSpotTraining": request.get("EnableManagedSpotTraining", False),
        "ModelArtifacts": {"S3ModelArtifacts": "s3://b/job/output/model.tar.gz"},
    }
    answer["AlgorithmSpecification"]["MetricDefinitions"] = [{"Name": "train:objective_loss", "Regex": "x"}]
    return answer | changes


@pytest.mark.parametrize("name", JOBS)
def test_the_attached_job_would_be_asked_for_in_the_same_words(name: str) -> None:
    request = JOBS[name]
    attached = attach_training_job(described(request), request.get("Tags", []))
    assert training_job(attached.spec) == request


def test_the_full_settings_come_back() -> None:
    spec = full_training()
    attached = attach_training_job(described(training_job(spec)), TAGS).spec
    for name in (
        "subnets",
        "environment",
        "max_wait",
        "volume_kms_key",
        "checkpoint_s3_uri",
        "experiment_config",
        "tags",
    ):
        assert getattr(attached, name) == getattr(spec, name), name


def test_hyperparameters_come_back_typed() -> None:
    recorded = {
        "predictor_type": "binary_classifier",
        "feature_dim": "3",
        "mini_batch_size": "200",
        "epochs": "20",
        "use_bias": "False",
        "wd": "auto",
        "positive_example_weight_mult": "balanced",
        "normalize_data": "true",
        "unknown_hp": "1",
        "_tuning_objective_metric": "validation:objective_loss",
    }
    description = described(JOBS["training"], HyperParameters=recorded, TuningJobArn="arn:aws:sagemaker:::tuning")
    attached = attach_training_job(description)
    assert attached.spec.hyperparameters.given == {
        "predictor_type": "binary_classifier",
        "feature_dim": 3,
        "mini_batch_size": 200,
        "epochs": 20,
        "use_bias": False,
        "wd": "auto",
        "positive_example_weight_mult": "balanced",
        "normalize_data": True,
    }
    assert attached.unknown_hyperparameters == {"unknown_hp": "1"}
    assert attached.tuning_job_arn == "arn:aws:sagemaker:::tuning"


def test_the_facts_of_the_job_are_told() -> None:
    attached = attach_training_job(described(JOBS["training"]))
    assert attached.status == "Completed"
    assert attached.model_data == "s3://b/job/output/model.tar.gz"
    assert attached.training_job_arn.endswith("training-job/job")
    assert (attached.model_uri, attached.tuning_job_arn) == (None, None)
    assert (attached.spec.role, attached.spec.image_uri, attached.spec.output_kms_key) == (ROLE, IMAGE, None)


@pytest.mark.parametrize("name", ["model", "pretrained"])
def test_the_model_that_a_job_went_on_from_is_found(name: str) -> None:
    request = copy.deepcopy(JOBS["training"])
    source = {"S3DataType": "S3Prefix", "S3Uri": "s3://b/prev/model.tar.gz"}
    request["InputDataConfig"].append({"ChannelName": name, "DataSource": {"S3DataSource": source}})
    assert attach_training_job(described(request), model_channel_name=name).model_uri == "s3://b/prev/model.tar.gz"


def test_a_job_that_still_runs_has_no_model() -> None:
    description = described(JOBS["training"], TrainingJobStatus="InProgress")
    del description["ModelArtifacts"]
    attached = attach_training_job(description)
    assert (attached.status, attached.model_data) == ("InProgress", None)


def test_a_job_without_a_profiler_stays_without() -> None:
    request = {name: value for name, value in JOBS["training"].items() if name != "ProfilerConfig"}
    assert training_job(attach_training_job(described(request)).spec) == request


def test_what_a_spec_cannot_describe_is_refused() -> None:
    groups = {"InstanceGroups": [], "VolumeSizeInGB": 30}
    with pytest.raises(RequestError, match=r"must have one instance type .* got a ResourceConfig with InstanceGroups"):
        attach_training_job(described(JOBS["training"], ResourceConfig=groups))
    channel = {"ChannelName": "train", "DataSource": {"DatasetSource": {}}}
    with pytest.raises(RequestError, match="must read from S3 or a file system, got DatasetSource"):
        attach_training_job(described(JOBS["training"], InputDataConfig=[channel]))
    with pytest.raises(HyperparameterError, match="epochs"):
        attach_training_job(
            described(JOBS["training"], HyperParameters={"predictor_type": "regressor", "epochs": "many"})
        )


@pytest.mark.parametrize("name", JOBS)
def test_what_a_task_returns_of_an_attached_job_is_json_and_makes_the_same_channels(name: str) -> None:
    attached = attach_training_job(described(JOBS[name]))
    told = json.loads(json.dumps(attached.to_dict()))

    channels = [channel_request(channel_from_dict(one)) for one in told["channels"]]
    assert channels == JOBS[name]["InputDataConfig"]
    assert told["hyperparameters"] == attached.spec.hyperparameters.given
    assert told["feature_dim"] == attached.spec.hyperparameters.given.get("feature_dim")
    assert told.keys() >= {one.name for one in fields(TrainingJobSpec)} - {"environment"}
    assert "environment" not in told, "its values may be secrets"


def test_the_questions_of_the_estimator_are_plain_functions() -> None:
    spec = full_training()
    request = training_job(spec)

    assert hyperparameters(spec) == request["HyperParameters"]
    assert train_image(spec) == request["AlgorithmSpecification"]["TrainingImage"]
    assert enable_network_isolation(spec) is request["EnableNetworkIsolation"]
    assert get_vpc_config(spec) == request["VpcConfig"]
    assert get_vpc_config(spec, {}) is None
    other = {"Subnets": ["subnet-2"], "SecurityGroupIds": ["sg-2"]}
    assert get_vpc_config(spec, other) == other
    with pytest.raises(RequestError, match="must have Subnets and SecurityGroupIds"):
        get_vpc_config(spec, {"Subnets": ["subnet-2"]})
