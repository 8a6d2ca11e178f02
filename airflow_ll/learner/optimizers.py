"""Stochastic gradient updates of all models together: MXNet's rules, in place, float32.

Weights are (features + 1, columns): the last row is the bias. A gradient arrives as the mean over the batch; weight
decay is added to it as MXNet does, ``g + wd * w``. An update is a dozen passes over some arrays; it makes all of them
on as many rows as a core's cache holds, and then goes on to the next ones.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from airflow_ll.learner.kernels import Kernels

    Array = NDArray[np.float32]

__all__ = ["SGD", "Adam", "Optimizer", "RMSProp"]

# Weights of one part of an update: few enough for a core's cache to hold all that belongs to them, and so many that
# threads seldom wait for each other's turn in the interpreter.
_CACHED = 65_536
_EPSILON = np.float32(1e-8)
_RMSPROP_DECAY = np.float32(0.9)  # gamma1 of MXNet's RMSProp; LinearLearner has no hyperparameter for it


class Optimizer(ABC):
    """An update rule with a memory of its own.

    Parameters
    ----------
    shape : tuple of int
        Of the weights, (features + 1, columns).
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        height = max(1, _CACHED // shape[1])
        self._parts = [slice(start, start + height) for start in range(0, shape[0], height)]
        self._scratch = np.empty((min(height, shape[0]), shape[1]), np.float32)

    def update(self, weights: Array, gradient: Array, rates: Array, decay: Array) -> None:
        """Step ``weights`` against ``gradient`` (which is destroyed) at ``rates``; ``decay`` is the weight decay.

        All have the weights' shape.
        """
        for rows in self._parts:
            inner, slope = weights[rows], gradient[rows]
            scratch = self._scratch[: len(inner)]
            np.multiply(inner, decay[rows], out=scratch)
            np.add(slope, scratch, out=slope)
            self._step(rows, inner, slope, rates[rows], scratch)

    @abstractmethod
    def _step(self, rows: slice, weights: Array, gradient: Array, rates: Array, scratch: Array) -> None:
        """Step the weights of ``rows``: all arrays are cut to them, but the rule's own memory is not."""

    @abstractmethod
    def state(self) -> dict[str, NDArray[Any]]:
        """Return what the next update depends on, by name; the arrays are the optimiser's own."""

    @abstractmethod
    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Go on from a `state` of the same shape."""


class Adam(Optimizer):
    """Kingma and Ba's Adam with MXNet's bias correction: it scales the rate, and epsilon stays outside of the root."""

    def __init__(
        self, shape: tuple[int, int], beta_1: float = 0.9, beta_2: float = 0.999, kernels: Kernels | None = None
    ) -> None:
        super().__init__(shape)
        self._beta_1, self._beta_2, self._kernels = beta_1, beta_2, kernels
        self._betas = np.array([beta_1, 1 - beta_1, beta_2, 1 - beta_2], np.float32)
        self._mean = np.zeros(shape, np.float32)
        self._square = np.zeros(shape, np.float32)
        self._updates = 0
        self._correction = np.float32(1)

    def update(self, weights: Array, gradient: Array, rates: Array, decay: Array) -> None:
        """Step ``weights``; see `Optimizer`."""
        self._updates += 1
        self._correction = np.float32((1 - self._beta_2**self._updates) ** 0.5 / (1 - self._beta_1**self._updates))
        if self._kernels is None:
            super().update(weights, gradient, rates, decay)
        else:
            arrays = (weights, gradient, self._mean, self._square, rates, decay)
            self._kernels.adam(*(array.reshape(-1) for array in arrays), self._betas, _EPSILON, self._correction)

    def _step(self, rows: slice, weights: Array, gradient: Array, rates: Array, scratch: Array) -> None:
        beta_1, rest_1, beta_2, rest_2 = self._betas
        mean, square = self._mean[rows], self._square[rows]
        np.multiply(mean, beta_1, out=mean)
        np.multiply(gradient, rest_1, out=scratch)
        np.add(mean, scratch, out=mean)
        np.multiply(square, beta_2, out=square)
        np.square(gradient, out=gradient)
        np.multiply(gradient, rest_2, out=gradient)
        np.add(square, gradient, out=square)
        np.sqrt(square, out=gradient)
        np.add(gradient, _EPSILON, out=gradient)
        np.divide(mean, gradient, out=gradient)
        np.multiply(gradient, self._correction, out=gradient)
        np.multiply(gradient, rates, out=gradient)
        np.subtract(weights, gradient, out=weights)

    def state(self) -> dict[str, NDArray[Any]]:
        """Return the moments and the number of steps; see `Optimizer`."""
        return {"mean": self._mean, "square": self._square, "step": np.array(self._updates)}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Go on from a `state`."""
        self._mean[:], self._square[:], self._updates = state["mean"], state["square"], int(state["step"])


class SGD(Optimizer):
    """Gradient descent with momentum: ``v = momentum * v - rate * g``, ``w = w + v``."""

    def __init__(self, shape: tuple[int, int], momentum: float = 0.0) -> None:
        super().__init__(shape)
        self._momentum = np.float32(momentum)
        self._velocity = np.zeros(shape, np.float32)

    def _step(self, rows: slice, weights: Array, gradient: Array, rates: Array, scratch: Array) -> None:
        velocity = self._velocity[rows]
        np.multiply(gradient, rates, out=gradient)
        np.multiply(velocity, self._momentum, out=velocity)
        np.subtract(velocity, gradient, out=velocity)
        np.add(weights, velocity, out=weights)

    def state(self) -> dict[str, NDArray[Any]]:
        """Return the velocity; see `Optimizer`."""
        return {"velocity": self._velocity}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Go on from a `state`."""
        self._velocity[:] = state["velocity"]


class RMSProp(Optimizer):
    """MXNet's plain RMSProp: ``n = 0.1 g**2 + 0.9 n``, ``w = w - rate * g / sqrt(n + epsilon)``."""

    def __init__(self, shape: tuple[int, int]) -> None:
        super().__init__(shape)
        self._square = np.zeros(shape, np.float32)

    def _step(self, rows: slice, weights: Array, gradient: Array, rates: Array, scratch: Array) -> None:
        square = self._square[rows]
        np.square(gradient, out=scratch)
        np.multiply(scratch, 1 - _RMSPROP_DECAY, out=scratch)
        np.multiply(square, _RMSPROP_DECAY, out=square)
        np.add(square, scratch, out=square)
        np.add(square, _EPSILON, out=scratch)
        np.sqrt(scratch, out=scratch)
        np.divide(gradient, scratch, out=gradient)
        np.multiply(gradient, rates, out=gradient)
        np.subtract(weights, gradient, out=weights)

    def state(self) -> dict[str, NDArray[Any]]:
        """Return the mean square; see `Optimizer`."""
        return {"square": self._square}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Go on from a `state`."""
        self._square[:] = state["square"]
