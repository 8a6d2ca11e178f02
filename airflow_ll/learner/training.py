"""All models trained together: one matrix product a batch for their scores, one for their gradients."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from airflow_ll.learner.initialization import initial_weights
from airflow_ll.learner.optimizers import SGD, Adam, Optimizer, RMSProp

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from numpy.typing import NDArray

    from airflow_ll.learner.rows import Batches
    from airflow_ll.learner.scaling import Scaler
    from airflow_ll.learner.settings import Settings

    Array = NDArray[np.float32]

__all__ = ["Evaluation", "ParallelModels", "Stopped"]


class Stopped(Exception):  # noqa: N818 - a request, not an error
    """The job was asked to end in the middle of an epoch."""


class ParallelModels:
    """K linear models as the columns of one matrix.

    Column ``c * K + k`` is class c of model k (one class unless multiclass); the last row is the bias.

    Attributes
    ----------
    weights : ndarray of float32
        (features + 1, classes * K), of normalised features and labels.
    """

    def __init__(self, settings: Settings, width: int, seed: int) -> None:
        candidates, classes = settings.candidates, settings.classes
        self._settings, self._count = settings, len(candidates)
        self.weights = _with_bias(settings, width, seed)
        self._optimizer = _build_optimizer(settings, self.weights.shape)
        self._gradient = np.empty_like(self.weights)
        self._decayed = np.empty_like(self.weights)
        self._decay = np.tile(np.array([each.wd for each in candidates], np.float32), (width + 1, classes))
        self._decay[-1] *= settings.bias_wd_mult if settings.hyperparameters.use_bias else 0
        self._schedule = _Schedule(settings)
        self._rates = np.empty_like(self.weights)
        self._rates_of_columns: Array | None = None  # what ``_rates`` was filled from
        self._bias_rate = np.float32(settings.bias_lr_mult if settings.hyperparameters.use_bias else 0)
        self._l1 = np.tile(np.array([each.l1 for each in candidates], np.float32), classes)
        self._has_l1 = bool(self._l1.any())

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
        size, loss = batches.size, self._settings.loss
        scores = np.empty((size, self.weights.shape[1]), np.float32)
        losses = np.empty((size, self._count), np.float32)
        average = np.full(size, 1 / size, np.float32)  # a product with it is numpy's fastest mean over rows
        batch_loss = np.empty(self._count, np.float32)
        total = np.zeros(self._count)
        count = len(batches) // size
        for batch in batches:
            if stop():
                raise Stopped
            if len(batch) < size:
                continue
            batch.rows.scores(self.weights, scores)
            loss.evaluate(scores, batch.targets, losses)
            if batch.weights is not None:
                np.multiply(losses, batch.weights, out=losses)
                np.multiply(scores, batch.weights, out=scores)
            total += np.matmul(average, losses, out=batch_loss)
            np.multiply(scores, average[0], out=scores)
            batch.rows.gradient(scores, self._gradient)
            self._update()
        total /= max(1, count)
        return total

    def state(self) -> dict[str, NDArray[Any]]:
        """Return all that the next epoch depends on, by name; the arrays are the models' own."""
        return {"weights": self.weights, "updates": np.array(self._schedule.updates), **self._optimizer.state()}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Go on from a `state` of models of the same settings and width."""
        self.weights[:], self._schedule.updates = state["weights"], int(state["updates"])
        self._optimizer.restore(state)

    def _update(self) -> None:
        np.multiply(self.weights, self._decay, out=self._decayed)
        np.add(self._gradient, self._decayed, out=self._gradient)
        rates = self._schedule.next()
        if rates is not self._rates_of_columns:
            self._rates_of_columns = rates
            self._rates[:] = rates
            self._rates[-1] *= self._bias_rate
        self._optimizer.update(self.weights, self._gradient, self._rates)
        if self._has_l1:
            self._shrink(rates * self._l1)

    def _shrink(self, thresholds: Array) -> None:
        """Take the proximal step of l1: every weight but the bias moves towards 0 by rate * l1, and stops there."""
        inner, scratch = self.weights[:-1], self._decayed[:-1]
        np.abs(inner, out=scratch)
        np.subtract(scratch, thresholds, out=scratch)
        np.maximum(scratch, 0, out=scratch)
        np.copysign(scratch, inner, out=inner)


class Evaluation:
    """Rows to judge all models on, with raw labels.

    Parameters
    ----------
    batches : Batches
        Normalised rows, with the raw labels' targets.
    scaler : Scaler
        Of the train channel.
    stop : callable
        Asked before every batch.
    """

    def __init__(self, settings: Settings, batches: Batches, scaler: Scaler, stop: Callable[[], bool]) -> None:
        self._loss, self._classes, self._batches, self._stop = settings.loss, settings.classes, batches, stop
        self._label_mean, self._label_stdev = np.float32(scaler.label_mean), np.float32(scaler.label_stdev)

    def objective(self, weights: Array, keep: Array | None = None) -> NDArray[np.float64]:
        """Return the mean loss of every model over all rows, (K,); fill ``keep`` with the scores of the first rows.

        Raises
        ------
        Stopped
            ``stop`` said so.
        """
        size, columns = self._batches.size, weights.shape[1]
        every_score = np.empty((size, columns), np.float32)
        every_loss = np.empty((size, columns // self._classes), np.float32)
        total = np.zeros(every_loss.shape[1])
        start = 0
        for batch in self._batches:
            if self._stop():
                raise Stopped
            scores, losses = every_score[: len(batch)], every_loss[: len(batch)]
            batch.rows.scores(weights, scores)
            np.multiply(scores, self._label_stdev, out=scores)
            np.add(scores, self._label_mean, out=scores)
            if keep is not None and start < len(keep):
                keep[start : start + len(batch)] = scores[: len(keep) - start]
            self._loss.evaluate(scores, batch.targets, losses)
            if batch.weights is not None:
                np.multiply(losses, batch.weights, out=losses)
            total += losses.sum(axis=0, dtype=np.float64)
            start += len(batch)
        return total / start


class _Schedule:
    """The learning rate of every column at every update: ``max(rate * factor**((t - 1) // step), minimum)``."""

    def __init__(self, settings: Settings) -> None:
        candidates, classes = settings.candidates, settings.classes
        scheduled = bool(settings.hyperparameters.use_lr_scheduler)
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


def _build_optimizer(settings: Settings, shape: tuple[int, int]) -> Optimizer:
    name = settings.candidates[0].optimizer
    if name == "sgd":
        return SGD(shape, settings.momentum)
    if name == "rmsprop":
        return RMSProp(shape)
    return Adam(shape, settings.beta_1, settings.beta_2)
