"""Compilation jobs through boto3: a model is compiled, deployed, and scores as its source does."""

from __future__ import annotations

import io
import os
import signal
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from tests.artifacts.test_compiled import a_model
from tests.local.support import FEATURES, IMAGE, ROLE, rows, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Runtime

ARN = "arn:aws:sagemaker:us-east-1:123456789012:compilation-job"


def compilation_request(name: str, uri: str, **changes: Any) -> dict[str, Any]:
    """Return a compilation job as the estimator sends it, with changes to ``InputConfig`` and ``OutputConfig``."""
    source = {"S3Uri": uri, "DataInputConfig": f'{{"data": [1, {FEATURES}]}}', "Framework": "MXNET"}
    output = {"S3OutputLocation": "s3://data/compiled/", "TargetDevice": "ml_c5"}
    request = {
        "CompilationJobName": name,
        "RoleArn": ROLE,
        "InputConfig": source | changes.pop("InputConfig", {}),
        "OutputConfig": output | changes.pop("OutputConfig", {}),
        "StoppingCondition": {"MaxRuntimeInSeconds": 300},
        "Tags": [{"Key": "owner", "Value": "tests"}],
    }
    return {key: value for key, value in (request | changes).items() if value is not None}


def compilation_ended(runtime: Runtime, name: str) -> dict[str, Any]:
    """Wait for the end of a compilation job and return its description."""
    sagemaker = runtime.client("sagemaker")
    description: dict[str, Any] = wait_for(
        lambda: sagemaker.describe_compilation_job(CompilationJobName=name),
        lambda job: job["CompilationJobStatus"] in ("COMPLETED", "FAILED", "STOPPED"),
    )
    return description


@pytest.fixture(scope="module")
def compiled(data_runtime: Runtime, trained: dict[str, Any]) -> dict[str, Any]:
    """The description of a compilation job that ran."""
    uri = trained["ModelArtifacts"]["S3ModelArtifacts"]
    data_runtime.client("sagemaker").create_compilation_job(**compilation_request("compiled", uri))
    return compilation_ended(data_runtime, "compiled")


def test_a_compiled_model_is_where_the_estimator_looks_for_it(data_runtime: Runtime, compiled: dict[str, Any]) -> None:
    assert compiled["CompilationJobStatus"] == "COMPLETED", compiled["FailureReason"]
    assert compiled["ModelArtifacts"] == {"S3ModelArtifacts": "s3://data/compiled/model-ml_c5.tar.gz"}
    assert compiled["FailureReason"] == ""
    assert compiled["InferenceImage"] == (
        "785573368785.dkr.ecr.us-east-1.amazonaws.com/sagemaker-inference-mxnet:1.8-cpu-py3"
    )
    assert compiled["CompilationJobArn"] == f"{ARN}/compiled"
    assert compiled["CompilationStartTime"] <= compiled["CompilationEndTime"]
    assert compiled["ModelDigests"]["ArtifactDigest"].startswith("sha256:")
    events = data_runtime.client("logs").filter_log_events(
        logGroupName="/aws/sagemaker/CompilationJobs", logStreamNames=["compiled"]
    )["events"]
    assert any("model-ml_c5.tar.gz" in event["message"] for event in events)
    tags = data_runtime.client("sagemaker").list_tags(ResourceArn=compiled["CompilationJobArn"])["Tags"]
    assert tags == [{"Key": "owner", "Value": "tests"}]


def endpoint(runtime: Runtime, name: str, image: str, model_data: str) -> None:
    """Deploy a model and wait until it is in service."""
    sagemaker = runtime.client("sagemaker")
    sagemaker.create_model(
        ModelName=name, ExecutionRoleArn=ROLE, PrimaryContainer={"Image": image, "ModelDataUrl": model_data}
    )
    variant = {"VariantName": "a", "ModelName": name, "InitialInstanceCount": 1, "InstanceType": "ml.c5.large"}
    sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
    description = wait_for(
        lambda: sagemaker.describe_endpoint(EndpointName=name), lambda one: one["EndpointStatus"] != "Creating"
    )
    assert description["EndpointStatus"] == "InService", description["FailureReason"]


def test_the_compiled_model_answers_as_its_source(
    data_runtime: Runtime, trained: dict[str, Any], compiled: dict[str, Any]
) -> None:
    from airflow_ll.learner.payloads import encode_request

    endpoint(data_runtime, "source-model", IMAGE, trained["ModelArtifacts"]["S3ModelArtifacts"])
    endpoint(data_runtime, "compiled-model", compiled["InferenceImage"], compiled["ModelArtifacts"]["S3ModelArtifacts"])
    client, answers = data_runtime.client("sagemaker-runtime"), []
    try:
        for kind in ("application/x-recordio-protobuf", "text/csv", "application/json"):
            body = encode_request(rows(20, seed=5)[0], kind)
            for name in ("source-model", "compiled-model"):
                answer = client.invoke_endpoint(EndpointName=name, Body=body, ContentType=kind, Accept=kind)
                answers.append(answer["Body"].read())
    finally:
        for name in ("source-model", "compiled-model"):
            data_runtime.client("sagemaker").delete_endpoint(EndpointName=name)

    assert answers[::2] == answers[1::2]
    assert all(answers)


@pytest.mark.parametrize(
    ("output", "key", "image"),
    [
        (
            {"TargetDevice": "ml_p3"},
            "model-ml_p3.tar.gz",
            "785573368785.dkr.ecr.us-east-1.amazonaws.com/sagemaker-inference-mxnet:1.8-gpu-py3",
        ),
        ({"TargetDevice": "jetson_tx1"}, "model-jetson_tx1.tar.gz", None),
        (
            {
                "TargetDevice": None,
                "TargetPlatform": {"Os": "LINUX", "Arch": "X86_64", "Accelerator": "NVIDIA"},
                "CompilerOptions": '{"gpu-code": "sm_72"}',
            },
            "model-LINUX_X86_64_NVIDIA.tar.gz",
            None,
        ),
    ],
)
def test_the_archive_is_named_after_the_target(
    data_runtime: Runtime, trained: dict[str, Any], output: dict[str, Any], key: str, image: str | None
) -> None:
    name = key.removesuffix(".tar.gz").replace("_", "-").lower()
    uri = trained["ModelArtifacts"]["S3ModelArtifacts"]
    request = compilation_request(name, uri, OutputConfig=output)
    request["OutputConfig"] = {key: value for key, value in request["OutputConfig"].items() if value is not None}
    data_runtime.client("sagemaker").create_compilation_job(**request)

    description = compilation_ended(data_runtime, name)

    assert description["CompilationJobStatus"] == "COMPLETED", description["FailureReason"]
    assert description["ModelArtifacts"]["S3ModelArtifacts"] == f"s3://data/compiled/{key}"
    assert description.get("InferenceImage") == image
    assert description["OutputConfig"] == request["OutputConfig"]


def test_lists_show_the_target_and_filter_by_status(data_runtime: Runtime, compiled: dict[str, Any]) -> None:
    sagemaker = data_runtime.client("sagemaker")

    completed = sagemaker.list_compilation_jobs(NameContains="compiled", StatusEquals="COMPLETED")
    failed = sagemaker.list_compilation_jobs(NameContains="compiled", StatusEquals="FAILED")

    devices = {one["CompilationJobArn"]: one["CompilationTargetDevice"] for one in completed["CompilationJobSummaries"]}
    assert devices[compiled["CompilationJobArn"]] == "ml_c5"
    assert {one["CompilationJobStatus"] for one in completed["CompilationJobSummaries"]} == {"COMPLETED"}
    assert {one["CompilationJobStatus"] for one in failed["CompilationJobSummaries"]} <= {"FAILED"}
    assert compiled["CompilationJobArn"] not in [one["CompilationJobArn"] for one in failed["CompilationJobSummaries"]]


def test_a_taken_name_is_refused(data_runtime: Runtime, compiled: dict[str, Any]) -> None:
    sagemaker = data_runtime.client("sagemaker")

    with pytest.raises(sagemaker.exceptions.ResourceInUse, match="a compilation job with this name already exists"):
        sagemaker.create_compilation_job(**compilation_request("compiled", compiled["InputConfig"]["S3Uri"]))


FAILURES: list[tuple[dict[str, Any], str]] = [
    (
        {"S3Uri": "s3://data/nothing/model.tar.gz"},
        ("ClientError: InputConfiguration: S3 object does not exist. Bucket: data, Key: nothing/model.tar.gz"),
    ),
    (
        {"S3Uri": "s3://data/train/part-0.pbr"},
        "ClientError: InputConfiguration: Unable to untar input model. Please confirm the model is a tar.gz file",
    ),
    (
        {"Framework": "PYTORCH"},
        (
            "ClientError: InputConfiguration: No valid PyTorch model found in input files. "
            "Please make sure the framework you select is correct."
        ),
    ),
    (
        {"DataInputConfig": '{"data": [1, 9]}'},
        (
            "ClientError: InputConfiguration: TVM cannot convert the MXNet model. Invalid model or input-shape "
            "mismatch. Make sure that inputs are lexically ordered and of the correct dimensionality. "
            'The model takes {"data": [rows, 5]}, got {"data": [1, 9]}.'
        ),
    ),
]


@pytest.mark.parametrize(("source", "reason"), FAILURES, ids=range(len(FAILURES)))
def test_a_bad_input_fails_the_job_in_neos_words(
    data_runtime: Runtime, trained: dict[str, Any], request: pytest.FixtureRequest, source: dict[str, Any], reason: str
) -> None:
    name = f"bad-{request.node.callspec.id}"
    uri = trained["ModelArtifacts"]["S3ModelArtifacts"]
    data_runtime.client("sagemaker").create_compilation_job(**compilation_request(name, uri, InputConfig=source))

    description = compilation_ended(data_runtime, name)

    assert (description["CompilationJobStatus"], description["FailureReason"]) == ("FAILED", reason)
    assert description["ModelArtifacts"] == {"S3ModelArtifacts": ""}
    assert description["CompilationEndTime"]
    data_runtime.client("sagemaker").delete_compilation_job(CompilationJobName=name)
    with pytest.raises(ClientError, match="Could not find requested job"):
        data_runtime.client("sagemaker").describe_compilation_job(CompilationJobName=name)


def null(path: str) -> str:
    constraint = "failed to satisfy constraint: Member must not be null"
    return f"1 validation error detected: Value null at '{path}' {constraint}"


NEITHER = "Specify either TargetDevice or TargetPlatform in OutputConfig, and not both."
REFUSALS: list[tuple[dict[str, Any], str]] = [
    ({"InputConfig": None}, null("inputConfig")),
    ({"OutputConfig": {"S3OutputLocation": "s3://data/"}}, NEITHER),
    (
        {
            "OutputConfig": {
                "S3OutputLocation": "s3://data/",
                "TargetDevice": "ml_c5",
                "TargetPlatform": {"Os": "LINUX", "Arch": "X86_64"},
            }
        },
        NEITHER,
    ),
    ({"InputConfig": {"S3Uri": "s3://data/a.tar.gz"}}, null("inputConfig.framework")),
    (
        {"InputConfig": {"S3Uri": "s3://data/a.tar.gz", "Framework": "SPARK"}},
        (
            "1 validation error detected: Value 'SPARK' at 'inputConfig.framework' failed to satisfy constraint: "
            "Member must satisfy enum value set: "
            "[TENSORFLOW, KERAS, MXNET, ONNX, PYTORCH, XGBOOST, TFLITE, DARKNET, SKLEARN]"
        ),
    ),
    ({"StoppingCondition": None}, null("stoppingCondition")),
    ({"OutputConfig": None}, null("outputConfig")),
    (
        {"InputConfig": {"S3Uri": "s3://data/a.tar.gz", "Framework": "MXNET", "FrameworkVersion": "new"}},
        (
            "1 validation error detected: Value 'new' at 'inputConfig.frameworkVersion' failed to satisfy constraint: "
            r"Member must satisfy regular expression pattern: [0-9]\.[A-Za-z0-9.]+"
        ),
    ),
]


@pytest.mark.parametrize(("changes", "message"), REFUSALS, ids=range(len(REFUSALS)))
def test_create_refuses(runtime: Runtime, changes: dict[str, Any], message: str) -> None:
    sagemaker = runtime.client("sagemaker", parameter_validation=False)
    request = compilation_request("refused", "s3://data/a.tar.gz") | changes
    request = {key: value for key, value in request.items() if value is not None}

    with pytest.raises(ClientError) as refused:
        sagemaker.create_compilation_job(**request)

    assert refused.value.response["Error"] == {"Code": "ValidationException", "Message": message}
    assert sagemaker.list_compilation_jobs(NameContains="refused")["CompilationJobSummaries"] == []


def test_a_wrong_target_is_refused_with_the_devices_that_there_are(runtime: Runtime) -> None:
    sagemaker = runtime.client("sagemaker")
    request = compilation_request("refused", "s3://data/a.tar.gz", OutputConfig={"TargetDevice": "ml_z9"})

    with pytest.raises(ClientError, match=r"'ml_z9' at 'outputConfig.targetDevice'.*\[lambda, ml_m4, ml_m5"):
        sagemaker.create_compilation_job(**request)


@pytest.mark.parametrize("operation", ["describe", "stop", "delete"])
def test_an_unknown_job_is_not_found(runtime: Runtime, operation: str) -> None:
    sagemaker = runtime.client("sagemaker")

    with pytest.raises(sagemaker.exceptions.ClientError) as refused:
        getattr(sagemaker, f"{operation}_compilation_job")(CompilationJobName="nobody")

    assert refused.value.response["Error"] == {
        "Code": "ResourceNotFound",
        "Message": "Could not find requested job with name: nobody",
    }


def test_an_ended_job_does_not_stop(data_runtime: Runtime, compiled: dict[str, Any]) -> None:
    sagemaker = data_runtime.client("sagemaker")

    with pytest.raises(ClientError, match="because the compilation job is in status COMPLETED"):
        sagemaker.stop_compilation_job(CompilationJobName=compiled["CompilationJobName"])


def test_stop_ends_a_job_that_waits_or_runs(data_runtime: Runtime, trained: dict[str, Any]) -> None:
    sagemaker = data_runtime.client("sagemaker")
    uri = trained["ModelArtifacts"]["S3ModelArtifacts"]
    names = [f"stopped-{number}" for number in range(6)]
    for name in names:
        sagemaker.create_compilation_job(**compilation_request(name, uri))

    for name in reversed(names):
        try:
            sagemaker.stop_compilation_job(CompilationJobName=name)
        except ClientError as error:  # it was faster
            assert "is in status COMPLETED" in str(error)  # noqa: PT017

    ended = [compilation_ended(data_runtime, name) for name in names]
    assert ended[-1]["CompilationJobStatus"] == "STOPPED"
    assert {job["CompilationJobStatus"] for job in ended} <= {"STOPPED", "COMPLETED"}


def test_a_job_fails_at_its_time_limit(data_runtime: Runtime, trained: dict[str, Any]) -> None:
    # No compiler unpacks this within a second.
    data_runtime.client("s3").put_object(Bucket="data", Key="padded.tar.gz", Body=padded_archive(1 << 30))
    request = compilation_request("limited", "s3://data/padded.tar.gz", StoppingCondition={"MaxRuntimeInSeconds": 1})
    data_runtime.client("sagemaker").create_compilation_job(**request)

    description = compilation_ended(data_runtime, "limited")

    assert (description["CompilationJobStatus"], description["FailureReason"]) == (
        "FAILED",
        "ClientError: TimeOut: the compilation job exceeded MaxRuntimeInSeconds (1).",
    )


def padded_archive(size: int) -> bytes:
    """Return a small archive that unpacks to ``size`` bytes."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", compresslevel=1) as tar, Path("/dev/zero").open("rb") as zeros:
        entry = tarfile.TarInfo("padding")
        entry.size = size
        tar.addfile(entry, zeros)
    return buffer.getvalue()


def test_jobs_survive_a_killed_runtime(fresh_runtime: Callable[[], Runtime]) -> None:
    first = fresh_runtime()
    first.client("s3").create_bucket(Bucket="data")
    model = a_model("regressor", FEATURES)
    path = first.data_dir / "model.tar.gz"
    model.save(path)
    first.client("s3").upload_file(str(path), "data", "model.tar.gz")
    for number in range(4):
        request = compilation_request(f"durable-{number}", "s3://data/model.tar.gz")
        first.client("sagemaker").create_compilation_job(**request)
    os.kill(first.process.pid, signal.SIGKILL)
    first.process.wait()

    second = fresh_runtime()

    for number in range(4):
        assert compilation_ended(second, f"durable-{number}")["CompilationJobStatus"] == "COMPLETED"
