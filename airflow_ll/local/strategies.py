"""How a tuning job chooses its next hyperparameters: the grid, at random, or by a Gaussian process.

Every choice is a function of the seed, the number of the training job and what is known by then, so that a restarted
runtime goes on as the first would have.

The Bayesian strategy minimises y over points x of the unit cube. It begins with scrambled Sobol points. Then y is taken
for a draw of a Gaussian process with mean 0 after standardisation, a Matern 5/2 kernel with one length scale for all
axes, and noise; both are those of the largest marginal likelihood on a grid. The next point has
the largest expected improvement

    EI(x) = (b - m(x)) F(u) + s(x) f(u),  u = (b - m(x)) / s(x)

over the best y so far, b, among many candidates: Sobol points, and the neighbours of the best points. Jobs that still
run count with the process's mean for them, so that parallel jobs do not try the same.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from airflow_ll.local.search_space import SearchSpace

    Array = NDArray[np.float64]

__all__ = ["Tried", "propose"]

_CANDIDATES, _NEIGHBOURS, _SPREADS = 512, 32, (0.2, 0.05, 0.01)
_LENGTHS = (0.1, 0.2, 0.4, 0.8, 1.6, 3.2)
_NOISES = (1e-6, 1e-3, 1e-2, 1e-1)
_MAX_POINTS = 400
_ATTEMPTS = 100


@dataclass(frozen=True)
class Tried:
    """Hyperparameters of a training job, and its objective, to be minimised; ``None`` while there is none."""

    values: Mapping[str, str]
    objective: float | None = None


def propose(strategy: str, space: SearchSpace, tried: Sequence[Tried], seed: int) -> dict[str, str] | None:
    """Return the hyperparameters of the next training job, ``None`` when all combinations were tried."""
    number = len(tried)
    if strategy == "Grid":
        return next((one for index, one in enumerate(space.grid()) if index == number), None)
    if number >= space.size:
        return None
    random = np.random.default_rng([seed, number])
    seen = {tuple(sorted(one.values.items())) for one in tried}
    if strategy == "Bayesian":
        known = [one for one in tried if one.objective is not None]
        if len(known) >= _initial(space) or number >= 2 * _initial(space):
            return _improvement(space, known, [one for one in tried if one.objective is None], seen, random)
        return _fresh(space, seen, random, _sobol(space.dimensions, number + 1, seed)[-1:])
    return _fresh(space, seen, random, np.empty((0, space.dimensions)))


def _initial(space: SearchSpace) -> int:
    return max(4, min(9, space.dimensions + 1))


def _fresh(
    space: SearchSpace, seen: set[tuple[tuple[str, str], ...]], random: np.random.Generator, first: Array
) -> dict[str, str]:
    """Return hyperparameters that were not tried: of the points ``first``, else at random."""
    values: dict[str, str] = {}
    for point in (*first, *random.random((_ATTEMPTS, space.dimensions))):
        values = space.decode(point)
        if tuple(sorted(values.items())) not in seen:
            break
    return values


def _sobol(dimensions: int, count: int, seed: int) -> Array:
    from airflow_ll.extras import require

    qmc = require("scipy.stats.qmc", extra="local", purpose="A tuning job")
    points: Array = qmc.Sobol(dimensions, seed=np.random.default_rng(seed)).random_base2(
        max(1, (count - 1).bit_length())
    )
    return points[:count]


def _improvement(
    space: SearchSpace,
    known: Sequence[Tried],
    unknown: Sequence[Tried],
    seen: set[tuple[tuple[str, str], ...]],
    random: np.random.Generator,
) -> dict[str, str]:
    """Return the candidate of the largest expected improvement that was not tried."""
    if not known:
        return _fresh(space, seen, random, np.empty((0, space.dimensions)))
    known = known[-_MAX_POINTS:]
    points = np.array([space.encode(one.values) for one in known])
    objectives = np.array([one.objective for one in known], dtype=np.float64)
    scale = float(objectives.std()) or 1.0
    process = _fit(points, (objectives - objectives.mean()) / scale)
    for one in unknown:
        process = process.believing(space.encode(one.values))
    best = points[np.argsort(objectives)[:3]]
    moved = [one + random.normal(0, spread, (_NEIGHBOURS, len(one))) for one in best for spread in _SPREADS]
    candidates = np.vstack([_sobol(space.dimensions, _CANDIDATES, int(random.integers(2**31))), *moved])
    decoded = [space.decode(one) for one in candidates]
    fresh = [one for one in decoded if tuple(sorted(one.items())) not in seen]
    if not fresh:
        return _fresh(space, seen, random, np.empty((0, space.dimensions)))
    return fresh[int(np.argmax(process.expected_improvement(np.array([space.encode(one) for one in fresh]))))]


@dataclass(frozen=True)
class _Process:
    """A Gaussian process given its values at points: Cholesky factor of the covariance, and its solution for them."""

    points: Array
    values: Array
    length: float
    noise: float
    factor: Array
    solution: Array

    @classmethod
    def of(cls, points: Array, values: Array, length: float, noise: float) -> _Process:
        """Condition on the values."""
        covariance = _matern(points, points, length) + (noise + 1e-9) * np.eye(len(points))
        factor = np.asarray(np.linalg.cholesky(covariance), np.float64)
        solution = np.asarray(np.linalg.solve(factor.T, np.linalg.solve(factor, values)), np.float64)
        return cls(points, values, length, noise, factor, solution)

    @property
    def likelihood(self) -> float:
        """The logarithm of the marginal likelihood, up to a constant."""
        return float(-0.5 * self.values @ self.solution - np.log(np.diag(self.factor)).sum())

    def predict(self, points: Array) -> tuple[Array, Array]:
        """Return mean and standard deviation at points."""
        cross = _matern(points, self.points, self.length)
        half = np.linalg.solve(self.factor, cross.T)
        variance = np.maximum(1.0 - (half**2).sum(axis=0), 1e-12)
        return cross @ self.solution, np.sqrt(variance)

    def believing(self, point: Array) -> _Process:
        """Return the process that also has its own mean for a point."""
        mean, _ = self.predict(point[np.newaxis, :])
        points, values = np.vstack([self.points, point]), np.append(self.values, mean)
        return _Process.of(points, values, self.length, self.noise)

    def expected_improvement(self, points: Array) -> Array:
        """Return the expectation of how far the value lies below the smallest so far."""
        mean, deviation = self.predict(points)
        gain = self.values.min() - mean
        u = gain / deviation
        below = 0.5 * (1 + np.array([math.erf(one / math.sqrt(2)) for one in u]))
        improvement: Array = gain * below + deviation * np.exp(-0.5 * u**2) / math.sqrt(2 * math.pi)
        return improvement


def _fit(points: Array, values: Array) -> _Process:
    """Return the process of the largest marginal likelihood; length scales grow with the cube's diagonal."""
    diagonal = math.sqrt(points.shape[1])
    fitted = [_Process.of(points, values, length * diagonal, noise) for length in _LENGTHS for noise in _NOISES]
    return max(fitted, key=lambda one: one.likelihood)


def _matern(left: Array, right: Array, length: float) -> Array:
    squares = ((left[:, np.newaxis, :] - right[np.newaxis, :, :]) ** 2).sum(axis=2)
    distance = np.sqrt(5 * squares) / length
    covariance: Array = (1 + distance + distance**2 / 3) * np.exp(-distance)
    return covariance
