"""What predictions must be for an endpoint to pass its smoke test."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from airflow_ll.exceptions import ExpectationError, RequestError
from airflow_ll.requests.checks import Rule, Spec, number, setting

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from airflow_ll.artifacts import Predictions

__all__ = ["Expectations", "check"]

_FEW: Final = 3
_LIST: Final = Rule("a list", lambda value: isinstance(value, (list, tuple)))


@dataclass(frozen=True)
class Expectations(Spec):
    """What to expect; None expects nothing.

    :param predicted_labels: the classes, one a row.
    :param scores: the scores, one a row (a list of them for several classes).
    :param tolerance: by which scores may differ.
    :param min_score: lowest score of any row.
    :param max_score: highest score of any row.
    :param min_accuracy: share of rows whose class must be the known one.
    :param max_mean_absolute_error: mean distance of the scores from the known values.
    """

    predicted_labels: Sequence[int] | None = setting(_LIST, None)
    scores: Sequence[Any] | None = setting(_LIST, None)
    tolerance: float = setting(number(0, 1e30), 1e-4)
    min_score: float | None = setting(number(-1e30, 1e30), None)
    max_score: float | None = setting(number(-1e30, 1e30), None)
    min_accuracy: float | None = setting(number(0, 1), None)
    max_mean_absolute_error: float | None = setting(number(0, 1e30), None)


def check(expected: Expectations, predictions: Predictions, known: Any = None) -> dict[str, float]:
    """Return what was measured, when the predictions are as expected.

    :param known: the true labels (rows,), for accuracy and error.
    :raises ExpectationError: with a sentence for each expectation that is not met.
    :raises RequestError: an expectation needs labels, and there are none.
    """
    if known is None and (expected.min_accuracy is not None or expected.max_mean_absolute_error is not None):
        raise RequestError("min_accuracy and max_mean_absolute_error need the true labels: give label_column.")
    measured = _measured(predictions, known)
    faults = [*_values(expected, predictions), *_limits(expected, measured)]
    if faults:
        raise ExpectationError("\n".join(faults))
    return measured


def _measured(predictions: Predictions, known: Any) -> dict[str, float]:
    measured = {"min_score": float(predictions.scores.min()), "max_score": float(predictions.scores.max())}
    if known is not None and predictions.labels is not None:
        measured["accuracy"] = float(np.mean(predictions.labels == np.asarray(known)))
    if known is not None and predictions.labels is None:
        measured["mean_absolute_error"] = float(np.mean(np.abs(predictions.scores - np.asarray(known))))
    return measured


def _values(expected: Expectations, predictions: Predictions) -> Iterator[str]:
    if expected.predicted_labels is not None:
        labels = predictions.labels if predictions.labels is not None else np.array([])
        yield from _different("predicted_labels", np.asarray(expected.predicted_labels), labels, 0.0)
    if expected.scores is not None:
        yield from _different("scores", np.asarray(expected.scores), predictions.scores, expected.tolerance)


def _different(what: str, expected: Any, got: Any, tolerance: float) -> Iterator[str]:
    if expected.shape != got.shape:
        yield f"{what} must be {len(expected)} of shape {expected.shape}, got {len(got)} of shape {got.shape}."
        return
    wrong = np.abs(expected - got).reshape(len(expected), -1).max(axis=1) > tolerance
    if wrong.any():
        rows = np.flatnonzero(wrong)
        shown = ", ".join(f"row {row}: {got[row].tolist()} instead of {expected[row].tolist()}" for row in rows[:_FEW])
        yield f"{what} must be as expected, but {len(rows)} of {len(expected)} rows are not: {shown}."


def _limits(expected: Expectations, measured: dict[str, float]) -> Iterator[str]:
    lowest = {"min_score": expected.min_score, "accuracy": expected.min_accuracy}
    highest = {"max_score": expected.max_score, "mean_absolute_error": expected.max_mean_absolute_error}
    for name, limit in lowest.items():
        if limit is not None and measured.get(name, -np.inf) < limit:
            yield f"{name} must be at least {limit:g}, got {measured.get(name, 'none')}."
    for name, limit in highest.items():
        if limit is not None and measured.get(name, np.inf) > limit:
            yield f"{name} must be at most {limit:g}, got {measured.get(name, 'none')}."
