"""The shared runtime with training data and a trained model in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from airflow_ll.artifacts import LinearModel
from tests.local.support import IMAGE, ROLE, training_ended, training_request, upload_training_data

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Runtime


@pytest.fixture(scope="session")
def data_runtime(runtime: Runtime) -> Runtime:
    """The shared runtime with training data in it."""
    upload_training_data(runtime)
    return runtime


@pytest.fixture(scope="session")
def trained(data_runtime: Runtime) -> dict[str, Any]:
    """The description of a training job that really ran."""
    data_runtime.client("sagemaker").create_training_job(**training_request("trained"))
    description = training_ended(data_runtime, "trained")
    assert description["TrainingJobStatus"] == "Completed", description.get("FailureReason")
    return description


@pytest.fixture(scope="session")
def model(data_runtime: Runtime, trained: dict[str, Any]) -> str:
    """A SageMaker model of what was trained."""
    container = {"Image": IMAGE, "ModelDataUrl": trained["ModelArtifacts"]["S3ModelArtifacts"]}
    sagemaker = data_runtime.client("sagemaker")
    sagemaker.create_model(ModelName="scorer", ExecutionRoleArn=ROLE, PrimaryContainer=container)
    return "scorer"


@pytest.fixture(scope="session")
def local_model(
    data_runtime: Runtime, trained: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> LinearModel:
    """The same model, read from its archive."""
    path: Path = tmp_path_factory.mktemp("model") / "model.tar.gz"
    key = trained["ModelArtifacts"]["S3ModelArtifacts"].removeprefix("s3://data/")
    data_runtime.client("s3").download_file("data", key, str(path))
    return LinearModel.load(path)
