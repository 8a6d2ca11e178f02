from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy import sparse

from airflow_ll.learner.blocks import Block
from airflow_ll.learner.channels import Channel, Memory
from airflow_ll.learner.losses import LogisticLoss
from airflow_ll.learner.rows import Batch, Batches, SparseRows
from airflow_ll.learner.scaling import Scaler, fit_scaler
from airflow_ll.learner.settings import RowWeights

if TYPE_CHECKING:
    from typing import Any

ROWS, WIDTH, SIZE = 90, 7, 20


@pytest.fixture
def features(rng: np.random.Generator) -> np.ndarray:
    values = (rng.normal(size=(ROWS, WIDTH)) * np.logspace(-3, 3, WIDTH) + 1).astype(np.float32)
    values[rng.random(values.shape) < 0.6] = 0
    return values


def _scaler(features: np.ndarray, **used: bool) -> Scaler:
    return fit_scaler(
        [Block(features, features[:, 0])], ROWS, normalize_label=False, unbias_label=False,
        **{"normalize_data": True, "unbias_data": True} | used,
    )  # fmt: skip


def _batches(features: Any, scaler: Scaler, budget: int = 0, weights: RowWeights | None = None) -> Batches:
    labels = (np.arange(ROWS) % 2).astype(np.float32)
    channel = Channel("train", [Block(features[at : at + 40], labels[at : at + 40]) for at in (0, 40, 80)], Memory(0))
    return Batches(channel, scaler, SIZE, LogisticLoss().targets, weights or RowWeights(), Memory(budget))


def _products(batch: Batch, weights: np.ndarray, derivative: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    scores, gradient = np.empty((len(batch), weights.shape[1]), np.float32), np.empty_like(weights)
    batch.rows.scores(weights, scores)
    batch.rows.gradient(derivative[: len(batch)], gradient)
    return scores, gradient


@pytest.mark.parametrize("thin", [False, True])
@pytest.mark.parametrize("used", [{}, {"unbias_data": False}, {"normalize_data": False}])
def test_products_are_those_of_normalised_rows_with_a_column_of_ones(
    features: np.ndarray, rng: np.random.Generator, thin: bool, used: dict[str, bool]
) -> None:
    scaler = _scaler(features, **used)
    exact = np.column_stack([(features.astype(np.float64) - scaler.mean) / scaler.stdev, np.ones(ROWS)])
    weights = rng.normal(size=(WIDTH + 1, 3)).astype(np.float32)
    derivative = rng.normal(size=(SIZE, 3)).astype(np.float32)
    batches = _batches(sparse.csr_matrix(features) if thin else features, scaler)
    found = [_products(batch, weights, derivative) for batch in batches]
    assert all(isinstance(batch.rows, SparseRows) == thin for batch in batches)
    start = 0
    for scores, gradient in found:
        rows = exact[start : start + len(scores)]
        scale = max(1.0, float(np.abs(rows).max()))
        np.testing.assert_allclose(scores, rows @ weights, rtol=1e-4, atol=2e-6 * scale)
        np.testing.assert_allclose(gradient, rows.T @ derivative[: len(scores)], rtol=1e-4, atol=2e-5 * scale)
        start += len(scores)
    assert start == ROWS


@pytest.mark.parametrize("thin", [False, True])
def test_kept_batches_are_the_same_as_those_made_again(features: np.ndarray, thin: bool) -> None:
    matrix = sparse.csr_matrix(features) if thin else features
    kept = _batches(matrix, _scaler(features), budget=10**6)
    first, second = list(kept), list(kept)
    assert all(one is other for one, other in zip(first, second, strict=True))
    again = _batches(matrix, _scaler(features))
    assert not any(one is other for one, other in zip(list(again), list(again), strict=True))
    weights, derivative = np.eye(WIDTH + 1, 3, dtype=np.float32), np.ones((SIZE, 3), np.float32)
    for one, other in zip(first, again, strict=True):
        for ours, theirs in zip(
            _products(one, weights, derivative), _products(other, weights, derivative), strict=True
        ):
            np.testing.assert_array_equal(ours, theirs)


def test_a_pass_that_is_left_keeps_nothing_and_the_next_one_has_all_rows(features: np.ndarray) -> None:
    batches = _batches(features, _scaler(features), budget=10**6)
    next(iter(batches))
    assert sum(len(batch) for batch in batches) == ROWS
    assert sum(len(batch) for batch in batches) == ROWS


def test_targets_and_weights_go_with_their_rows(features: np.ndarray) -> None:
    batches = list(_batches(features, _scaler(features), weights=RowWeights(np.array([1, 3], np.float32), 3.0)))
    labels = np.arange(ROWS) % 2
    np.testing.assert_array_equal(np.concatenate([batch.targets[:, 0] for batch in batches]), 1 - 2 * labels)
    weights = [batch.weights[:, 0] for batch in batches if batch.weights is not None]
    np.testing.assert_array_equal(np.concatenate(weights), 1 + 2 * labels)
