"""Lines of numbers, as the algorithm's ``text/csv`` has them: no header, no quotes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

__all__ = ["parse_csv"]


def parse_csv(lines: Iterable[str], start: int = 0) -> NDArray[np.float32]:
    """Return the numbers (n, columns) of ``lines``; blank ones are left out.

    Raises
    ------
    ValueError
        Naming the record, where ``start`` ones came before, and the column.
    """
    try:
        return np.loadtxt(lines, delimiter=",", dtype=np.float32, ndmin=2, comments=None)
    except ValueError as error:
        raise ValueError(_fault(str(error), start)) from error


def _fault(told: str, start: int) -> str:
    """Return what numpy told of lines in our words, and with the number of the record, from 0."""
    if found := re.match(r"could not convert string (.*) to float32 at row (\d+), column (\d+)", told, re.DOTALL):
        text, row, column = found.groups()
        return f"record {start + int(row)} has {text} in column {int(column) - 1}, which is no number"
    if found := re.match(r"the number of columns changed from (\d+) to (\d+) at row (\d+)", told):
        before, columns, row = map(int, found.groups())  # that row is counted from 1
        return f"record {start + row - 1} has {columns} columns, but those before have {before}"
    return told
