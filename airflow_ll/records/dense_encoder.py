"""Encode dense rows of one shape, batch after batch, into one reused buffer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from airflow_ll.exceptions import DataError
from airflow_ll.records.dense import DenseLayout, copy_rows
from airflow_ll.records.matrices import FLOAT32, assign, misfit

if TYPE_CHECKING:
    from numpy.typing import NDArray


class DenseEncoder:
    """A buffer that already holds every byte of its framed rows but the numbers; encoding copies those in.

    ``write_records`` makes one for each call. Whoever writes many small batches of one shape keeps one, and pays for
    little more than the copy.

    Parameters
    ----------
    layout
        The rows: how many features and labels, of which dtype.
    rows
        How many rows the buffer takes.
    """

    def __init__(self, layout: DenseLayout, rows: int) -> None:
        self.layout = layout
        self._buffer = memoryview(bytearray(layout.template * rows))
        records = np.frombuffer(self._buffer, layout.dtype)
        self._features, self._labels = records["features"], records["labels"]

    @classmethod
    def of_float32(cls, feature_dim: int, label_dim: int = 1, *, rows: int) -> DenseEncoder:
        """Return an encoder of what LinearLearner accepts: Float32 features, and labels unless ``label_dim`` is 0."""
        return cls(DenseLayout(feature_dim, FLOAT32, label_dim, FLOAT32), rows)

    def encode(self, features: NDArray[Any], labels: NDArray[Any] | None = None, *, first_row: int = 0) -> memoryview:
        """Return the framed records of ``features`` (n, feature_dim) and ``labels`` (n, label_dim) or (n,).

        The bytes are valid until the next call. ``first_row`` is the number of the first row in messages.

        Raises
        ------
        DataError
            The shapes are not the layout's, n exceeds the buffer's rows, or a number does not fit its dtype.
        """
        rows = len(features)
        targets = labels if labels is None or labels.ndim == 2 else labels[:, None]
        self._check_shapes(features, targets)
        fill(self._features[:rows], features, "The feature", first_row)
        if targets is not None:
            fill(self._labels[:rows], targets, "The label", first_row)
        return self._buffer[: rows * len(self.layout.template)]

    def _check_shapes(self, features: NDArray[Any], labels: NDArray[Any] | None) -> None:
        rows, capacity = len(features), len(self._features)
        shapes = features.shape, (rows, 0) if labels is None else labels.shape
        if rows > capacity or shapes != ((rows, self.layout.feature_dim), (rows, self.layout.label_dim)):
            raise DataError(
                f"This encoder takes up to {capacity} rows of {self.layout.feature_dim} feature(s) and "
                f"{self.layout.label_dim} label(s), but got {shapes[0]} and {shapes[1]}."
            )


def fill(target: NDArray[Any], source: NDArray[Any], what: str, first_row: int) -> None:
    """Copy the rows ``source`` (n, d), whose first is number ``first_row`` of the matrix, into ``target``.

    Raises
    ------
    DataError
        A number does not fit the dtype of ``target``; the message names it as ``what`` with its row and column.
    """
    if source.dtype == target.dtype:
        copy_rows(target, source)
    elif (bad := assign(target, source)) is not None:
        raise misfit(what, source[bad], target.dtype, first_row + bad[0], bad[1])
