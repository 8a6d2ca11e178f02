"""Columns of frames and tables, each (n,) in its library's own type, as numbers, as texts or by their values."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from airflow_ll.exceptions import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

_ARROW_TEXT = ("string", "large_string", "string_view", "binary", "large_binary")


@dataclass(frozen=True, eq=False)
class Factor:
    """A column by its distinct values: ``texts`` (k,) and, a row, which of them it is: ``codes`` (n,), -1 for null.

    Values count by their text, so that 1, 1.0 and "1" are one value whatever the kind of file they came from.
    """

    codes: NDArray[np.int64]
    texts: tuple[str, ...]

    def take(self, selection: Any) -> Factor:
        """Return the selected rows."""
        return Factor(self.codes[selection], self.texts)


def columns_of(table: Any) -> Iterable[tuple[Any, Any]]:
    """Return names and columns of a pandas or polars frame, or of an Arrow table."""
    if hasattr(table, "items"):  # pandas
        return ((name, column) for name, column in table.items())
    if hasattr(table, "iter_columns"):  # polars
        return ((column.name, column) for column in table.iter_columns())
    return zip(table.schema.names, table.columns, strict=True)  # Arrow


def fill_numbers(target: NDArray[np.float32], column: Any, name: str) -> None:
    """Write ``column`` (n,) into ``target`` (n,); null becomes NaN and what float32 cannot hold an infinity."""
    with np.errstate(over="ignore", invalid="ignore"):
        np.copyto(target, numbers(column, name), casting="unsafe")


def numbers(column: Any, name: str) -> NDArray[Any]:
    """Return ``column`` (n,) as real numbers, with NaN for null.

    Raises
    ------
    DataError
        It has text, dates or something else.
    """
    kind: object
    try:
        values, kind = (_arrow_numbers if is_arrow(column) else _array_numbers)(column)
    except (TypeError, ValueError) as error:
        values, kind = None, f"something else ({error})"
    if values is None or values.dtype.kind not in "biuf":
        raise DataError(
            f"The column {name!r} must have numbers, but has {kind}: leave it out, convert it, or encode it one-hot by "
            "a feature schema that declares it categorical."
        )
    return values


def factor(column: Any, name: str) -> Factor:
    """Return ``column`` (n,) by its distinct values.

    Raises
    ------
    DataError
        It has lists or other values that cannot be told apart.
    """
    try:
        if is_arrow(column):
            codes, values = _arrow_factor(column)
        elif hasattr(column, "factorize"):  # pandas
            codes, values = column.factorize()
        else:
            codes, values = _array_factor(np.asarray(column.to_numpy() if hasattr(column, "to_numpy") else column))
    except (TypeError, NotImplementedError) as error:  # NumPy's and pandas' word, and Arrow's
        raise DataError(
            f"The column {name!r} must have single values to be a category or a key, but has something else ({error}): "
            "leave it out, or convert it."
        ) from error
    return _merged(np.asarray(codes, np.int64), _texts(list(values)))


def text(value: Any) -> str | None:
    """Return the text of one value: integral floats as integers, booleans as true and false, None for null and NaN."""
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, str):
        return value
    if value is None or isinstance(value, float):
        if value is None or math.isnan(value):
            return None
        return str(int(value)) if value.is_integer() else repr(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.decode(errors="backslashreplace") if isinstance(value, bytes) else str(value)


def is_arrow(column: object) -> bool:
    """Tell whether ``column`` is an Arrow array, without importing pyarrow."""
    return hasattr(column, "dictionary_encode")


def is_text(column: Any) -> bool:
    """Tell whether ``column`` has text, or values that are declared categories."""
    if is_arrow(column):
        kind = str(column.type)
        return kind in _ARROW_TEXT or kind.startswith("dictionary")
    kind = str(column.dtype).lower()
    if kind.startswith(("str", "<u", "|s", "category", "categorical", "enum")):
        return True
    return kind == "object" and any(isinstance(value, str | bytes) for value in column)


def _arrow_numbers(column: Any) -> tuple[NDArray[Any] | None, object]:
    kind = str(column.type)
    if kind == "bool":
        column = column.cast("uint8")
    elif kind == "null" or kind.startswith("decimal"):
        column = column.cast("float64")
    elif not kind.startswith(("int", "uint", "float", "double", "halffloat")):
        return None, kind
    return _arrow_values(column), kind


def _arrow_values(column: Any) -> NDArray[Any]:
    """Return an Arrow array of numbers without its ``to_numpy``, which imports pandas: 45 MB and half a second."""
    if hasattr(column, "chunks"):
        column = column.combine_chunks()
    if column.null_count:
        missing = np.from_dlpack(column.is_null().cast("uint8")) != 0
        column = column.cast("float64", safe=False)
        values = np.frombuffer(column.buffers()[1], np.float64)[column.offset :][: len(column)]
        return np.where(missing, np.nan, values)
    return np.from_dlpack(column) if len(column) else np.empty(0)


def _array_numbers(column: Any) -> tuple[NDArray[Any] | None, object]:
    if hasattr(column, "isna") and not isinstance(column.dtype, np.dtype):  # pandas' own dtypes have their own null
        if is_text(column):
            return None, column.dtype
        return np.asarray(column.to_numpy(dtype=np.float64, na_value=np.nan)), column.dtype
    values = np.asarray(column.to_numpy() if hasattr(column, "to_numpy") else column)
    if values.dtype.kind != "O":
        return values, values.dtype
    if any(isinstance(value, str | bytes) for value in values):
        return None, "text"
    return values.astype(np.float64), values.dtype


def _arrow_factor(column: Any) -> tuple[Any, Sequence[Any]]:
    if not str(column.type).startswith("dictionary"):
        column = column.dictionary_encode()
    if hasattr(column, "chunks"):
        column = column.unify_dictionaries().combine_chunks()
        column = column.chunk(0) if hasattr(column, "chunks") else column
    codes = column.indices.cast("int64").fill_null(-1)
    return codes.to_numpy(zero_copy_only=False), column.dictionary.to_pylist()


def _array_factor(values: NDArray[Any]) -> tuple[Any, Sequence[Any]]:
    if values.dtype.kind != "O":
        uniques, codes = np.unique(values, return_inverse=True)
        return codes, uniques.tolist()
    known: dict[Any, int] = {}
    return np.fromiter((known.setdefault(value, len(known)) for value in values), np.int64, len(values)), list(known)


def _texts(values: list[Any]) -> list[str | None]:
    """Return the text of each value; keys may be as many as rows, so the usual types are taken together."""
    kinds = set(map(type, values))
    if kinds == {str}:
        return values
    return list(map(str, values)) if kinds == {int} else list(map(text, values))


def _merged(codes: NDArray[np.int64], texts: list[str | None]) -> Factor:
    """Return the factor of values some of which may be null or have the same text."""
    if None not in texts and len(set(texts)) == len(texts):
        return Factor(codes, tuple(texts))  # type: ignore[arg-type]
    known: dict[str, int] = {}
    places = [-1 if one is None else known.setdefault(one, len(known)) for one in texts]
    return Factor(np.array([*places, -1], np.int64)[codes], tuple(known))
