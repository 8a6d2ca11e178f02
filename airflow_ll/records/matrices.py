"""What callers hand over, as matrices: arrays of any layout, scipy's sparse ones, data frames and Arrow tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from airflow_ll.exceptions import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator

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
    if is_sparse(data):
        matrix: Any = _canonical_csr(data)
    elif hasattr(data, "columns"):
        matrix = _table(data)
    else:
        matrix = np.asarray(data)
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
    array = np.asarray(labels.to_numpy() if hasattr(labels, "to_numpy") else labels)
    if array.ndim not in (1, 2) or len(array) != rows or array.size < rows:
        raise DataError(
            f"Labels must be a vector of one label a row, or a matrix of one label vector a row: {rows} rows need the "
            f"shape ({rows},) or ({rows}, k), but got {array.shape}."
        )
    _check_numeric(array.dtype, "Labels")
    return array.reshape(rows, -1) if rows else array.reshape(0, 1)


def tensor_dtype(source: np.dtype[Any], dtype: Dtype) -> np.dtype[Any]:
    """Return the tensor's dtype (Float32, Float64 or Int32) for numbers of ``source``."""
    if dtype == "float32":
        return FLOAT32
    if dtype != "preserve":
        raise DataError(f"dtype must be 'float32' or 'preserve', but is {dtype!r}.")
    if source.kind == "f":
        return FLOAT64 if source.itemsize > 4 else FLOAT32
    return INT32


def assign(target: NDArray[Any], source: NDArray[Any], what: str, first_row: int) -> None:
    """Copy ``source`` (n, d) into ``target`` (n, d) of a tensor's dtype, refusing numbers that do not fit.

    ``first_row`` is the number of the first row in the caller's matrix, for the message.
    """
    if target.dtype.kind == "i":
        fits = not source.size or (int(source.min()) >= -(2**31) and int(source.max()) < 2**31)
        if fits:
            np.copyto(target, source, casting="unsafe")
    else:
        try:
            with np.errstate(over="raise", under="ignore", invalid="ignore"):
                np.copyto(target, source, casting="unsafe")
            fits = True
        except FloatingPointError:
            fits = False
    if not fits:
        raise _overflow(source, target.dtype, what, first_row)


def _overflow(source: NDArray[Any], dtype: np.dtype[Any], what: str, first_row: int) -> DataError:
    limit = np.iinfo(dtype).max if dtype.kind == "i" else np.finfo(dtype).max
    wide = source.astype(np.float64)
    bad = np.argwhere(np.isfinite(wide) & ((wide > float(limit)) | (wide < -float(limit) - (dtype.kind == "i"))))
    row, column = bad[0] if len(bad) else (0, 0)
    return DataError(
        f"{what} at row {first_row + row}, column {column} is {source[row, column]}, which does not fit "
        f"{np.dtype(dtype).name} (at most {limit}): scale the column."
    )


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
    columns = []
    for name, column in _columns(table):
        values = np.asarray(column.to_numpy())
        _check_numeric(values.dtype, f"Column {name!r}")
        columns.append(values)
    if not columns:
        return np.empty((len(table), 0), np.float32)
    return np.stack(columns, axis=1)


def _columns(table: Any) -> Iterator[tuple[str, Any]]:
    if hasattr(table, "items"):  # pandas
        return iter(table.items())
    if hasattr(table, "iter_columns"):  # polars
        return ((column.name, column) for column in table.iter_columns())
    return iter(zip(table.schema.names, table.columns, strict=True))  # Arrow
