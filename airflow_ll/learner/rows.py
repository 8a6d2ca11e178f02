"""Batches of normalised rows, ready for products with the weights of all models; sparse rows stay sparse.

With x the raw rows, m the means and s the standard deviations, the products of a batch are

    scores   = ((x - m) / s) w + b    = (x / s) w + (b - (m / s) w)
    gradient = ((x - m) / s)' g       = (x / s)' g - (m / s) 1'g

Dense rows are normalised as on the left, which loses nothing when a mean is much larger than its deviation. For sparse
rows only x / s is made, which is as sparse as x, and the means go the way on the right.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from airflow_ll.learner.blocks import Stopped, is_sparse
from airflow_ll.records.threads import prefetch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from airflow_ll.learner.blocks import Block
    from airflow_ll.learner.channels import Channel, Memory
    from airflow_ll.learner.kernels import Kernels
    from airflow_ll.learner.scaling import Scaler
    from airflow_ll.learner.settings import RowWeights

    Array = NDArray[np.float32]

_GROUP = 16  # batches that are in memory and used without waiting for each other

__all__ = ["Batch", "Batches", "DenseRows", "Rows", "SparseRows"]


class Rows(Protocol):
    """Normalised rows with a column of ones: a model is a column of weights, (d + 1,), whose last one is its bias."""

    def scores(self, weights: Array, out: Array) -> None:
        """Write rows @ weights into ``out``, (n, columns)."""

    def gradient(self, derivative: Array, out: Array) -> None:
        """Write rows' @ derivative into ``out``, (d + 1, columns)."""


@dataclass(frozen=True, eq=False)
class DenseRows:
    """Normalised values, (n, d + 1) float32, the last column of ones."""

    values: Array

    def scores(self, weights: Array, out: Array) -> None:
        """Write rows @ weights into ``out``."""
        np.matmul(self.values, weights, out=out)

    def gradient(self, derivative: Array, out: Array) -> None:
        """Write rows' @ derivative into ``out``."""
        np.matmul(self.values.T, derivative, out=out)


@dataclass(frozen=True, eq=False)
class SparseRows:
    """``values`` x / s, (n, d) scipy CSR of float32, and ``shift`` m / s, (d,), or None when no means are taken.

    Compiled ``kernels`` give the same numbers.
    """

    values: Any
    shift: Array | None
    kernels: Kernels | None = None

    def scores(self, weights: Array, out: Array) -> None:
        """Write rows @ weights into ``out``."""
        inner, bias = weights[:-1], weights[-1]
        if self.shift is not None:
            # Not `@`: for so few numbers waiting for BLAS's threads can take a hundred times as long as the product.
            bias = bias - np.einsum("i,ij->j", self.shift, inner)
        if self.kernels is None:
            np.add(self.values @ inner, bias, out=out)
        else:
            self.kernels.scores(self.values.data, self.values.indices, self.values.indptr, inner, bias, out)

    def gradient(self, derivative: Array, out: Array) -> None:
        """Write rows' @ derivative into ``out``."""
        inner, bias = out[:-1], out[-1]
        np.add.reduce(derivative, axis=0, out=bias)  # BLAS's sum would depend on how many columns a thread has
        if self.kernels is not None:
            shift = np.zeros(len(inner), np.float32) if self.shift is None else self.shift
            csr = self.values
            self.kernels.gradient(csr.data, csr.indices, csr.indptr, derivative, shift, bias, inner)
        elif self.shift is None:
            inner[:] = self.values.T @ derivative
        else:
            np.einsum("i,j->ij", self.shift, bias, out=inner)  # twice as fast as a product that broadcasts
            np.subtract(self.values.T @ derivative, inner, out=inner)


@dataclass(frozen=True, eq=False)
class Batch:
    """One mini-batch: ``targets`` (n, 1) as the loss makes them, ``weights`` (n, 1), None when all are 1."""

    rows: Rows
    targets: Array
    weights: Array | None

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.targets)


class Batches:
    """A channel as normalised batches, in the order of its rows; the last one may be shorter.

    The first pass keeps the batches for the next ones when there is memory for them. Otherwise every pass reads,
    decodes and normalises in a thread of its own, two blocks ahead.

    Parameters
    ----------
    channel : Channel
        The rows.
    scaler : Scaler
        What to normalise with.
    size : int
        The number of rows of a batch.
    targets : callable
        Makes the loss's targets, (n, 1), of raw labels, (n,).
    weights : RowWeights
        Of the train channel.
    memory : Memory
        The job's.
    kernels : Kernels, optional
        Compiled products of sparse rows.
    """

    def __init__(
        self,
        channel: Channel,
        scaler: Scaler,
        size: int,
        targets: Callable[[Array], Array],
        weights: RowWeights,
        memory: Memory,
        kernels: Kernels | None = None,
    ) -> None:
        self.size, self._channel, self._kernels = size, channel, kernels
        self._targets, self._weights = targets, weights
        self._mean, self._inverse = scaler.mean, np.reciprocal(scaler.stdev)
        self._shift = scaler.mean * self._inverse if scaler.mean.any() else None
        self._kept: list[Batch] | None = None
        self._keep = memory.reserve(channel.nbytes + 4 * len(channel))

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self._channel)

    def __iter__(self) -> Iterator[Batch]:
        """Go through all batches."""
        for group in self.groups():
            yield from group

    def groups(self, stop: Callable[[], bool] = lambda: False) -> Iterator[list[Batch]]:
        """Go through all batches, some at a time: what is at hand together, and not more than memory may hold.

        Raises
        ------
        Stopped
            ``stop`` said so while rows were waited for, as from a pipe that nobody writes to.
        """

        def check() -> None:
            if stop():
                raise Stopped

        if self._kept is not None:
            for start in range(0, len(self._kept), _GROUP):
                yield self._kept[start : start + _GROUP]
            return
        kept: list[Batch] = []
        for batches in prefetch(map(self._normalised, self._channel.blocks()), check):
            if self._keep:
                kept += batches
            yield batches
        if self._keep:
            self._kept = kept

    def _normalised(self, block: Block) -> list[Batch]:
        sparse = is_sparse(block.features)
        values = self._scaled(block.features) if sparse else self._standardised(block.features)
        targets, weights = self._targets(block.labels), self._weights.rows(block.labels)
        batches: list[Batch] = []
        for start in range(0, len(block), self.size):
            part = slice(start, start + self.size)
            own = values if len(block) <= self.size else values[part]
            rows: Rows = SparseRows(own, self._shift, self._kernels) if sparse else DenseRows(own)
            batches.append(Batch(rows, targets[part], None if weights is None else weights[part]))
        return batches

    def _standardised(self, features: Array) -> Array:
        """Return (x - m) / s with a column of ones."""
        values = np.ones((len(features), features.shape[1] + 1), np.float32)
        inner = values[:, :-1]
        np.subtract(features, self._mean, out=inner)
        np.multiply(inner, self._inverse, out=inner)
        return values

    def _scaled(self, features: Any) -> Any:
        """Return x / s, which shares the places of its numbers with x."""
        return type(features)(
            (features.data * self._inverse[features.indices], features.indices, features.indptr), shape=features.shape
        )
