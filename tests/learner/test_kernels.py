"""Compiled loops and threads change how long training takes, and not what comes out."""

from __future__ import annotations

import builtins
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from scipy import sparse

from airflow_ll.exceptions import DataError, MissingExtraError
from airflow_ll.learner.kernels import JIT_VARIABLE, Kernels, Work, load_kernels
from airflow_ll.learner.optimizers import Adam
from airflow_ll.learner.rows import SparseRows
from airflow_ll.learner.threads import THREADS_VARIABLE, columns_of_parts, side_by_side, thread_count

if TYPE_CHECKING:
    from pathlib import Path

    from tests.learner.conftest import Container

ROWS, FEATURES = 120, 35
SHORT = Work(values=10_000, features=100, columns=32, batches=10, epochs=5)
#: The sparse rows of `python -m benchmarks.learner`: two seconds in plain numpy, one compiled.
MEASURED = Work(values=10_000_000, features=10_000, columns=32, batches=200, epochs=5, threads=2)
LONG = Work(values=100_000_000, features=100_000, columns=32, batches=10_000, epochs=15)


@pytest.fixture(scope="module")
def kernels() -> Kernels:
    pytest.importorskip("numba")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(JIT_VARIABLE, "always")
        loaded, _ = load_kernels(SHORT)
    assert loaded is not None
    return loaded


@pytest.fixture
def matrix(rng: np.random.Generator) -> Any:
    rows = sparse.random(ROWS, FEATURES, 0.1, "csr", np.float32, rng)
    assert 0 in np.diff(rows.indptr)  # a row without values
    return rows


@pytest.mark.parametrize("columns", [1, 5, 32])
@pytest.mark.parametrize("unbiased", [False, True])
@pytest.mark.parametrize("index", [np.int32, np.int64])
def test_compiled_products_are_numpy_s(
    kernels: Kernels, matrix: Any, rng: np.random.Generator, columns: int, unbiased: bool, index: type
) -> None:
    matrix.indices, matrix.indptr = matrix.indices.astype(index), matrix.indptr.astype(index)
    shift = rng.normal(size=FEATURES).astype(np.float32) if unbiased else None
    plain, compiled = SparseRows(matrix, shift), SparseRows(matrix, shift, kernels)
    weights = rng.normal(size=(FEATURES + 1, columns)).astype(np.float32)
    derivative = rng.normal(size=(ROWS, columns)).astype(np.float32)
    scores, gradients = np.empty((2, ROWS, columns), np.float32), np.empty((2, FEATURES + 1, columns), np.float32)
    for rows, score, gradient in zip((plain, compiled), scores, gradients, strict=True):
        rows.scores(weights, score)
        rows.gradient(derivative, gradient)
    # Exactly on x86; where a processor multiplies and adds in one step, to float32's rounding.
    np.testing.assert_allclose(scores[1], scores[0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(gradients[1], gradients[0], rtol=1e-5, atol=1e-6)


def test_the_compiled_adam_is_numpy_s(kernels: Kernels, rng: np.random.Generator) -> None:
    shape = (FEATURES, 7)
    plain, compiled = Adam(shape, 0.8, 0.99), Adam(shape, 0.8, 0.99, kernels)
    ours = theirs = rng.normal(size=shape).astype(np.float32)
    theirs = ours.copy()
    for _ in range(30):
        gradient, rates, decay = rng.normal(size=(3, *shape)).astype(np.float32)
        for rule, weights in ((plain, theirs), (compiled, ours)):
            rule.update(weights, gradient.copy(), np.abs(rates), np.abs(decay))
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
    for name, value in plain.state().items():
        np.testing.assert_allclose(compiled.state()[name], value, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    ("kind", "extra"),
    [
        ("binary_classifier", {}),
        ("binary_classifier", {"l1": 0.01, "positive_example_weight_mult": "balanced", "unbias_data": "false"}),
        ("regressor", {"optimizer": "sgd", "momentum": 0.5}),
        ("multiclass_classifier", {"num_classes": 3}),
    ],
)
def test_a_job_trains_the_same_model_however_it_is_run(
    container: Container,
    monkeypatch: pytest.MonkeyPatch,
    rng: np.random.Generator,
    kind: str,
    extra: dict[str, Any],
    capsys: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip("numba")
    matrix = sparse.random(600, FEATURES, 0.2, "csr", np.float32, rng)
    margin = matrix @ rng.normal(size=FEATURES)
    labels = {
        "binary_classifier": margin > 0,
        "regressor": margin,
        "multiclass_classifier": np.digitize(margin, [-0.3, 0.3]),
    }[kind]
    for channel in ("train", "validation"):
        container.put_records(channel, matrix, np.asarray(labels, np.float32))
    container.configure({"train": "", "validation": ""}, predictor_type=kind, mini_batch_size=50, epochs=4, **extra)
    models, losses = [], []
    for mode, threads in (("never", 1), ("never", 3), ("always", 1), ("always", 2)):
        monkeypatch.setenv(JIT_VARIABLE, mode)
        monkeypatch.setenv(THREADS_VARIABLE, str(threads))
        assert container.train() == 0
        assert f"Threads: {threads}." in (output := capsys.readouterr().out)
        assert ("compiled loops" in output) == (mode == "always")
        models.append(container.model)
        losses.append(
            [(entry["train_objective"], entry["validation_objective"]) for entry in container.metrics("epoch")]
        )
    np.testing.assert_array_equal(models[1].weights, models[0].weights, "threads change nothing")
    for model, loss in zip(models[1:], losses[1:], strict=True):
        np.testing.assert_allclose(model.weights, models[0].weights, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(np.array(loss, float), np.array(losses[0], float), rtol=1e-5, atol=1e-7)


def test_a_checkpoint_is_gone_on_from_with_another_number_of_threads(
    container: Container, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    matrix = sparse.random(300, FEATURES, 0.2, "csr", np.float32, rng)
    labels = (matrix @ rng.normal(size=FEATURES) > 0).astype(np.float32)
    values = {"predictor_type": "binary_classifier", "mini_batch_size": 50, "early_stopping_patience": 9}
    uninterrupted = type(container)(tmp_path / "uninterrupted")
    for each in (container, uninterrupted):
        each.put_records("train", matrix, labels)
    (container.root / "checkpoints").mkdir()
    for threads, epochs in ((2, 2), (1, 3), (4, 5)):
        monkeypatch.setenv(THREADS_VARIABLE, str(threads))
        container.configure({"train": ""}, **values, epochs=epochs)
        assert container.train() == 0
    uninterrupted.configure({"train": ""}, **values, epochs=5)
    assert uninterrupted.train() == 0
    np.testing.assert_allclose(container.model.weights, uninterrupted.model.weights, rtol=1e-5, atol=1e-6)
    assert len(container.metrics("epoch")) == 5 * 32


def test_a_short_job_or_a_single_model_does_not_wait_for_the_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(JIT_VARIABLE, raising=False)
    assert SHORT.seconds < 1 < 100 < LONG.seconds == 4 * replace(LONG, threads=4).seconds
    for work in (SHORT, replace(LONG, columns=1)):
        assert load_kernels(work) == (None, "Training in plain numpy.")


def test_a_long_job_without_numba_says_what_it_could_have(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(JIT_VARIABLE, raising=False)
    monkeypatch.setattr("airflow_ll.learner.kernels.find_spec", lambda _: None)
    kernels, why = load_kernels(LONG)
    assert kernels is None
    assert "extra 'fast'" in why


@pytest.mark.parametrize("work", [LONG, MEASURED])
def test_a_long_job_compiles(kernels: Kernels, monkeypatch: pytest.MonkeyPatch, work: Work) -> None:
    monkeypatch.setenv(JIT_VARIABLE, "auto")
    assert load_kernels(work)[0] is not None


def test_asking_for_numba_without_it_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(JIT_VARIABLE, "always")
    imported = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name == "numba":
            raise ModuleNotFoundError("No module named 'numba'", name="numba")
        return imported(name, *rest, **more)

    monkeypatch.setitem(__import__("sys").modules, "numba", None)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtraError, match=r"airflow-ll\[fast\]"):
        load_kernels(SHORT)


@pytest.mark.parametrize(
    ("variable", "value"), [(JIT_VARIABLE, "yes"), (THREADS_VARIABLE, "0"), (THREADS_VARIABLE, "x")]
)
def test_a_wrong_environment_is_the_customer_s_error(
    container: Container, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    container.put_records("train", sparse.random(60, 5, 0.5, "csr", np.float32, rng), np.zeros(60, np.float32))
    container.configure({"train": ""}, predictor_type="regressor", mini_batch_size=20)
    assert container.train() == 2
    assert variable in container.failure


def test_every_column_belongs_to_one_part_with_all_classes_of_its_models() -> None:
    parts = columns_of_parts(models=10, classes=3, threads=2)
    assert [len(part) for part in parts] == [15, 15]
    assert sorted(np.concatenate(parts)) == list(range(30))
    assert parts[0].tolist() == [*range(5), *range(10, 15), *range(20, 25)]


@pytest.mark.parametrize(("models", "parts"), [(1, 1), (7, 1), (8, 2), (32, 4)])
def test_few_models_are_not_torn_apart(models: int, parts: int) -> None:
    assert len(columns_of_parts(models, 1, threads=4)) == parts


def test_threads_end_together_and_hand_on_what_is_raised() -> None:
    done: list[int] = []

    def work(part: int) -> None:
        if part != 2:
            raise DataError(f"part {part}")
        done.append(part)

    with side_by_side([1, 2, 3]) as run, pytest.raises(DataError, match="part 1"):
        run(work)
    assert done == [2]


def test_there_is_a_thread_for_every_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(THREADS_VARIABLE, raising=False)
    assert thread_count() >= 1
    monkeypatch.setenv(THREADS_VARIABLE, "5")
    assert thread_count() == 5
