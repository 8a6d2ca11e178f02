"""``airflow-ll records inspect``: rows, columns, dtype, sparsity, labels and the first rows, in one pass."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from airflow_ll.exceptions import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from airflow_ll.records import RecordBatch
    from airflow_ll.records_cli.sources import Shards

__all__ = ["Labels", "Summary", "inspect", "summarize"]

_MOST_VALUES = 20  # that a histogram lists one by one
_BINS = 10
_NUMBERS_OF_A_ROW = 8


@dataclass
class Labels:
    """A histogram of one label: counts of each value while there are few, else of ten bins.

    The inner edges of the bins are fixed when the values become too many; the outer bins take what lies beyond.
    """

    counts: dict[float, int] = field(default_factory=dict)
    edges: NDArray[np.float64] | None = None
    binned: NDArray[np.int64] = field(default_factory=lambda: np.zeros(_BINS, np.int64))
    low: float = np.inf
    high: float = -np.inf

    def add(self, labels: NDArray[Any]) -> None:
        """Count ``labels`` (n,)."""
        values, counts = np.unique(labels.astype(np.float64), return_counts=True)
        finite = values[np.isfinite(values)]
        if len(finite):
            self.low, self.high = min(self.low, float(finite[0])), max(self.high, float(finite[-1]))
        if self.edges is None:
            for value, count in zip(values.tolist(), counts.tolist(), strict=True):
                self.counts[value] = self.counts.get(value, 0) + count
            if len(self.counts) <= _MOST_VALUES:
                return
            values, counts = np.array(list(self.counts)), np.array(list(self.counts.values()))
            self.edges = np.linspace(self.low, self.high, _BINS + 1)[1:-1]
        np.add.at(self.binned, np.searchsorted(self.edges, values, side="right"), counts)

    def histogram(self) -> dict[str, int]:
        """Return the counts by value, or by bin as ``from .. to``."""
        if self.edges is None:
            return {f"{value:g}": count for value, count in sorted(self.counts.items())}
        bounds = [self.low, *self.edges, self.high]
        return {f"{bounds[i]:g} .. {bounds[i + 1]:g}": int(count) for i, count in enumerate(self.binned)}


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
    labels: Labels = field(default_factory=Labels)
    with_uid: int = 0
    first: list[tuple[str, str]] = field(default_factory=list)

    def add(self, batch: RecordBatch, first_rows: int) -> None:
        """Count the rows of ``batch``; keep rows until there are ``first_rows``."""
        sparse = hasattr(batch.features, "indptr")
        values = batch.features.data if sparse else batch.features
        if self.rows and batch.features.shape[1] != self.columns:
            raise DataError(
                f"Row {self.rows} has {batch.features.shape[1]} features, but the rows before have {self.columns}: "
                "the shards are not of one record set."
            )
        self.columns = int(batch.features.shape[1])
        self.layout = "sparse" if sparse or self.layout == "sparse" else "dense"
        self.dtypes.add(batch.features.dtype.name)
        self.nonzeros += int(np.count_nonzero(values))
        self.not_finite += int(values.size - np.count_nonzero(np.isfinite(values)))
        if batch.labels is not None:
            self.label_columns = 1 if batch.labels.ndim == 1 else int(batch.labels.shape[1])
            if self.label_columns == 1:
                self.labels.add(batch.labels)
        self.with_uid += sum(uid is not None for uid in batch.uids or ())
        for row in range(min(len(batch), first_rows - len(self.first))):
            self.first.append((_label(batch, row), _numbers(batch.features, row)))
        self.rows += len(batch)

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
            "labels": self.labels.histogram() if self.label_columns == 1 else {},
            "with_uid": self.with_uid,
            "first_rows": [{"label": label, "features": numbers} for label, numbers in self.first],
        }


def summarize(batches: Iterable[RecordBatch], first_rows: int = 5) -> Summary:
    """Return the summary of all rows.

    Raises
    ------
    RecordFormatError, DataError
        The bytes are not records, or the shards differ in width.
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
