"""Normalisation: its statistics, batches of normalised rows, and folding it back into a model of raw features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float32]

__all__ = ["Batches", "Scaler", "fit_scaler", "scaler_rows"]


@dataclass(frozen=True)
class Scaler:
    """Features become ``(x - mean) / stdev`` and labels ``(y - label_mean) / label_stdev``; 0 and 1 where unused."""

    mean: Array
    stdev: Array
    label_mean: float = 0.0
    label_stdev: float = 1.0

    def normalise_labels(self, labels: Array) -> Array:
        """Return normalised labels, (n,) float32."""
        return (labels - np.float32(self.label_mean)) / np.float32(self.label_stdev)

    def fold(self, weights: Array) -> tuple[Array, Array]:
        """Turn a model of normalised features and label into one of raw ones.

        Parameters
        ----------
        weights : ndarray of float32
            (features + 1, outputs); the last row is the bias.

        Returns
        -------
        tuple of ndarray of float32
            Weights (features, outputs) and bias (outputs,).
        """
        precise = weights.astype(np.float64) * self.label_stdev
        raw = precise[:-1] / self.stdev.astype(np.float64)[:, np.newaxis]
        bias = precise[-1] + self.label_mean - self.mean.astype(np.float64) @ raw
        return raw.astype(np.float32), bias.astype(np.float32)


def scaler_rows(rows: int, batch: int, wanted: int) -> int:
    """Return how many rows the statistics are taken of: whole batches, until more than ``wanted`` were seen."""
    return min(rows // batch, wanted // batch + 1) * batch


def fit_scaler(
    features: Any,
    labels: Array,
    *,
    normalize_data: bool,
    unbias_data: bool,
    normalize_label: bool,
    unbias_label: bool,
) -> Scaler:
    """Take the statistics of the given rows: population mean and standard deviation, in float64, kept as float32.

    A column that does not vary has the standard deviation 1 here: it stays, and the bias takes its place. Sparse rows
    are not made dense to be counted.

    Parameters
    ----------
    features : ndarray or scipy CSR
        (n, d), the rows that `scaler_rows` counts.
    labels : ndarray
        (n,).
    normalize_data, unbias_data, normalize_label, unbias_label : bool
        Which of the four statistics are used.

    Returns
    -------
    Scaler
    """
    mean, stdev = _sparse_moments(features) if hasattr(features, "tocsr") else _moments(features)
    label_mean, label_stdev = (float(moment[0]) for moment in _moments(labels[:, np.newaxis]))
    width = len(mean)
    return Scaler(
        mean if unbias_data else np.zeros(width, np.float32),
        stdev if normalize_data else np.ones(width, np.float32),
        label_mean if unbias_label else 0.0,
        label_stdev if normalize_label else 1.0,
    )


def _moments(columns: Array) -> tuple[Array, Array]:
    mean = columns.mean(axis=0, dtype=np.float64)
    # Chunks keep the float64 temporaries small.
    squares = np.zeros_like(mean)
    for chunk in np.array_split(columns, max(1, len(columns) // 4096)):
        squares += np.square(chunk - mean).sum(axis=0)
    return _as_scale(mean, squares / max(1, len(columns)))


def _sparse_moments(features: Any) -> tuple[Array, Array]:
    precise = features.astype(np.float64)
    mean = np.asarray(precise.mean(axis=0)).reshape(-1)
    second = np.asarray(precise.multiply(precise).mean(axis=0)).reshape(-1)
    return _as_scale(mean, np.maximum(second - np.square(mean), 0))


def _as_scale(mean: NDArray[np.float64], variance: NDArray[np.float64]) -> tuple[Array, Array]:
    stdev = np.sqrt(variance)
    constant = stdev <= np.abs(mean) * np.finfo(np.float32).eps
    return mean.astype(np.float32), np.where(constant | (stdev == 0), 1, stdev).astype(np.float32)


class Batches:
    """Normalised rows of one matrix, a batch at a time in one reused buffer.

    The buffer has one more column, of ones, so that the bias is a weight like the others. It stays in the processor's
    cache, so that normalising again in every epoch costs little and the data set is held once, as it was read.

    Parameters
    ----------
    features : ndarray of float32 or scipy CSR
        (n, d); sparse rows are made dense a batch at a time.
    scaler : Scaler
        What to normalise with.
    size : int
        The largest number of rows of a batch.
    """

    def __init__(self, features: Any, scaler: Scaler, size: int) -> None:
        self._features, self._sparse = features, hasattr(features, "tocsr")
        self._mean, self._inverse = scaler.mean, np.reciprocal(scaler.stdev)
        self._buffer = np.ones((size, features.shape[1] + 1), np.float32)
        self.size, self.rows = size, int(features.shape[0])

    def read(self, start: int, stop: int) -> Array:
        """Return normalised rows [start, stop), (stop - start, d + 1); valid until the next call."""
        batch = self._buffer[: stop - start]
        inner = batch[:, :-1]
        raw = self._features[start:stop]
        np.subtract(raw.toarray() if self._sparse else raw, self._mean, out=inner)
        np.multiply(inner, self._inverse, out=inner)
        return batch
