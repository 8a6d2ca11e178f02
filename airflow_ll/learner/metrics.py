"""The scores that a job ends with, by the service's names and in its order, oddities included.

All are counted over some rows at a time, so that they need little memory: of a binary classifier 4 bytes a row.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from airflow_ll.learner.blocks import Stopped, spans
from airflow_ll.records.threads import prefetch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from numpy.typing import NDArray

    from airflow_ll.artifacts.model import LinearModel
    from airflow_ll.learner.channels import Channel
    from airflow_ll.learner.settings import RowWeights, Settings

    Array = NDArray[np.float32]

__all__ = ["channel_margins", "final_scores", "gathered", "is_loss", "roc_auc"]

Scores = list[tuple[str, float]]

_GRACE = 0.5  # seconds for a channel's margins once the job is to end: the model has to be saved within two


def channel_margins(model: LinearModel, channel: Channel, stop: Callable[[], bool]) -> Iterator[Array]:
    """Yield a model's margins of a channel, (some rows, outputs).

    When ``stop`` says that the job is to end, they are those of as many of the first rows as half a second allows.
    """
    deadline: float | None = None

    def check() -> None:
        nonlocal deadline
        if stop():
            deadline = deadline or time.monotonic() + _GRACE
            if time.monotonic() >= deadline:
                raise Stopped

    try:
        for block in prefetch(channel.blocks(), check):
            for span in spans(len(block), model.weights.shape[1]):
                yield model.margins(block.features[span])
            check()
    except Stopped:
        return


def gathered(margins: Iterable[Array], rows: int) -> Array:
    """Return the margins of one output, of at most ``rows`` rows, together: (n, 1)."""
    together, count = np.empty((rows, 1), np.float32), 0
    for part in margins:
        together[count : count + len(part)] = part
        count += len(part)
    return together[:count]


def final_scores(
    settings: Settings, weights: RowWeights, model: LinearModel, margins: Iterable[Array], labels: Array
) -> tuple[Scores, int]:
    """Return the name and value of every score of a model on one channel, and of how many rows they are.

    Parameters
    ----------
    settings : Settings
        Of the job.
    weights : RowWeights
        The objective is weighted as in training.
    model : LinearModel
        The model as its artifact has it.
    margins : iterable of ndarray of float32
        (some rows, outputs) each, ``model.margins`` of the channel's first rows. There are no scores of no rows.
    labels : ndarray of float32
        (n,), of all rows.
    """
    tally, objective, rows = _tally(settings, model, len(labels)), 0.0, 0
    for part in margins:
        truth = labels[rows : rows + len(part)]
        tally.add(part, truth)
        objective += _summed_loss(settings, weights, part, truth)
        rows += len(part)
    if not rows:
        return [], 0
    return [(weights.objective(settings.loss), objective / rows), *tally.scores(labels[:rows])], rows


def is_loss(name: str) -> bool:
    """Return whether the log marks a score ``<loss>``; the others are marked ``<score>``."""
    return name in {"mse", "absolute_loss"} or name.endswith("_objective")


def _summed_loss(settings: Settings, weights: RowWeights, margins: Array, labels: Array) -> float:
    """Return the sum of the (weighted) losses of one model, from its margins, (n, outputs), and raw labels, (n,)."""
    losses = np.empty((len(margins), 1), np.float32)
    with np.errstate(over="ignore"):  # the square of a large residual is infinite, and so is the objective then
        settings.loss.evaluate(margins.copy(), settings.loss.targets(labels), losses)
    row_weights = weights.rows(labels)
    if row_weights is not None:
        losses *= row_weights
    return float(losses.sum(dtype=np.float64))


class _Tally(Protocol):
    """What is counted of the rows, some at a time."""

    def add(self, margins: Array, labels: Array) -> None:
        """Count more rows, by their margins, (n, outputs)."""

    def scores(self, labels: Array) -> Scores:
        """Return the scores of all rows, with the labels ``labels``."""


def _tally(settings: Settings, model: LinearModel, rows: int) -> _Tally:
    hp = settings.hyperparameters
    if settings.binary:
        return _Binary(model, rows, float(hp.f_beta))
    if settings.multiclass:
        return _Multiclass(model, int(hp.accuracy_top_k), float(hp.f_beta))
    return _Regression(model)


class _Regression:
    def __init__(self, model: LinearModel) -> None:
        self._model, self._squares, self._deviations = model, 0.0, 0.0

    def add(self, margins: Array, labels: Array) -> None:
        residuals = self._model.decide(margins).scores.astype(np.float64) - labels
        self._squares += float(np.square(residuals).sum())
        self._deviations += float(np.abs(residuals).sum())

    def scores(self, labels: Array) -> Scores:
        return [("mse", self._squares / len(labels)), ("absolute_loss", self._deviations / len(labels))]


class _Binary:
    def __init__(self, model: LinearModel, rows: int, beta: float) -> None:
        self._model = model
        self._scores, self._rows, self._beta = np.empty(rows, np.float32), 0, beta
        self._counts, self._squeezed_counts, self._loss = _Counts(2), _Counts(2), 0.0

    def add(self, margins: Array, labels: Array) -> None:
        predictions = self._model.decide(margins)
        truth, scores = labels == 1, predictions.scores
        self._scores[self._rows : self._rows + len(scores)] = scores
        self._rows += len(scores)
        self._counts.add(truth, predictions.labels)
        # The service takes the sigmoid of what already is the score. Probabilities become more than a half by that, so
        # every row counts as positive in the balanced accuracy; the log loss is that of the squeezed scores.
        self._squeezed_counts.add(truth, scores >= 0)
        self._loss += float(np.logaddexp(0, np.where(truth, -1.0, 1.0) * scores).sum())

    def scores(self, labels: Array) -> Scores:
        precision, recall = float(self._counts.precisions[1]), float(self._counts.recalls[1])
        positives = int(self._counts.true[1])
        scores: Scores = [
            ("binary_classification_accuracy", self._counts.right / len(labels)),
            (f"binary_f_{self._beta:.3f}", _f_score(precision, recall, self._beta)),
            ("precision", precision),
            ("recall", recall),
        ]
        if 0 < positives < len(labels):  # with one class alone it is not defined
            scores.append(("roc_auc_score", roc_auc(self._scores[: self._rows], labels)))
        there = self._squeezed_counts.true > 0
        scores.append(("binary_balanced_accuracy", float(self._squeezed_counts.recalls[there].mean())))
        scores.append(("binary_log_loss", self._loss / len(labels)))
        return scores


class _Multiclass:
    def __init__(self, model: LinearModel, top_k: int, beta: float) -> None:
        self._model, self._top_k, self._beta, self._counts = model, top_k, beta, _Counts(model.weights.shape[1])
        self._within, self._gain, self._loss = 0, 0.0, 0.0

    def add(self, margins: Array, labels: Array) -> None:
        predictions = self._model.decide(margins)
        truth, probabilities = labels.astype(np.int64), predictions.scores
        own = (np.arange(len(truth)), truth)
        self._counts.add(truth, predictions.labels)
        # Not by the probabilities: when margins are far apart, all but the first are 0 and would share a rank.
        rank = 1 + np.sum(margins > margins[own][:, np.newaxis], axis=1)
        self._within += int(np.count_nonzero(rank <= self._top_k))
        self._gain += float((1 / np.log2(1 + rank)).sum())
        # As in the binary case the service applies the softmax to probabilities.
        squeezed = np.exp(probabilities.astype(np.float64))
        squeezed /= squeezed.sum(axis=1, keepdims=True)
        self._loss -= float(np.log(squeezed[own]).sum())

    def scores(self, labels: Array) -> Scores:
        rows, precisions, recalls = len(labels), self._counts.precisions, self._counts.recalls
        pairs = zip(precisions.tolist(), recalls.tolist(), strict=True)
        return [
            ("multiclass_accuracy", self._counts.right / rows),
            (f"multiclass_top_k_accuracy_{self._top_k}", self._within / rows),
            ("dcg", self._gain / rows),
            ("macro_recall", float(recalls.mean())),
            ("macro_precision", float(precisions.mean())),
            (f"macro_f_{self._beta:.3f}", float(np.mean([_f_score(p, r, self._beta) for p, r in pairs]))),
            ("multiclass_balanced_accuracy", float(recalls.mean())),
            ("multiclass_log_loss", self._loss / rows),
        ]


class _Counts:
    """Of every class: how many rows are of it (``true``), predicted to be, and both (``hits``), (classes,) each."""

    def __init__(self, classes: int) -> None:
        self.true, self.predicted, self.hits = np.zeros((3, classes), np.int64)

    def add(self, truth: NDArray[Any], predicted: NDArray[Any] | None) -> None:
        """Count more rows."""
        assert predicted is not None
        for counts, found in ((self.true, truth), (self.predicted, predicted), (self.hits, truth[truth == predicted])):
            counts += np.bincount(found, minlength=len(counts))

    @property
    def right(self) -> int:
        """The number of rows whose class was predicted."""
        return int(self.hits.sum())

    @property
    def precisions(self) -> NDArray[np.float64]:
        """Of the rows predicted to be of a class, the share that is; 0 without such rows."""
        return np.asarray(self.hits / np.maximum(1, self.predicted))

    @property
    def recalls(self) -> NDArray[np.float64]:
        """Of the rows of a class, the share predicted to be; 0 without such rows."""
        return np.asarray(self.hits / np.maximum(1, self.true))


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
