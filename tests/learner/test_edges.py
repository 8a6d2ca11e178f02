"""Values, data and requests at the edge of what float32, the formats and the container's contract can hold."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from scipy import sparse
from sklearn.metrics import dcg_score, precision_score, recall_score, top_k_accuracy_score

from airflow_ll.exceptions import DataError
from airflow_ll.learner import blocks
from airflow_ll.learner.channels import CACHE_VARIABLE
from airflow_ll.learner.payloads import decode_request
from airflow_ll.learner.selection import EarlyStopping
from airflow_ll.records import encode_records

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.learner.conftest import Container

    Fit = Callable[..., Container]

BINARY: dict[str, Any] = {"predictor_type": "binary_classifier", "mini_batch_size": 50, "epochs": 2}
REGRESSOR: dict[str, Any] = BINARY | {"predictor_type": "regressor"}


@pytest.fixture
def rows(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Features (200, 3) and labels (200,), 1 where the first feature is positive."""
    features = rng.normal(size=(200, 3)).astype(np.float32)
    return features, (features[:, 0] > 0).astype(np.float32)


# Training.


def test_the_first_epoch_is_the_best_whatever_the_tolerance(fit: Fit, rows: tuple[np.ndarray, np.ndarray]) -> None:
    stopping = EarlyStopping(patience=1, tolerance=2.0)
    assert [stopping.observe(epoch, np.array([value])) for epoch, value in enumerate([np.nan, 5.0, 1.0])] == [0, 1, 0]
    assert stopping.best_epoch == 1
    assert fit(*rows, **BINARY, early_stopping_tolerance=2).metrics("result")[0]["best_epoch"] == 0


def test_a_column_of_subnormal_numbers_counts_as_constant(fit: Fit, rows: tuple[np.ndarray, np.ndarray]) -> None:
    features = np.column_stack([rows[0], rows[1] * np.float32(1e-40)])
    assert fit(features, rows[1], **BINARY).scores("train")["binary_classification_accuracy"] > 0.9


@pytest.mark.parametrize("constant", [1.7, 1.7e9])
def test_a_constant_column_changes_no_score_of_sparse_rows(fit: Fit, rng: np.random.Generator, constant: float) -> None:
    features = np.where(rng.random((11_000, 4)) < 0.3, rng.normal(size=(11_000, 4)), 0)
    labels = (features @ [1.0, -2.0, 0.5, 3.0]).astype(np.float32)
    wide = np.column_stack([features, np.full(len(labels), constant)]).astype(np.float32)
    values = REGRESSOR | {"mini_batch_size": 1000, "num_models": 1}
    dense, thin = (fit(rows, labels, **values).scores("train")["mse"] for rows in (wide, sparse.csr_matrix(wide)))
    assert thin == pytest.approx(dense, rel=1e-4)


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_alone_is_balanced_already(fit: Fit, rows: tuple[np.ndarray, np.ndarray], label: int) -> None:
    labels = np.full(len(rows[1]), label, np.float32)
    balanced = fit(rows[0], labels, **BINARY, positive_example_weight_mult="balanced")
    assert balanced.model.to_bytes() == fit(rows[0], labels, **BINARY).model.to_bytes()


@pytest.mark.parametrize("criterion", ["precision_at_target_recall", "recall_at_target_precision"])
def test_a_target_that_is_not_reached_scores_nothing(
    fit: Fit, rows: tuple[np.ndarray, np.ndarray], capsys: pytest.CaptureFixture[str], criterion: str
) -> None:
    no_positives = (rows[0], np.zeros(len(rows[0]), np.float32))
    fit(*rows, **BINARY, binary_classifier_model_selection_criteria=criterion, validation=no_positives)
    lines = [line for line in capsys.readouterr().out.splitlines() if "#early_stopping_criteria_metric" in line]
    assert [line.split("criteria=")[1] for line in lines] == [f"sampled_{criterion}, value=0.0"] * 2


def test_large_margins_of_a_hinge_have_a_finite_log_loss(
    container: Container, rows: tuple[np.ndarray, np.ndarray]
) -> None:
    container.put_records("train", *rows)
    container.put_records("test", 1000 * rows[0], 1 - rows[1])  # nearly all are wrong
    container.configure({"train": "", "test": ""}, **BINARY | {"epochs": 20}, loss="hinge_loss")
    assert container.train() == 0, container.failure
    scores = container.scores("test")
    assert 100 < scores["binary_log_loss"] < np.inf
    assert scores["binary_balanced_accuracy"] < 0.1, "the sign of the margin is what is squeezed"


@pytest.mark.parametrize(
    ("factor", "label", "values"), [(1.0, 1.0, {"optimizer": "sgd", "learning_rate": 1e38}), (1e-20, 1e30, {})]
)
def test_a_model_beyond_float32_is_not_saved(
    container: Container, rows: tuple[np.ndarray, np.ndarray], factor: float, label: float, values: dict[str, Any]
) -> None:
    container.put_records("train", rows[0] * np.float32(factor), rows[1] * np.float32(label))
    container.configure({"train": ""}, **REGRESSOR | values | {"mini_batch_size": 200, "epochs": 1})
    assert container.train() == 1
    assert container.failure.startswith("Algorithm Error: Training diverged: the best model has weights beyond float32")
    assert not (container.root / "model" / "model_algo-1").exists()


@pytest.mark.parametrize("span", [7, 65_536])
def test_the_scores_of_many_classes_need_no_matrix_of_them(
    fit: Fit, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, span: int
) -> None:
    monkeypatch.setattr(blocks, "_SPAN", span)
    features = rng.normal(size=(120, 3)).astype(np.float32)
    labels = rng.integers(0, 5, 120)  # of 20,000: a matrix of all pairs would take 3 GB
    trained = fit(
        features, labels, predictor_type="multiclass_classifier", num_classes=20_000, mini_batch_size=60, epochs=1,
        num_models=1,
    )  # fmt: skip
    predicted, classes = trained.model.predict(features).labels, range(20_000)
    scores = trained.scores("train")
    assert scores["macro_recall"] == pytest.approx(
        recall_score(labels, predicted, labels=classes, average="macro", zero_division=0)
    )
    assert scores["macro_precision"] == pytest.approx(
        precision_score(labels, predicted, labels=classes, average="macro", zero_division=0)
    )


def test_classes_of_vanishing_probability_have_ranks_of_their_own(
    fit: Fit, rows: tuple[np.ndarray, np.ndarray]
) -> None:
    labels = (np.arange(200) % 5).astype(np.float32)
    values = {"predictor_type": "multiclass_classifier", "num_classes": 5, "mini_batch_size": 50, "epochs": 1}
    trained = fit(1e4 * rows[0], labels, **values, normalize_data=False, accuracy_top_k=3)
    margins, probabilities = trained.model.margins(1e4 * rows[0]), trained.model.predict(1e4 * rows[0]).scores
    assert (np.sort(probabilities, axis=1)[:, -2] == 0).mean() > 0.5, "all but one are 0"
    scores = trained.scores("train")
    assert scores["multiclass_top_k_accuracy_3"] == pytest.approx(top_k_accuracy_score(labels, margins, k=3))
    assert scores["dcg"] == pytest.approx(dcg_score(np.eye(5)[labels.astype(int)], margins))


# The container.


@pytest.mark.parametrize(("dtype", "told"), [("float32", False), ("preserve", True)])
def test_tensors_that_amazon_does_not_take_are_told_of(
    container: Container,
    rows: tuple[np.ndarray, np.ndarray],
    capsys: pytest.CaptureFixture[str],
    dtype: Any,
    told: bool,
) -> None:
    features, labels = rows
    body = encode_records(features.astype(np.float64), labels.astype(np.int64), dtype=dtype)
    container.put("train", "matrix_0.pbr", body)
    container.configure({"train": ""}, **BINARY)
    assert container.train() == 0, container.failure
    assert ("channel 'train' have float64 and int32 tensors" in capsys.readouterr().out) == told


@pytest.mark.parametrize("value", [1e300, 1e308])  # the sum of two of the latter is beyond float64, too
@pytest.mark.parametrize("thin", [False, True])
def test_float64_records_beyond_float32_are_the_customer_s(
    container: Container, rows: tuple[np.ndarray, np.ndarray], value: float, thin: bool
) -> None:
    wide, labels = rows[0].astype(np.float64), rows[1].astype(np.float64)
    wide[5:7, 1] = value
    features = sparse.csr_matrix(wide) if thin else wide
    container.put("train", "a", encode_records(features, labels, dtype="preserve"))
    container.configure({"train": ""}, **BINARY)
    assert container.train() == 2
    assert "a of channel 'train'. Found infinite (Inf) values" in container.failure
    assert "The first Inf is feature 1 of record 5." in container.failure


@pytest.mark.parametrize("value", [1e300, 1e308])
def test_a_float64_label_beyond_float32_is_the_customer_s(
    container: Container, rows: tuple[np.ndarray, np.ndarray], value: float
) -> None:
    labels = rows[1].astype(np.float64)
    labels[3:5] = value
    container.put("train", "a", encode_records(rows[0], labels, dtype="preserve"))
    container.configure({"train": ""}, **REGRESSOR)
    assert container.train() == 2
    assert "Labels must be finite numbers within float32, but 2 of 200 are not; the first is 1e+3" in container.failure


@pytest.mark.parametrize("name", ["f_beta", "learning_rate", "init_bias"])
def test_a_number_beyond_float32_is_the_customer_s(
    container: Container, rows: tuple[np.ndarray, np.ndarray], name: str
) -> None:
    container.put_records("train", *rows)
    container.configure({"train": ""}, **BINARY, **{name: "1e200"})
    assert container.train() == 2
    assert f"{name} is 1e200, but training calculates in float32" in container.failure


def test_wrong_names_are_told_in_the_service_s_words(container: Container, rows: tuple[np.ndarray, np.ndarray]) -> None:
    container.put_records("train", *rows)
    container.configure({"train": ""}, foo=1)
    assert container.train() == 2
    assert container.failure.startswith(
        "Customer Error: Additional hyperparameters are not allowed ('foo' was unexpected) (caused by ValidationError)"
    )
    assert "No value(s) were specified for 'predictor_type' which are required hyperparameter(s)" in container.failure


def test_a_run_begins_without_what_an_earlier_one_left(
    container: Container, rows: tuple[np.ndarray, np.ndarray]
) -> None:
    container.put_records("train", *rows)
    failure, model = container.root / "output" / "failure", container.root / "model" / "model_algo-1"
    for batch, code in ((500, 2), (50, 0), (500, 2)):
        container.configure({"train": ""}, **BINARY | {"mini_batch_size": batch})
        assert container.train() == code
        assert (failure.exists(), model.exists()) == (code == 2, code == 0)
    assert [path.name for path in (container.root / "model").iterdir()] == []


def test_a_channel_without_a_configuration_is_the_platform_s(container: Container) -> None:
    container.configure({"train": ""}, **BINARY)
    (container.root / "input" / "config" / "inputdataconfig.json").write_text('{"train": "x"}')
    assert container.train() == 3
    assert "inputdataconfig.json has 'x' for the channel 'train'" in container.failure


def test_a_content_type_that_is_no_text_is_the_platform_s(container: Container) -> None:
    container.configure({"train": ""}, **BINARY)
    (container.root / "input" / "config" / "inputdataconfig.json").write_text('{"train": {"ContentType": 5}}')
    assert container.train() == 3
    assert "inputdataconfig.json has 5 as ContentType of 'train'" in container.failure


def test_a_list_of_hosts_may_be_missing(container: Container, rows: tuple[np.ndarray, np.ndarray]) -> None:
    container.put_records("train", *rows)
    container.configure({"train": ""}, **BINARY)
    (container.root / "input" / "config" / "resourceconfig.json").write_text(
        '{"current_host": "algo-1", "hosts": null}'
    )
    assert container.train() == 0, container.failure


def test_a_root_that_is_no_tree_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from airflow_ll.cli import main

    assert main(["train", "--root", str(tmp_path / "typo")]) == 2
    assert "There is no folder" in capsys.readouterr().err
    assert not (tmp_path / "typo").exists()


def test_sigterm_does_not_wait_for_a_pipe_that_nobody_writes_to(
    container: Container, rows: tuple[np.ndarray, np.ndarray]
) -> None:
    container.configure({"train": ""}, **BINARY)
    config = {"train": {"TrainingInputMode": "Pipe"}}
    (container.root / "input" / "config" / "inputdataconfig.json").write_text(json.dumps(config))
    folder, body = container.root / "input" / "data", encode_records(*rows)
    folder.mkdir()
    pipes = [folder / f"train_{number}" for number in range(3)]  # to read and check, for the scaler, for an epoch
    for pipe in pipes:
        os.mkfifo(pipe)
    stalled, ended = threading.Event(), threading.Event()

    def write() -> None:
        for pipe in pipes[:-1]:
            pipe.write_bytes(body)
        with pipes[-1].open("wb", buffering=0) as last:
            last.write(body[: len(body) // 2])
            stalled.set()
            ended.wait(60)

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    process = subprocess.Popen(
        [sys.executable, "-m", "airflow_ll", "train", "--root", str(container.root)],
        env=os.environ | {CACHE_VARIABLE: "0"},
        stdout=subprocess.PIPE,
    )
    try:
        assert stalled.wait(60)
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=30)  # while the pipe is still open
    finally:
        ended.set()
        process.kill()
        writer.join()
    assert process.returncode == 0
    assert b"The job was asked to stop in epoch 0." in output
    assert container.model.feature_dim == 3


# Requests.


@pytest.mark.parametrize(
    ("instances", "match"),
    [
        ([{"data": 5}], 'Instance 0 of the request has no "features"'),
        ([{"data": None}], 'Instance 0 of the request has no "features"'),
        ([{"data": [1]}], 'Instance 0 of the request has no "features"'),
        ([{"features": [10**400, 1]}], "not equally long lists of numbers"),
        ([{"features": ["1", 1]}], "a text or a boolean is no number"),
        ([{"features": [True, False]}], "a text or a boolean is no number"),
        ([{"features": [None, 1]}], r"Found missing \(NaN\) values.* The first NaN is feature 0 of record 0"),
        (
            [{"features": [1, 2]}, {"features": [1, 1e300]}],
            r"infinite \(Inf\).* The first Inf is feature 1 of record 1",
        ),
        ([{"features": {"keys": [0.5], "shape": [2], "values": [1]}}], "not equally long lists of numbers"),
        ([{"features": {"keys": [0], "shape": [10**30], "values": [1]}}], "not equally long lists of numbers"),
        ([{"features": {"keys": [0], "shape": [float("inf")], "values": [1]}}], "not equally long lists of numbers"),
        ([{"features": {"keys": [0], "shape": [2], "values": [None]}}], "The first NaN is feature 0 of record 0"),
        ([{"features": {"keys": [0], "shape": [2], "values": ["1"]}}], "a text or a boolean is no number"),
    ],
)
def test_odd_json_is_the_client_s_fault(instances: list[Any], match: str) -> None:
    for body, kind in (
        (json.dumps({"instances": instances}), "application/json"),
        ("\n".join(map(json.dumps, instances)), "application/jsonlines"),
    ):
        with pytest.raises(DataError, match=match):
            decode_request(body.encode(), kind, 2)


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"instances": [{"features": [NaN, 1]}]}', b" \n"])
def test_json_that_is_none_is_the_client_s_fault(body: bytes) -> None:
    with pytest.raises(DataError):
        decode_request(body, "application/json", 2)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("kind", ["text/csv", "application/x-recordio-protobuf"])
def test_numbers_that_are_none_are_not_scored(bad: float, kind: str) -> None:
    features = np.array([[1, 2], [3, bad]], np.float32)
    body = encode_records(features) if "record" in kind else f"1,2\n3,{bad}\n".encode()
    with pytest.raises(DataError, match="is feature 1 of record 1"):
        decode_request(bytes(body), kind, 2)


def test_a_request_of_no_records_says_so_and_a_csv_may_have_a_mark() -> None:
    with pytest.raises(DataError, match="no rows"):
        decode_request(b"", "application/x-recordio-protobuf", 2)
    assert decode_request(b"\xef\xbb\xbf1,2\n", "text/csv", 2).tolist() == [[1, 2]]
