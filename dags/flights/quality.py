"""How good a classifier is on flights it has not seen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_ll.exceptions import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

__all__ = ["faults", "measure", "roc_auc"]


def measure(predictions: Sequence[dict[str, Any]], labels: NDArray[np.float32]) -> dict[str, Any]:
    """Compare predictions ``{"score": .., "predicted_label": ..}`` with labels of the same order.

    Returns
    -------
    ``auc``, ``accuracy``, ``majority_accuracy`` (of always giving the more frequent label) and ``rows``.

    Raises
    ------
    DataError
        There are not as many predictions as labels, or none.
    """
    import numpy as np

    if len(predictions) != len(labels) or not predictions:
        raise DataError(f"Each of the {len(labels)} flights needs one prediction; got {len(predictions)}.")
    scores = np.array([prediction["score"] for prediction in predictions])
    predicted = np.array([prediction["predicted_label"] for prediction in predictions])
    late = float(np.mean(labels))
    return {
        "rows": len(labels),
        "auc": roc_auc(scores, labels),
        "accuracy": float(np.mean(predicted == labels)),
        "majority_accuracy": max(late, 1 - late),
    }


def roc_auc(scores: NDArray[np.floating[Any]], labels: NDArray[np.float32]) -> float:
    """Return the probability that a late flight scores above a punctual one, ties counted half.

    This is the Mann-Whitney statistic of the average ranks.

    Raises
    ------
    DataError
        All labels are the same.
    """
    import numpy as np

    positives = int(np.sum(labels == 1))
    negatives = len(labels) - positives
    if not positives or not negatives:
        raise DataError("The area under the ROC curve needs flights of both labels; all labels are the same.")
    _, group, counts = np.unique(scores, return_inverse=True, return_counts=True)
    average_rank = np.cumsum(counts) - (counts - 1) / 2
    rank_sum = float(np.sum(average_rank[group][labels == 1]))
    return (rank_sum - positives * (positives + 1) / 2) / (positives * negatives)


def faults(quality: dict[str, Any], *, min_auc: float, min_accuracy: float) -> list[str]:
    """Say, one sentence each, where the quality is below what the run asks for."""
    found = []
    if quality["auc"] < min_auc:
        found.append(f"The AUC is {quality['auc']:.4f}, but the run asks for at least {min_auc}.")
    if quality["accuracy"] < min_accuracy:
        found.append(f"The accuracy is {quality['accuracy']:.4f}, but the run asks for at least {min_accuracy}.")
    if quality["accuracy"] <= quality["majority_accuracy"]:
        found.append(
            f"The accuracy of {quality['accuracy']:.4f} is no better than always giving the more frequent label "
            f"({quality['majority_accuracy']:.4f})."
        )
    return found
