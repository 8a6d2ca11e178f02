"""Rows as sources hand them over, before they are numbers: named columns of any type, or a nameless matrix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from airflow_ll.exceptions import DataError
from airflow_ll.records.columns import columns_of, numbers
from airflow_ll.records.matrices import as_matrix, is_sparse, label_array, refuse_lazy

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

_TURNED_ROWS = 2048


@dataclass(frozen=True, eq=False)
class Table:
    """Some rows: named ``columns`` each (n,), or one ``matrix`` (n, d) whose columns are named by their numbers.

    ``labels`` (n,) are those a source keeps apart from the columns.
    """

    columns: Mapping[str, Any] | None = None
    matrix: Any = None
    labels: Any = None

    def __len__(self) -> int:
        """Return the number of rows."""
        if self.columns is None:
            return int(self.matrix.shape[0])
        return len(next(iter(self.columns.values()))) if self.columns else 0

    def __getitem__(self, rows: slice) -> Table:
        """Return the rows from ``rows.start`` to ``rows.stop``."""
        labels = None if self.labels is None else self.labels[rows]
        if self.columns is None:
            return Table(matrix=self.matrix[rows], labels=labels)
        return Table({name: _part(column, rows) for name, column in self.columns.items()}, labels=labels)

    @property
    def row_bytes(self) -> int:
        """About how many bytes of features a row has, at least 1."""
        if self.columns is not None:
            return 4 * max(1, len(self.columns))
        if is_sparse(self.matrix):
            return 8 * max(1, int(self.matrix.nnz) // max(1, len(self)))
        return 4 * max(1, int(self.matrix.shape[1]))

    @property
    def names(self) -> tuple[str, ...]:
        """The columns' names."""
        return tuple(map(str, range(self.matrix.shape[1]))) if self.columns is None else tuple(self.columns)

    def name(self, reference: str | int) -> str:
        """Return the name of the column with this name or number.

        Raises
        ------
        DataError
            There is no such column.
        """
        if self.columns is not None and isinstance(reference, str) and reference in self.columns:
            return reference
        names = self.names
        if isinstance(reference, int) and not isinstance(reference, bool) and -len(names) <= reference < len(names):
            return names[reference]
        if isinstance(reference, str) and reference in names:
            return reference
        shown = ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")
        raise DataError(f"There is no column {reference!r}; the {len(names)} columns are {shown}.")

    def column(self, name: str) -> Any:
        """Return the column ``name`` (n,) in the source's own type."""
        name = self.name(name)
        if self.columns is not None:
            return self.columns[name]
        column = self.matrix[:, [int(name)]]
        return (column.toarray() if is_sparse(column) else column)[:, 0]

    def numbers(self, names: Sequence[str] | None = None) -> Any:
        """Return the columns ``names`` (None: all) side by side: float32 (n, d), of a matrix its own dtype or CSR.

        Raises
        ------
        DataError
            A column is not of numbers, or does not exist.
        """
        if self.columns is None:
            return self.matrix if names is None else self.matrix[:, [int(self.name(name)) for name in names]]
        chosen = self.names if names is None else [self.name(name) for name in names]
        return _side_by_side([numbers(self.columns[name], name) for name in chosen], len(self))


def _side_by_side(columns: Sequence[NDArray[Any]], rows: int) -> NDArray[np.float32]:
    """Return ``columns``, each (rows,), as a matrix (rows, columns).

    A few rows of all columns at a time are converted into memory that the cache holds, and turned around from there:
    three times as fast as to write each column down the whole matrix.
    """
    values = np.empty((rows, len(columns)), np.float32)
    turned = np.empty((len(columns), min(rows, _TURNED_ROWS)), np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        for first in range(0, rows, _TURNED_ROWS):
            target = values[first : first + _TURNED_ROWS]
            some = turned[:, : len(target)]
            for place, column in zip(some, columns, strict=True):
                np.copyto(place, column[first : first + _TURNED_ROWS], casting="unsafe")
            target[...] = some.T
    return values


def as_table(data: Any, labels: Any = None) -> Table:
    """Return ``data`` (an array, scipy matrix, pandas or polars frame, Arrow table or mapping of columns) as a Table.

    Raises
    ------
    DataError
        Two columns have one name, an array is no matrix of numbers, labels are none, or a frame is lazy.
    """
    if isinstance(data, Table):
        return data
    refuse_lazy(data)
    if labels is not None:
        labels = label_array(labels)
    if isinstance(data, dict):
        named = {str(name): np.asarray(column) for name, column in data.items()}
        if len({len(column) for column in named.values()}) > 1:
            raise DataError(f"Columns must have the same length, but have {[len(one) for one in named.values()]} rows.")
        return Table(named, labels=labels)
    if not hasattr(data, "columns"):
        return Table(matrix=as_matrix(data), labels=labels)
    return Table(named_columns(columns_of(data)), labels=labels)


def named_columns(columns: Iterable[tuple[Any, Any]]) -> dict[str, Any]:
    """Return ``columns`` (name and values) by name.

    Raises
    ------
    DataError
        Two have the same name.
    """
    named: dict[str, Any] = {}
    for name, column in columns:
        if named.setdefault(str(name), column) is not column:
            raise DataError(f"Columns must have different names, but more than one is {str(name)!r}: rename them.")
    return named


def _part(column: Any, rows: slice) -> Any:
    """Return the rows by position; pandas would go by the labels of a float index."""
    return column.iloc[rows] if hasattr(column, "iloc") else column[rows]
