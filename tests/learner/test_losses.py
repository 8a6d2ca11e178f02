from __future__ import annotations

import numpy as np
import pytest

from airflow_ll.learner.losses import (
    AbsoluteLoss,
    EpsInsensitiveAbsoluteLoss,
    EpsInsensitiveSquaredLoss,
    HingeLoss,
    HuberLoss,
    LogisticLoss,
    Loss,
    QuantileLoss,
    SoftmaxLoss,
    SquaredLoss,
)

# The factor by which the derivative of the stated loss is larger than what the update uses.
LOSSES: list[tuple[Loss, float]] = [
    (LogisticLoss(), 1),
    (HingeLoss(1.0), 1),
    (HingeLoss(0.3), 1),
    (SquaredLoss(), 2),
    (AbsoluteLoss(), 1),
    (QuantileLoss(0.9), 1),
    (QuantileLoss(0.2), 1),
    (HuberLoss(0.7), 1),
    (EpsInsensitiveSquaredLoss(0.5), 2),
    (EpsInsensitiveAbsoluteLoss(0.5), 1),
]


def _evaluate(loss: Loss, scores: np.ndarray, labels: np.ndarray, models: int) -> tuple[np.ndarray, np.ndarray]:
    derivative = scores.astype(np.float32)
    losses = np.empty((len(scores), models), np.float32)
    loss.evaluate(derivative, loss.targets(labels), losses)
    return losses, derivative


def _labels(loss: Loss, rng: np.random.Generator, rows: int) -> np.ndarray:
    binary = isinstance(loss, LogisticLoss | HingeLoss)
    return (rng.integers(0, 2, rows) if binary else rng.normal(size=rows)).astype(np.float32)


@pytest.mark.parametrize(("loss", "factor"), LOSSES, ids=lambda value: repr(value))
def test_the_derivative_agrees_with_finite_differences(loss: Loss, factor: float, rng: np.random.Generator) -> None:
    scores, labels, step = rng.normal(size=(200, 3)), _labels(loss, rng, 200), 1e-2
    above, _ = _evaluate(loss, scores + step, labels, 3)
    below, _ = _evaluate(loss, scores - step, labels, 3)
    _, derivative = _evaluate(loss, scores, labels, 3)
    difference = (above.astype(np.float64) - below) / (2 * step)
    wrong = np.abs(difference - factor * derivative) > 5e-3
    assert np.mean(wrong) < 0.03  # the few rows within a step of a kink


def test_softmax_agrees_with_finite_differences(rng: np.random.Generator) -> None:
    classes, models, rows, step = 4, 3, 50, 1e-2
    loss, labels = SoftmaxLoss(classes), rng.integers(0, classes, rows).astype(np.float32)
    scores = rng.normal(size=(rows, classes * models))
    _, derivative = _evaluate(loss, scores, labels, models)
    for column in range(classes * models):
        moved = np.zeros_like(scores)
        moved[:, column] = step
        above, _ = _evaluate(loss, scores + moved, labels, models)
        below, _ = _evaluate(loss, scores - moved, labels, models)
        difference = (above.astype(np.float64) - below) / (2 * step)
        np.testing.assert_allclose(difference[:, column % models], derivative[:, column], atol=1e-3)
        others = np.delete(difference, column % models, axis=1)
        assert np.abs(others).max() == 0  # models do not touch each other


def test_losses_have_their_closed_forms() -> None:
    y, f = np.array([0.0], np.float32), np.array([[2.0]], np.float32)
    expected: dict[Loss, float] = {
        SquaredLoss(): 4.0,
        AbsoluteLoss(): 2.0,
        QuantileLoss(0.9): 0.2,
        QuantileLoss(0.1): 1.8,
        HuberLoss(1.0): 1.5,
        HuberLoss(3.0): 2.0,
        EpsInsensitiveSquaredLoss(1.0): 3.0,
        EpsInsensitiveAbsoluteLoss(0.5): 1.5,
        HingeLoss(1.0): 2.0,
        HingeLoss(2.0): 2.5,
        LogisticLoss(): np.log1p(np.exp(2.0)),
    }
    for loss, value in expected.items():
        losses, _ = _evaluate(loss, f, y, 1)
        assert losses[0, 0] == pytest.approx(value, rel=1e-6), loss


def test_the_hinge_is_zero_beyond_the_margin_on_either_side() -> None:
    scores, labels = np.array([[1.0], [0.0]], np.float32), np.array([1.0, 0.0], np.float32)
    losses, derivative = _evaluate(HingeLoss(1.0), scores, labels, 1)
    assert losses.tolist() == [[0], [0]]
    assert derivative.tolist() == [[0], [0]]


def test_extreme_scores_stay_finite() -> None:
    scores, labels = np.array([[1e4], [-1e4]], np.float32), np.array([0.0, 1.0], np.float32)
    losses, derivative = _evaluate(LogisticLoss(), scores, labels, 1)
    assert losses.tolist() == [[1e4], [1e4]]
    assert derivative.tolist() == [[1], [-1]]
    scores = np.array([[87.0, 89.0, -300.0, np.nan]], np.float32)
    assert _evaluate(LogisticLoss(), scores, np.zeros(1, np.float32), 4)[0].astype(str).tolist() == [
        ["87.0", "89.0", "0.0", "nan"]
    ]
    losses, derivative = _evaluate(SoftmaxLoss(3), np.array([[1e4, -1e4, 0]], np.float32), labels[:1], 1)
    assert losses.tolist() == [[0]]
