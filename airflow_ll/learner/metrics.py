"""The scores that a job ends with, by the service's names and in its order, oddities included."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from airflow_ll.records.threads import prefetch

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from airflow_ll.artifacts.model import LinearModel, Predictions
    from airflow_ll.learner.channels import Channel
    from airflow_ll.learner.settings import RowWeights, Settings

    Array = NDArray[np.float32]
    Labels = NDArray[np.int64]

__all__ = ["channel_margins", "final_scores", "is_loss", "model_objective", "roc_auc"]

Scores = list[tuple[str, float]]

_GRACE = 0.5  # seconds for a channel's margins once the job is to end: the model has to be saved within two


def channel_margins(model: LinearModel, channel: Channel, stop: Callable[[], bool]) -> Array:
    """Return a model's margins of a channel, (n, outputs), block by block.

    When ``stop`` says that the job is to end, they are those of as many of the first rows as half a second allows.
    """
    parts, deadline = [], None
    for block in prefetch(channel.blocks()):
        parts.append(model.margins(block.features))
        if stop():
            deadline = deadline or time.monotonic() + _GRACE
            if time.monotonic() >= deadline:
                break
    return np.concatenate(parts)


def final_scores(settings: Settings, weights: RowWeights, model: LinearModel, margins: Array, labels: Array) -> Scores:
    """Return the name and value of every score of a model on one channel.

    Parameters
    ----------
    settings : Settings
        Of the job.
    weights : RowWeights
        The objective is weighted as in training.
    model : LinearModel
        The model as its artifact has it.
    margins : ndarray of float32
        (n, outputs), ``model.margins`` of the channel.
    labels : ndarray of float32
        (n,).
    """
    predictions = model.decide(margins)
    objective = (weights.objective(settings.loss), model_objective(settings, weights, margins, labels))
    hp = settings.hyperparameters
    if predictions.labels is None:
        return [objective, *_regression(predictions.scores, labels)]
    truth = labels.astype(np.int64)
    if settings.binary:
        return [objective, *_binary(predictions, truth, float(hp.f_beta))]
    return [objective, *_multiclass(predictions, truth, int(hp.accuracy_top_k), float(hp.f_beta))]


def is_loss(name: str) -> bool:
    """Return whether the log marks a score ``<loss>``; the others are marked ``<score>``."""
    return name in {"mse", "absolute_loss"} or name.endswith("_objective")


def model_objective(settings: Settings, weights: RowWeights, margins: Array, labels: Array) -> float:
    """Return the mean (weighted) loss of one model, from its margins, (n, outputs), and raw labels, (n,)."""
    losses = np.empty((len(margins), 1), np.float32)
    settings.loss.evaluate(margins.copy(), settings.loss.targets(labels), losses)
    row_weights = weights.rows(labels)
    if row_weights is not None:
        losses *= row_weights
    return float(losses.mean(dtype=np.float64))


def _regression(scores: Array, labels: Array) -> Scores:
    residuals = scores.astype(np.float64) - labels
    return [("mse", float(np.square(residuals).mean())), ("absolute_loss", float(np.abs(residuals).mean()))]


def _binary(predictions: Predictions, truth: Labels, beta: float) -> Scores:
    predicted = predictions.labels
    assert predicted is not None
    hits = int(np.sum((predicted == 1) & (truth == 1)))
    alarms, positives = int(predicted.sum()), int(truth.sum())
    precision, recall = hits / max(1, alarms), hits / max(1, positives)
    scores: Scores = [
        ("binary_classification_accuracy", float(np.mean(predicted == truth))),
        (f"binary_f_{beta:.3f}", _f_score(precision, recall, beta)),
        ("precision", precision),
        ("recall", recall),
    ]
    if 0 < positives < len(truth):  # with one class alone it is not defined
        scores.append(("roc_auc_score", roc_auc(predictions.scores, truth)))
    # The service takes the sigmoid of what already is a probability. All of these are above a half, so every row
    # counts as positive in the balanced accuracy; the log loss is that of the squeezed probabilities.
    squeezed = 1 / (1 + np.exp(-predictions.scores.astype(np.float64)))
    scores.append(("binary_balanced_accuracy", _balanced_accuracy(squeezed >= 0.5, truth)))
    scores.append(("binary_log_loss", float(-np.mean(np.log(np.where(truth == 1, squeezed, 1 - squeezed))))))
    return scores


def _balanced_accuracy(predicted: NDArray[np.bool_], truth: Labels) -> float:
    return float(np.mean([np.mean(predicted[truth == kind] == bool(kind)) for kind in np.unique(truth)]))


def _f_score(precision: float, recall: float, beta: float) -> float:
    denominator = beta**2 * precision + recall
    return (1 + beta**2) * precision * recall / denominator if denominator else 0.0


def roc_auc(scores: Array, truth: Labels) -> float:
    """Return the area under the ROC curve: the share of (positive, negative) pairs in the right order, ties as half.

    Counted in integers, so that the result is exact.
    """
    order = np.argsort(scores, kind="stable")
    ranked, positive = scores[order], truth[order] == 1
    ends = np.append(np.flatnonzero(ranked[1:] != ranked[:-1]), len(ranked) - 1)
    positives = np.diff(np.cumsum(positive)[ends], prepend=0)
    negatives = np.diff(np.cumsum(~positive)[ends], prepend=0)
    below = np.cumsum(negatives) - negatives
    halves = int(np.sum(positives * (2 * below + negatives)))
    return halves / (2 * int(positives.sum()) * int(negatives.sum()))


def _multiclass(predictions: Predictions, truth: Labels, top_k: int, beta: float) -> Scores:
    predicted, probabilities = predictions.labels, predictions.scores
    assert predicted is not None
    rows, classes = probabilities.shape
    own = probabilities[np.arange(rows), truth][:, np.newaxis]
    rank = 1 + np.sum(probabilities > own, axis=1)
    confusion = np.bincount(truth * classes + predicted, minlength=classes**2).reshape(classes, classes)
    hits = np.diag(confusion)
    recalls = hits / np.maximum(1, confusion.sum(axis=1))
    precisions = hits / np.maximum(1, confusion.sum(axis=0))
    f_scores = [_f_score(p, r, beta) for p, r in zip(precisions.tolist(), recalls.tolist(), strict=True)]
    # As in the binary case the service applies the softmax to probabilities.
    squeezed = np.exp(probabilities.astype(np.float64))
    squeezed /= squeezed.sum(axis=1, keepdims=True)
    return [
        ("multiclass_accuracy", float(np.mean(predicted == truth))),
        (f"multiclass_top_k_accuracy_{top_k}", float(np.mean(rank <= top_k))),
        ("dcg", float(np.mean(1 / np.log2(1 + rank)))),
        ("macro_recall", float(recalls.mean())),
        ("macro_precision", float(precisions.mean())),
        (f"macro_f_{beta:.3f}", float(np.mean(f_scores))),
        ("multiclass_balanced_accuracy", float(recalls.mean())),
        ("multiclass_log_loss", float(-np.mean(np.log(squeezed[np.arange(rows), truth])))),
    ]
