from __future__ import annotations

import json
import tarfile
from typing import TYPE_CHECKING

import numpy as np
import pytest

from airflow_ll.artifacts import LinearModel
from airflow_ll.artifacts.summary import feature_names, read_scores, render, summarise
from airflow_ll.cli import main
from airflow_ll.exceptions import ArtifactError
from airflow_ll.records.schema import Column, FeatureSchema

if TYPE_CHECKING:
    from pathlib import Path

WEIGHTS = np.array([[0.5], [-3.0], [1.0]], np.float32)
BINARY = LinearModel(
    WEIGHTS,
    np.array([0.25], np.float32),
    "binary_classifier",
    "logistic",
    threshold=0.375,
    metrics_params={"f_beta": 1.0, "quantile": None, "threshold": 0.375},
)
MULTICLASS = LinearModel(
    WEIGHTS * np.array([1, -2], np.float32), np.array([1, 2], np.float32), "multiclass_classifier", "softmax_loss"
)
METRICS = [
    {"kind": "epoch", "epoch": 0, "model": 0, "train_objective": 0.5, "criterion": 0.5},
    {"kind": "score", "split": "test", "name": "roc_auc_score", "value": 0.875},
]


@pytest.mark.parametrize(
    ("document", "names"),
    [
        (["a", "b", "c"], ["a", "b", "c"]),
        ({"features": ["a", {"name": "b", "dtype": "float32"}, "c"]}, ["a", "b", "c"]),
        ({"columns": [{"name": "delay"}, {"name": "origin", "vocabulary": ["EWR", "JFK"]}]}, None),
    ],
)
def test_a_schema_names_the_features(document: object, names: list[str] | None) -> None:
    assert feature_names(document, 3) == (names or ["delay", "origin=EWR", "origin=JFK"])


def test_the_schema_of_a_record_set_names_its_features() -> None:
    schema = FeatureSchema((Column("delay"), Column("origin", "category", ("EWR", None))))
    assert feature_names(json.loads(schema.to_json()), 3) == list(schema.feature_names)


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (["a", "b", "a"], "names 'a' twice"),
        (["a", {"name": "b", "vocabulary": 5}], "categories of 'b' in the feature schema must be a list, not 5"),
        (["a", {"name": "b", "categories": "xy"}], "must be a list, not 'xy'"),
        (["a", "b"], "names 2 features, but the model has 3"),
        ("a", "must be a JSON list"),
        ({"names": []}, "must be a JSON list"),
        (["a", "b", 3], "neither a name nor has one: 3"),
    ],
)
def test_another_schema_is_refused(document: object, words: str) -> None:
    with pytest.raises(ArtifactError, match=words):
        feature_names(document, 3)


def test_the_summary_is_json_with_every_coefficient() -> None:
    summary = summarise(BINARY, ["a", "b", "c"], {"test:roc_auc_score": 0.875})
    assert json.loads(json.dumps(summary)) == {
        "predictor_type": "binary_classifier",
        "loss": "logistic",
        "feature_dim": 3,
        "classes": None,
        "threshold": 0.375,
        "settings": {"f_beta": 1.0},
        "scores": {"test:roc_auc_score": 0.875},
        "bias": 0.25,
        "coefficients": {"a": 0.5, "b": -3.0, "c": 1.0},
    }


def test_multiclass_has_one_coefficient_a_class_and_no_threshold() -> None:
    summary = summarise(MULTICLASS)
    assert (summary["classes"], summary["threshold"], summary["bias"]) == (2, None, [1.0, 2.0])
    assert summary["coefficients"]["feature_1"] == [-3.0, 6.0]
    assert "class 0     class 1" in render(summary, 0)


def test_the_largest_coefficients_come_first() -> None:
    text = render(summarise(BINARY, ["a", "b", "c"]), 2)
    rows = [line.split() for line in text.split("\n\n")[1].splitlines()]
    assert rows[:4] == [["coefficient", "value"], ["(bias)", "0.25"], ["b", "-3"], ["c", "1"]]
    assert "1 smaller ones" in text
    assert ["threshold", "0.375"] in [line.split() for line in text.splitlines()]


def test_scores_come_from_the_file_or_from_the_job_s_archive(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text("\n".join(map(json.dumps, METRICS)) + "\n")
    with tarfile.open(tmp_path / "output.tar.gz", "w:gz") as archive:
        archive.add(path, "data/metrics.jsonl")
    assert read_scores(path) == read_scores(tmp_path / "output.tar.gz") == {"test:roc_auc_score": 0.875}


@pytest.mark.parametrize("content", [b"no JSON", b"[1]", b"\x1f\x8bno archive", b'{"kind": "score"}'])
def test_another_file_has_no_scores(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "metrics.jsonl").write_bytes(content)
    with pytest.raises(ArtifactError, match=r"not a metrics.jsonl"):
        read_scores(tmp_path / "metrics.jsonl")


def test_what_is_said_of_a_binary_file_is_short(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_bytes(b"PK\xff" * 100_000)
    with pytest.raises(ArtifactError, match=r"not a metrics.jsonl") as caught:
        read_scores(tmp_path / "metrics.jsonl")
    assert len(str(caught.value)) < 300


def test_fewer_coefficients_than_none_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["model", "show", "model_algo-1", "--top", "-1"]) == 2
    assert "--top must be 0, for all coefficients, or more, but is -1" in capsys.readouterr().err
