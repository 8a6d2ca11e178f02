from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest

from airflow_ll.learner.optimizers import SGD, Adam, Optimizer, RMSProp

if TYPE_CHECKING:
    from collections.abc import Callable

STEPS = 50


def _run(optimizer: Optimizer, gradients: np.ndarray, rate: float, decay: float = 0.0) -> np.ndarray:
    weights = np.zeros(gradients.shape[1:], np.float32)
    rates, decays = (np.full(weights.shape, value, np.float32) for value in (rate, decay))
    for gradient in gradients:
        optimizer.update(weights, gradient.copy(), rates, decays)
    return weights


@pytest.fixture
def gradients(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=(STEPS, 3, 2)).astype(np.float32)


def test_adam_is_the_published_rule(gradients: np.ndarray) -> None:
    weights = mean = square = np.zeros((3, 2))
    for step, gradient in enumerate(gradients.astype(np.float64), start=1):
        mean = 0.8 * mean + 0.2 * gradient
        square = 0.99 * square + 0.01 * gradient**2
        rate = 0.1 * math.sqrt(1 - 0.99**step) / (1 - 0.8**step)
        weights = weights - rate * mean / (np.sqrt(square) + 1e-8)
    np.testing.assert_allclose(_run(Adam((3, 2), 0.8, 0.99), gradients, 0.1), weights, rtol=1e-4, atol=1e-5)


def test_adam_s_first_step_is_the_rate_whatever_the_gradient() -> None:
    moved = _run(Adam((1, 3)), np.array([[[1e-3, 1.0, -50.0]]], np.float32), 0.1)
    np.testing.assert_allclose(moved, [[-0.1, -0.1, 0.1]], rtol=1e-3)


def test_sgd_without_momentum_sums_the_gradients(gradients: np.ndarray) -> None:
    np.testing.assert_allclose(_run(SGD((3, 2)), gradients, 0.1), -0.1 * gradients.sum(axis=0), rtol=1e-4, atol=1e-6)


def test_weight_decay_joins_the_gradient_before_the_rule(gradients: np.ndarray) -> None:
    weights = np.zeros((3, 2))
    for gradient in gradients.astype(np.float64):
        weights = weights - 0.1 * (gradient + 0.3 * weights)
    np.testing.assert_allclose(_run(SGD((3, 2)), gradients, 0.1, 0.3), weights, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("rule", [lambda shape: Adam(shape, 0.8, 0.99), lambda shape: SGD(shape, 0.5), RMSProp])
def test_more_weights_than_a_cache_holds_are_updated_like_few(
    rule: Callable[[tuple[int, int]], Optimizer], rng: np.random.Generator
) -> None:
    shape = (2 * 4_096 + 5, 8)
    gradients = rng.normal(size=(4, *shape)).astype(np.float32)
    together = _run(rule(shape), gradients, 0.1, 0.3)
    apart = [_run(rule((1, 8)), gradients[:, [row]], 0.1, 0.3) for row in (0, 4_095, 4_096, shape[0] - 1)]
    np.testing.assert_array_equal(together[[0, 4_095, 4_096, -1]], np.concatenate(apart))


def test_momentum_multiplies_a_constant_gradient_by_its_geometric_sum() -> None:
    moved = _run(SGD((1, 1), 0.5), np.ones((STEPS, 1, 1), np.float32), 0.1)
    # Every step approaches rate / (1 - momentum); the first ones lack the rest of the series.
    assert moved[0, 0] == pytest.approx(-0.1 * (2 * STEPS - 2 * (1 - 0.5**STEPS)), rel=1e-5)


def test_rmsprop_is_the_published_rule(gradients: np.ndarray) -> None:
    weights = square = np.zeros((3, 2))
    for gradient in gradients.astype(np.float64):
        square = 0.9 * square + 0.1 * gradient**2
        weights = weights - 0.01 * gradient / np.sqrt(square + 1e-8)
    np.testing.assert_allclose(_run(RMSProp((3, 2)), gradients, 0.01), weights, rtol=1e-4, atol=1e-6)
