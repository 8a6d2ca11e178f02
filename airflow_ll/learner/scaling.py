"""Normalisation: its statistics, and folding it back into a model of raw features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from airflow_ll.learner.blocks import is_sparse

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from numpy.typing import NDArray

    from airflow_ll.learner.blocks import Block

    Array = NDArray[np.float32]
    Moment = NDArray[np.float64]

__all__ = ["Scaler", "fit_scaler", "scaler_rows"]


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
        with np.errstate(over="ignore"):  # infinite then
            return raw.astype(np.float32), bias.astype(np.float32)


def scaler_rows(rows: int, batch: int, wanted: int) -> int:
    """Return how many rows the statistics are taken of: whole batches, until more than ``wanted`` were seen."""
    return min(rows // batch, wanted // batch + 1) * batch


def fit_scaler(
    blocks: Iterable[Block],
    rows: int,
    *,
    normalize_data: bool,
    unbias_data: bool,
    normalize_label: bool,
    unbias_label: bool,
) -> Scaler:
    """Take the statistics of the first rows: population mean and standard deviation, in float64, kept as float32.

    A column that does not vary has the standard deviation 1 here, or its own size when that is larger: it stays, and
    the bias takes its place. Were a large one not scaled, float32 would lose the other features of a sparse row, and
    those of the finished model, beside it. Sparse rows are not made dense to be counted.

    Parameters
    ----------
    blocks : Iterable[Block]
        n >= ``rows`` rows of d features.
    rows : int
        What `scaler_rows` says.
    normalize_data, unbias_data, normalize_label, unbias_label : bool
        Which of the four statistics are used.

    Returns
    -------
    Scaler
    """
    features, labels, missing = _Moments(), _Moments(), rows
    for block in blocks:
        counted = block[: min(missing, len(block))]
        features.add(counted.features)
        labels.add(counted.labels[:, np.newaxis])
        missing -= len(counted)
        if not missing:
            break
    mean, stdev = features.scale()
    stdev = np.where(stdev > 0, stdev, np.maximum(1, np.abs(mean)))
    label_mean, label_stdev = (float(moment[0]) for moment in labels.scale())
    width = len(mean)
    return Scaler(
        mean if unbias_data else np.zeros(width, np.float32),
        stdev if normalize_data else np.ones(width, np.float32),
        label_mean if unbias_label else 0.0,
        label_stdev if normalize_label and label_stdev else 1.0,
    )


class _Moments:
    """Mean and variance of every column over blocks of rows, joined by Chan's rule, in float64."""

    def __init__(self) -> None:
        self._rows, self._mean, self._deviations = 0, np.zeros(1), np.zeros(1)

    def add(self, columns: Any) -> None:
        """Take more rows, (n, d)."""
        rows = columns.shape[0]
        mean, deviations = (_sparse_moments if is_sparse(columns) else _dense_moments)(columns)
        total = self._rows + rows
        apart = mean - self._mean
        self._mean = self._mean + apart * (rows / total)
        self._deviations = self._deviations + deviations + np.square(apart) * (self._rows * rows / total)
        self._rows = total

    def scale(self) -> tuple[Array, Array]:
        """Return mean and standard deviation, (d,); the latter is 0 for a column that does not vary."""
        stdev, kind = np.sqrt(self._deviations / max(1, self._rows)), np.finfo(np.float32)
        constant = stdev <= np.maximum(np.abs(self._mean) * kind.eps, kind.tiny)  # below tiny 1 / stdev is infinite
        return self._mean.astype(np.float32), np.where(constant, 0, stdev).astype(np.float32)


def _dense_moments(columns: Array) -> tuple[Moment, Moment]:
    """Return the mean and the sum of squared deviations of every column."""
    mean = columns.mean(axis=0, dtype=np.float64)
    return mean, np.square(columns - mean).sum(axis=0)


def _sparse_moments(columns: Any) -> tuple[Moment, Moment]:
    """Return the same of CSR without the zeros that it leaves out.

    The deviations are summed, and not taken as the mean square less the squared mean: of a column that does not vary,
    the rounding of that difference would count as its deviation.
    """
    rows, width = columns.shape
    if not columns.has_canonical_format:  # a value given in parts is one value
        columns = columns.copy()  # the rows themselves keep their order, in which products are summed
        columns.sum_duplicates()
    values, places = columns.data.astype(np.float64), columns.indices
    mean = np.bincount(places, values, width) / rows
    squares = np.bincount(places, np.square(values - mean[places]), width)
    return mean, squares + (rows - np.bincount(places, minlength=width)) * np.square(mean)
