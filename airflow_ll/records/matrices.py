"""What callers hand over, as matrices: arrays of any layout, scipy's sparse ones, data frames and Arrow tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from airflow_ll.exceptions import DataError
from airflow_ll.records.columns import columns_of, numbers

if TYPE_CHECKING:
    from numpy.typing import NDArray

Dtype = Literal["float32", "preserve"]

FLOAT32, FLOAT64, INT32 = np.dtype("<f4"), np.dtype("<f8"), np.dtype("<i4")


def is_sparse(matrix: object) -> bool:
    """Tell whether ``matrix`` is one of scipy's sparse arrays or matrices, without importing scipy."""
    return hasattr(matrix, "tocsr")


def as_matrix(data: Any) -> Any:
    """Return ``data`` as a numeric ndarray (n, d), or a scipy CSR (n, d) when it is sparse.

    Parameters
    ----------
    data
        An array-like (n, d), a scipy sparse array or matrix, a pandas or polars data frame, or an Arrow table or
        record batch. Arrays are not copied.

    Raises
    ------
    DataError
        It is not a matrix, or holds something else than real numbers.
    """
    refuse_lazy(data)
    if is_sparse(data):
        matrix: Any = _canonical_csr(data)
    elif hasattr(data, "columns"):
        matrix = _table(data)
    else:
        matrix = as_array(data, "Features")
    if matrix.ndim != 2:
        raise DataError(
            f"Features must be a matrix with one row an example, but have the shape {matrix.shape}: reshape them to "
            "(rows, columns)."
        )
    _check_numeric(matrix.dtype, "Features")
    return matrix


def as_labels(labels: Any, rows: int) -> NDArray[Any]:
    """Return ``labels`` as a numeric ndarray (rows, k): one label a row, or a vector of k labels a row.

    Raises
    ------
    DataError
        Their number differs from ``rows``, or they are not real numbers.
    """
    array = label_array(labels)
    if array.ndim not in (1, 2) or len(array) != rows or array.size < rows:
        raise DataError(
            f"Labels must be a vector of one label a row, or a matrix of one label vector a row: {rows} rows need the "
            f"shape ({rows},) or ({rows}, k), but got {array.shape}."
        )
    _check_numeric(array.dtype, "Labels")
    return array.reshape(rows, -1) if rows else array.reshape(0, 1)


def label_array(labels: Any) -> NDArray[Any]:
    """Return ``labels``, an array-like, a frame, or a column of a frame or Arrow table, as an array with NaN for null.

    Raises
    ------
    DataError
        They are one value only, vectors of several lengths, a lazy frame, or a column of something else than numbers.
    """
    refuse_lazy(labels)
    if hasattr(labels, "columns"):
        return _table(labels)
    if hasattr(labels, "to_pylist") or hasattr(labels, "isna"):  # Arrow's and pandas', which have nulls of their own
        return numbers(labels, "label")
    array = as_array(labels, "Labels")
    if array.ndim == 0:
        raise DataError(f"Labels must be one a row, but are {labels!r}.")
    return array


def refuse_lazy(data: Any) -> None:
    """Raise a DataError for a polars LazyFrame; a pandas frame may have a column named collect."""
    if hasattr(type(data), "collect"):
        raise DataError("A polars LazyFrame has no rows yet: give the frame that its collect() returns.")


def tensor_dtype(source: np.dtype[Any], dtype: Dtype) -> np.dtype[Any]:
    """Return the tensor's dtype (Float32, Float64 or Int32) for numbers of ``source``."""
    if dtype == "float32":
        return FLOAT32
    if dtype != "preserve":
        raise DataError(f"dtype must be 'float32' or 'preserve', but is {dtype!r}.")
    if source.kind == "f":
        return FLOAT64 if source.itemsize > 4 else FLOAT32
    return INT32


def assign(target: NDArray[Any], source: NDArray[Any]) -> tuple[int, ...] | None:
    """Copy ``source`` into ``target`` of a tensor's dtype, or return the index of the first misfit."""
    if target.dtype.kind == "i":
        low, high = np.iinfo(target.dtype).min, np.iinfo(target.dtype).max
        if source.size and not (int(source.min()) >= low and int(source.max()) <= high):
            return _first((source < low) | (source > high))
        np.copyto(target, source, casting="unsafe")
        return None
    if np.can_cast(source.dtype, target.dtype, "safe"):
        np.copyto(target, source)
        return None
    try:
        with np.errstate(over="raise", under="ignore", invalid="ignore"):
            np.copyto(target, source, casting="unsafe")
    except FloatingPointError:
        with np.errstate(over="ignore"):
            return _first(np.isfinite(source) & ~np.isfinite(source.astype(target.dtype)))
    return None


def misfit(what: str, value: Any, dtype: np.dtype[Any], row: int, column: int) -> DataError:
    """Return the error for a number that does not fit the tensor's ``dtype``."""
    limit = np.iinfo(dtype).max if dtype.kind == "i" else np.finfo(dtype).max
    return DataError(
        f"{what} at row {row}, column {column} is {value}, which does not fit {dtype.name} (at most {limit}): "
        "scale the column."
    )


def _first(bad: NDArray[np.bool_]) -> tuple[int, ...]:
    """Return the index of the first true element."""
    return tuple(int(i) for i in np.unravel_index(np.argmax(bad), bad.shape))


def as_array(data: Any, what: str) -> NDArray[Any]:
    """Return ``data``, which messages call ``what``, as an array with NaN where numpy masks it and for None.

    Raises
    ------
    DataError
        Its rows have several lengths.
    """
    if isinstance(data, np.ma.MaskedArray) and np.ma.is_masked(data):  # pandas' own arrays have a mask, too
        return np.asarray(np.ma.filled(data.astype(data.dtype if data.dtype.kind == "f" else np.float64), np.nan))
    try:
        array = np.asarray(data.to_numpy() if hasattr(data, "to_numpy") else data)
    except ValueError as error:  # numpy's word for rows of several lengths
        raise DataError(
            f"{what} must have as many numbers in each row, but {_several_lengths(data)}: fill in what is missing."
        ) from error
    if array.dtype.kind != "O" or any(isinstance(value, str | bytes) for value in array.flat):
        return array
    try:
        return array.astype(np.float64)
    except (TypeError, ValueError):
        return array


def _several_lengths(rows: Any) -> str:
    """Return where the first row is that has another length than the one before it."""
    sizes = [_size(row) for row in rows]
    at = next((index for index in range(1, len(sizes)) if sizes[index] != sizes[index - 1]), None)
    if at is None:
        return "their values have several lengths"
    return f"row {at - 1} has {sizes[at - 1]} and row {at} has {sizes[at]}"


def _size(row: Any) -> int:
    try:
        return len(row)
    except TypeError:  # a number
        return 1


def _check_numeric(dtype: np.dtype[Any], what: str) -> None:
    if dtype.kind not in "biuf":
        raise DataError(
            f"{what} must be real numbers (integers, bool, floats), but have the dtype {dtype}: convert or encode them."
        )


def _canonical_csr(matrix: Any) -> Any:
    """Return ``matrix`` as CSR without duplicate entries, which a sparse record could not express."""
    csr = matrix.tocsr()
    if csr.has_canonical_format:
        return csr
    summed = csr.copy()
    summed.sum_duplicates()
    return csr if summed.nnz == csr.nnz else summed


def _table(table: Any) -> NDArray[Any]:
    """Return a data frame's or an Arrow table's columns side by side, in their common dtype."""
    columns = [numbers(column, name) for name, column in columns_of(table)]
    return np.stack(columns, axis=1) if columns else np.empty((len(table), 0), np.float32)
