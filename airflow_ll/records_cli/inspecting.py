"""``airflow-ll records inspect``: rows, columns, dtype, sparsity, labels and the first rows, in one pass."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from airflow_ll.exceptions import DataError
from airflow_ll.records_cli.histograms import Histogram
from airflow_ll.records_cli.kinds import label_columns

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow_ll.records import RecordBatch
    from airflow_ll.records_cli.sources import Shards

__all__ = ["Summary", "inspect", "summarize"]

_NUMBERS_OF_A_ROW = 8


@dataclass
class Summary:
    """What the rows are; ``first`` has some of them as lists of text."""

    rows: int = 0
    columns: int = 0
    layout: str = ""
    dtypes: set[str] = field(default_factory=set)
    nonzeros: int = 0
    not_finite: int = 0
    label_columns: int = 0
    labels_not_finite: int = 0
    labels: Histogram = field(default_factory=Histogram)
    with_uid: int = 0
    first: list[tuple[str, str]] = field(default_factory=list)

    def add(self, batch: RecordBatch, first_rows: int) -> None:
        """Count the rows of ``batch``; keep rows until there are ``first_rows``."""
        sparse = hasattr(batch.features, "indptr")
        values = batch.features.data if sparse else batch.features
        self._check_like_before(batch)
        self.columns = int(batch.features.shape[1])
        self.label_columns = label_columns(batch)
        self.layout = "sparse" if sparse or self.layout == "sparse" else "dense"
        self.dtypes.add(batch.features.dtype.name)
        self.nonzeros += int(np.count_nonzero(values))
        self.not_finite += int(values.size - np.count_nonzero(np.isfinite(values)))
        if batch.labels is not None:
            finite = np.isfinite(batch.labels)
            self.labels_not_finite += int(finite.size - np.count_nonzero(finite))
            if self.label_columns == 1:
                self.labels.add(batch.labels[finite])
        self.with_uid += sum(uid is not None for uid in batch.uids or ())
        for row in range(min(len(batch), first_rows - len(self.first))):
            self.first.append((_label(batch, row), _numbers(batch.features, row)))
        self.rows += len(batch)

    def _check_like_before(self, batch: RecordBatch) -> None:
        columns, labels = int(batch.features.shape[1]), label_columns(batch)
        if self.rows and (columns, labels) != (self.columns, self.label_columns):
            raise DataError(
                f"Row {self.rows} has {columns} feature(s) and {labels} label(s), but the rows before have "
                f"{self.columns} and {self.label_columns}: the shards are not of one record set, inspect them one by "
                "one."
            )

    def to_dict(self) -> dict[str, Any]:
        """Return the summary as JSON."""
        cells = self.rows * self.columns
        return {
            "rows": self.rows,
            "columns": self.columns,
            "layout": self.layout,
            "dtype": ", ".join(sorted(self.dtypes)),
            "nonzeros": self.nonzeros,
            "sparsity": round(1 - self.nonzeros / cells, 6) if cells else 0.0,
            "not_finite": self.not_finite,
            "label_columns": self.label_columns,
            "labels_not_finite": self.labels_not_finite,
            "labels": self.labels.to_dict() if self.label_columns == 1 else {},
            "with_uid": self.with_uid,
            "first_rows": [{"label": label, "features": numbers} for label, numbers in self.first],
        }


def summarize(batches: Iterable[RecordBatch], first_rows: int = 5) -> Summary:
    """Return the summary of all rows.

    Raises
    ------
    RecordFormatError, DataError
        The bytes are not records, or the shards differ in how many features or labels a row has.
    """
    summary = Summary()
    for batch in batches:
        summary.add(batch, first_rows)
    return summary


def inspect(shards: Shards, first_rows: int) -> dict[str, Any]:
    """Return what ``inspect`` shows, as JSON: the summary and where it is from."""
    size = sum(shards.store.size(path) or 0 for path in shards.paths)
    place = {"manifest": shards.manifest, "shards": len(shards.paths), "bytes": size}
    return place | summarize(shards.batches(), first_rows).to_dict()


def show(facts: dict[str, Any]) -> None:
    """Print ``facts`` for people."""
    write = sys.stdout.write
    labels, first = facts.pop("labels"), facts.pop("first_rows")
    width = max(map(len, facts))
    for name, value in facts.items():
        text = f"{value:,}" if isinstance(value, int) else f"{value:.4%}" if isinstance(value, float) else value or "-"
        write(f"{name.replace('_', ' '):{width}}  {text}\n")
    if labels:
        most = max(labels.values())
        names = max(map(len, labels))
        write("labels\n")
        for name, count in labels.items():
            write(f"  {name:>{names}}  {count:>12,}  {'#' * round(40 * count / most)}\n")
    for index, row in enumerate(first):
        write(f"row {index}  label {row['label']}  features {row['features']}\n")


def _label(batch: RecordBatch, row: int) -> str:
    if batch.labels is None:
        return "-"
    return " ".join(f"{value:g}" for value in np.atleast_1d(batch.labels[row])[:_NUMBERS_OF_A_ROW])


def _numbers(features: Any, row: int) -> str:
    """Return the first numbers of a row: ``1 0.5 0 ...``, of a sparse one ``3:1 17:0.5 ...``."""
    if hasattr(features, "indptr"):
        inside = slice(features.indptr[row], features.indptr[row + 1])
        pairs = zip(features.indices[inside], features.data[inside], strict=True)
        numbers = [f"{key}:{value:g}" for key, value in list(pairs)[: _NUMBERS_OF_A_ROW + 1]]
    else:
        numbers = [f"{value:g}" for value in features[row, : _NUMBERS_OF_A_ROW + 1]]
    return " ".join(numbers[:_NUMBERS_OF_A_ROW]) + (" ..." if len(numbers) > _NUMBERS_OF_A_ROW else "")
