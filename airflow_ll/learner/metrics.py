"""The scores that a job ends with, by the service's names and in its order, oddities included.

All are counted over some rows at a time, so that they need little memory beside the margins.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

from airflow_ll.learner.blocks import spans
from airflow_ll.records.threads import prefetch

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from airflow_ll.artifacts.model import LinearModel
    from airflow_ll.learner.channels import Channel
    from airflow_ll.learner.settings import RowWeights, Settings

    Array = NDArray[np.float32]

__all__ = ["channel_margins", "final_scores", "is_loss", "model_objective", "roc_auc"]

Scores = list[tuple[str, float]]

_GRACE = 0.5  # seconds for a channel's margins once the job is to end: the model has to be saved within two


def channel_margins(model: LinearModel, channel: Channel, stop: Callable[[], bool]) -> Array:
    """Return a model's margins of a channel, (n, outputs), block by block.

    When ``stop`` says that the job is to end, they are those of as many of the first rows as half a second allows.
    """
    margins = np.empty((len(channel), model.weights.shape[1]), np.float32)
    rows, deadline = 0, None
    for block in prefetch(channel.blocks()):
        margins[rows : rows + len(block)] = model.margins(block.features)
        rows += len(block)
        if stop():
            deadline = deadline or time.monotonic() + _GRACE
            if time.monotonic() >= deadline:
                break
    return margins[:rows]


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
    objective = (weights.objective(settings.loss), model_objective(settings, weights, margins, labels))
    hp = settings.hyperparameters
    if settings.binary:
        return [objective, *_binary(model, margins, labels, float(hp.f_beta))]
    if settings.multiclass:
        return [objective, *_multiclass(model, margins, labels, int(hp.accuracy_top_k), float(hp.f_beta))]
    return [objective, *_regression(model, margins, labels)]


def is_loss(name: str) -> bool:
    """Return whether the log marks a score ``<loss>``; the others are marked ``<score>``."""
    return name in {"mse", "absolute_loss"} or name.endswith("_objective")


def model_objective(settings: Settings, weights: RowWeights, margins: Array, labels: Array) -> float:
    """Return the mean (weighted) loss of one model, from its margins, (n, outputs), and raw labels, (n,)."""
    total = 0.0
    for span in spans(len(margins)):
        losses = np.empty((span.stop - span.start, 1), np.float32)
        with np.errstate(over="ignore"):  # the square of a large residual is infinite, and so is the objective then
            settings.loss.evaluate(margins[span].copy(), settings.loss.targets(labels[span]), losses)
        row_weights = weights.rows(labels[span])
        if row_weights is not None:
            losses *= row_weights
        total += float(losses.sum(dtype=np.float64))
    return total / len(margins)


def _regression(model: LinearModel, margins: Array, labels: Array) -> Scores:
    squares = deviations = 0.0
    for span in spans(len(labels)):
        residuals = model.decide(margins[span]).scores.astype(np.float64) - labels[span]
        squares += float(np.square(residuals).sum())
        deviations += float(np.abs(residuals).sum())
    return [("mse", squares / len(labels)), ("absolute_loss", deviations / len(labels))]


def _binary(model: LinearModel, margins: Array, labels: Array, beta: float) -> Scores:
    probabilities = np.empty(len(labels), np.float32)
    confusion, squeezed_confusion, loss = np.zeros((2, 2), np.int64), np.zeros((2, 2), np.int64), 0.0
    for span in spans(len(labels)):
        predictions, truth = model.decide(margins[span]), labels[span] == 1
        probabilities[span] = predictions.scores
        confusion += _confusion(truth, predictions.labels, 2)
        # The service takes the sigmoid of what already is a probability. All of these are above a half, so every row
        # counts as positive in the balanced accuracy; the log loss is that of the squeezed probabilities.
        squeezed = 1 / (1 + np.exp(-predictions.scores.astype(np.float64)))
        squeezed_confusion += _confusion(truth, squeezed >= 0.5, 2)
        loss -= float(np.log(np.where(truth, squeezed, 1 - squeezed)).sum())
    hits, positives = int(confusion[1, 1]), int(confusion[1].sum())
    precision, recall = hits / max(1, int(confusion[:, 1].sum())), hits / max(1, positives)
    scores: Scores = [
        ("binary_classification_accuracy", int(np.trace(confusion)) / len(labels)),
        (f"binary_f_{beta:.3f}", _f_score(precision, recall, beta)),
        ("precision", precision),
        ("recall", recall),
    ]
    if 0 < positives < len(labels):  # with one class alone it is not defined
        scores.append(("roc_auc_score", roc_auc(probabilities, labels)))
    there = squeezed_confusion.sum(axis=1) > 0
    recalls = np.diag(squeezed_confusion)[there] / squeezed_confusion.sum(axis=1)[there]
    scores.append(("binary_balanced_accuracy", float(recalls.mean())))
    scores.append(("binary_log_loss", loss / len(labels)))
    return scores


def _confusion(truth: NDArray[Any], predicted: NDArray[Any] | None, classes: int) -> NDArray[np.int64]:
    """Count the rows of every true class, the rows of the matrix, by the class they are predicted to be of."""
    assert predicted is not None
    pairs = truth.astype(np.int64) * classes + predicted
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)


def _f_score(precision: float, recall: float, beta: float) -> float:
    denominator = beta**2 * precision + recall
    return (1 + beta**2) * precision * recall / denominator if denominator else 0.0


def roc_auc(scores: Array, labels: Array) -> float:
    """Return the area under the ROC curve: the share of (positive, negative) pairs in the right order, ties as half.

    Counted in integers, so that the result is exact. ``labels`` are 0 or 1, and there are both.
    """
    positives, negatives = np.sort(scores[labels == 1]), np.sort(scores[labels != 1])
    halves = 0
    for span in spans(len(positives)):
        halves += int(np.searchsorted(negatives, positives[span], "left").sum())
        halves += int(np.searchsorted(negatives, positives[span], "right").sum())
    return halves / (2 * len(positives) * len(negatives))


def _multiclass(model: LinearModel, margins: Array, labels: Array, top_k: int, beta: float) -> Scores:
    rows, classes = margins.shape
    confusion = np.zeros((classes, classes), np.int64)
    within, gain, loss = 0, 0.0, 0.0
    for span in spans(rows):
        predictions, truth = model.decide(margins[span]), labels[span].astype(np.int64)
        confusion += _confusion(truth, predictions.labels, classes)
        probabilities, own = predictions.scores, (np.arange(len(truth)), truth)
        rank = 1 + np.sum(probabilities > probabilities[own][:, np.newaxis], axis=1)
        within += int(np.count_nonzero(rank <= top_k))
        gain += float((1 / np.log2(1 + rank)).sum())
        # As in the binary case the service applies the softmax to probabilities.
        squeezed = np.exp(probabilities.astype(np.float64))
        squeezed /= squeezed.sum(axis=1, keepdims=True)
        loss -= float(np.log(squeezed[own]).sum())
    hits = np.diag(confusion)
    recalls = hits / np.maximum(1, confusion.sum(axis=1))
    precisions = hits / np.maximum(1, confusion.sum(axis=0))
    f_scores = [_f_score(p, r, beta) for p, r in zip(precisions.tolist(), recalls.tolist(), strict=True)]
    return [
        ("multiclass_accuracy", int(hits.sum()) / rows),
        (f"multiclass_top_k_accuracy_{top_k}", within / rows),
        ("dcg", gain / rows),
        ("macro_recall", float(recalls.mean())),
        ("macro_precision", float(precisions.mean())),
        (f"macro_f_{beta:.3f}", float(np.mean(f_scores))),
        ("multiclass_balanced_accuracy", float(recalls.mean())),
        ("multiclass_log_loss", loss / rows),
    ]
