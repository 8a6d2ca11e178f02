"""The shared runtime with training data and a trained model in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.local.support import training_ended, training_request, upload_training_data

if TYPE_CHECKING:
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
