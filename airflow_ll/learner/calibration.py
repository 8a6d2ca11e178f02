"""The decision threshold of a binary classifier: one of the examples' scores, by the selection criterion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from airflow_ll.learner.blocks import spans

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Calibration", "Criterion", "calibrate"]

_DEFAULT_THRESHOLD = 0.5


@dataclass(frozen=True)
class Criterion:
    """What a binary model is selected and calibrated by.

    Parameters
    ----------
    name : str
        ``binary_classifier_model_selection_criteria``.
    target_recall, target_precision, f_beta : float
        The parameters of the criteria that have one.
    """

    name: str
    target_recall: float = 0.8
    target_precision: float = 0.8
    f_beta: float = 1.0

    @property
    def calibrates(self) -> bool:
        """Whether it is a property of a threshold, as all are except the loss."""
        return self.name != "loss_function"

    @property
    def has_target(self) -> bool:
        """Whether it maximises one quantity subject to another."""
        return "_at_target_" in self.name

    def values(self, hits: NDArray[np.int64], alarms: NDArray[np.int64], positives: int, rows: int) -> _Values:
        """Return the criterion at every candidate threshold, to be maximised.

        Parameters
        ----------
        hits, alarms : ndarray of int64
            True and false positives, cumulative from the highest score.
        positives, rows : int
            The number of positive and of all examples.
        """
        if self.name == "accuracy":
            return (hits + (rows - positives) - alarms) / rows
        recall = hits / max(1, positives)
        precision = hits / (hits + alarms)
        if self.name == "precision_at_target_recall":
            return _first(precision, recall >= self.target_recall, otherwise=recall)
        if self.name == "recall_at_target_precision":
            return _first(recall, precision >= self.target_precision, otherwise=precision)
        beta = self.f_beta**2
        return (1 + beta) * hits / (beta * positives + hits + alarms)


_Values = np.ndarray[tuple[int, ...], np.dtype[np.float64]]


def _first(wanted: _Values, reached: NDArray[np.bool_], otherwise: _Values) -> _Values:
    """Rank the thresholds that reach the target by what is wanted; below them the others, by how near they are."""
    return np.where(reached, wanted, otherwise - 1)


@dataclass(frozen=True)
class Calibration:
    """A threshold, and the criterion's value there."""

    threshold: float
    value: float


def calibrate(scores: NDArray[np.float32], labels: NDArray[np.float32], criterion: Criterion) -> Calibration:
    """Choose the best threshold of the examples' scores; an example is positive iff its score is at least that.

    Of equally good thresholds the service takes the lowest, and then the score of the next higher example: the logs
    of two real jobs have a final accuracy of exactly one example less than their best one, and the artifact of one
    shows which. We do the same, except where that could miss a target.

    Parameters
    ----------
    scores : ndarray of float32
        (n,), finite.
    labels : ndarray
        (n,), 0 or 1.
    criterion : Criterion
        What to maximise.

    Returns
    -------
    Calibration
        With the criterion's value at its maximum, which is what the log calls ``sampled_...``.
    """
    if not criterion.calibrates or not len(scores):
        return Calibration(_DEFAULT_THRESHOLD, 0.0)
    ranked = np.sort(scores)[::-1]
    last, value = _best(ranked, np.sort(scores[labels > 0]), criterion)
    chosen = last if criterion.has_target else max(0, last - 1)
    return Calibration(float(ranked[chosen]), value)


def _best(ranked: NDArray[np.float32], positives: NDArray[np.float32], criterion: Criterion) -> tuple[int, float]:
    """Return the place in ``ranked``, scores from the highest, of the best threshold's last example, and its value."""
    rows, best, value = len(ranked), 0, -np.inf
    for span in spans(rows):
        # Examples of one score are on the same side of any threshold: count at the last of each group.
        part = ranked[span.start : span.stop + 1]
        ends = np.ones(span.stop - span.start, np.bool_)
        ends[: len(part) - 1] = part[1:] != part[:-1]
        last = span.start + np.flatnonzero(ends)
        if not len(last):
            continue
        hits = len(positives) - np.searchsorted(positives, ranked[last], "left")
        values = criterion.values(hits, last + 1 - hits, len(positives), rows)
        place = len(values) - 1 - int(np.argmax(values[::-1]))
        if values[place] >= value:
            best, value = int(last[place]), float(values[place])
    return best, value
