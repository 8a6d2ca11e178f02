"""Judging all models together on the rows of a channel."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from airflow_ll.learner.blocks import Stopped
from airflow_ll.learner.threads import columns_of_parts, side_by_side

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

    from airflow_ll.learner.losses import Loss
    from airflow_ll.learner.rows import Batch, Batches
    from airflow_ll.learner.scaling import Scaler
    from airflow_ll.learner.settings import Settings

    Array = NDArray[np.float32]

__all__ = ["Evaluation"]


class Evaluation:
    """Rows to judge all models on, with raw labels.

    Parameters
    ----------
    batches : Batches
        Normalised rows, with the raw labels' targets.
    scaler : Scaler
        Of the train channel.
    stop : callable
        Asked before every batch.
    threads : int
        The models are dealt to so many threads.
    """

    def __init__(
        self, settings: Settings, batches: Batches, scaler: Scaler, stop: Callable[[], bool], *, threads: int = 1
    ) -> None:
        self._loss, self._classes, self._batches, self._stop = settings.loss, settings.classes, batches, stop
        self._scaler, self._threads = scaler, threads

    def objective(self, weights: Array, keep: Array | None = None) -> NDArray[np.float64]:
        """Return the mean loss of every model over all rows, (K,).

        Parameters
        ----------
        weights : ndarray of float32
            (features + 1, classes * K), as of `ParallelModels`.
        keep : ndarray of float32, optional
            (rows, K), of one class: filled with the scores of so many of the first rows.

        Raises
        ------
        Stopped
            ``stop`` said so.
        """
        models = weights.shape[1] // self._classes
        parts = [
            _Part(self._loss, self._scaler, weights[:, columns], self._batches.size, self._classes, keep, columns[0])
            for columns in columns_of_parts(models, self._classes, self._threads)
        ]
        with side_by_side(parts) as run:
            for group in self._batches.groups(self._stop):
                run(lambda part, group=group: part.judge(group, self._stop))  # type: ignore[misc]
        return np.concatenate([part.total for part in parts]) / len(self._batches)


class _Part:
    """Some of the models. ``total`` is their summed loss, (models,); ``first`` the first one's column in ``keep``."""

    def __init__(
        self, loss: Loss, scaler: Scaler, weights: Array, size: int, classes: int, keep: Array | None, first: int
    ) -> None:
        self._loss, self._weights = loss, np.ascontiguousarray(weights)
        self._label_mean, self._label_stdev = np.float32(scaler.label_mean), np.float32(scaler.label_stdev)
        columns = weights.shape[1]
        self._scores = np.empty((size, columns), np.float32)
        self._losses = np.empty((size, columns // classes), np.float32)
        self._keep = None if keep is None else keep[:, first : first + columns]
        self._start = 0
        self.total = np.zeros(columns // classes)

    def judge(self, batches: Iterable[Batch], stop: Callable[[], bool]) -> None:
        """Add the losses of more rows."""
        keep, start = self._keep, self._start
        with np.errstate(all="ignore"):  # of a model that has diverged; a thread has its own settings
            for batch in batches:
                if stop():
                    raise Stopped
                scores, losses = self._scores[: len(batch)], self._losses[: len(batch)]
                batch.rows.scores(self._weights, scores)
                np.multiply(scores, self._label_stdev, out=scores)
                np.add(scores, self._label_mean, out=scores)
                if keep is not None and start < len(keep):
                    keep[start : start + len(batch)] = scores[: len(keep) - start]
                self._loss.evaluate(scores, batch.targets, losses)
                if batch.weights is not None:
                    np.multiply(losses, batch.weights, out=losses)
                self.total += losses.sum(axis=0, dtype=np.float64)
                start += len(batch)
        self._start = start
