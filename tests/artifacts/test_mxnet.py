"""The files that we write, opened by the MXNet that the service's container is made of."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from airflow_ll.artifacts import LinearModel
from airflow_ll.learner.initialization import initial_weights

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


#: More models than ten are drawn in the order of their names, which MXNet itself knows nothing of.
DRAWS: dict[str, dict[str, Any]] = {
    f"{method}, {shape}, seed {seed}": {"method": method, "scale": 0.07, "shape": shape, "models": 9, "seed": seed}
    for method in ("uniform", "normal")
    for shape in ((20, 1), (64, 1), (65, 1), (50, 7), (70_000, 1))
    for seed in (0, 7)
}


def _features(model: LinearModel) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    return np.random.default_rng(12).normal(size=(ROWS, model.feature_dim)).astype(np.float32)


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with every model's ``scores.npy`` and every draw's ``weights.npy`` by MXNet."""
    folder = tmp_path_factory.mktemp("mxnet")
    for name, model in MODELS.items():
        (folder / name).mkdir()
        model.save(folder / name / "model_algo-1")
        np.save(folder / name / "features.npy", _features(model))
    for name, asked in DRAWS.items():
        (folder / name).mkdir()
        (folder / name / "draw.json").write_text(json.dumps(asked))
    script = Path(__file__).with_name("mxnet_oracle.py")
    done = subprocess.run([PYTHON, script, folder], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("name", MODELS)
def test_mxnet_opens_our_model_and_predicts_what_we_do(scored: Path, name: str) -> None:
    theirs = np.load(scored / name / "scores.npy")
    ours = MODELS[name].predict(_features(MODELS[name])).scores
    # A score near zero is the difference of large sums: what it loses to float32 is a share of those, not of itself.
    np.testing.assert_allclose(theirs, ours.reshape(ROWS, -1), rtol=1e-6, atol=1e-6 * abs(ours).max())


@pytest.mark.parametrize("name", DRAWS)
def test_the_first_weights_are_those_that_mxnet_draws(scored: Path, name: str) -> None:
    theirs, asked = np.load(scored / name / "weights.npy"), DRAWS[name]
    ours = initial_weights(asked["method"], asked["scale"], asked["shape"], asked["models"], asked["seed"])
    by_model = ours.reshape(asked["shape"][0], asked["shape"][1], -1).transpose(2, 0, 1)
    if asked["method"] == "uniform":
        np.testing.assert_array_equal(by_model, theirs)
    else:  # the logarithms of two libraries differ in the last bit
        np.testing.assert_allclose(by_model, theirs, rtol=1e-6, atol=1e-9)
