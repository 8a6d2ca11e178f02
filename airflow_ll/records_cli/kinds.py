"""What all rows of a record set have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from airflow_ll.records import RecordBatch

__all__ = ["Kind", "label_columns"]


class Kind(NamedTuple):
    """The widths and dtypes of rows.

    Attributes
    ----------
    columns, dtype
        How many features a row has, and the name of their dtype.
    labels, label_dtype
        How many labels a row has, and the name of their dtype; 0 and an empty name for unlabelled rows.
    """

    columns: int
    dtype: str
    labels: int
    label_dtype: str

    @classmethod
    def of(cls, batch: RecordBatch) -> Kind:
        """Return the kind of the rows of ``batch``."""
        label_dtype = "" if batch.labels is None else batch.labels.dtype.name
        return cls(int(batch.features.shape[1]), batch.features.dtype.name, label_columns(batch), label_dtype)

    def __str__(self) -> str:
        """Return the kind for a message, as ``4 feature(s) of float32 and 1 label(s) of int32``."""
        labels = f"{self.labels} label(s) of {self.label_dtype}" if self.labels else "no label"
        return f"{self.columns} feature(s) of {self.dtype} and {labels}"


def label_columns(batch: RecordBatch) -> int:
    """Return how many labels a row of ``batch`` has, 0 when the rows are unlabelled."""
    if batch.labels is None:
        return 0
    return 1 if batch.labels.ndim == 1 else int(batch.labels.shape[1])
