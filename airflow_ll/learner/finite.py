"""Numbers that are none: training and scoring refuse them in the service's words."""

from __future__ import annotations

from typing import Any

import numpy as np

from airflow_ll.exceptions import DataError
from airflow_ll.learner.blocks import is_sparse

__all__ = ["check_finite"]


def check_finite(values: Any, where: str, what: str = "feature", start: int = 0) -> None:
    """Refuse NaN and infinities.

    Parameters
    ----------
    values : ndarray or scipy CSR
        (n, d).
    where : str
        What they were read of, for the message.
    what : str
        ``feature``, or what the only column is called.
    start : int
        How many records of that came before.

    Raises
    ------
    DataError
        The message names the first one.
    """
    data = values.data if is_sparse(values) else values
    # NaN and infinities survive a sum: a finite one proves that there are none. Large float64 may have an infinite one.
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(data.sum(dtype=np.float64)) or np.isfinite(data).all():
            return
    first = int(np.flatnonzero(~np.isfinite(data))[0])
    if is_sparse(values):
        record, column = int(np.searchsorted(values.indptr, first, side="right")) - 1, int(values.indices[first])
    else:
        record, column = divmod(first, values.shape[1])
    found = values[record, column]
    kind, short = ("missing (NaN)", "NaN") if np.isnan(found) else ("infinite (Inf)", "Inf")
    place = f"{what} {column}" if what == "feature" else what
    raise DataError(
        f"Unable to read data of {where}. Found {kind} values. Please remove any {kind} values in the input data. "
        f"The first {short} is {place} of record {start + record}."
    )
