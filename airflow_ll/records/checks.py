"""Checks of rows and labels before anything is uploaded: every fault costs a training job otherwise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from airflow_ll.exceptions import DataError
from airflow_ll.records.matrices import as_labels, as_matrix, is_sparse

if TYPE_CHECKING:
    from numpy.typing import NDArray

OnInvalid = Literal["error", "drop"]

_PREDICTORS = ("binary_classifier", "multiclass_classifier", "regressor")

#: Rows are checked in chunks of about this many elements, so that the temporaries stay in the cache.
_CHUNK_ELEMENTS = 1 << 17


@dataclass(frozen=True, eq=False)
class CheckedFeatures:
    """What passed: ``features`` (n, d), which rows they are ``kept`` (rows,) or None, and how many were ``dropped``."""

    features: Any
    kept: NDArray[np.bool_] | None
    dropped: int


def check_features(features: Any, on_invalid: OnInvalid = "error", *, first_row: int = 0) -> CheckedFeatures:
    """Check that ``features`` (n, d) can be trained on: a real matrix with rows and columns, all numbers finite.

    Parameters
    ----------
    features
        What ``write_records`` takes.
    on_invalid
        ``"error"`` refuses a row with a NaN, an infinity or a number outside float32; ``"drop"`` leaves such rows out.
    first_row
        The number of the first row in a larger whole, for messages.

    Returns
    -------
    CheckedFeatures
        The matrix to write; with ``kept`` select the labels when rows were dropped (None: all rows passed).

    Raises
    ------
    DataError
        The matrix is empty, or has invalid numbers: the message has the first one's row and column, and their count.
    """
    if on_invalid not in ("error", "drop"):
        raise DataError(f"on_invalid must be 'error' or 'drop', but is {on_invalid!r}.")
    matrix = as_matrix(features)
    rows, columns = matrix.shape
    if not rows or not columns:
        raise DataError(f"Features must have at least one row and one column, but have the shape ({rows}, {columns}).")
    bad = _invalid_numbers(matrix)
    if not len(bad):
        return CheckedFeatures(matrix, None, 0)
    if on_invalid == "error":
        raise _invalid(matrix, bad, first_row)
    kept = _without(bad, rows)
    if not kept.any():
        raise nothing_left(rows)
    return CheckedFeatures(matrix[kept], kept, rows - int(kept.sum()))


def nothing_left(rows: int) -> DataError:
    """Return the error for ``rows`` rows that are all dropped."""
    return DataError(f"All {rows} row(s) have a NaN, an infinity or a number outside float32: nothing is left.")


def check_rows(
    features: Any,
    labels: Any,
    on_invalid: str = "error",
    predictor_type: str | None = None,
    num_classes: int | None = None,
    *,
    first_row: int = 0,
) -> NDArray[np.bool_] | None:
    """Check rows together with their labels, and return which of them (n,) are kept; None when all are.

    Parameters
    ----------
    features
        A matrix (n, d) as ``as_matrix`` returns it.
    labels
        (n,) or None, which no ``predictor_type`` allows.
    on_invalid
        ``"error"`` refuses a row whose features or label have a NaN, an infinity or a number outside float32;
        ``"drop"`` leaves such rows out. A label that only does not suit the predictor is refused always.
    predictor_type, num_classes, first_row
        As in ``check_labels``.

    Raises
    ------
    DataError
        As ``check_features`` and ``check_labels``; labels are missing.
    """
    if labels is None and predictor_type is not None:
        raise DataError(
            f"A {predictor_type} learns from labels, but the rows have none: say which column has them, or give labels."
        )
    rows = features.shape[0]
    vector = None if labels is None else _label_vector(labels, rows)
    kept = None
    if on_invalid == "drop":
        kept = _valid_rows(features, vector)
    else:
        check_features(features, on_invalid, first_row=first_row)  # type: ignore[arg-type]
    if vector is not None:
        checked = vector if kept is None else np.where(kept, vector, 0)  # rows that are left out may have any label
        check_labels(checked, rows, predictor_type, num_classes, first_row=first_row)
    return kept


def _valid_rows(features: Any, labels: NDArray[Any] | None) -> NDArray[np.bool_] | None:
    kept = _without(_invalid_numbers(features), features.shape[0])
    if labels is not None:
        kept &= _valid(labels.astype(np.float64))
    return None if kept.all() else kept


def check_labels(
    labels: Any,
    rows: int,
    predictor_type: str | None = None,
    num_classes: int | None = None,
    *,
    first_row: int = 0,
) -> NDArray[Any]:
    """Check that ``labels`` (rows,) suit the predictor, and return them as an ndarray (rows,).

    Parameters
    ----------
    labels
        One real number a row.
    rows
        How many rows the features have.
    predictor_type
        ``"binary_classifier"`` allows 0 and 1, ``"multiclass_classifier"`` integers from 0 to ``num_classes`` - 1,
        ``"regressor"`` and None every finite number.
    num_classes
        The number of classes of a multiclass classifier; None allows every class number.
    first_row
        The number of the first row in a larger whole, for messages.

    Raises
    ------
    DataError
        Their number or their values do not fit; the message has the first offender's row, and their count.
    """
    if predictor_type not in (None, *_PREDICTORS):
        raise DataError(f"predictor_type must be one of {', '.join(_PREDICTORS)}, but is {predictor_type!r}.")
    vector = _label_vector(labels, rows)
    with np.errstate(invalid="ignore"):
        wrong = ~_valid(vector.astype(np.float64))
        allowed = "finite numbers within float32"
        if predictor_type == "binary_classifier":
            allowed = "0 or 1 for a binary_classifier"
            wrong |= (vector != 0) & (vector != 1)
        elif predictor_type == "multiclass_classifier":
            last = np.inf if num_classes is None else num_classes - 1
            named = "num_classes - 1" if num_classes is None else last
            allowed = f"integers from 0 to {named} for a {predictor_type}"
            wrong |= (vector != np.floor(vector)) | (vector < 0) | (vector > last)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise DataError(
            f"Labels must be {allowed}, but {int(wrong.sum())} of {rows} are not; the first is {vector[row]} at row "
            f"{first_row + row}."
        )
    return vector


def _label_vector(labels: Any, rows: int) -> NDArray[Any]:
    array = as_labels(labels, rows)
    if array.shape[1] != 1:
        raise DataError(f"LinearLearner takes one label a row, but the labels have the shape {array.shape}.")
    return array[:, 0]


def _invalid_numbers(matrix: Any) -> NDArray[np.int64]:
    return _invalid_sparse(matrix) if is_sparse(matrix) else _invalid_dense(matrix)


def _without(bad: NDArray[np.int64], rows: int) -> NDArray[np.bool_]:
    kept = np.ones(rows, np.bool_)
    kept[bad[:, 0]] = False
    return kept


def _invalid_dense(matrix: NDArray[Any]) -> NDArray[np.int64]:
    """Return (row, column) of every number that is not finite in float32, (count, 2)."""
    if matrix.dtype.kind != "f":
        return np.empty((0, 2), np.int64)
    step = max(1, _CHUNK_ELEMENTS // matrix.shape[1])
    found = []
    for first in range(0, len(matrix), step):
        chunk = matrix[first : first + step]
        if not _all_valid(chunk):
            found.append(np.argwhere(~_valid(chunk)) + np.array([first, 0]))
    return np.concatenate(found) if found else np.empty((0, 2), np.int64)


def _invalid_sparse(matrix: Any) -> NDArray[np.int64]:
    if matrix.dtype.kind != "f" or _all_valid(matrix.data):
        return np.empty((0, 2), np.int64)
    bad = np.flatnonzero(~_valid(matrix.data))
    rows = np.searchsorted(matrix.indptr, bad, side="right") - 1
    return np.stack([rows, matrix.indices[bad]], axis=1).astype(np.int64)


def _all_valid(values: NDArray[Any]) -> bool:
    """Tell whether all numbers are valid, by their extremes: cheaper than a mask; a NaN makes both NaN."""
    if not values.size:
        return True
    limit = _limit(values.dtype)
    return bool(values.min() >= -limit and values.max() <= limit)


def _valid(values: NDArray[Any]) -> NDArray[np.bool_]:
    limit = _limit(values.dtype)
    return np.asarray((values >= -limit) & (values <= limit))


def _limit(dtype: np.dtype[Any]) -> Any:
    """Return the largest number that is finite both in ``dtype`` and in float32."""
    return min(np.finfo(dtype).max, np.finfo(np.float32).max)


def _invalid(matrix: Any, bad: NDArray[np.int64], first_row: int) -> DataError:
    row, column = (int(i) for i in bad[0])
    return DataError(
        f"Features must be finite numbers within float32, but {len(bad)} of them in {len(np.unique(bad[:, 0]))} row(s) "
        f"are not; the first is {matrix[row, column]} at row {first_row + row}, column {column}: clean the data, or "
        "set on_invalid='drop'."
    )
