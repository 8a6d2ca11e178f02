"""``--s3-endpoint``: the data of jobs lives in another S3."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.conftest import start_runtime
from tests.local.support import training_ended, training_request

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Runtime


def test_jobs_read_and_write_the_other_s3(data_runtime: Runtime, tmp_path: Path) -> None:
    elsewhere = data_runtime.url
    started = start_runtime(
        tmp_path / "runtime", "--s3-endpoint", elsewhere, AWS_ACCESS_KEY_ID="testing", AWS_SECRET_ACCESS_KEY="testing"
    )
    try:
        assert started.process.stdout is not None
        assert f'"service_config": {{"s3": {{"endpoint_url": "{elsewhere}"}}}}' in started.process.stdout.readline()
        started.client("sagemaker").create_training_job(**training_request("elsewhere"))
        description = training_ended(started, "elsewhere")
    finally:
        started.stop()

    assert description["TrainingJobStatus"] == "Completed"
    key = description["ModelArtifacts"]["S3ModelArtifacts"].removeprefix("s3://data/")
    assert data_runtime.client("s3").head_object(Bucket="data", Key=key)["ContentLength"] > 0
