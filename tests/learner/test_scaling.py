from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import sparse

from airflow_ll.learner.blocks import Block
from airflow_ll.learner.scaling import Scaler, fit_scaler, scaler_rows

ALL = {"normalize_data": True, "unbias_data": True, "normalize_label": True, "unbias_label": True}


def _fit(features: Any, labels: np.ndarray, **used: bool) -> Scaler:
    return fit_scaler([Block(features, labels)], len(labels), **used)


def _scores(features: np.ndarray, scaler: Scaler, weights: np.ndarray) -> np.ndarray:
    rows = np.column_stack([(features - scaler.mean) / scaler.stdev, np.ones(len(features))])
    scores: np.ndarray = rows.astype(np.float32) @ weights
    return scores


@pytest.mark.parametrize(
    ("rows", "batch", "wanted", "expected"),
    [(6548, 100, 10_000, 6500), (1_144_913, 1000, 10_000, 11_000), (14, 4, 10_000, 12), (227, 200, 10_000, 200)],
)
def test_the_statistics_are_of_whole_batches_until_more_than_wanted(
    rows: int, batch: int, wanted: int, expected: int
) -> None:
    assert scaler_rows(rows, batch, wanted) == expected


def test_folding_back_gives_the_same_predictions(rng: np.random.Generator) -> None:
    features = (rng.normal(size=(100, 4)) * [1, 10, 1e3, 0.1] + [0, 5, -2e3, 1]).astype(np.float32)
    labels = (rng.normal(size=100) * 7 + 30).astype(np.float32)
    scaler = _fit(features, labels, **ALL)
    weights = rng.normal(size=(5, 2)).astype(np.float32)
    normalised = _scores(features, scaler, weights) * scaler.label_stdev + scaler.label_mean
    raw, bias = scaler.fold(weights)
    np.testing.assert_allclose(features @ raw + bias, normalised, rtol=1e-4, atol=1e-3)


def test_normalised_rows_have_mean_0_and_deviation_1(rng: np.random.Generator) -> None:
    features = rng.normal(3, 9, size=(200, 3)).astype(np.float32)
    rows = _scores(features, _fit(features, features[:, 0], **ALL), np.eye(4, dtype=np.float32))
    np.testing.assert_allclose(rows[:, :3].mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(rows[:, :3].std(axis=0), 1, rtol=1e-5)
    assert (rows[:, 3] == 1).all()


def test_a_constant_column_stays_finite() -> None:
    features = np.full((10, 1), 0.1, np.float32)
    scaler = _fit(features, features[:, 0], **ALL)
    assert scaler.stdev.tolist() == [1]
    np.testing.assert_allclose(_scores(features, scaler, np.eye(2, dtype=np.float32))[:, 0], 0, atol=1e-7)


@pytest.mark.parametrize(("value", "stdev"), [(0.1, 1), (1.7, 1.7), (-3.3, 3.3), (1.7e9, 1.7e9)])
@pytest.mark.parametrize("thin", [False, True])
def test_a_constant_column_is_known_however_many_rows_it_has(value: float, stdev: float, thin: bool) -> None:
    features = np.full((100_000, 1), value, np.float32)
    scaler = _fit(sparse.csr_matrix(features) if thin else features, features[:, 0], **ALL)
    assert scaler.stdev[0] == pytest.approx(stdev)
    assert scaler.label_stdev == 1


def test_values_given_in_parts_count_as_one_and_keep_their_order() -> None:
    parts = (np.array([5, 1, 2, 4], np.float32), np.array([1, 0, 0, 1]), np.array([0, 3, 4]))
    features = sparse.csr_matrix(parts, shape=(2, 2))
    scaler = _fit(features, np.zeros(2, np.float32), **ALL)
    assert (scaler.mean.tolist(), scaler.stdev.tolist()) == ([1.5, 4.5], [1.5, 0.5])
    assert features.indices.tolist() == [1, 0, 0, 1]


def test_what_is_switched_off_is_not_used(rng: np.random.Generator) -> None:
    features = rng.normal(5, 2, size=(50, 2)).astype(np.float32)
    scaler = _fit(features, features[:, 0], **dict.fromkeys(ALL, False))
    assert scaler.mean.tolist() == [0, 0]
    assert scaler.stdev.tolist() == [1, 1]
    assert (scaler.label_mean, scaler.label_stdev) == (0, 1)


def test_sparse_rows_have_the_statistics_of_dense_ones() -> None:
    features = sparse.random(300, 6, density=0.2, format="csr", random_state=1, dtype=np.float32)
    labels = np.zeros(300, np.float32)
    dense, thin = _fit(features.toarray(), labels, **ALL), _fit(features, labels, **ALL)
    np.testing.assert_allclose(thin.mean, dense.mean, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(thin.stdev, dense.stdev, rtol=1e-5)


@pytest.mark.parametrize("thin", [False, True])
def test_statistics_of_blocks_are_those_of_the_whole(rng: np.random.Generator, thin: bool) -> None:
    features = (rng.normal(size=(1000, 3)) * [1, 1e-2, 50] + [0, 30, -1e3]).astype(np.float32)
    features[rng.random(features.shape) < 0.5] = 0
    labels = features[:, 0]
    matrix = sparse.csr_matrix(features) if thin else features
    blocks = [Block(matrix[start : start + 130], labels[start : start + 130]) for start in range(0, 1000, 130)]
    scaler = fit_scaler(iter(blocks), 700, **ALL)
    np.testing.assert_allclose(scaler.mean, features[:700].mean(axis=0, dtype=np.float64), rtol=1e-6)
    np.testing.assert_allclose(scaler.stdev, features[:700].std(axis=0, dtype=np.float64), rtol=1e-6)
    assert scaler.label_stdev == pytest.approx(labels[:700].std(dtype=np.float64), rel=1e-6)


def test_scalers_of_the_identity_fold_to_the_weights_themselves() -> None:
    scaler = Scaler(np.zeros(2, np.float32), np.ones(2, np.float32))
    raw, bias = scaler.fold(np.array([[1], [2], [3]], np.float32))
    assert (raw.tolist(), bias.tolist()) == ([[1], [2]], [3])
