"""Rows on their way from a source to shards: features, labels, where they came from, and what a split goes by."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from airflow_ll.records.columns import Factor

#: A batch that states no number of rows holds about this many bytes of features.
BATCH_BYTES = 8 << 20
_MOST_ROWS = 1 << 16


@dataclass(frozen=True, eq=False)
class Batch:
    """Some rows.

    Attributes
    ----------
    features
        (n, d) ndarray or scipy CSR.
    labels
        (n,), or None when the source has none.
    rows
        (n,) the rows' numbers in the source, whatever was selected since.
    keys
        The key columns (n,) by name: what a split goes by.
    names, label
        The names of the features and of the label, as a source with named columns gives them; lost by a selection.
    """

    features: Any
    labels: NDArray[Any] | None
    rows: NDArray[np.int64]
    keys: Mapping[str, Factor] = field(default_factory=dict)
    names: Sequence[str] | None = None
    label: str | None = None

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.rows)

    @property
    def feature_dim(self) -> int:
        """The number of columns."""
        return int(self.features.shape[1])

    def take(self, selection: Any) -> Batch:
        """Return the rows of a slice, a mask (n,) or row positions (k,)."""
        return Batch(
            self.features[selection],
            None if self.labels is None else self.labels[selection],
            self.rows[selection],
            {name: key.take(selection) for name, key in self.keys.items()},
        )


def default_batch_rows(row_bytes: int) -> int:
    """Return how many rows of about ``row_bytes`` bytes, at least 1, a batch has when nobody says."""
    return max(1, min(_MOST_ROWS, BATCH_BYTES // row_bytes))


def byte_size(batch: Batch) -> int:
    """Return about how many bytes the rows take in memory."""
    features = batch.features
    parts = (features,) if isinstance(features, np.ndarray) else (features.data, features.indices, features.indptr)
    return sum(part.nbytes for part in parts) + 24 * len(batch)


def joined(batches: Iterable[Batch]) -> Batch:
    """Return the rows of all ``batches``, of which there is at least one, in one; keys are left out."""
    parts = list(batches)
    labels = [part.labels for part in parts if part.labels is not None]
    return Batch(
        stacked([part.features for part in parts]),
        np.concatenate(labels) if labels else None,
        np.concatenate([part.rows for part in parts]),
    )


def stacked(matrices: list[Any]) -> Any:
    """Return the rows of all ``matrices`` (ndarrays, or scipy CSR) in one."""
    if len(matrices) == 1:
        return matrices[0]
    if isinstance(matrices[0], np.ndarray):
        return np.concatenate(matrices)
    from scipy import sparse

    return sparse.vstack(matrices, format="csr")
