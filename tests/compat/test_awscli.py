"""The AWS CLI v1, unmodified, does the whole sequence on the runtime."""

from __future__ import annotations

import json
import os
import subprocess
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from airflow_ll.records import encode_records
from tests.local.support import IMAGE, ROLE, channel, long_training_request, rows, training_request, wait_for

if TYPE_CHECKING:
    from tests.conftest import Runtime

AWS = Path(__file__).parents[2] / ".venvs/awscli/bin/aws"
ENDED = {"Completed", "Failed", "Stopped", "COMPLETED", "FAILED", "STOPPED", "InService"}

pytestmark = [
    pytest.mark.skipif(not AWS.exists(), reason="the AWS CLI is not here: `make clients` installs it"),
    pytest.mark.timeout(900),
]


class Cli:
    """A shell whose ``aws`` talks to the runtime, and a bucket of its own."""

    def __init__(self, runtime: Runtime, folder: Path, *, patient: bool) -> None:
        self.folder, self.patient = folder, patient
        self._onlooker = runtime.client("sagemaker")
        self.name = f"cli-{uuid.uuid4().hex[:8]}"
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "AWS_ENDPOINT_URL": runtime.url,
            "AWS_ACCESS_KEY_ID": "cli-key-id",
            "AWS_SECRET_ACCESS_KEY": "cli-secret",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_DEFAULT_OUTPUT": "json",
        }

    def __call__(self, *arguments: str, fails: bool = False) -> Any:
        """Run ``aws ARGUMENTS`` and return its JSON, its text, or its error."""
        done = subprocess.run(
            [AWS, *arguments], env=self._environment, cwd=self.folder, capture_output=True, text=True, check=False
        )
        assert (done.returncode != 0) == fails, done.stderr
        if fails:
            return done.stderr
        try:
            return json.loads(done.stdout)
        except ValueError:
            return done.stdout

    def create(self, command: str, request: dict[str, Any]) -> None:
        """Run ``aws sagemaker COMMAND`` on a request."""
        self("sagemaker", command, "--cli-input-json", json.dumps(request))

    def ended(self, kind: str, member: str, waiter: str | None = None, name: str | None = None) -> dict[str, Any]:
        """Wait until a resource, that of our name by default, has ended and return its description.

        The CLI's waiters look every half to two minutes, so they are asked when the end is already there, unless we
        are patient.
        """
        name = name or self.name
        option = f"--{kind}-name"
        if not (self.patient and waiter):
            look = getattr(self._onlooker, f"describe_{kind.replace('-', '_')}")
            key = "".join(word.capitalize() for word in kind.split("-")) + "Name"
            wait_for(lambda: look(**{key: name}), lambda found: found[member] in ENDED, 240)
        if waiter:
            self("sagemaker", "wait", waiter, option, name)
        description: dict[str, Any] = self("sagemaker", f"describe-{kind}", option, name)
        return description


@pytest.mark.parametrize("patient", [False, pytest.param(True, marks=pytest.mark.complete)])
def test_the_whole_sequence(runtime: Runtime, tmp_path: Path, patient: bool) -> None:
    aws = Cli(runtime, tmp_path, patient=patient)
    assert aws("sts", "get-caller-identity")["Account"] == "123456789012"
    upload(aws)
    train(aws)
    serve(aws)
    transform(aws)
    search(aws)
    stop(aws)
    delete(aws)


def upload(aws: Cli) -> None:
    """S3: a bucket, a file up and down again, a folder."""
    (aws.folder / "train").mkdir()
    (aws.folder / "train/rows.pbr").write_bytes(encode_records(*rows()))
    lines = [",".join(map(str, row)) for row in rows(20)[0].tolist()]
    (aws.folder / "rows.csv").write_text("\n".join(lines))
    aws("s3", "mb", f"s3://{aws.name}")
    aws("s3", "cp", "--recursive", "train", f"s3://{aws.name}/train/")
    aws("s3", "cp", "train/rows.pbr", f"s3://{aws.name}/validation/rows.pbr")
    aws("s3", "cp", "rows.csv", f"s3://{aws.name}/batch/rows.csv")
    aws("s3", "cp", f"s3://{aws.name}/train/rows.pbr", "back.pbr")
    assert (aws.folder / "back.pbr").read_bytes() == (aws.folder / "train/rows.pbr").read_bytes()
    assert "rows.pbr" in aws("s3", "ls", f"s3://{aws.name}/train/")


def training(aws: Cli, **changes: Any) -> dict[str, Any]:
    """Return the request of a training job."""
    return training_request(
        aws.name,
        OutputDataConfig={"S3OutputPath": f"s3://{aws.name}/models"},
        InputDataConfig=[channel(name, f"s3://{aws.name}/{name}/") for name in ("train", "validation")],
        **changes,
    )


def train(aws: Cli) -> None:
    """A training job, its log and its metrics."""
    aws.create("create-training-job", training(aws))
    ended = aws.ended("training-job", "TrainingJobStatus", "training-job-completed-or-stopped")
    assert ended["TrainingJobStatus"] == "Completed"
    assert ended["ModelArtifacts"]["S3ModelArtifacts"] == f"s3://{aws.name}/models/{aws.name}/output/model.tar.gz"
    again = aws("sagemaker", "create-training-job", "--cli-input-json", json.dumps(training(aws)), fails=True)
    assert "(ResourceInUse)" in again
    log = aws("logs", "filter-log-events", "--log-group-name", "/aws/sagemaker/TrainingJobs",
              "--log-stream-name-prefix", f"{aws.name}/")  # fmt: skip
    assert any("#quality_metric" in event["message"] for event in log["events"])
    listed = aws("sagemaker", "list-training-jobs", "--name-contains", aws.name)
    assert [job["TrainingJobStatus"] for job in listed["TrainingJobSummaries"]] == ["Completed"]


def serve(aws: Cli) -> None:
    """A model, an endpoint, a compiled model, and an update to it."""
    model_data = f"s3://{aws.name}/models/{aws.name}/output/model.tar.gz"
    create_model(aws, aws.name, IMAGE, model_data)
    aws.create("create-endpoint-config", endpoint_config(aws.name, "ml.m5.large"))
    aws.create("create-endpoint", {"EndpointName": aws.name, "EndpointConfigName": aws.name})
    aws.ended("endpoint", "EndpointStatus", "endpoint-in-service")
    scores = invoke(aws)
    assert len(scores) == 20

    aws.create("create-compilation-job", compilation(aws, model_data))
    compiled = aws.ended("compilation-job", "CompilationJobStatus")
    assert compiled["CompilationJobStatus"] == "COMPLETED", compiled
    other = f"{aws.name}-compiled"
    create_model(aws, other, compiled["InferenceImage"], compiled["ModelArtifacts"]["S3ModelArtifacts"])
    aws.create("create-endpoint-config", endpoint_config(other, "ml.c5.large"))
    aws.create("update-endpoint", {"EndpointName": aws.name, "EndpointConfigName": other})
    updated = aws.ended("endpoint", "EndpointStatus", "endpoint-in-service")
    assert updated["EndpointConfigName"] == other
    assert invoke(aws) == pytest.approx(scores, rel=1e-4)


def create_model(aws: Cli, name: str, image: str, data: str) -> None:
    """Create a model."""
    container = {"Image": image, "ModelDataUrl": data}
    aws.create("create-model", {"ModelName": name, "ExecutionRoleArn": ROLE, "PrimaryContainer": container})


def endpoint_config(model: str, instance_type: str) -> dict[str, Any]:
    """Return the request of a configuration with the model's name."""
    variant = {"VariantName": "main", "ModelName": model, "InitialInstanceCount": 1, "InstanceType": instance_type}
    return {"EndpointConfigName": model, "ProductionVariants": [variant]}


def compilation(aws: Cli, model_data: str) -> dict[str, Any]:
    """Return the request of a compilation job."""
    return {
        "CompilationJobName": aws.name,
        "RoleArn": ROLE,
        "InputConfig": {"S3Uri": model_data, "DataInputConfig": '{"data": [1, 5]}', "Framework": "MXNET"},
        "OutputConfig": {"S3OutputLocation": f"s3://{aws.name}/compiled", "TargetDevice": "ml_c5"},
        "StoppingCondition": {"MaxRuntimeInSeconds": 600},
    }


def invoke(aws: Cli) -> list[float]:
    """Return the scores of the CSV file's rows."""
    answer = aws("sagemaker-runtime", "invoke-endpoint", "--endpoint-name", aws.name, "--content-type", "text/csv",
                 "--accept", "application/json", "--body", "fileb://rows.csv", "answer.json")  # fmt: skip
    assert answer["InvokedProductionVariant"] == "main"
    predictions = json.loads((aws.folder / "answer.json").read_text())["predictions"]
    return [prediction["score"] for prediction in predictions]


def transform(aws: Cli) -> None:
    """Batch transform of the CSV file."""
    source = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://{aws.name}/batch/"}}
    aws.create(
        "create-transform-job",
        {
            "TransformJobName": aws.name,
            "ModelName": aws.name,
            "TransformInput": {"DataSource": source, "ContentType": "text/csv", "SplitType": "Line"},
            "TransformOutput": {
                "S3OutputPath": f"s3://{aws.name}/scored",
                "Accept": "text/csv",
                "AssembleWith": "Line",
            },
            "TransformResources": {"InstanceCount": 1, "InstanceType": "ml.m5.large"},
        },
    )
    ended = aws.ended("transform-job", "TransformJobStatus", "transform-job-completed-or-stopped")
    assert ended["TransformJobStatus"] == "Completed"
    aws("s3", "cp", f"s3://{aws.name}/scored/rows.csv.out", "scored")
    assert len((aws.folder / "scored").read_text().split()) == 20


def search(aws: Cli) -> None:
    """A tuning job of two training jobs."""
    request = training(aws)
    copied = (
        "AlgorithmSpecification",
        "RoleArn",
        "OutputDataConfig",
        "ResourceConfig",
        "StoppingCondition",
        "InputDataConfig",
    )
    wd = {"Name": "wd", "MinValue": "1e-6", "MaxValue": "1e-2", "ScalingType": "Logarithmic"}
    aws.create(
        "create-hyper-parameter-tuning-job",
        {
            "HyperParameterTuningJobName": aws.name,
            "HyperParameterTuningJobConfig": {
                "Strategy": "Bayesian",
                "ResourceLimits": {"MaxNumberOfTrainingJobs": 2, "MaxParallelTrainingJobs": 1},
                "HyperParameterTuningJobObjective": {"Type": "Minimize", "MetricName": "validation:objective_loss"},
                "ParameterRanges": {"ContinuousParameterRanges": [wd]},
            },
            "TrainingJobDefinition": {
                "StaticHyperParameters": request["HyperParameters"],
                **{member: request[member] for member in copied},
            },
        },
    )
    ended = aws.ended("hyper-parameter-tuning-job", "HyperParameterTuningJobStatus")
    assert ended["HyperParameterTuningJobStatus"] == "Completed"
    jobs = aws("sagemaker", "list-training-jobs-for-hyper-parameter-tuning-job",
               "--hyper-parameter-tuning-job-name", aws.name)["TrainingJobSummaries"]  # fmt: skip
    assert len(jobs) == 2
    assert ended["BestTrainingJob"]["TrainingJobName"] in [job["TrainingJobName"] for job in jobs]


def stop(aws: Cli) -> None:
    """A job that would train for hours."""
    name = f"{aws.name}-endless"
    endless = long_training_request(name) | {key: training(aws)[key] for key in ("InputDataConfig", "OutputDataConfig")}
    aws.create("create-training-job", endless)
    aws("sagemaker", "stop-training-job", "--training-job-name", name)
    assert aws.ended("training-job", "TrainingJobStatus", name=name)["TrainingJobStatus"] == "Stopped"


def delete(aws: Cli) -> None:
    """Everything that is paid by the hour, and the bucket."""
    aws("sagemaker", "delete-endpoint", "--endpoint-name", aws.name)
    aws("sagemaker", "wait", "endpoint-deleted", "--endpoint-name", aws.name)
    for name in (aws.name, f"{aws.name}-compiled"):
        aws("sagemaker", "delete-endpoint-config", "--endpoint-config-name", name)
        aws("sagemaker", "delete-model", "--model-name", name)
    gone = aws("sagemaker", "describe-endpoint", "--endpoint-name", aws.name, fails=True)
    assert "(ValidationException)" in gone
    assert "Could not find endpoint" in gone
    aws("s3", "rb", "--force", f"s3://{aws.name}")
    assert aws.name not in aws("s3", "ls")
