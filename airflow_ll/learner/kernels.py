"""Compiled loops for sparse rows (numba, extra ``fast``): the same operations in the same order as numpy's and scipy's.

Importing numba takes up to a second, and compiling for the first time some more (numba keeps the result in its cache,
which is next to this file or, where that cannot be written, in the user's cache folder; ``NUMBA_CACHE_DIR`` sets
another). A job uses them when it is long enough to gain more than that.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from airflow_ll.exceptions import DataError
from airflow_ll.extras import require

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["JIT_VARIABLE", "Kernels", "Work", "load_kernels"]

#: ``auto`` (the default), ``always`` or ``never``.
JIT_VARIABLE = "AIRFLOW_LL_JIT"
_MODES = ("auto", "always", "never")

_PAYS_FROM = 1.0  # seconds of plain training; about half of them are saved
_FEWEST_COLUMNS = 8  # as many as a processor takes at once; for fewer scipy is as fast

# What plain training costs on a core, roughly: `python -m benchmarks.learner_loop` measures it.
_SECONDS_A_PRODUCT = 6e-10  # of one value and one weight, for score and gradient together
_SECONDS_AN_UPDATE = 5e-9  # of one weight


@dataclass(frozen=True)
class Work:
    """How much a job does: in an epoch all ``values`` of its sparse rows, and in a batch all weights of all columns."""

    values: int
    features: int
    columns: int
    batches: int
    epochs: int
    threads: int = 1

    @property
    def seconds(self) -> float:
        """The estimated seconds of plain training."""
        products = self.values * _SECONDS_A_PRODUCT
        updates = self.batches * self.features * _SECONDS_AN_UPDATE
        return self.epochs * self.columns * (products + updates) / self.threads


@dataclass(frozen=True)
class Kernels:
    """Compiled functions; arrays are float32 and C-contiguous, CSR's index arrays of one integer type.

    Attributes
    ----------
    scores : callable
        ``(data, indices, indptr, weights, bias, out)``: out = rows @ weights + bias.
    gradient : callable
        ``(data, indices, indptr, derivative, shift, bias, out)``: out = rows' @ derivative - shift * bias.
    adam : callable
        ``(weights, gradient, mean, square, rates, decay, betas, epsilon, correction)``: Adam's update of flat arrays.
    """

    scores: Callable[..., None]
    gradient: Callable[..., None]
    adam: Callable[..., None]


def load_kernels(work: Work) -> tuple[Kernels | None, str]:
    """Return compiled loops if the job is to use them, and a sentence for its log.

    Raises
    ------
    DataError
        The environment asks for what there is not.
    MissingExtraError
        It asks for numba, which is not installed.
    """
    mode = os.environ.get(JIT_VARIABLE, "auto")
    if mode not in _MODES:
        raise DataError(f"The environment variable {JIT_VARIABLE} must be one of {', '.join(_MODES)}, not {mode!r}.")
    small = work.seconds < _PAYS_FROM or work.columns < _FEWEST_COLUMNS * work.threads
    if mode == "never" or (mode == "auto" and small):
        return None, "Training in plain numpy."
    if mode == "auto" and find_spec("numba") is None:
        return None, "Training in plain numpy. With the extra 'fast' (numba) this job would take about half as long."
    return _compile(), "Training with compiled loops."


def _compile() -> Kernels:
    numba: Any = require("numba", extra="fast", purpose="Training with compiled loops")
    kernels = Kernels(*(_compiled(numba, function) for function in (_scores, _gradient, _adam)))
    _warm_up(kernels)
    return kernels


def _compiled(numba: Any, function: Callable[..., None]) -> Callable[..., None]:
    """Compile when first called; numba raises RuntimeError when no place for its cache can be written."""
    options = {"nogil": True, "error_model": "numpy"}
    try:
        compiled: Callable[..., None] = numba.njit(cache=True, **options)(function)
    except RuntimeError:
        compiled = numba.njit(**options)(function)
    return compiled


def _warm_up(kernels: Kernels) -> None:
    """Compile, or read what was compiled before, with the types that training uses."""
    data, indices, one = np.zeros(1, np.float32), np.zeros(1, np.int32), np.zeros((1, 1), np.float32)
    pointers = np.array([0, 1], np.int32)
    kernels.scores(data, indices, pointers, one, data, one.copy())
    kernels.gradient(data, indices, pointers, one, data, data, one.copy())
    betas, number = np.ones(4, np.float32), np.float32(1)
    kernels.adam(*(data.copy() for _ in range(6)), betas, number, number)


# What follows is compiled: plain loops over models inside of loops over values, which become vector instructions.


def _scores(data: Any, indices: Any, indptr: Any, weights: Any, bias: Any, out: Any) -> None:
    rows, columns = out.shape
    for row in range(rows):
        for column in range(columns):
            out[row, column] = 0
        for place in range(indptr[row], indptr[row + 1]):
            value, feature = data[place], indices[place]
            for column in range(columns):
                out[row, column] += value * weights[feature, column]
        for column in range(columns):
            out[row, column] += bias[column]


def _gradient(data: Any, indices: Any, indptr: Any, derivative: Any, shift: Any, bias: Any, out: Any) -> None:
    features, columns = out.shape
    for feature in range(features):
        for column in range(columns):
            out[feature, column] = 0
    for row in range(derivative.shape[0]):
        for place in range(indptr[row], indptr[row + 1]):
            value, feature = data[place], indices[place]
            for column in range(columns):
                out[feature, column] += value * derivative[row, column]
    for feature in range(features):
        for column in range(columns):
            out[feature, column] -= shift[feature] * bias[column]


def _adam(
    weights: Any,
    gradient: Any,
    mean: Any,
    square: Any,
    rates: Any,
    decay: Any,
    betas: Any,
    epsilon: Any,
    correction: Any,
) -> None:
    beta_1, rest_1, beta_2, rest_2 = betas[0], betas[1], betas[2], betas[3]
    for place in range(weights.size):
        slope = gradient[place] + weights[place] * decay[place]
        mean[place] = mean[place] * beta_1 + slope * rest_1
        square[place] = square[place] * beta_2 + slope * slope * rest_2
        step = mean[place] / (math.sqrt(square[place]) + epsilon)
        weights[place] -= step * correction * rates[place]
