"""The recorded requests of the SageMaker SDK against ours for the same settings, field by field."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from airflow_ll.exceptions import RequestError
from airflow_ll.hyperparameters import LinearLearnerHyperparameters
from airflow_ll.requests import EndpointSpec, TaskIdentity, endpoint, image_uri, resource_name, training_job
from tests.requests.recorded_cases import CASES, compiled, config, created_model, exported_tuning, fitted
from tests.requests.specs import VPC, record_set, training

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Request = dict[str, Any]

DOC = Path(__file__).parents[2] / "docs" / "request-differences.md"

BUILT = {
    "CreateTrainingJob",
    "CreateModel",
    "CreateEndpointConfig",
    "CreateEndpoint",
    "UpdateEndpoint",
    "CreateTransformJob",
    "CreateCompilationJob",
    "CreateHyperParameterTuningJob",
}


def recorded_request(shared: Path, case: str, where: str) -> Request:
    recording = json.loads((shared / "golden" / f"{case}.json").read_text())
    operation, _, path = where.partition(":")
    if path and not path.isdigit():
        value = recording["extra"]
        for part in path.split("."):
            value = value[part]
        return dict(value)
    calls = [call["kwargs"] for call in recording["calls"] if call["operation"] == operation]
    return dict(calls[int(path or 0)])


def differing(ours: Any, theirs: Any, path: str) -> Iterator[str]:
    """Yield the paths at which two requests differ; the path of a list's entry is the list's."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for name in sorted(ours.keys() | theirs.keys()):
            if name in ours and name in theirs:
                yield from differing(ours[name], theirs[name], f"{path}.{name}")
            else:
                yield f"{path}.{name}"
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for one, other in zip(ours, theirs, strict=True):
            yield from differing(one, other, path)
    elif ours != theirs:
        yield path


def documented() -> list[str]:
    return re.findall(r"^\| `([^`]+)` \|", DOC.read_text(), re.MULTILINE)


def is_documented(path: str) -> bool:
    # An export's ResourceConfig is the other side of the documented HyperParameterTuningResourceConfig.
    path = path.replace(
        "TrainingJobDefinition.ResourceConfig", "TrainingJobDefinition.HyperParameterTuningResourceConfig"
    )
    return any(path == row or path.startswith(f"{row}.") for row in documented())


@pytest.mark.parametrize(("case", "where", "build"), CASES, ids=[f"{case}-{where}" for case, where, _ in CASES])
def test_our_request_is_the_recorded_one(shared: Path, case: str, where: str, build: Callable[[], Request]) -> None:
    theirs = recorded_request(shared, case, where)
    found = set(differing(build(), theirs, where.split(":")[0]))
    assert {path for path in found if not is_documented(path)} == set()


def test_every_recorded_request_is_compared(shared: Path) -> None:
    """All requests of the cases that succeed there, but for the larger mini-batch: that is refused here."""
    results = json.loads((shared / "golden" / "RESULTS.json").read_text())
    compared = [recorded_request(shared, case, where) for case, where, _ in CASES]
    for case in (case for case, result in results.items() if result == "ok"):
        if case == "fit_mini_batch_larger_than_records":
            continue
        recording = json.loads((shared / "golden" / f"{case}.json").read_text())
        calls = recording.get("calls", []) if isinstance(recording, dict) else []
        assert all(call["kwargs"] in compared for call in calls if call["operation"] in BUILT), case


def lacks(member: str, request: Request) -> bool:
    return member not in request


def our_profiler() -> bool:
    without = training_job(training(image_uri=image_uri("me-central-1")))
    return training_job(training())["ProfilerConfig"] == {"DisableProfiler": True} and lacks("ProfilerConfig", without)


def our_mini_batch() -> bool:
    small = [record_set(num_records=10)]
    too_large = LinearLearnerHyperparameters(predictor_type="regressor", mini_batch_size=5000)
    with pytest.raises(RequestError, match="at most the 10 rows of the train channel, got 5000"):
        training(hyperparameters=too_large, channels=small)
    return bool(training_job(training(channels=small))["HyperParameters"]["mini_batch_size"] == "10")


def our_distribution() -> bool:
    request = training_job(training(channels=[record_set(), record_set(channel="validation")]))
    sources = [channel["DataSource"]["S3DataSource"] for channel in request["InputDataConfig"]]
    return [source["S3DataDistributionType"] for source in sources] == ["ShardedByS3Key", "FullyReplicated"]


def our_names() -> bool:
    identity = TaskIdentity("dag", "run", "task")
    return resource_name(identity, "training") == "dag-task-483c9e18-dff6f232d0-g0"


def our_isolation() -> bool:
    return created_model(enable_network_isolation=True)["EnableNetworkIsolation"] is True


def our_vpc() -> bool:
    return bool(created_model(**VPC)["VpcConfig"] == {"Subnets": ["subnet-1"], "SecurityGroupIds": ["sg-1"]})


def our_framework_version() -> bool:
    return bool(compiled(target_instance_family="ml_c5")["InputConfig"]["FrameworkVersion"] == "1.8")


def our_ranges() -> bool:
    return [*exported_tuning()["HyperParameterTuningJobConfig"]["ParameterRanges"]] == ["ContinuousParameterRanges"]


def our_tuning_resources() -> bool:
    definition = exported_tuning()["TrainingJobDefinition"]
    resources = {"InstanceType": "ml.c4.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 30}
    return lacks("ResourceConfig", definition) and definition["HyperParameterTuningResourceConfig"] == resources


def our_static_mini_batch() -> bool:
    return bool(exported_tuning()["TrainingJobDefinition"]["StaticHyperParameters"]["mini_batch_size"] == "1000")


TUNING = "CreateHyperParameterTuningJob"

#: each row of the table in the documentation, and that it is true
OURS: dict[str, Callable[[], bool]] = {
    "CreateTrainingJob.DebugHookConfig": lambda: lacks("DebugHookConfig", fitted()),
    "CreateTrainingJob.ProfilerConfig": our_profiler,
    "CreateTrainingJob.HyperParameters.mini_batch_size": our_mini_batch,
    "CreateTrainingJob.InputDataConfig.DataSource.S3DataSource.S3DataDistributionType": our_distribution,
    "CreateTrainingJob.*Name": our_names,
    "CreateModel.PrimaryContainer.Environment": lambda: lacks("Environment", created_model()["PrimaryContainer"]),
    "CreateModel.EnableNetworkIsolation": our_isolation,
    "CreateModel.VpcConfig": our_vpc,
    "CreateEndpointConfig.Tags": lambda: lacks("Tags", config("e", "m")),
    "CreateEndpoint.Tags": lambda: lacks("Tags", endpoint(EndpointSpec("e", "ec"))),
    "CreateCompilationJob.InputConfig.FrameworkVersion": our_framework_version,
    f"{TUNING}.HyperParameterTuningJobConfig.ParameterRanges": our_ranges,
    f"{TUNING}.TrainingJobDefinition.HyperParameterTuningResourceConfig": our_tuning_resources,
    f"{TUNING}.TrainingJobDefinition.StaticHyperParameters.mini_batch_size": our_static_mini_batch,
}


@pytest.mark.parametrize("field", OURS)
def test_a_documented_difference_is_true(field: str) -> None:
    assert OURS[field]()


def test_the_table_of_differences_is_this_one_and_short() -> None:
    assert documented() == list(OURS)
    assert len(documented()) <= 15
