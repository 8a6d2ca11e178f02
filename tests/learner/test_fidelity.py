"""Our training against the log of a real job: ``aws-jobs/binary-2024``, defaults but mini_batch_size 100."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import numpy as np
import pytest

from airflow_ll.artifacts import LinearModel
from airflow_ll.hyperparameters import LinearLearnerHyperparameters
from airflow_ll.learner.calibration import Criterion, calibrate
from airflow_ll.learner.container import train
from airflow_ll.learner.metrics import final_scores, roc_auc
from airflow_ll.learner.selection import EarlyStopping
from airflow_ll.learner.settings import RowWeights, resolve

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from tests.learner.conftest import Container

OBJECTIVE = "binary_classification_cross_entropy_objective"


@pytest.fixture(scope="module")
def job(shared: Path) -> Path:
    return shared / "aws-jobs" / "binary-2024"


@pytest.fixture(scope="module")
def logged(job: Path) -> NDArray[np.float64]:
    """The objective of every model after every epoch, (epochs, models), from the job's log."""
    found = re.findall(
        rf'"epoch": (\d+), "model": (\d+)}}, "Metrics": {{"train_{OBJECTIVE}": {{"sum": ([\d.e-]+)',
        (job / "train.log").read_text(),
    )
    series = np.full((10, 32), np.nan)
    for epoch, model, value in found:
        series[int(epoch), int(model)] = float(value)
    assert not np.isnan(series).any()
    return series


def test_the_real_job_is_trained_again_to_its_last_digit(
    job: Path, logged: NDArray[np.float64], container: Container
) -> None:
    container.put("train", "train.csv", (job / "train.csv").read_bytes())
    container.configure({"train": "text/csv"}, predictor_type="binary_classifier", mini_batch_size=100)
    assert train(container.root) == 0
    ours = np.zeros((10, 32))
    for entry in container.metrics("epoch"):
        ours[entry["epoch"], entry["model"]] = entry["train_objective"]
    # Float32 has seven digits, and nothing but its rounding is left: all 32 models, from the first epoch to the last.
    np.testing.assert_allclose(ours, logged, rtol=2e-6)
    (result,) = container.metrics("result")
    assert (result["best_epoch"], result["epochs"], result["best_model"]) == (5, 10, 2)
    theirs = LinearModel.load(job / "model_algo-1")
    np.testing.assert_allclose(container.model.weights, theirs.weights, rtol=1e-5)
    np.testing.assert_allclose(container.model.bias, theirs.bias, rtol=1e-5)
    assert container.model.threshold == pytest.approx(theirs.threshold, rel=1e-6)
    scores = container.scores("train")
    for name, text in re.findall(r"#train_score \(algo-1\) : \('(\S+)', ([\d.e-]+)\)", (job / "train.log").read_text()):
        tolerance = 1e-6 if "loss" in name or name.endswith("objective") else 1e-12
        assert scores[name] == pytest.approx(float(text), rel=tolerance), name


def test_the_logged_series_stops_and_selects_as_the_job_did(logged: NDArray[np.float64]) -> None:
    stopping = EarlyStopping(patience=3, tolerance=0.001)
    stopped = None
    for epoch, values in enumerate(logged):
        stopping.observe(epoch, values)
        if stopping.is_over(epoch):
            stopped = epoch
            break
    assert (stopping.best_epoch, stopped, stopping.best_model) == (5, 9, 2)


def test_the_real_artifact_gives_the_logged_scores_that_training_ends_with(job: Path) -> None:
    table = np.loadtxt(job / "train.csv", delimiter=",", dtype=np.float32)
    model = LinearModel.load(job / "model_algo-1")
    settings = resolve(LinearLearnerHyperparameters(predictor_type="binary_classifier"))
    ours, rows = final_scores(settings, RowWeights(), model, [model.margins(table[:, 1:])], table[:, 0])
    assert rows == len(table)
    logged = re.findall(r"#train_score \(algo-1\) : \('(\S+)', ([\d.e-]+)\)", (job / "train.log").read_text())
    assert [name for name, _ in ours] == [name for name, _ in logged]
    for (name, value), (_, text) in zip(ours, logged, strict=True):
        tolerance = 1e-6 if "loss" in name or name.endswith("objective") else 1e-12
        assert value == pytest.approx(float(text), rel=tolerance), name


def test_calibration_finds_the_threshold_of_the_real_artifact(job: Path) -> None:
    table = np.loadtxt(job / "train.csv", delimiter=",", dtype=np.float32)
    model = LinearModel.load(job / "model_algo-1")
    found = calibrate(model.predict(table[:, 1:]).scores, table[:, 0], Criterion("accuracy"))
    assert found.threshold == model.threshold


@pytest.mark.parametrize(
    ("file", "lines"),
    [
        ("2020_regressor_with_validation.log", 11),
        ("2021_multiclass_with_validation_28models.log", 11),
        ("2023_binary_with_validation.log", 15),
    ],
)
def test_every_logged_job_improves_and_ends_by_our_rule(shared: Path, file: str, lines: int) -> None:
    text = (shared / "aws-jobs" / "logs" / file).read_text()
    criteria = re.findall(
        r"#early_stopping_criteria_metric: host=algo-1, epoch=(\d+), criteria=(\w+), value=(\S+)", text
    )
    improved = {int(epoch) for epoch in re.findall(r"Epoch (\d+): Loss improved", text)}
    stopping = EarlyStopping(patience=3, tolerance=0.001)
    ours = set()
    for epoch, name, value in criteria[:lines]:
        sign = -1 if name.startswith("sampled_") else 1
        if stopping.observe(int(epoch), np.array([sign * float(value)])):
            ours.add(int(epoch))
    assert ours == improved
    assert stopping.is_over(lines - 1) == ("Early stop condition met" in text)


def test_auc_counts_ties_as_half() -> None:
    assert roc_auc(np.array([0.1, 0.5, 0.5, 0.9], np.float32), np.array([0, 0, 1, 1], np.float32)) == 3.5 / 4


def test_the_service_s_metric_definitions_match_our_log(
    shared: Path, container: Container, capsys: pytest.CaptureFixture[str], rng: np.random.Generator
) -> None:
    definitions = json.loads((shared / "aws-jobs" / "metric_definitions_2020.json").read_text())
    features = rng.normal(size=(300, 4)).astype(np.float32)
    matched: dict[str, set[str]] = {}
    for kind, labels in [
        ("binary_classifier", features[:, 0] > 0),
        ("regressor", features[:, 0]),
        ("multiclass_classifier", np.digitize(features[:, 0], [-0.5, 0.5])),
    ]:
        extra = {"num_classes": 3} if kind.startswith("multi") else {}
        for channel in ("train", "validation", "test"):
            container.put_records(channel, features, np.asarray(labels, np.float32))
        container.configure(
            dict.fromkeys(("train", "validation", "test"), ""),
            predictor_type=kind,
            mini_batch_size=50,
            epochs=2,
            **extra,
        )
        assert container.train() == 0
        output = capsys.readouterr().out
        matched[kind] = {each["Name"] for each in definitions if re.search(each["Regex"], output)}
        for each in definitions:
            for value in re.findall(each["Regex"], output):
                float(value)
    always = {
        "train:objective_loss",
        "validation:objective_loss",
        "validation:objective_loss:final",
        "test:objective_loss",
        "train:progress",
        "train:throughput",
    }

    def both(*names: str) -> set[str]:
        return {f"{split}:{name}" for split in ("validation", "test") for name in names}

    assert matched["regressor"] == always | both("mse", "absolute_loss")
    assert matched["binary_classifier"] >= always | both(
        "binary_classification_accuracy", "binary_f_beta", "precision", "recall"
    )
    assert matched["multiclass_classifier"] == always | both(
        "dcg", "macro_f_beta", "macro_precision", "macro_recall", "multiclass_accuracy", "multiclass_top_k_accuracy"
    )
