"""The parallel models: which hyperparameters each of them trains with.

For binary classification and regression the service trains a grid of 32; its values and order are known exactly. For
multiclass it trains 28 from a random, fixed-seed search whose law is not public: ours is another one with the same
number and centre. A value that the user sets takes its axis out of the grid (what the service does is not known).
"""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

import numpy as np

if TYPE_CHECKING:
    from airflow_ll.hyperparameters import LinearLearnerHyperparameters

__all__ = ["Candidate", "build_candidates"]

T = TypeVar("T")

# Nested in this order, the last one fastest. The wd values are printed as they are written here.
_GRID_WD: tuple[float, ...] = (1e-4, 1e-2, 1, 100)
_GRID_LEARNING_RATE = (0.005, 0.1)
_GRID_MINIMUM_LR = (1e-5, 1e-4)
_GRID_STEP = (10, 100)
_FACTOR, _L1 = 0.99, 0.0

# The multiclass search. Index 0 is the given model: these values, where the user gives none.
_SEARCH_MODELS = 28
_SEARCH_SEED = 20171129
_SEARCH_DEFAULTS = {"learning_rate": 0.02, "wd": 1e-4, "l1": 0.0, "step": 10, "factor": 0.98, "minimum_lr": 1e-5}
_SEARCH_RATIO = 5.0  # learning rates and decays lie within this ratio of the given model's
_SEARCH_STEPS = (10, 300)
_SEARCH_FACTORS = (0.97, 0.995)


@dataclass(frozen=True)
class Candidate:
    """One model's own hyperparameters."""

    optimizer: str
    learning_rate: float
    wd: float
    l1: float
    lr_scheduler_step: int
    lr_scheduler_factor: float
    lr_scheduler_minimum_lr: float

    def to_json(self) -> str:
        """Write it as the service's log does."""
        return json.dumps(
            {
                "optimizer": self.optimizer,
                "learning_rate": self.learning_rate,
                "wd": self.wd,
                "l1": self.l1,
                "lr_scheduler_step": self.lr_scheduler_step,
                "lr_scheduler_factor": self.lr_scheduler_factor,
                "lr_scheduler_minimum_lr": self.lr_scheduler_minimum_lr,
            }
        )


def build_candidates(hp: LinearLearnerHyperparameters, *, tuned: bool = False) -> tuple[Candidate, ...]:
    """Return the models to train, in the service's order.

    Parameters
    ----------
    hp : LinearLearnerHyperparameters
        Values that are not ``auto`` replace their axis of the grid. ``num_models`` smaller than the grid takes its
        first models; a larger one adds models close to them (the same ones in every job).
    tuned : bool
        The job belongs to a tuning job: one model, whatever ``num_models`` says, as on the service.
    """
    multiclass = hp.predictor_type == "multiclass_classifier"
    models = _search(hp) if multiclass else _grid(hp)
    wanted = 1 if tuned else hp.num_models
    if wanted == "auto":
        return models[:_SEARCH_MODELS] if multiclass else models
    neighbours = itertools.cycle(models)
    random = np.random.default_rng(_SEARCH_SEED + 1)
    extended = list(models)
    while len(extended) < int(wanted):
        extended.append(_close_to(next(neighbours), random))
    return tuple(extended[: int(wanted)])


def _grid(hp: LinearLearnerHyperparameters) -> tuple[Candidate, ...]:
    scheduled = bool(hp.use_lr_scheduler)
    axes = itertools.product(
        _axis(hp.wd, _GRID_WD),
        _axis(hp.learning_rate, _GRID_LEARNING_RATE),
        _axis(hp.lr_scheduler_minimum_lr, _GRID_MINIMUM_LR if scheduled else _GRID_MINIMUM_LR[:1]),
        _axis(hp.lr_scheduler_step, _GRID_STEP if scheduled else _GRID_STEP[:1]),
    )
    return tuple(
        Candidate(
            optimizer=_given(hp.optimizer, "adam"),
            learning_rate=learning_rate,
            wd=wd,
            l1=_given(hp.l1, _L1),
            lr_scheduler_step=step,
            lr_scheduler_factor=_given(hp.lr_scheduler_factor, _FACTOR),
            lr_scheduler_minimum_lr=minimum_lr,
        )
        for wd, learning_rate, minimum_lr, step in axes
    )


def _search(hp: LinearLearnerHyperparameters) -> tuple[Candidate, ...]:
    given = Candidate(
        optimizer=_given(hp.optimizer, "adam"),
        learning_rate=_given(hp.learning_rate, _SEARCH_DEFAULTS["learning_rate"]),
        wd=_given(hp.wd, _SEARCH_DEFAULTS["wd"]),
        l1=_given(hp.l1, _SEARCH_DEFAULTS["l1"]),
        lr_scheduler_step=_given(hp.lr_scheduler_step, int(_SEARCH_DEFAULTS["step"])),
        lr_scheduler_factor=_given(hp.lr_scheduler_factor, _SEARCH_DEFAULTS["factor"]),
        lr_scheduler_minimum_lr=_given(hp.lr_scheduler_minimum_lr, _SEARCH_DEFAULTS["minimum_lr"]),
    )
    random = np.random.default_rng(_SEARCH_SEED)
    models = [given]
    for _ in range(_SEARCH_MODELS - 1):
        close = _close_to(given, random)
        step = int(random.integers(*_SEARCH_STEPS, endpoint=True))
        factor = float(random.uniform(*_SEARCH_FACTORS))
        models.append(
            replace(
                close,
                lr_scheduler_step=_given(hp.lr_scheduler_step, step),
                lr_scheduler_factor=_given(hp.lr_scheduler_factor, factor),
            )
        )
    return tuple(models)


def _close_to(candidate: Candidate, random: np.random.Generator) -> Candidate:
    """Return a model with learning rate, decay and l1 within a ratio of the given one's; a zero stays zero."""
    learning_rate, wd, l1 = _SEARCH_RATIO ** random.uniform(-1, 1, size=3)
    return replace(
        candidate,
        learning_rate=float(candidate.learning_rate * learning_rate),
        wd=float(candidate.wd * wd),
        l1=float(candidate.l1 * l1),
    )


def _axis(value: T | str, otherwise: tuple[T, ...]) -> tuple[T, ...]:
    return otherwise if value == "auto" else (value,)  # type: ignore[return-value]


def _given(value: T | str, otherwise: T) -> T:
    return otherwise if value == "auto" else value  # type: ignore[return-value]
