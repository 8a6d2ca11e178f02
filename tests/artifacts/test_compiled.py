"""A compiled model has the numbers of its source, and its archive is what it says."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from airflow_ll.artifacts import CompiledModel, LinearModel
from airflow_ll.exceptions import ArtifactError

if TYPE_CHECKING:
    from pathlib import Path

LOSSES = {"binary_classifier": "logistic", "multiclass_classifier": "softmax_loss", "regressor": "squared_loss"}


def a_model(predictor_type: str, features: int = 7) -> LinearModel:
    """Return a model with numbers of no pattern."""
    outputs = 4 if predictor_type == "multiclass_classifier" else 1
    random = np.random.default_rng(3)
    return LinearModel(
        random.normal(size=(features, outputs)).astype(np.float32),
        random.normal(size=outputs).astype(np.float32),
        predictor_type,
        LOSSES[predictor_type],
        threshold=0.4,
        metrics_params={"f_beta": 1.0},
    )


def unpacked(model: LinearModel, folder: Path) -> CompiledModel:
    """Write the files of a compiled model and open them again."""
    for name, content in CompiledModel(model, (1, model.feature_dim), "ml_c5").files().items():
        (folder / name).write_bytes(content)
    return CompiledModel.load(folder)


@pytest.mark.parametrize("predictor_type", LOSSES)
def test_scores_are_those_of_the_source_to_the_last_bit(tmp_path: Path, predictor_type: str) -> None:
    model = a_model(predictor_type)
    compiled = unpacked(model, tmp_path)

    for rows in (1, 3, 200):
        features = np.random.default_rng(rows).normal(size=(rows, 7)).astype(np.float32)
        expected, found = model.predict(features), compiled.model.predict(features)
        assert found.scores.tobytes() == expected.scores.tobytes()
        assert np.array_equal(found.labels, expected.labels)  # type: ignore[arg-type]  # None for a regressor
    assert (compiled.target, list(compiled.input_shape)) == ("ml_c5", [1, 7])
    assert compiled.model.parameters() == model.parameters()


def test_the_weights_are_mapped_and_not_copied(tmp_path: Path) -> None:
    weights = unpacked(a_model("binary_classifier"), tmp_path).model.weights

    base: Any = weights
    while base.base is not None and not isinstance(base, np.memmap):
        base = base.base
    assert isinstance(base, np.memmap)
    assert base.ctypes.data % 64 == 0
    assert not weights.flags.writeable


def test_the_same_model_gives_the_same_bytes_and_a_graph_of_one_operator() -> None:
    files = CompiledModel(a_model("regressor"), (1, 7), "ml_c5").files()

    graph = json.loads(files["compiled_model.json"])
    assert files == CompiledModel(a_model("regressor"), (1, 7), "ml_c5").files()
    assert [node["op"] for node in graph["nodes"]] == ["null", "null", "tvm_op"]
    assert graph["attrs"]["shape"] == ["list_shape", [[1, 7], [8, 1], [1, 1]]]


@pytest.mark.parametrize("name", ["compiled.meta", "compiled.params", "additional-params.json"])
@pytest.mark.parametrize("damage", [b"", b"{}", b"\x00nonsense"])
def test_a_damaged_file_is_one_clear_error(tmp_path: Path, name: str, damage: bytes) -> None:
    unpacked(a_model("binary_classifier"), tmp_path)
    (tmp_path / name).write_bytes(damage)

    with pytest.raises(ArtifactError):
        CompiledModel.load(tmp_path)


@pytest.mark.parametrize("name", ["compiled.meta", "additional-params.json"])
def test_json_without_an_end_is_one_clear_error(tmp_path: Path, name: str) -> None:
    unpacked(a_model("binary_classifier"), tmp_path)
    (tmp_path / name).write_bytes(b"[" * 100_000)
    with pytest.raises(ArtifactError, match="not readable: RecursionError"):
        CompiledModel.load(tmp_path)


@pytest.mark.parametrize("damage", [b"(", b"{", b"'", b"\n", b"\xff"])
def test_a_damaged_header_is_one_clear_error(tmp_path: Path, damage: bytes) -> None:
    unpacked(a_model("binary_classifier"), tmp_path)
    whole = (tmp_path / "compiled.params").read_bytes()
    for place in range(10, 60):
        (tmp_path / "compiled.params").write_bytes(whole[:place] + damage + whole[place + 1 :])
        with contextlib.suppress(ArtifactError):
            CompiledModel.load(tmp_path)


def test_weights_of_another_width_are_refused(tmp_path: Path) -> None:
    unpacked(a_model("binary_classifier"), tmp_path)
    other = CompiledModel(a_model("binary_classifier", 9), (1, 9), "ml_c5").files()
    (tmp_path / "compiled.params").write_bytes(other["compiled.params"])

    with pytest.raises(ArtifactError, match="7 features"):
        CompiledModel.load(tmp_path)
