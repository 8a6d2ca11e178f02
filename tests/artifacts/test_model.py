from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy import sparse

from airflow_ll.artifacts import LinearModel
from airflow_ll.artifacts.archive import read_members, write_members
from airflow_ll.artifacts.params import read_params, write_params
from airflow_ll.exceptions import ArtifactError, DataError

if TYPE_CHECKING:
    from pathlib import Path


def _model(kind: str = "binary_classifier", loss: str = "logistic", outputs: int = 1) -> LinearModel:
    rng = np.random.default_rng(7)
    weights = rng.normal(size=(4, outputs)).astype(np.float32)
    bias = rng.normal(size=outputs).astype(np.float32)
    return LinearModel(weights, bias, kind, loss, threshold=0.25, metrics_params={"f_beta": 1.0}, node_counter=3)


SYMBOL, PARAMETERS = "mx-mod-symbol.json", "additional-params.json"
MODELS = [
    _model(),
    _model("regressor", "squared_loss"),
    _model("multiclass_classifier", "softmax_loss", outputs=3),
    _model(loss="hinge_loss"),
]


@pytest.fixture(scope="module")
def job(shared: Path) -> Path:
    return shared / "aws-jobs" / "binary-2024"


@pytest.fixture(scope="module")
def rows(job: Path) -> np.ndarray:
    return np.loadtxt(job / "train.csv", delimiter=",")


def test_a_real_artifact_opens_and_its_files_are_written_byte_for_byte(job: Path, tmp_path: Path) -> None:
    model = LinearModel.load(job / "model_algo-1")
    assert (model.feature_dim, model.predictor_type, model.loss) == (20, "binary_classifier", "logistic")
    assert model.threshold == 0.5315272808074951
    model.save(tmp_path / "model_algo-1")
    assert read_members((tmp_path / "model_algo-1").read_bytes()) == read_members((job / "model_algo-1").read_bytes())


def test_a_real_artifact_gives_the_scores_that_its_job_logged(job: Path, rows: np.ndarray) -> None:
    labels, features = rows[:, 0].astype(int), rows[:, 1:]
    predictions = LinearModel.load(job / "model_algo-1").predict(features)
    predicted, scores = predictions.labels, predictions.scores.astype(np.float64)
    assert predicted is not None
    hits = int(np.sum((predicted == 1) & (labels == 1)))
    precision, recall = hits / predicted.sum(), hits / labels.sum()
    assert np.mean(predicted == labels) == 0.7112095296273672
    assert precision == 0.7309871756635848
    assert recall == 0.7125
    assert 2 * precision * recall / (precision + recall) == pytest.approx(0.72162520241425, abs=1e-15)
    loss = -np.mean(np.log(np.where(labels == 1, scores, 1 - scores)))
    assert loss == pytest.approx(0.5551001572652641, rel=1e-6)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.loss)
@pytest.mark.parametrize("name", ["model_algo-1", "model.tar.gz"])
def test_a_saved_model_loads_with_the_same_numbers_and_answers(model: LinearModel, name: str, tmp_path: Path) -> None:
    model.save(tmp_path / name, mtime=1_700_000_000)
    loaded = LinearModel.load(tmp_path / name)
    np.testing.assert_array_equal(loaded.weights, model.weights)
    np.testing.assert_array_equal(loaded.bias, model.bias)
    assert (loaded.threshold, loaded.metrics_params, loaded.node_counter) == (0.25, {"f_beta": 1.0}, 3)
    features = np.random.default_rng(1).normal(size=(5, 4))
    np.testing.assert_array_equal(loaded.predict(features).scores, model.predict(features).scores)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.loss)
def test_sparse_rows_score_as_dense_rows_do(model: LinearModel) -> None:
    features = sparse.random(20, 4, density=0.4, format="csr", random_state=3, dtype=np.float32)
    np.testing.assert_allclose(model.predict(features).scores, model.predict(features.toarray()).scores, rtol=1e-6)


def test_equal_models_give_equal_bytes(tmp_path: Path) -> None:
    _model().save(tmp_path / "a.tar.gz", mtime=5)
    _model().save(tmp_path / "b.tar.gz", mtime=5)
    assert (tmp_path / "a.tar.gz").read_bytes() == (tmp_path / "b.tar.gz").read_bytes()


def test_an_example_whose_score_is_the_threshold_is_positive() -> None:
    model = LinearModel(np.zeros((1, 1), np.float32), np.zeros(1, np.float32), "binary_classifier", "logistic", 0.5)
    labels = model.predict(np.zeros((1, 1))).labels
    assert labels is not None
    assert labels.tolist() == [1]


def test_extreme_margins_give_probabilities_without_warnings() -> None:
    weights = np.array([[1000.0]], np.float32)
    model = LinearModel(weights, np.zeros(1, np.float32), "binary_classifier", "logistic")
    assert model.predict(np.array([[1.0], [-1.0]])).scores.tolist() == [1.0, 0.0]


def test_a_wrong_feature_dimension_is_refused_in_the_service_s_words() -> None:
    with pytest.raises(DataError, match=r"The feature dimension of the input: 3 does not match .* of the model: 4"):
        _model().predict(np.zeros((2, 3)))


@pytest.mark.parametrize("shape", [(), (1, 2, 4)])
def test_what_is_no_matrix_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match=r"must be rows of 4 features, but has the shape \("):
        _model().predict(np.zeros(shape))


@pytest.mark.parametrize("size", range(0, 238, 7))
def test_truncated_params_are_refused(size: int) -> None:
    data = write_params({"arg:fc0_weight": _model().weights, "arg:fc0_bias": _model().bias})
    with pytest.raises(ArtifactError):
        read_params(data[: min(size, len(data) - 1)])


@pytest.mark.parametrize("dtype", ["f4", "f8", "f2", "u1", "i4", "i1", "i8"])
def test_params_keep_names_shapes_and_dtypes(dtype: str) -> None:
    array = np.arange(12).reshape(3, 4).astype(dtype)
    (name, read), *_ = read_params(write_params({"arg:x": array, "y": array[0]})).items()
    assert (name, read.dtype, read.shape) == ("arg:x", array.dtype, (3, 4))
    np.testing.assert_array_equal(read, array)


def _text(name: str, old: str, new: str) -> dict[str, bytes]:
    text = read_members(_model().to_bytes())[name].decode()
    assert old in text
    return {name: text.replace(old, new).encode()}


def _huge_empty_array() -> bytes:
    data = write_params({"arg:fc0_weight": np.zeros((0, 2, 2), np.float32)})
    return data.replace(struct.pack("<qq", 2, 2), struct.pack("<qq", 2**62, 2**62))


@pytest.mark.parametrize(
    "members",
    [
        _text(SYMBOL, '"10.0"', '"ten"'),
        _text(SYMBOL, '"10.0"', "[10]"),
        _text(SYMBOL, "(4, 1)", f"({'9' * 5000}, 1)"),
        _text(SYMBOL, "(4, 1)", "(4,)"),
        _text(SYMBOL, "output3", f"output{'9' * 5000}"),
        {SYMBOL: b"[" * 100_000},
        {PARAMETERS: b"[" * 100_000},
        {PARAMETERS: b"\xff" * 100_000},
        {"mx-mod-0000.params": _huge_empty_array()},
    ],
)
def test_a_forged_model_is_one_clear_error(members: dict[str, bytes]) -> None:
    with pytest.raises(ArtifactError) as caught:
        LinearModel.from_bytes(write_members(read_members(_model().to_bytes()) | members))
    assert len(str(caught.value)) < 300


def test_a_wrong_predictor_type_is_named(tmp_path: Path) -> None:
    broken = LinearModel(_model().weights, _model().bias, "clusterer", "logistic")
    broken.save(tmp_path / "model_algo-1")
    with pytest.raises(ArtifactError, match="got 'clusterer'"):
        LinearModel.load(tmp_path / "model_algo-1")


def test_additional_parameters_are_in_the_service_s_order() -> None:
    parameters = json.loads(read_members(_model().to_bytes())["additional-params.json"])
    assert list(parameters) == ["threshold", "loss_type", "predictor_type", "metrics_params"]
