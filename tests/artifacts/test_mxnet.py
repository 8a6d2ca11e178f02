"""The files that we write, opened by the MXNet that the service's container is made of."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

from airflow_ll.artifacts import LinearModel

PYTHON = Path(__file__).parents[2] / ".venvs" / "mxnet" / "bin" / "python"
ROWS = 50

pytestmark = pytest.mark.skipif(not PYTHON.exists(), reason="MXNet 1.9.1 is not here: `make compat` installs it")


def _model(kind: str, loss: str, *, width: int = 20, outputs: int = 1) -> LinearModel:
    random = np.random.default_rng(11)
    weights = random.normal(scale=0.3, size=(width, outputs)).astype(np.float32)
    bias = random.normal(size=outputs).astype(np.float32)
    return LinearModel(weights, bias, kind, loss, node_counter=42)


MODELS = {
    "binary": _model("binary_classifier", "logistic"),
    "binary of one feature": _model("binary_classifier", "logistic", width=1),
    "binary of the hinge loss": _model("binary_classifier", "hinge_loss"),
    "regressor": _model("regressor", "squared_loss"),
    "regressor of a quantile": _model("regressor", "quantile_loss", width=300),
    "multiclass": _model("multiclass_classifier", "softmax_loss", outputs=7),
}


def _features(model: LinearModel) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    return np.random.default_rng(12).normal(size=(ROWS, model.feature_dim)).astype(np.float32)


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with every model's ``scores.npy`` by MXNet."""
    folder = tmp_path_factory.mktemp("mxnet")
    for name, model in MODELS.items():
        (folder / name).mkdir()
        model.save(folder / name / "model_algo-1")
        np.save(folder / name / "features.npy", _features(model))
    script = Path(__file__).with_name("mxnet_oracle.py")
    done = subprocess.run([PYTHON, script, folder], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("name", MODELS)
def test_mxnet_opens_our_model_and_predicts_what_we_do(scored: Path, name: str) -> None:
    theirs = np.load(scored / name / "scores.npy")
    ours = MODELS[name].predict(_features(MODELS[name])).scores
    np.testing.assert_allclose(theirs, ours.reshape(ROWS, -1), rtol=1e-6, atol=1e-6)
