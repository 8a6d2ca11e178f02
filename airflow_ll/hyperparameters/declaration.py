"""What the declaration of one hyperparameter says: its kind, range, default, conditions and words."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "AUTO",
    "BINARY",
    "CLASSIFIERS",
    "MULTICLASS",
    "PREDICTOR_TYPES",
    "REGRESSOR",
    "Condition",
    "Hyperparameter",
    "Interval",
    "Kind",
    "Value",
]

Value = bool | int | float | str

AUTO = "auto"
"""The word that leaves a choice to the algorithm."""

BINARY, MULTICLASS, REGRESSOR = "binary_classifier", "multiclass_classifier", "regressor"
CLASSIFIERS = (BINARY, MULTICLASS)
PREDICTOR_TYPES = (*CLASSIFIERS, REGRESSOR)


class Kind(Enum):
    """What a value is."""

    INTEGER = "an integer"
    NUMBER = "a number"
    BOOLEAN = "True or False"
    CHOICE = "one of"


@dataclass(frozen=True, slots=True)
class Interval:
    """The numbers from ``low`` to ``high``; ``open_low`` and ``open_high`` leave the ends out."""

    low: float = -math.inf
    high: float = math.inf
    open_low: bool = False
    open_high: bool = False

    def __contains__(self, number: float) -> bool:
        above = number > self.low if self.open_low else number >= self.low
        below = number < self.high if self.open_high else number <= self.high
        return above and below

    def __str__(self) -> str:
        low = f"{'>' if self.open_low else '>='} {self.low:,}" if self.low > -math.inf else ""
        high = f"{'<' if self.open_high else '<='} {self.high:,}" if self.high < math.inf else ""
        return " and ".join(filter(None, (low, high)))


@dataclass(frozen=True, slots=True)
class Condition:
    """What must be chosen elsewhere for a hyperparameter to have an effect.

    Parameters
    ----------
    name
        The hyperparameter that decides.
    values
        The values of ``name`` under which there is an effect.
    unset
        Whether there is an effect, too, when ``name`` is not set.
    """

    name: str
    values: tuple[Value, ...]
    unset: bool = False

    def holds(self, value: Value | None) -> bool:
        """Say whether ``value`` of the deciding hyperparameter (None: not set) gives an effect."""
        return self.unset if value is None else value in self.values

    def __str__(self) -> str:
        return " or ".join(f"{self.name}={value!r}" for value in self.values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hyperparameter:
    """The declaration of one hyperparameter.

    Parameters
    ----------
    name
        The key in the API's ``HyperParameters``.
    kind
        What a value is.
    description
        One or two sentences for the reference page.
    default
        What the service takes when it is not sent; None when it has to be sent.
    auto
        Whether the word ``auto`` is allowed.
    choices
        The allowed words: all that is allowed for a choice, beside the numbers for a number.
    legacy
        Words of the past that are accepted, and what they are now.
    interval
        The allowed numbers.
    applies_to
        The predictor types that it has an effect on.
    only_with
        What must be chosen elsewhere for it to have an effect.
    tunable
        The range that the service recommends for automatic tuning: the lowest and the highest number, or
        the categories.  None when the service cannot tune it.
    """

    name: str
    kind: Kind
    description: str
    default: Value | None = AUTO
    auto: bool = False
    choices: tuple[str, ...] = ()
    legacy: Mapping[str, str] = field(default_factory=dict, hash=False)
    interval: Interval = Interval()
    applies_to: tuple[str, ...] = PREDICTOR_TYPES
    only_with: Condition | None = None
    tunable: tuple[Value, ...] | None = None

    @property
    def words(self) -> tuple[str, ...]:
        """The strings that are values, beside the API's spelling of numbers and booleans."""
        return (*self.choices, AUTO) if self.auto else self.choices

    @property
    def allowed(self) -> str:
        """What is allowed, to follow "must be"."""
        if self.kind is Kind.CHOICE:
            return f"one of {', '.join(map(repr, self.words))}"
        return " or ".join([f"{self.kind.value} {self.interval}".rstrip(), *map(repr, self.words)])
