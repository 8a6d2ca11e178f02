"""Decoded rows before they become a batch: dense or in compressed sparse rows, cut and joined without scipy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from airflow_ll.extras import require

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Tensors:
    """The feature vectors of some rows.

    Dense: ``values`` (n, d). Sparse: ``values`` and ``keys`` (nnz,), ``bounds`` (n + 1,), ``columns`` d.
    """

    values: NDArray[Any]
    keys: NDArray[np.int64] | None = None
    bounds: NDArray[np.int64] | None = None
    columns: int = 0

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.values) if self.bounds is None else len(self.bounds) - 1

    def __getitem__(self, rows: slice) -> Tensors:
        """Return the rows from ``rows.start`` to ``rows.stop``."""
        if self.bounds is None or self.keys is None:
            return Tensors(self.values[rows])
        begin, end, _ = rows.indices(len(self))
        bounds = self.bounds[begin : end + 1]
        inside = slice(int(bounds[0]), int(bounds[-1]))
        return Tensors(self.values[inside], self.keys[inside], bounds - bounds[0], self.columns)

    @property
    def feature_dim(self) -> int:
        """The number of columns."""
        return int(self.values.shape[1]) if self.bounds is None else self.columns

    def compressed(self) -> Tensors:
        """Return the same rows in compressed form."""
        if self.bounds is not None:
            return self
        rows, columns = self.values.shape
        keys = np.tile(np.arange(columns, dtype=np.int64), rows)
        return Tensors(self.values.ravel(), keys, np.arange(rows + 1, dtype=np.int64) * columns, columns)

    def matrix(self) -> Any:
        """Return the ndarray or scipy CSR matrix of the rows."""
        if self.bounds is None:
            return self.values
        sparse = require("scipy.sparse", extra="sparse", purpose="Reading sparse records")
        return sparse.csr_matrix((self.values, self.keys, self.bounds), shape=(len(self), self.columns))


@dataclass(frozen=True)
class Part:
    """Some rows: ``labels`` (n, k) or None, ``uids`` and ``metadata`` one string or None a row, or None."""

    features: Tensors
    labels: NDArray[Any] | None = None
    uids: tuple[str | None, ...] | None = None
    metadata: tuple[str | None, ...] | None = None

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.features)

    def __getitem__(self, rows: slice) -> Part:
        """Return the rows from ``rows.start`` to ``rows.stop``."""
        return Part(
            self.features[rows],
            None if self.labels is None else self.labels[rows],
            None if self.uids is None else self.uids[rows],
            None if self.metadata is None else self.metadata[rows],
        )

    @property
    def label_dim(self) -> int:
        """The number of labels a row, 0 when it is unlabelled."""
        return 0 if self.labels is None else int(self.labels.shape[1])


def take(parts: list[Part], rows: int) -> tuple[list[Part], list[Part]]:
    """Split ``parts`` after ``rows`` rows, which they have at least."""
    taken: list[Part] = []
    for index, part in enumerate(parts):
        if len(part) >= rows:
            rest = [part[rows:]] if len(part) > rows else []
            return [*taken, part[:rows]], rest + parts[index + 1 :]
        taken.append(part)
        rows -= len(part)
    return taken, []


def concatenate(parts: list[Part]) -> Part:
    """Return the rows of all ``parts`` in one, in memory of its own: parts may be views of the bytes they came from."""
    if not parts:
        return Part(Tensors(np.empty((0, 0), np.float32)))
    labels = [part.labels for part in parts if part.labels is not None]
    return Part(
        _join([part.features for part in parts]),
        np.concatenate(labels) if labels else None,
        _join_strings(parts, "uids"),
        _join_strings(parts, "metadata"),
    )


def _join(tensors: list[Tensors]) -> Tensors:
    if all(one.bounds is None for one in tensors):
        return Tensors(np.concatenate([one.values for one in tensors]))
    rows = [one.compressed() for one in tensors]
    starts = np.cumsum([0] + [len(one.values) for one in rows[:-1]])
    bounds = [one.bounds[1:] + start for one, start in zip(rows, starts, strict=True) if one.bounds is not None]
    return Tensors(
        np.concatenate([one.values for one in rows]),
        np.concatenate([one.keys for one in rows if one.keys is not None]),
        np.concatenate([np.zeros(1, np.int64), *bounds]),
        rows[0].columns,
    )


def _join_strings(parts: list[Part], name: str) -> tuple[str | None, ...] | None:
    if all(getattr(part, name) is None for part in parts):
        return None
    return tuple(text for part in parts for text in (getattr(part, name) or (None,) * len(part)))
