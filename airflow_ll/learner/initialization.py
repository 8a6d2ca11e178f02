"""The models' first weights: the very numbers that the service's MXNet draws.

MXNet's generator starts from seed 0 unless somebody seeds it, and the service does not: the losses that the log of a
public job has for 32 models are those of these draws, to float32's rounding, and of no others. A CPU draws with up to
1,024 Mersenne twisters, each for one stretch of at least 64 of an array's values. The weights of the models are drawn
one array after the other in the alphabetical order of their names: fc0_weight, fc10_weight, ..., fc1_weight, ...
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Array = NDArray[np.float32]

__all__ = ["SERVICE_SEED", "initial_weights"]

#: Nobody seeds MXNet there, and it begins with this.
SERVICE_SEED = 0

# MXNet's resource.cc, random_generator.h and sampler.h.
_SEED_STRIDE = 127
_GENERATORS = 1024
_LEAST_VALUES = 64
_BELOW_ONE = np.nextafter(np.float32(1), np.float32(0))


def initial_weights(method: str, scale: float, shape: tuple[int, int], models: int, seed: int) -> Array:
    """Draw the weights, without biases.

    Parameters
    ----------
    method : str
        ``uniform`` in (-scale, scale), or ``normal`` with standard deviation scale.
    scale : float
        ``init_scale`` or ``init_sigma``.
    shape : tuple of int
        (features, classes) of one model.
    models : int
        K.
    seed : int
        MXNet's; the service's is `SERVICE_SEED`.

    Returns
    -------
    ndarray of float32
        (features, classes * K); column ``c * K + k`` is class c of model k.
    """
    draw = _normal if method == "normal" else _uniform
    features, classes = shape
    drawn = _draw(lambda twister, count: draw(twister, count, np.float32(scale)), models, features * classes, seed)
    order = sorted(range(models), key=lambda model: f"fc{model}_weight")
    by_model = np.empty_like(drawn)
    by_model[order] = drawn
    return np.ascontiguousarray(by_model.reshape(models, features, classes).transpose(1, 2, 0)).reshape(features, -1)


def _draw(draw: Callable[[np.random.RandomState, int], Array], arrays: int, size: int, seed: int) -> Array:
    """Return (arrays, size) values: each generator fills its own stretch of every array, one array after the other."""
    values = np.empty((arrays, size), np.float32)
    generators = min(-(-size // _LEAST_VALUES), _GENERATORS)
    stretch = -(-size // generators)
    for number, start in enumerate(range(0, size, stretch)):
        twister = np.random.RandomState((seed * _SEED_STRIDE + number) % 2**32)
        part = values[:, start : start + stretch]
        part[:] = draw(twister, part.size).reshape(part.shape)
    return values


def _unit(twister: np.random.RandomState, count: int) -> Array:
    """Draw from [0, 1) as C++'s ``uniform_real_distribution<float>``: one 32-bit number a value."""
    whole = twister.randint(0, 2**32, size=count, dtype=np.uint32).astype(np.float32)
    units: Array = np.minimum(whole * np.float32(2**-32), _BELOW_ONE)
    return units


def _uniform(twister: np.random.RandomState, count: int, scale: np.float32) -> Array:
    return _unit(twister, count) * (scale + scale) - scale


def _normal(twister: np.random.RandomState, count: int, scale: np.float32) -> Array:
    """Draw as C++'s ``normal_distribution<float>`` does: Marsaglia's polar method, the second one of each pair."""
    found, missing = [], count
    while missing > 0:
        first, second = (2 * _unit(twister, 2 * missing) - 1).reshape(-1, 2).T
        square = np.square(first) + np.square(second)
        inside = (square <= 1) & (square > 0)
        second, square = second[inside], square[inside]
        found.append(second * np.sqrt(-2 * np.log(square) / square))
        missing -= len(second)
    return np.concatenate(found)[:count] * scale
