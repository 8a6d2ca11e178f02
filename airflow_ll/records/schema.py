"""How named columns become features: numbers as they are, categories one-hot by a stored vocabulary.

A schema is fitted once on the training rows, kept beside the record set, and encodes the rows to score the same way.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from airflow_ll.exceptions import DataError
from airflow_ll.extras import require
from airflow_ll.records.columns import Factor, factor, fill_numbers, is_text
from airflow_ll.records.tables import Table, as_table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

Unseen = Literal["error", "ignore"]

_VERSION = 1


@dataclass(frozen=True)
class Column:
    """One column of the source.

    Attributes
    ----------
    name
        Its name.
    dtype
        ``"number"`` is one feature; ``"category"`` one feature a category, 1 where the row has it and 0 elsewhere.
    categories
        The category's texts in the order of their features; ``None`` stands for null.
    """

    name: str
    dtype: Literal["number", "category"] = "number"
    categories: tuple[str | None, ...] = ()

    @property
    def width(self) -> int:
        """How many features it becomes."""
        return 1 if self.dtype == "number" else len(self.categories)

    @property
    def feature_names(self) -> list[str]:
        """The names of its features."""
        if self.dtype == "number":
            return [self.name]
        return [f"{self.name} is null" if one is None else f"{self.name}={one}" for one in self.categories]


@dataclass(frozen=True)
class FeatureSchema:
    """The columns of a source that are features, in order, and how each is encoded.

    Attributes
    ----------
    columns
        The feature columns.
    label_column
        The column with the labels, None when there is none.
    unseen
        A category outside the vocabulary is an ``"error"``, or has zeros everywhere (``"ignore"``).
    """

    columns: tuple[Column, ...]
    label_column: str | None = None
    unseen: Unseen = "error"

    def __post_init__(self) -> None:
        """Refuse what could not encode a row."""
        if not self.columns:
            raise DataError("A feature schema must have at least one column, but has none.")
        if self.unseen not in ("error", "ignore"):
            raise DataError(f"unseen must be 'error' or 'ignore', but is {self.unseen!r}.")
        names = [*self.names, *([] if self.label_column is None else [self.label_column])]
        for name, count in Counter(names).items():
            if count > 1:
                raise DataError(f"A feature schema must name each column once, but has {name!r} more than once.")
        for column in self.columns:
            _check_column(column)

    @classmethod
    def fit(
        cls,
        tables: Iterable[Any],
        *,
        columns: Sequence[str] | None = None,
        categorical: Sequence[str] | None = None,
        label_column: str | None = None,
        exclude: Sequence[str] = (),
        unseen: Unseen = "error",
        max_categories: int = 10_000,
    ) -> FeatureSchema:
        """Return the schema of ``tables`` after one pass over them.

        Parameters
        ----------
        tables
            Tables of ``read_tables``, frames or Arrow tables, all with the same columns.
        columns
            The feature columns in order; None: all but the label and ``exclude``.
        categorical
            Which of them are categories; None: those that hold text in the first table.
        label_column, unseen
            As the attributes.
        exclude
            Columns that are no features, such as keys.
        max_categories
            More distinct values than these in one column are taken for a mistake.

        Raises
        ------
        DataError
            There are no rows, a column is missing, or has more categories than ``max_categories``.
        """
        found: dict[str, set[str | None]] | None = None
        names: list[str] = []
        for data in tables:
            table = as_table(data)
            if found is None:
                names = _feature_columns(table, columns, label_column, exclude)
                found = {name: set() for name in _categorical(table, names, categorical)}
            for name, categories in found.items():
                categories |= _categories(factor(table.column(name), name))
                if len(categories) > max_categories:
                    raise DataError(
                        f"The column {name!r} has more than {max_categories} categories: leave it out, or raise "
                        "max_categories."
                    )
        if found is None:
            raise DataError("There are no rows to fit a feature schema on.")
        fitted = (Column(name, "category", _ordered(found[name])) if name in found else Column(name) for name in names)
        return cls(tuple(fitted), label_column, unseen)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the feature columns."""
        return tuple(column.name for column in self.columns)

    @property
    def categorical(self) -> tuple[str, ...]:
        """The names of the columns that are encoded one-hot."""
        return tuple(column.name for column in self.columns if column.dtype == "category")

    @cached_property
    def feature_dim(self) -> int:
        """How many features a row has."""
        return sum(column.width for column in self.columns)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The names of the features, such as ``distance`` and ``carrier=AA``."""
        return tuple(name for column in self.columns for name in column.feature_names)

    @cached_property
    def checksum(self) -> str:
        """The SHA-256 of the columns, their order and vocabularies: schemas that encode alike have the same one."""
        content = [[column.name, column.dtype, column.categories] for column in self.columns]
        body = json.dumps([_VERSION, content], ensure_ascii=True, separators=(",", ":"))
        return hashlib.sha256(body.encode()).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """Return the schema as JSON."""
        columns = [
            {"name": column.name, "dtype": column.dtype}
            | ({"categories": list(column.categories)} if column.dtype == "category" else {})
            for column in self.columns
        ]
        return {
            "version": _VERSION,
            "columns": columns,
            "label_column": self.label_column,
            "unseen": self.unseen,
            "feature_dim": self.feature_dim,
            "checksum": self.checksum,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> FeatureSchema:
        """Return the schema that ``to_dict`` described.

        Raises
        ------
        DataError
            It is no schema, of another version, or was changed since: its checksum differs.
        """
        try:
            version = values["version"]
            columns = tuple(
                Column(one["name"], one["dtype"], tuple(one.get("categories", ()))) for one in values["columns"]
            )
            label_column, unseen = values.get("label_column"), values.get("unseen", "error")
        except (KeyError, TypeError, AttributeError) as error:
            raise DataError(f"This is no feature schema: {error!r} is wrong or missing.") from error
        if version != _VERSION:
            raise DataError(f"The feature schema must have the version {_VERSION}, but has {version!r}.")
        schema = cls(columns, label_column, unseen)
        if values.get("checksum", schema.checksum) != schema.checksum:
            raise DataError("The feature schema's checksum does not fit its columns: it was changed or is damaged.")
        return schema

    def to_json(self) -> str:
        """Return the schema as JSON text."""
        return json.dumps(self.to_dict())

    @classmethod
    def from_json(cls, body: str | bytes) -> FeatureSchema:
        """Return the schema that ``to_json`` wrote; errors as ``from_dict``."""
        try:
            values = json.loads(body)
        except (UnicodeDecodeError, json.JSONDecodeError) as error:
            raise DataError(f"The feature schema is not JSON ({error}).") from error
        return cls.from_dict(values)

    def encode(self, data: Any, *, sparse: bool = False) -> Any:
        """Return the features of some rows: float32 (n, feature_dim), or scipy CSR when ``sparse``.

        Parameters
        ----------
        data
            A table of ``read_tables``, a frame, an Arrow table or a dict of columns; other columns are ignored.
        sparse
            Whether to return CSR with only the numbers that are not zero.

        Raises
        ------
        DataError
            A column is missing or not of numbers, or has a category outside the vocabulary and ``unseen`` is "error".
        """
        table = as_table(data)
        return self._sparse(table) if sparse else self._dense(table)

    def _dense(self, table: Table) -> NDArray[np.float32]:
        features = np.zeros((len(table), self.feature_dim), np.float32)
        for first, column in self._placed():
            if column.dtype == "number":
                fill_numbers(features[:, first], table.column(column.name), column.name)
            else:
                places = self._places(column, table)
                rows = np.flatnonzero(places >= 0)
                features[rows, first + places[rows]] = 1
        return features

    def _sparse(self, table: Table) -> Any:
        matrices = require("scipy.sparse", extra="sparse", purpose="Sparse features")
        values = np.zeros((len(table), len(self.columns)), np.float32)
        features = np.zeros((len(table), len(self.columns)), np.int64)
        for index, (first, column) in enumerate(self._placed()):
            if column.dtype == "number":
                fill_numbers(values[:, index], table.column(column.name), column.name)
                features[:, index] = first
            else:
                places = self._places(column, table)
                values[:, index] = places >= 0
                features[:, index] = first + places
        there = values != 0
        bounds = np.concatenate([[0], np.cumsum(there.sum(axis=1))])
        return matrices.csr_matrix((values[there], features[there], bounds), shape=(len(table), self.feature_dim))

    def _placed(self) -> Iterator[tuple[int, Column]]:
        """Yield each column with the number of its first feature."""
        first = 0
        for column in self.columns:
            yield first, column
            first += column.width

    def _places(self, column: Column, table: Table) -> NDArray[np.int64]:
        """Return which category of ``column`` each row has (n,), -1 for one that is not in the vocabulary."""
        values = factor(table.column(column.name), column.name)
        vocabulary = self._vocabularies[column.name]
        known = [vocabulary.get(text, -1) for text in (*values.texts, None)]
        places = np.array(known, np.int64)[values.codes]
        if self.unseen == "error" and (places < 0).any():
            row = int(np.argmax(places < 0))
            code = int(values.codes[row])
            value = "null" if code < 0 else repr(values.texts[code])
            raise DataError(
                f"The column {column.name!r} has {int((places < 0).sum())} value(s) outside its {column.width} "
                f"categories; the first is {value}: fit the schema again, or set unseen='ignore' for zeros."
            )
        return places

    @cached_property
    def _vocabularies(self) -> dict[str, dict[str | None, int]]:
        return {
            column.name: {category: index for index, category in enumerate(column.categories)}
            for column in self.columns
            if column.dtype == "category"
        }


def _check_column(column: Column) -> None:
    if column.dtype not in ("number", "category"):
        raise DataError(f"The dtype of the column {column.name!r} must be number or category, but is {column.dtype!r}.")
    if not isinstance(column.name, str) or any(not isinstance(one, str | None) for one in column.categories):
        raise DataError(f"Names and categories must be text, but those of the column {column.name!r} are not.")
    if len(set(column.categories)) < len(column.categories):
        raise DataError(f"The categories of the column {column.name!r} must differ from each other, but do not.")
    if (column.dtype == "category") != bool(column.categories):
        raise DataError(f"The column {column.name!r} must have categories if and only if its dtype is category.")


def _feature_columns(
    table: Table, columns: Sequence[str] | None, label_column: str | None, exclude: Sequence[str]
) -> list[str]:
    if columns is not None:
        return [table.name(name) for name in columns]
    apart = {table.name(name) for name in (*exclude, *([] if label_column is None else [label_column]))}
    return [name for name in table.names if name not in apart]


def _categorical(table: Table, names: list[str], categorical: Sequence[str] | None) -> list[str]:
    if categorical is None:
        return [name for name in names if table.columns is not None and is_text(table.column(name))]
    for name in categorical:
        if name not in names:
            raise DataError(f"The categorical column {name!r} is no feature column; those are {', '.join(names)}.")
    return list(categorical)


def _categories(values: Factor) -> set[str | None]:
    """Return the categories that rows have; a dictionary may have more than its rows."""
    codes = np.unique(values.codes).tolist()
    return {None if code < 0 else values.texts[code] for code in codes}


def _ordered(categories: set[str | None]) -> tuple[str | None, ...]:
    """Return the categories by their text, null last: their order does not depend on that of the rows."""
    null: tuple[str | None, ...] = (None,) if None in categories else ()
    return (*sorted(one for one in categories if one is not None), *null)
