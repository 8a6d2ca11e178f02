"""Read features and labels from files: NumPy, CSV and Parquet, local or in S3."""

from __future__ import annotations

import io
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from airflow_ll.exceptions import DataError
from airflow_ll.extras import require
from airflow_ll.hooks.failures import told_as_missing
from airflow_ll.records.damage import told_as_data_errors
from airflow_ll.records.matrices import label_array

if TYPE_CHECKING:
    from airflow_ll.hooks.linear_learner import LinearLearnerHook

__all__ = ["load", "load_labels"]


def load(
    hook: LinearLearnerHook, features: Any, labels: Any = None, label_column: str | int | None = None
) -> tuple[Any, Any]:
    """Return features (rows, feature_dim) and labels (rows,) or None.

    :param features: an array-like, or the path or S3 URI of a ``.npy``, ``.npz`` (``features``, ``labels``), ``.csv``
        or ``.parquet`` file.
    :param labels: an array-like, or the path or S3 URI of a file with one column; None when ``features`` has them.
    :param label_column: the name or number of the column of ``features`` with the labels.
    :raises DataError: no such file, another kind of file, or no such column.
    """
    table = _table(hook, features) if isinstance(features, str) else _Table(features)
    if labels is None:
        labels = table.labels
    elif isinstance(labels, str):
        labels = load_labels(hook, labels)
    if label_column is None:
        return table.matrix, labels
    if labels is not None:
        raise DataError("Labels must be given once: either labels or label_column, got both.")
    return table.without(label_column)


def load_labels(hook: LinearLearnerHook, labels: Any) -> Any:
    """Return labels (rows,) given as an array-like, or as path or S3 URI of a file with one column; None if None."""
    if isinstance(labels, str):
        array = label_array(_table(hook, labels).matrix)
        if array.ndim > 1 and array.size != len(array):
            raise DataError(f"A file of labels must have one column, but {labels!r} has the shape {array.shape}.")
        return array.reshape(-1)
    return None if labels is None else label_array(labels)


class _Table:
    """A matrix, the names of its columns when they are known, and labels when the file has them apart."""

    def __init__(self, matrix: Any, names: list[str] | None = None, labels: Any = None) -> None:
        self.matrix, self.names, self.labels = matrix, names, labels

    def without(self, column: str | int) -> tuple[Any, Any]:
        """Return the other columns, and this one."""
        matrix = self.matrix if hasattr(self.matrix, "shape") else np.asarray(self.matrix)
        if isinstance(column, str):
            if self.names is None or column not in self.names:
                known = ", ".join(self.names or ["(the file has no column names)"])
                raise DataError(f"label_column must be a column of the features, got {column!r}; there are {known}.")
            column = self.names.index(column)
        if not -matrix.shape[1] <= column < matrix.shape[1]:
            raise DataError(f"label_column must be below the {matrix.shape[1]} columns of the features, got {column}.")
        return np.delete(matrix, column, axis=1), matrix[:, column]


def _table(hook: LinearLearnerHook, source: str) -> _Table:
    readers = {".npy": _npy, ".npz": _npz, ".csv": _csv, ".parquet": _parquet}
    suffix = PurePosixPath(source).suffix.lower()
    if suffix not in readers:
        raise DataError(f"A file of features must be one of {', '.join(readers)}, got {source!r}.")
    with told_as_missing(f"There is no file {source!r}: correct the path, or wait for the task that writes it."):
        stream = io.BytesIO(hook.read(source) if source.startswith("s3://") else Path(source).read_bytes())
    with stream, told_as_data_errors(f"{suffix[1:]} file {source}"):
        return readers[suffix](stream, source)


def _npy(stream: BinaryIO, source: str) -> _Table:
    return _Table(np.load(stream, allow_pickle=False))


def _npz(stream: BinaryIO, source: str) -> _Table:
    with np.load(stream, allow_pickle=False) as arrays:
        if "features" not in arrays:
            raise DataError(f"{source!r} must have an array named features, got {', '.join(arrays.files) or 'none'}.")
        return _Table(arrays["features"], labels=arrays.get("labels"))


def _csv(stream: BinaryIO, source: str) -> _Table:
    text = io.TextIOWrapper(stream, encoding="utf-8-sig")
    first = text.readline().strip().split(",")
    names = None if all(_is_number(cell) for cell in first) else [cell.strip().strip('"') for cell in first]
    if names is not None and not any(map(str.strip, text)):
        raise DataError(f"The csv file {source} has no rows.")
    text.seek(0)
    try:
        return _Table(np.loadtxt(text, delimiter=",", ndmin=2, skiprows=1 if names else 0), names)
    except ValueError as error:
        raise DataError(f"{source!r} must have numbers only below its header: {error}.") from None


def _parquet(stream: BinaryIO, source: str) -> _Table:
    table = require("pyarrow.parquet", extra="arrow", purpose="Reading Parquet").read_table(stream)
    return _Table(np.column_stack([np.asarray(column) for column in table.columns]), list(table.column_names))


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
