"""All models trained together: one matrix product a batch for their scores, one for their gradients."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from airflow_ll.learner.blocks import Stopped
from airflow_ll.learner.initialization import initial_weights
from airflow_ll.learner.optimizers import SGD, Adam, Optimizer, RMSProp
from airflow_ll.learner.threads import columns_of_parts, side_by_side

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Any

    from numpy.typing import NDArray

    from airflow_ll.learner.candidates import Candidate
    from airflow_ll.learner.kernels import Kernels
    from airflow_ll.learner.rows import Batch, Batches
    from airflow_ll.learner.settings import Settings

    Array = NDArray[np.float32]

__all__ = ["ParallelModels"]


class ParallelModels:
    """K linear models as the columns of one matrix.

    Column ``c * K + k`` is class c of model k (one class unless multiclass); the last row is the bias.

    Parameters
    ----------
    settings : Settings
        With the K models' hyperparameters.
    width : int
        The number of features.
    seed : int
        Of the first weights.
    threads : int
        The models are dealt to so many threads; their numbers do not depend on it when the rows are sparse.
    kernels : Kernels, optional
        Compiled code to use.
    """

    def __init__(
        self, settings: Settings, width: int, seed: int, *, threads: int = 1, kernels: Kernels | None = None
    ) -> None:
        first = _with_bias(settings, width, seed)
        self._columns = columns_of_parts(len(settings.candidates), settings.classes, threads)
        self._parts = [_Part(settings, columns, first, kernels) for columns in self._columns]

    @property
    def weights(self) -> Array:
        """All models, (features + 1, classes * K), of normalised features and labels."""
        return self._join([part.weights for part in self._parts])

    def train_epoch(self, batches: Batches, stop: Callable[[], bool]) -> NDArray[np.float64]:
        """Update all models once over all full batches, in the order of the rows; the rest of the rows is left out.

        Parameters
        ----------
        batches : Batches
            Normalised rows, with the normalised labels' targets.
        stop : callable
            Asked before every batch.

        Returns
        -------
        ndarray of float64
            (K,), the mean over the batches of the batch's mean loss before its update.

        Raises
        ------
        Stopped
            ``stop`` said so.
        """
        for part in self._parts:
            part.begin(batches.size)
        with side_by_side(self._parts) as run:
            for group in batches.groups(stop):
                run(lambda part, group=group: part.train(group, stop))  # type: ignore[misc]
        return np.concatenate([part.total for part in self._parts]) / max(1, len(batches) // batches.size)

    def state(self) -> dict[str, NDArray[Any]]:
        """Return all that the next epoch depends on, by name."""
        states = [part.state() for part in self._parts]
        return {name: self._join([state[name] for state in states]) for name in states[0]}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Go on from a `state` of models of the same settings and width, trained by any number of threads."""
        for part, columns in zip(self._parts, self._columns, strict=True):
            own = {name: state[name] for name in part.state()}
            part.restore({name: values[:, columns] if values.ndim else values for name, values in own.items()})

    def _join(self, parts: list[NDArray[Any]]) -> NDArray[Any]:
        """Put the columns of the parts in their places; a number is the same in all of them."""
        if len(parts) == 1 or not parts[0].ndim:
            return parts[0]
        joined = np.empty((len(parts[0]), sum(part.shape[1] for part in parts)), parts[0].dtype)
        for columns, part in zip(self._columns, parts, strict=True):
            joined[:, columns] = part
        return joined


class _Part:
    """Some of the models, with all that their training needs.

    Attributes
    ----------
    weights : ndarray of float32
        (features + 1, classes * models).
    total : ndarray of float64
        (models,), the sum over the batches of an epoch of the batch's mean loss.
    """

    def __init__(self, settings: Settings, columns: NDArray[np.intp], weights: Array, kernels: Kernels | None) -> None:
        hp, classes = settings.hyperparameters, settings.classes
        candidates = [settings.candidates[column] for column in columns[: len(columns) // classes]]
        self._loss, self._count = settings.loss, len(candidates)
        self.weights = np.ascontiguousarray(weights[:, columns])
        self._optimizer = _build_optimizer(settings, self.weights.shape, kernels)
        self._gradient = np.empty_like(self.weights)
        self._decay = np.tile(np.array([each.wd for each in candidates], np.float32), (len(weights), classes))
        self._decay[-1] *= settings.bias_wd_mult if hp.use_bias else 0
        self._schedule = _Schedule(candidates, classes, scheduled=bool(hp.use_lr_scheduler))
        self._rates = np.empty_like(self.weights)
        self._rates_of_columns: Array | None = None  # what ``_rates`` was filled from
        self._bias_rate = np.float32(settings.bias_lr_mult if hp.use_bias else 0)
        self._l1 = np.tile(np.array([each.l1 for each in candidates], np.float32), classes)
        self._has_l1 = bool(self._l1.any())
        self.total = np.zeros(self._count)

    def begin(self, size: int) -> None:
        """Get ready for an epoch of batches of ``size`` rows."""
        self.total = np.zeros(self._count)
        self._scores = np.empty((size, self.weights.shape[1]), np.float32)
        self._losses = np.empty((size, self._count), np.float32)
        self._average = np.full(size, 1 / size, np.float32)  # a product with it is numpy's fastest mean over rows
        self._batch_loss = np.empty(self._count, np.float32)

    def train(self, batches: Iterable[Batch], stop: Callable[[], bool]) -> None:
        """Update the models on each batch that is full."""
        scores, losses, average = self._scores, self._losses, self._average
        with np.errstate(all="ignore"):  # a model of the grid may diverge; a thread has its own settings
            for batch in batches:
                if stop():
                    raise Stopped
                if len(batch) < len(average):
                    continue
                batch.rows.scores(self.weights, scores)
                self._loss.evaluate(scores, batch.targets, losses)
                if batch.weights is not None:
                    np.multiply(losses, batch.weights, out=losses)
                    np.multiply(scores, batch.weights, out=scores)
                self.total += np.matmul(average, losses, out=self._batch_loss)
                np.multiply(scores, average[0], out=scores)
                batch.rows.gradient(scores, self._gradient)
                self._update()

    def state(self) -> dict[str, NDArray[Any]]:
        """Return all that the next epoch depends on, by name; the arrays are the models' own."""
        return {"weights": self.weights, "updates": np.array(self._schedule.updates), **self._optimizer.state()}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Go on from a `state`."""
        self.weights[:], self._schedule.updates = state["weights"], int(state["updates"])
        self._optimizer.restore(state)

    def _update(self) -> None:
        rates = self._schedule.next()
        if rates is not self._rates_of_columns:
            self._rates_of_columns = rates
            self._rates[:] = rates
            self._rates[-1] *= self._bias_rate
        self._optimizer.update(self.weights, self._gradient, self._rates, self._decay)
        if self._has_l1:
            self._shrink(rates * self._l1)

    def _shrink(self, thresholds: Array) -> None:
        """Take the proximal step of l1: every weight but the bias moves towards 0 by rate * l1, and stops there."""
        inner, scratch = self.weights[:-1], self._gradient[:-1]  # which has been used
        np.abs(inner, out=scratch)
        np.subtract(scratch, thresholds, out=scratch)
        np.maximum(scratch, 0, out=scratch)
        np.copysign(scratch, inner, out=inner)


class _Schedule:
    """The learning rate of every column at every update: ``max(rate * factor**((t - 1) // step), minimum)``."""

    def __init__(self, candidates: Sequence[Candidate], classes: int, *, scheduled: bool) -> None:
        self._initial = np.tile([each.learning_rate for each in candidates], classes)
        self._step = np.tile([each.lr_scheduler_step for each in candidates], classes)
        self._factor = np.tile([each.lr_scheduler_factor if scheduled else 1.0 for each in candidates], classes)
        floor = np.tile([each.lr_scheduler_minimum_lr for each in candidates], classes)
        # A minimum above the user's own rate does not raise it.
        self._minimum = np.minimum(floor, self._initial)
        self.updates = 0
        # Rates change at the multiples of this only; most updates have those of the one before.
        self._period = math.gcd(*self._step.tolist())
        self._computed = -1
        self._rates = self._initial.astype(np.float32)

    def next(self) -> Array:
        """Return the rates of the next update, (columns,): the same array as before when they are the same."""
        period = self.updates // self._period
        if period != self._computed:
            exponent = self.updates // self._step
            rates: NDArray[np.float64] = np.maximum(self._initial * self._factor**exponent, self._minimum)
            self._rates, self._computed = rates.astype(np.float32), period
        self.updates += 1
        return self._rates


def _with_bias(settings: Settings, width: int, seed: int) -> Array:
    hp, models = settings.hyperparameters, len(settings.candidates)
    method = str(hp.init_method)
    scale = float(hp.init_sigma if method == "normal" else hp.init_scale)
    inner = initial_weights(method, scale, (width, settings.classes), models, seed)
    bias = np.full((1, inner.shape[1]), float(hp.init_bias) if hp.use_bias else 0.0, np.float32)
    return np.concatenate([inner, bias])


def _build_optimizer(settings: Settings, shape: tuple[int, int], kernels: Kernels | None) -> Optimizer:
    name = settings.candidates[0].optimizer
    if name == "sgd":
        return SGD(shape, settings.momentum)
    if name == "rmsprop":
        return RMSProp(shape)
    return Adam(shape, settings.beta_1, settings.beta_2, kernels)
