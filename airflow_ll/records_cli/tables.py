"""Rows as the lines of a CSV and the columns of a Parquet file: labels first, as SageMaker's CSV has them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from airflow_ll.exceptions import DataError
from airflow_ll.extras import require
from airflow_ll.records_cli.kinds import label_columns

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from airflow_ll.records import RecordBatch

__all__ = ["CsvWriter", "ParquetWriter"]

_WIDEST_TABLE = 50_000  # columns of a row group have some hundred bytes of description each
_GROUP_BYTES = 64 << 20
_DENSE_CELLS = 1 << 20


class CsvWriter:
    """Shortest numbers that read back as the same, no header unless asked for, as LinearLearner takes it."""

    def __init__(self, path: Path, header: bool) -> None:
        self._file = path.open("w", encoding="ascii", newline="")
        self._header = header

    def write(self, batch: RecordBatch) -> None:
        """Append rows, one line after the other: all their texts take thirty times as much memory as the numbers."""
        _check_width(batch)
        if self._header:
            self._file.write(",".join(_names(batch)) + "\n")
            self._header = False
        features = _sparse_texts(batch.features) if _is_sparse(batch) else _texts(batch.features)
        labels = _texts(_label_matrix(batch))
        self._file.writelines(",".join([*label, *row]) + "\n" for label, row in zip(labels, features, strict=True))

    def finish(self) -> None:
        """Do nothing: every row is written."""

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class ParquetWriter:
    """One column a label and a feature, in row groups of 64 MiB.

    The description of a row group, which takes some hundred bytes a column, stays in memory until the end and is what
    a reader reads first: so a group must be much larger than a batch.
    """

    def __init__(self, path: Path) -> None:
        self._arrow = require("pyarrow", extra="arrow", purpose="Writing Parquet")
        self._parquet = require("pyarrow.parquet", extra="arrow", purpose="Writing Parquet")
        self._path = path
        self._writer: Any = None
        self._names: list[str] = []
        self._group: list[NDArray[Any]] = []  # labels (k, rows) and features (d, rows): a column is in one piece
        self._rows = 0  # of the group that are filled

    def write(self, batch: RecordBatch) -> None:
        """Append rows to the row group, and write it whenever it is full."""
        _check_width(batch)
        for matrices in _dense(batch):
            if not self._group:
                self._begin(batch, matrices)
            done = 0
            while done < len(matrices[0]):
                taken = min(len(matrices[0]) - done, self._group[0].shape[1] - self._rows)
                for columns, matrix in zip(self._group, matrices, strict=True):
                    columns[:, self._rows : self._rows + taken] = matrix[done : done + taken].T
                self._rows += taken
                done += taken
                if self._rows == self._group[0].shape[1]:
                    self._flush()

    def finish(self) -> None:
        """Write the last row group."""
        if self._rows:
            self._flush()

    def close(self) -> None:
        """Close the file."""
        if self._writer is not None:
            self._writer.close()

    def _begin(self, batch: RecordBatch, like: list[NDArray[Any]]) -> None:
        """Reserve the memory of a row group; what a file with fewer rows does not fill is never touched."""
        self._names = _names(batch)
        row_bytes = sum(matrix.shape[1] * matrix.itemsize for matrix in like)
        rows = max(1, _GROUP_BYTES // max(1, row_bytes))
        self._group = [np.empty((matrix.shape[1], rows), matrix.dtype) for matrix in like]

    def _flush(self) -> None:
        columns = [column[: self._rows] for matrix in self._group for column in matrix]
        table = self._arrow.table(columns, names=self._names)
        if self._writer is None:
            self._writer = self._parquet.ParquetWriter(self._path, table.schema)
        self._writer.write_table(table, row_group_size=self._rows)
        self._rows = 0


def _is_sparse(batch: RecordBatch) -> bool:
    return hasattr(batch.features, "indptr")


def _check_width(batch: RecordBatch) -> None:
    columns = int(batch.features.shape[1])
    if _is_sparse(batch) and columns > _WIDEST_TABLE:
        raise DataError(f"Sparse rows of {columns} columns are too wide for a table: convert them to .npz.")


def _names(batch: RecordBatch) -> list[str]:
    """Return the names of all columns, labels first."""
    labels = label_columns(batch)
    label_names = ["label"] if labels == 1 else [f"label_{i}" for i in range(labels)]
    return label_names + [f"feature_{i}" for i in range(int(batch.features.shape[1]))]


def _label_matrix(batch: RecordBatch) -> NDArray[Any]:
    """Return the labels (n, k), of unlabelled rows (n, 0)."""
    return np.empty((len(batch), 0)) if batch.labels is None else batch.labels.reshape(len(batch), -1)


def _texts(matrix: NDArray[Any]) -> Iterator[Iterable[str]]:
    """Yield the numbers of each row as text."""
    return (map(str, row) for row in matrix)


def _sparse_texts(matrix: Any) -> Iterator[list[str]]:
    """Yield the numbers of each row as text; only those that are stored are formatted."""
    matrix.sum_duplicates()
    zeros = [str(matrix.dtype.type(0))] * int(matrix.shape[1])
    for row in range(matrix.shape[0]):
        texts = zeros.copy()
        inside = slice(matrix.indptr[row], matrix.indptr[row + 1])
        for key, value in zip(matrix.indices[inside].tolist(), matrix.data[inside], strict=True):
            texts[key] = str(value)
        yield texts


def _dense(batch: RecordBatch) -> Iterator[list[NDArray[Any]]]:
    """Yield some rows after the other as dense labels (n, k) and features (n, d).

    A mebibyte of sparse rows can have billions of cells, so up to a million are made dense at a time, or one row.
    """
    rows = max(1, _DENSE_CELLS // max(1, int(batch.features.shape[1])))
    labels = _label_matrix(batch)
    for first in range(0, len(batch), rows):
        some = slice(first, first + rows)
        features = batch.features[some].toarray() if _is_sparse(batch) else batch.features[some]
        yield [labels[some], features]
