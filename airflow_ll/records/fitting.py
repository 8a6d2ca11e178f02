"""Fit a feature schema on a source of any size: the categories are all that is read of most of it."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any

from airflow_ll.records.schema import FeatureSchema, Unseen
from airflow_ll.records.sources import Format, read_tables

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def fit_schema(
    open_source: Callable[[], Any],
    *,
    format: Format | None = None,  # noqa: A002 - the field's word
    columns: Sequence[str] | None = None,
    categorical: Sequence[str] | None = None,
    label_column: str | None = None,
    exclude: Sequence[str] = (),
    unseen: Unseen = "error",
    max_categories: int = 10_000,
) -> FeatureSchema:
    """Return what ``FeatureSchema.fit`` returns for all tables of a source, but read no more than the categories.

    Parameters
    ----------
    open_source
        Returns the source anew each time, as ``read_batches`` takes it: it is read once to see its columns, and once
        more when there are categories.
    format
        As in ``read_batches``.
    columns, categorical, label_column, exclude, unseen, max_categories
        As in ``FeatureSchema.fit``.

    Raises
    ------
    DataError
        As ``FeatureSchema.fit`` and ``read_batches``.
    """
    with closing(read_tables(open_source(), format=format, categorical=categorical or ())) as tables:
        seen = FeatureSchema.fit(
            islice(tables, 1),
            columns=columns,
            categorical=categorical,
            label_column=label_column,
            exclude=exclude,
            unseen=unseen,
            max_categories=max_categories,
        )
    names = seen.categorical
    if not names:
        return seen
    tables = read_tables(open_source(), format=format, columns=names, categorical=names)
    whole = FeatureSchema.fit(tables, columns=names, categorical=names, max_categories=max_categories)
    fitted = {column.name: column for column in whole.columns}
    return replace(seen, columns=tuple(fitted.get(column.name, column) for column in seen.columns))
