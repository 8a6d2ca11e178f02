"""Stochastic gradient updates of all models together: MXNet's rules, in place, float32.

Weights are (features + 1, columns): the last row is the bias. A gradient arrives as the mean over the batch; weight
decay has been added to it as MXNet does, ``g + wd * w``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from airflow_ll.learner.kernels import Kernels

    Array = NDArray[np.float32]

__all__ = ["SGD", "Adam", "Optimizer", "RMSProp"]

_EPSILON = np.float32(1e-8)
_RMSPROP_DECAY = np.float32(0.9)  # gamma1 of MXNet's RMSProp; LinearLearner has no hyperparameter for it


class Optimizer(Protocol):
    """An update rule with a memory of its own."""

    def update(self, weights: Array, gradient: Array, rates: Array) -> None:
        """Step ``weights`` against ``gradient`` (which is destroyed) at ``rates``, (rows, columns)-broadcastable."""

    def state(self) -> dict[str, NDArray[Any]]:
        """Return what the next update depends on, by name; the arrays are the optimiser's own."""

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Go on from a `state` of the same shape."""


class Adam:
    """Kingma and Ba's Adam with MXNet's bias correction: it scales the rate, and epsilon stays outside of the root."""

    def __init__(
        self, shape: tuple[int, int], beta_1: float = 0.9, beta_2: float = 0.999, kernels: Kernels | None = None
    ) -> None:
        self._beta_1, self._beta_2, self._kernels = beta_1, beta_2, kernels
        self._betas = np.array([beta_1, 1 - beta_1, beta_2, 1 - beta_2], np.float32)
        self._mean = np.zeros(shape, np.float32)
        self._square = np.zeros(shape, np.float32)
        self._scratch = np.empty(shape, np.float32)
        self._step = 0

    def update(self, weights: Array, gradient: Array, rates: Array) -> None:
        """Step ``weights``; see `Optimizer`."""
        self._step += 1
        correction = np.float32((1 - self._beta_2**self._step) ** 0.5 / (1 - self._beta_1**self._step))
        if self._kernels is None:
            self._update(weights, gradient, rates, correction)
        else:
            arrays = (weights, gradient, self._mean, self._square, rates)
            self._kernels.adam(*(array.reshape(-1) for array in arrays), self._betas, _EPSILON, correction)

    def _update(self, weights: Array, gradient: Array, rates: Array, correction: np.float32) -> None:
        beta_1, rest_1, beta_2, rest_2 = self._betas
        scratch = self._scratch
        np.multiply(self._mean, beta_1, out=self._mean)
        np.multiply(gradient, rest_1, out=scratch)
        np.add(self._mean, scratch, out=self._mean)
        np.multiply(self._square, beta_2, out=self._square)
        np.square(gradient, out=gradient)
        np.multiply(gradient, rest_2, out=gradient)
        np.add(self._square, gradient, out=self._square)
        np.sqrt(self._square, out=gradient)
        np.add(gradient, _EPSILON, out=gradient)
        np.divide(self._mean, gradient, out=gradient)
        np.multiply(gradient, correction, out=gradient)
        np.multiply(gradient, rates, out=gradient)
        np.subtract(weights, gradient, out=weights)

    def state(self) -> dict[str, NDArray[Any]]:
        """Return the moments and the number of steps; see `Optimizer`."""
        return {"mean": self._mean, "square": self._square, "step": np.array(self._step)}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Go on from a `state`."""
        self._mean[:], self._square[:], self._step = state["mean"], state["square"], int(state["step"])


class SGD:
    """Gradient descent with momentum: ``v = momentum * v - rate * g``, ``w = w + v``."""

    def __init__(self, shape: tuple[int, int], momentum: float = 0.0) -> None:
        self._momentum = np.float32(momentum)
        self._velocity = np.zeros(shape, np.float32)

    def update(self, weights: Array, gradient: Array, rates: Array) -> None:
        """Step ``weights``; see `Optimizer`."""
        np.multiply(gradient, rates, out=gradient)
        np.multiply(self._velocity, self._momentum, out=self._velocity)
        np.subtract(self._velocity, gradient, out=self._velocity)
        np.add(weights, self._velocity, out=weights)

    def state(self) -> dict[str, NDArray[Any]]:
        """Return the velocity; see `Optimizer`."""
        return {"velocity": self._velocity}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Go on from a `state`."""
        self._velocity[:] = state["velocity"]


class RMSProp:
    """MXNet's plain RMSProp: ``n = 0.1 g**2 + 0.9 n``, ``w = w - rate * g / sqrt(n + epsilon)``."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self._square = np.zeros(shape, np.float32)
        self._scratch = np.empty(shape, np.float32)

    def update(self, weights: Array, gradient: Array, rates: Array) -> None:
        """Step ``weights``; see `Optimizer`."""
        scratch = self._scratch
        np.square(gradient, out=scratch)
        np.multiply(scratch, 1 - _RMSPROP_DECAY, out=scratch)
        np.multiply(self._square, _RMSPROP_DECAY, out=self._square)
        np.add(self._square, scratch, out=self._square)
        np.add(self._square, _EPSILON, out=scratch)
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
