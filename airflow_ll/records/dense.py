"""Dense rows: every row has the same bytes but for its numbers, so that a shard is one structured array."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from airflow_ll.exceptions import DataError
from airflow_ll.records.wire import (
    FEATURES,
    HEADER_BYTES,
    LABEL,
    MAX_PAYLOAD,
    NAME,
    TENSOR_FIELD,
    VALUES,
    field,
    frame,
    packed,
    word_pieces,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class DenseLayout:
    """The byte layout of framed rows of ``feature_dim`` floating-point features and ``label_dim`` labels.

    ``label_dim`` 0 means unlabelled rows.
    """

    feature_dim: int
    feature_dtype: np.dtype[Any]
    label_dim: int = 0
    label_dtype: np.dtype[Any] = np.dtype("<f4")  # noqa: RUF009 - immutable

    @cached_property
    def template(self) -> bytes:
        """One framed row of zeros."""
        if self.feature_dim * self.feature_dtype.itemsize > MAX_PAYLOAD - 256:
            raise DataError(
                f"A row of {self.feature_dim} features does not fit one RecordIO record of {MAX_PAYLOAD} bytes: "
                "use fewer features, or sparse ones."
            )
        return frame(self._features + self._label)

    @cached_property
    def dtype(self) -> np.dtype[Any]:
        """The structured dtype of one framed row: ``features`` (feature_dim,) and ``labels`` (label_dim,)."""
        (features_begin, _), (labels_begin, _) = self._numbers
        return np.dtype(
            {
                "names": ["features", "labels"],
                "formats": [(self.feature_dtype, (self.feature_dim,)), (self.label_dtype, (self.label_dim,))],
                "offsets": [features_begin, labels_begin],
                "itemsize": len(self.template),
            }
        )

    def matches(self, data: memoryview, rows: int) -> bool:
        """Tell whether ``data`` is ``rows`` framed rows of this layout: the template's bytes around the numbers."""
        stride = len(self.template)
        return len(data) == rows * stride and all(
            (np.ndarray((rows,), word.dtype, data, offset, (stride,)) == word).all() for offset, word in self._constants
        )

    @cached_property
    def _constants(self) -> list[tuple[int, Any]]:
        """The template's bytes around the numbers, as (offset, word) of the widest words that fit."""
        (features_begin, features_end), (labels_begin, labels_end) = self._numbers
        between = ((0, features_begin), (features_end, labels_begin), (labels_end, len(self.template)))
        return [
            (begin + offset, np.frombuffer(self.template, f"<u{size}", 1, begin + offset)[0])
            for begin, end in between
            for offset, size in word_pieces(end - begin)
        ]

    @cached_property
    def _numbers(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Where a framed row's features begin and end, and its labels: each at the end of its map entry."""
        features_end = HEADER_BYTES + len(self._features)
        labels_end = features_end + len(self._label)
        return (
            (features_end - self.feature_dim * self.feature_dtype.itemsize, features_end),
            (labels_end - self.label_dim * self.label_dtype.itemsize, labels_end),
        )

    @cached_property
    def _features(self) -> bytes:
        return zeros_entry(FEATURES, self.feature_dtype, self.feature_dim)

    @cached_property
    def _label(self) -> bytes:
        return zeros_entry(LABEL, self.label_dtype, self.label_dim) if self.label_dim else b""


def as_items(matrix: NDArray[Any]) -> NDArray[Any]:
    """Return ``matrix`` (n, d) as n items (n,) where the numbers of a row follow one another, else as it is.

    numpy copies an item at once and not number by number: three times as fast for 30 columns.
    """
    if matrix.shape[1] == 1:
        return matrix[:, 0]
    if not matrix.shape[1] or matrix.strides[1] != matrix.itemsize:
        return matrix
    return matrix.view(_item(matrix.shape[1] * matrix.itemsize))[:, 0]


def copy_rows(target: NDArray[Any], source: NDArray[Any]) -> None:
    """Copy ``source`` (n, d) into ``target`` (n, d) of the same dtype."""
    to, from_ = as_items(target), as_items(source)
    if to.ndim == from_.ndim:
        to[...] = from_
    else:
        target[...] = source


@cache
def _item(size: int) -> np.dtype[np.void]:
    return np.dtype((np.void, size))


def zeros_entry(number: int, dtype: np.dtype[Any], size: int) -> bytes:
    """Return the map entry ``"values": tensor of size zeros`` of the map ``number``."""
    tensor = packed(VALUES, bytes(size * dtype.itemsize))
    return field(number, NAME + field(2, field(TENSOR_FIELD[dtype], tensor)))
