"""The hyperparameters that a tuning job searches, as points of the unit cube and back.

A continuous or integer range is one axis, scaled as its ScalingType says; a categorical range of k values is k axes of
which one is 1. What ``Auto`` does on SageMaker is not documented; here it is logarithmic for a range above 0 whose
ends are a factor of 100 or more apart, else linear.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = ["Categorical", "Numeric", "SearchSpace"]

_WIDE = 100.0


@dataclass(frozen=True)
class Numeric:
    """A continuous or an integer range."""

    name: str
    low: float
    high: float
    scaling: str = "Auto"
    integer: bool = False

    width = 1

    @property
    def _resolved(self) -> str:
        if self.scaling != "Auto":
            return self.scaling
        return "Logarithmic" if self.low > 0 and self.high / self.low >= _WIDE else "Linear"

    def decode(self, point: Array) -> str:
        """Return the value at a point of [0, 1] as the hyperparameter's string."""
        value = self._from_unit(min(max(float(point[0]), 0.0), 1.0))
        value = min(max(value, self.low), self.high)
        return str(round(value)) if self.integer else repr(value)

    def encode(self, value: str) -> Array:
        """Return the point of a value."""
        return np.array([self._to_unit(float(value))])

    @property
    def size(self) -> float:
        """How many values there are."""
        return self.high - self.low + 1 if self.integer else (1 if self.low == self.high else math.inf)

    def _from_unit(self, unit: float) -> float:
        low, high = self._scale(self.low), self._scale(self.high)
        scaled = low + unit * (high - low)
        if self._resolved == "Logarithmic":
            return math.exp(scaled)
        return -math.expm1(-scaled) if self._resolved == "ReverseLogarithmic" else scaled

    def _to_unit(self, value: float) -> float:
        low, high = self._scale(self.low), self._scale(self.high)
        return (self._scale(value) - low) / (high - low) if high > low else 0.0

    def _scale(self, value: float) -> float:
        if self._resolved == "Logarithmic":
            return math.log(value)
        return -math.log1p(-value) if self._resolved == "ReverseLogarithmic" else value


@dataclass(frozen=True)
class Categorical:
    """A list of words."""

    name: str
    values: tuple[str, ...]

    @property
    def width(self) -> int:
        """The number of axes."""
        return len(self.values)

    @property
    def size(self) -> float:
        """How many values there are."""
        return len(self.values)

    def decode(self, point: Array) -> str:
        """Return the word of the largest coordinate."""
        return self.values[int(np.argmax(point))]

    def encode(self, value: str) -> Array:
        """Return the corner of a word."""
        point = np.zeros(self.width)
        point[self.values.index(value)] = 1
        return point


@dataclass(frozen=True)
class SearchSpace:
    """The ranges of a tuning job, in the order of their names."""

    ranges: Sequence[Numeric | Categorical]

    @classmethod
    def of(cls, ranges: Mapping[str, Sequence[Mapping[str, Any]]]) -> SearchSpace:
        """Read the API's ``ParameterRanges``, which are valid."""
        found: list[Numeric | Categorical] = []
        for kind, integer in (("ContinuousParameterRanges", False), ("IntegerParameterRanges", True)):
            for one in ranges.get(kind, ()):
                low, high = float(one["MinValue"]), float(one["MaxValue"])
                found.append(Numeric(one["Name"], low, high, one.get("ScalingType", "Auto"), integer))
        words = ranges.get("CategoricalParameterRanges", ())
        found += [Categorical(one["Name"], tuple(dict.fromkeys(one["Values"]))) for one in words]
        return cls(sorted(found, key=lambda one: one.name))

    @property
    def dimensions(self) -> int:
        """The number of axes."""
        return sum(one.width for one in self.ranges)

    @property
    def size(self) -> float:
        """How many combinations there are; infinity for a continuous range."""
        return math.prod(one.size for one in self.ranges)

    def decode(self, point: Array) -> dict[str, str]:
        """Return the hyperparameters at a point."""
        ends = np.cumsum([one.width for one in self.ranges])[:-1]
        return {one.name: one.decode(part) for one, part in zip(self.ranges, np.split(point, ends), strict=True)}

    def encode(self, values: Mapping[str, str]) -> Array:
        """Return the point of hyperparameters."""
        return np.concatenate([one.encode(values[one.name]) for one in self.ranges])

    def grid(self) -> Iterator[dict[str, str]]:
        """Yield every combination of categories, the last name's changing fastest."""
        names = [one.name for one in self.ranges]
        for words in itertools.product(*(one.values for one in self.ranges if isinstance(one, Categorical))):
            yield dict(zip(names, words, strict=True))
