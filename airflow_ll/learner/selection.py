"""When to stop, and which epoch and model to keep."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["EarlyStopping", "best_criterion"]


@dataclass
class EarlyStopping:
    """Follow the best criterion of the parallel models over the epochs.

    Values are to be minimised; a score to be maximised is given negated. The first epoch with a value below infinity is
    the best one so far; a later one improves iff its value is at most
    ``best * (1 - tolerance)``. For losses that is "a relative improvement of at least the tolerance"; for negated
    scores it is "not worse by more than the tolerance", which is what the service's logs show.

    Parameters
    ----------
    patience : int
        Training stops when more epochs than this have passed since the best one.
    tolerance : float
        Relative.
    """

    patience: int
    tolerance: float
    best_epoch: int = field(default=-1, init=False)
    best_model: int = field(default=-1, init=False)
    best_value: float = field(default=math.inf, init=False)

    def observe(self, epoch: int, values: NDArray[np.float64]) -> bool:
        """Take the criterion of every model, (models,), after an epoch; return whether this epoch is the best so far.

        A model whose value is not a number has diverged and is never the best.
        """
        model = int(np.argmin(np.where(np.isnan(values), np.inf, values)))
        value = float(values[model])
        if math.isnan(value) or value == math.inf:
            return False
        if self.best_epoch >= 0 and value > self.best_value * (1 - self.tolerance):
            return False
        self.best_epoch, self.best_model, self.best_value = epoch, model, value
        return True

    def is_over(self, epoch: int) -> bool:
        """Return whether to stop after this epoch."""
        return epoch - self.best_epoch > self.patience


def best_criterion(values: NDArray[np.float64], *, maximised: bool) -> float:
    """Return the best of the models' criteria, (models,), as the log shows it: NaN when there is none.

    Values are as of `EarlyStopping.observe`. Of a ``maximised`` score it is the score; 0 where no threshold reaches the
    target, since what ranks those thresholds is no score.
    """
    if np.isnan(values).all():
        return math.nan
    best = float(np.nanmin(values))
    return max(-best, 0.0) if maximised else best
