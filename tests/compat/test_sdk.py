"""The SageMaker Python SDK 2.x, unmodified, goes through the whole estimator on the runtime."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

if TYPE_CHECKING:
    from tests.conftest import Runtime

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venvs/sdk/bin/python"
KINDS = ("binary_classifier", "regressor", "multiclass_classifier")

pytestmark = [
    pytest.mark.skipif(not PYTHON.exists(), reason="the SageMaker SDK is not here: `make clients` installs it"),
    pytest.mark.timeout(900),
]


def go_through(runtime: Runtime, folder: Path, *arguments: str) -> dict[str, Any]:
    """Run the client and return its report."""
    report = folder / "report.json"
    client = subprocess.run(
        [PYTHON, "-m", "tests.compat.sdk_client", runtime.url, str(report), *arguments],
        cwd=ROOT,
        env=os.environ | {"SAGEMAKER_SUPPRESS_V2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert client.returncode == 0, client.stderr[-2000:] + client.stdout[-6000:]  # the SDK prints tracebacks to both
    done: dict[str, Any] = json.loads(report.read_text())
    return done


CASES = [
    pytest.param("binary_classifier", "2", "--hurry", id="binary_classifier-hurried"),
    *(
        pytest.param(kind, instances, "--own-pace", marks=pytest.mark.complete, id=f"{kind}-{instances}")
        for kind in KINDS
        for instances in ("1", "2")
    ),
]


@pytest.mark.parametrize(("kind", "instances", "pace"), CASES)
def test_the_whole_estimator(runtime: Runtime, tmp_path: Path, kind: str, instances: str, pace: str) -> None:
    report = go_through(runtime, tmp_path, kind, instances, pace)
    check_training(report, int(instances))
    scores = check_answers(report, kind)
    assert report["updated"]["status"] == "InService"
    assert report["updated"]["instances"] == 2
    np.testing.assert_array_equal(report["updated"]["scores"], scores)
    np.testing.assert_array_equal(report["transformed_records"], scores)
    assert len(report["transformed_csv"]) == len(scores)
    check_compiled(report, scores)
    check_tuned(report["tuned"])
    assert report["stopped"] == "Stopped"
    check_nothing_is_left(runtime, report["deleted"])


def check_training(report: dict[str, Any], instances: int) -> None:
    """The job ran, told so in its log and its metrics, and can be attached to."""
    assert report["status"] == "Completed"
    assert report["bucket"] == "sagemaker-us-east-1-123456789012"
    assert "#quality_metric" in report["logs"]
    assert "Completed - Training job completed" in report["logs"]
    assert {"train:objective_loss", "validation:objective_loss"} <= set(report["analytics"])
    attached = report["attached"]
    ours, theirs = attached["hyperparameters"]
    assert ours | {"feature_dim": "6", "mini_batch_size": "50"} == theirs
    assert attached["model_data"] == report["model_data"]
    assert attached["tags"] == [{"Key": "team", "Value": "compat"}]
    assert attached["instance_count"] == instances


def check_answers(report: dict[str, Any], kind: str) -> Any:
    """RecordIO, CSV and JSON give the same good scores, which are returned as ``(rows, outputs)``."""
    predicted, truth = report["predicted"], np.asarray(report["truth"])
    scores = np.asarray(predicted["recordio"])
    assert scores.shape == (len(truth), 4 if kind == "multiclass_classifier" else 1)
    as_json = np.asarray([one["score"] for one in predicted["json"]]).reshape(scores.shape)
    np.testing.assert_array_equal(as_json, scores)
    as_csv = np.asarray(predicted["csv"], float)
    np.testing.assert_array_equal(as_csv[:, : scores.shape[1]], scores)
    if kind == "regressor":
        assert np.abs(scores[:, 0] - truth).mean() < 0.2 * truth.std()
    else:
        assert (np.asarray(predicted["labels"]) == truth).mean() > 0.85
        assert [one["predicted_label"] for one in predicted["json"]] == predicted["labels"]
        assert as_csv[:, -1].tolist() == predicted["labels"]
    return scores


def check_compiled(report: dict[str, Any], scores: Any) -> None:
    """The compiled model is another artifact with the same answers."""
    compiled = report["compiled"]
    assert compiled["model_data"] != report["model_data"]
    assert compiled["model_data"].endswith("ml_c5.tar.gz")
    np.testing.assert_allclose(compiled["recordio"], scores, rtol=1e-4, atol=1e-5)


def check_tuned(tuned: dict[str, Any]) -> None:
    """Three jobs ran, the best of them was found, and the endless tuning job stopped."""
    assert tuned["status"] == "Completed"
    assert tuned["statuses"] == ["Completed"] * 3
    assert tuned["best"] == tuned["jobs"][int(np.argmin(tuned["objectives"]))]
    assert tuned["best"] in tuned["best_model"]
    assert tuned["stopped"] == "Stopped"


def check_nothing_is_left(runtime: Runtime, deleted: list[str]) -> None:
    """What the client deleted is gone; of an updated endpoint the SDK leaves the first configuration."""
    sagemaker = runtime.client("sagemaker")
    assert len(deleted) == 2
    for name in deleted:
        assert sagemaker.list_endpoints(NameContains=name)["Endpoints"] == []
        configs = sagemaker.list_endpoint_configs(NameContains=name)["EndpointConfigs"]
        assert {config["EndpointConfigName"] for config in configs} <= {name}
        assert sagemaker.list_models(NameContains=name)["Models"] == []
