"""How often labels occur: a histogram of a stream."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["Histogram"]

_MOST_VALUES = 20  # that a histogram lists one by one
_BINS = 10


@dataclass
class Histogram:
    """Counts of each value while there are few, else of ten bins.

    The inner edges of the bins are fixed when the values become too many; the outer bins take what lies beyond.
    """

    counts: dict[float, int] = field(default_factory=dict)
    edges: NDArray[np.float64] | None = None
    binned: NDArray[np.int64] = field(default_factory=lambda: np.zeros(_BINS, np.int64))
    low: float = np.inf
    high: float = -np.inf

    def add(self, numbers: NDArray[Any]) -> None:
        """Count ``numbers`` (n,), all of them finite: a NaN equals no other and has no place among bins."""
        if not len(numbers):
            return
        values, counts = np.unique(numbers.astype(np.float64), return_counts=True)
        self.low, self.high = min(self.low, float(values[0])), max(self.high, float(values[-1]))
        if self.edges is None:
            for value, count in zip(values.tolist(), counts.tolist(), strict=True):
                self.counts[value] = self.counts.get(value, 0) + count
            if len(self.counts) <= _MOST_VALUES:
                return
            values, counts = np.array(list(self.counts)), np.array(list(self.counts.values()))
            # Half of each, since the difference of two numbers can be more than a number can be.
            self.edges = 2 * np.linspace(self.low / 2, self.high / 2, _BINS + 1)[1:-1]
        np.add.at(self.binned, np.searchsorted(self.edges, values, side="right"), counts)

    def to_dict(self) -> dict[str, int]:
        """Return the counts by value, or by bin as ``from .. to``."""
        if self.edges is None:
            values = sorted(self.counts)
            return dict(zip(_texts(values), (self.counts[value] for value in values), strict=True))
        bounds = _texts([self.low, *self.edges.tolist(), self.high])
        names = [f"{low} .. {high}" for low, high in pairwise(bounds)]
        return dict(zip(names, self.binned.tolist(), strict=True))


def _texts(numbers: Sequence[float]) -> list[str]:
    """Return different ``numbers`` as text, of six digits or as many more as it takes to tell them apart."""
    for digits in range(6, 17):
        texts = [f"{number:.{digits}g}" for number in numbers]
        if len(set(texts)) == len(texts):
            return texts
    return [f"{number:.17g}" for number in numbers]  # tells every float64 from every other
