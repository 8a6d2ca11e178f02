"""Read any source as a stream of batches: files by path or opened stream, arrays, frames, tables and iterators of them.

Whatever the size of the source, no more than a batch or two of it is in memory.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath, PurePosixPath
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from airflow_ll.exceptions import DataError
from airflow_ll.records import arrow_sources, numpy_sources
from airflow_ll.records.batches import Batch, default_batch_rows
from airflow_ll.records.columns import factor, numbers
from airflow_ll.records.damage import described, told_as_data_errors
from airflow_ll.records.matrices import is_sparse, label_array, refuse_lazy
from airflow_ll.records.tables import Table, as_table

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from airflow_ll.records.schema import FeatureSchema

Format = Literal["npy", "npz", "csv", "parquet", "arrow"]
ColumnReference = str | int

#: The formats of files, by the end of their names.
SUFFIXES: Final[Mapping[str, Format]] = {
    ".npy": "npy", ".npz": "npz", ".csv": "csv", ".parquet": "parquet", ".pq": "parquet", ".arrow": "arrow",
    ".feather": "arrow", ".ipc": "arrow",
}  # fmt: skip


@dataclass(frozen=True)
class _Reading:
    """How a source is read: which columns (None: all), which of them as text, and how many rows at a time."""

    format: str | None
    columns: tuple[str, ...] | None
    categorical: tuple[str, ...]
    batch_rows: int | None


def read_batches(
    source: Any,
    *,
    format: Format | None = None,  # noqa: A002 - the field's word
    columns: Sequence[ColumnReference] | None = None,
    label_column: ColumnReference | None = None,
    key_columns: Sequence[ColumnReference] = (),
    schema: FeatureSchema | None = None,
    labels: Any = None,
    batch_rows: int | None = None,
    sparse: bool = False,
) -> Iterator[Batch]:
    """Read ``source`` batch after batch.

    Parameters
    ----------
    source
        A path (of a folder: all files of ``format`` in it, by name), an opened binary stream, an array, a scipy matrix,
        a pandas or polars frame, an Arrow table or dataset, or an iterable of any of these or of pairs (features,
        labels).
    format
        What files and streams have; None: as their names say.
    columns
        Names or numbers of the feature columns, in this order; None: all that are neither label nor key. Numbers, and
        the order of all, are those of the first table that has names: later ones are read by name.
    label_column
        The column with the labels; None: the schema's, if the source has it.
    key_columns
        Columns to keep beside the features, for a split.
    schema
        How columns become features, categories one-hot; it has the columns then. None: every column is a number.
    labels
        (rows,) one label a row when the source has none.
    batch_rows
        The most rows of a batch; None: about 8 MiB of features.
    sparse
        Whether features encoded by the schema are scipy CSR: for vocabularies of thousands of categories.

    Yields
    ------
    Batch
        Never empty. Features of a matrix keep its dtype, those of named columns are float32.

    Raises
    ------
    DataError
        No such file or column, a column that is not of numbers, tables with different columns, or a file that is not
        what its format says.
    """
    if schema is not None and columns is not None:
        raise DataError("A schema has its own columns: give columns or schema, not both.")
    if batch_rows is not None and batch_rows < 1:
        raise DataError(f"batch_rows must be at least 1, but is {batch_rows}.")
    if schema is not None and batch_rows is None:
        batch_rows = default_batch_rows(8 * len(schema.columns) if sparse else 4 * schema.feature_dim)
    reading = _reading(format, columns, label_column, key_columns, schema, batch_rows)
    chooser = _Chooser(columns, label_column, key_columns, schema, sparse)
    yield from _batches(_tables(source, reading), chooser, None if labels is None else _labels_apart(labels))


def _batches(tables: Iterable[Table], chooser: _Chooser, apart: Any) -> Iterator[Batch]:
    """Yield the batches of ``tables``, with the labels ``apart``; named columns are those of the first table."""
    first, by_name = 0, None
    for table in tables:
        if apart is not None and table.labels is not None:
            raise DataError("Labels must be given once, but the source has them itself, too: leave one of them out.")
        given = table if apart is None else replace(table, labels=_part(apart, first, len(table)))
        if table.columns is None:
            yield chooser.batch(given, first)
        else:
            by_name = by_name or chooser.settled(table)
            yield by_name.batch(given, first)
        first += len(table)
    if apart is not None and len(apart) != first:
        raise DataError(f"Labels must be one a row, but there are {len(apart)} for {first} rows.")


def read_tables(
    source: Any,
    *,
    format: Format | None = None,  # noqa: A002 - the field's word
    columns: Sequence[str] | None = None,
    categorical: Sequence[str] = (),
    batch_rows: int | None = None,
) -> Generator[Table]:
    """Read ``source`` as tables of named columns that are not yet numbers, as ``FeatureSchema.fit`` takes them.

    Parameters
    ----------
    source, format, batch_rows
        As in ``read_batches``.
    columns
        The columns to read; None: all.
    categorical
        Columns whose values are categories: a CSV has them as text then, "007" too.

    Raises
    ------
    DataError
        As ``read_batches``.
    """
    chosen = None if columns is None else tuple(columns)
    yield from _tables(source, _Reading(format, chosen, tuple(categorical), batch_rows))


@dataclass(frozen=True)
class _Chooser:
    """Which columns of a table are features, label and keys."""

    columns: Sequence[ColumnReference] | None
    label_column: ColumnReference | None
    key_columns: Sequence[ColumnReference]
    schema: FeatureSchema | None
    sparse: bool
    names: frozenset[str] | None = None  # those that every table must have, and no others

    def settled(self, table: Table) -> _Chooser:
        """Return the choice, by name, of what this one takes of ``table``: others may have another order."""
        keys, label = [table.name(reference) for reference in self.key_columns], self._label(table)
        if self.schema is not None:
            return replace(self, label_column=label, key_columns=keys)
        names = frozenset(table.names) if self.columns is None else None
        return replace(self, columns=self._names(table, label, keys), label_column=label, key_columns=keys, names=names)

    def batch(self, table: Table, first: int) -> Batch:
        """Return the batch of ``table``, whose first row is ``first`` of the source."""
        if self.names is not None and self.names != set(table.names):
            raise _other_columns(self.names, table, first)
        keys = [table.name(reference) for reference in self.key_columns]
        label = self._label(table)
        if label is not None and table.labels is not None:
            raise DataError("Labels must be given once, but the source has them apart from the label column, too.")
        return Batch(
            self._features(table, label, keys),
            table.labels if label is None else numbers(table.column(label), label),
            np.arange(first, first + len(table)),
            {name: factor(table.column(name), name) for name in keys},
            None if table.columns is None or self.schema is not None else self._names(table, label, keys),
            label,
        )

    def _label(self, table: Table) -> str | None:
        if self.label_column is not None:
            return table.name(self.label_column)
        known = None if self.schema is None else self.schema.label_column
        return known if known is not None and known in table.names else None

    def _features(self, table: Table, label: str | None, keys: list[str]) -> Any:
        if self.schema is not None:
            _refuse_leak(label, self.schema.names, "the schema has it: fit it without")
            return self.schema.encode(table, sparse=self.sparse)
        return table.numbers(self._names(table, label, keys))

    def _names(self, table: Table, label: str | None, keys: list[str]) -> list[str] | None:
        """Return the names of the feature columns, None for all columns of a matrix."""
        if self.columns is not None:
            names = [table.name(reference) for reference in self.columns]
            _refuse_leak(label, names, "columns has it: leave it out")
            return names
        apart = {label, *keys}
        if table.columns is None and apart == {None}:
            return None
        return [name for name in table.names if name not in apart]


def _other_columns(names: frozenset[str], table: Table, first: int) -> DataError:
    there = set(table.names)
    differences = (("lack", sorted(names - there)), ("add", sorted(there - names)))
    found = " and ".join(f"{verb} {', '.join(map(repr, some[:20]))}" for verb, some in differences if some)
    return DataError(
        f"All files and tables of a source must have the columns of the first, but those from row {first} on {found}: "
        "correct them, or name the columns to read."
    )


def _refuse_leak(label: str | None, names: Sequence[str], found: str) -> None:
    """Raise a DataError when the features, named ``names``, have the label: a model would learn to copy it."""
    if label in names:
        raise DataError(f"The label column {label!r} must be no feature, but {found}.")


def _reading(
    kind: str | None,
    columns: Sequence[ColumnReference] | None,
    label: ColumnReference | None,
    keys: Sequence[ColumnReference],
    schema: FeatureSchema | None,
    batch_rows: int | None,
) -> _Reading:
    """Return how to read only what is wanted: all columns when some are given by number."""
    categorical = (*(schema.categorical if schema else ()), *(key for key in keys if isinstance(key, str)))
    optional = [] if schema is None or label is not None or schema.label_column is None else [schema.label_column]
    names = [*(schema.names if schema else columns or ()), *keys, *([] if label is None else [label]), *optional]
    texts = tuple(name for name in names if isinstance(name, str))
    known = (schema is not None or columns is not None) and len(texts) == len(names)
    return _Reading(kind, tuple(dict.fromkeys(texts)) if known else None, categorical, batch_rows)


def _tables(source: Any, reading: _Reading) -> Iterator[Table]:
    """Yield the tables of whatever ``source`` is."""
    refuse_lazy(source)
    if isinstance(source, str | os.PathLike):
        for path in _files(Path(source), reading.format):
            with path.open("rb") as stream:
                yield from _stream(stream, replace(reading, format=_format(path.name, reading.format)))
    elif hasattr(source, "read") and not type(source).__module__.startswith("pandas."):  # whose readers give frames
        yield from _stream(source, reading)
    elif hasattr(source, "get_fragments"):
        yield from _slices(arrow_sources.dataset_tables(source, reading.columns, reading.batch_rows), reading)
    elif isinstance(source, tuple) and len(source) == 2:
        yield from _slices([as_table(*source)], reading)
    elif _is_data(source):
        yield from _slices([as_table(source)], reading)
    elif isinstance(source, Iterable):
        for item in source:
            yield from _tables(item, reading)
    else:
        raise DataError(
            "A source must be a path, an opened binary stream, an array, frame or table, or an iterable of these, but "
            f"is {type(source).__name__}."
        )


def _stream(stream: Any, reading: _Reading) -> Iterator[Table]:
    kind = reading.format or _format(str(getattr(stream, "name", "")), None)
    rows, columns = reading.batch_rows, reading.columns
    if kind == "npy":
        tables = numpy_sources.npy_tables(stream, rows)
    elif kind == "npz":
        tables = numpy_sources.npz_tables(stream, rows)
    elif kind == "csv":
        tables = arrow_sources.csv_tables(stream, columns, reading.categorical)
    elif kind == "parquet":
        tables = arrow_sources.parquet_tables(stream, columns, rows)
    elif kind == "arrow":
        tables = arrow_sources.ipc_tables(stream, columns)
    else:
        raise DataError(f"format must be one of npy, npz, csv, parquet or arrow, but is {kind!r}.")
    with told_as_data_errors(described(kind, stream)):
        yield from _slices(tables, reading)


def _slices(tables: Iterable[Table], reading: _Reading) -> Iterator[Table]:
    """Yield the tables in pieces of at most a batch, none empty."""
    for table in tables:
        rows = reading.batch_rows or default_batch_rows(table.row_bytes)
        if table.labels is not None and len(table.labels) != len(table):
            raise DataError(f"Labels must be one a row, but there are {len(table.labels)} for {len(table)} rows.")
        for first in range(0, len(table), rows):
            yield table if len(table) <= rows else table[first : first + rows]


def _is_data(source: Any) -> bool:
    """Tell whether ``source`` is rows itself, not an iterable of sources; a list is rows when its items are lists."""
    if isinstance(source, list):
        return bool(source) and isinstance(source[0], list)
    return isinstance(source, np.ndarray | Table | dict) or is_sparse(source) or hasattr(source, "columns")


def _files(path: Path, kind: str | None) -> list[Path]:
    """Return the file, or the files of a folder by name."""
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise DataError(f"There is no file {str(path)!r}: correct the path, or wait for the task that writes it.")
    inside = [one for one in path.rglob("*") if one.is_file() and not is_hidden(one.relative_to(path))]
    found = sorted(one for one in inside if kind is None or SUFFIXES.get(one.suffix.lower()) == kind)
    if not found:
        raise DataError(f"The folder {str(path)!r} has no file{'' if kind is None else f' of the format {kind}'}.")
    return found


def is_hidden(inside: PurePath) -> bool:
    """Tell whether a path below a folder is no data: a marker, or anything in what tools keep or write beside data.

    Such as ``_SUCCESS``, ``_temporary/`` and ``.ipynb_checkpoints/``, which have copies of the same rows.
    """
    return any(part[0] in "._" for part in inside.parts)


def _format(name: str, given: str | None) -> str:
    if given is not None:
        return given
    suffix = PurePosixPath(name).suffix.lower()
    if suffix not in SUFFIXES:
        raise DataError(f"The format of {name!r} is not known: name it {', '.join(SUFFIXES)}, or give the format.")
    return SUFFIXES[suffix]


def _labels_apart(labels: Any) -> Any:
    if isinstance(labels, str | os.PathLike):
        labels = _label_file(Path(labels))
    array = label_array(labels)
    return array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array


def _label_file(path: Path) -> NDArray[Any]:
    """Return the array of a .npy, which is not in memory as a whole."""
    if not path.is_file():
        raise DataError(f"There is no file {str(path)!r}: correct the path, or wait for the task that writes it.")
    with told_as_data_errors(f"npy file {path}"):
        return np.lib.format.open_memmap(path, mode="r")


def _part(labels: Any, first: int, rows: int) -> Any:
    part = labels[first : first + rows]
    if len(part) < rows:
        raise DataError(
            f"Labels must be one a row, but there are {len(labels)} for more than {first + len(part)} rows."
        )
    return np.asarray(part)
