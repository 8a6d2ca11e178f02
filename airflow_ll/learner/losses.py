"""The training objectives: pointwise loss and its derivative, in place, for many models at once.

All arrays are float32. ``scores`` is (rows, classes * models), class-major: column ``c * models + k`` is class c of
model k. A loss overwrites ``scores`` with the derivative of the loss by the score and ``losses``, (rows, models), with
the loss of every row. Formulas are those that AWS's own notebooks give; derivatives drop the factor 2 of squared
losses, as MXNet's ``LinearRegressionOutput`` does (the service's weight decay is relative to that).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from airflow_ll.hyperparameters import LinearLearnerHyperparameters

    Array = NDArray[np.float32]

__all__ = [
    "AbsoluteLoss",
    "EpsInsensitiveAbsoluteLoss",
    "EpsInsensitiveSquaredLoss",
    "HingeLoss",
    "HuberLoss",
    "LogisticLoss",
    "Loss",
    "QuantileLoss",
    "SoftmaxLoss",
    "SquaredLoss",
    "build_loss",
]

# exp of more than this overflows float32; log(1 + exp(x)) is x there, to float32's last digit.
_MAX_EXPONENT = np.float32(88.0)


class Loss(Protocol):
    """A training objective."""

    @property
    def objective(self) -> str:
        """The name in the log, without a mark for weights."""

    def targets(self, labels: Array) -> NDArray[np.float32]:
        """Return what ``evaluate`` compares scores with, (rows, 1), from labels (rows,)."""

    def evaluate(self, scores: Array, targets: Array, losses: Array) -> None:
        """Replace ``scores`` by the derivative and fill ``losses``."""


@dataclass(frozen=True)
class LogisticLoss:
    """``log(1 + exp(-s f))`` with s = 1 for label 1 and -1 for label 0; derivative ``-s / (1 + exp(s f))``."""

    objective: str = "binary_classification_cross_entropy_objective"

    def targets(self, labels: Array) -> Array:
        """Return -s."""
        return (1 - 2 * labels)[:, np.newaxis]

    def evaluate(self, scores: Array, targets: Array, losses: Array) -> None:
        """Replace ``scores`` by the derivative and fill ``losses``."""
        np.multiply(scores, targets, out=scores)
        large = None
        if not scores.max() <= _MAX_EXPONENT:  # most often it is; looking is faster than clipping
            large = scores.copy()
            np.minimum(scores, _MAX_EXPONENT, out=scores)
        np.exp(scores, out=scores)
        np.add(scores, 1, out=scores)
        np.log(scores, out=losses)
        if large is not None:  # log(1 + exp(x)) is never less than x
            np.maximum(losses, large, out=losses)
        # With q = 1 / (1 + exp(-s f)), the probability of the true class, the derivative is -s (1 - q).
        np.reciprocal(scores, out=scores)
        np.subtract(1, scores, out=scores)
        np.multiply(scores, targets, out=scores)


@dataclass(frozen=True)
class HingeLoss:
    """On labels {0, 1}: ``y max(0, (m+1)/2 - f) + (1-y) max(0, (m-1)/2 + f)``, m the margin; derivative -s or 0."""

    margin: float = 1.0
    objective: str = "binary_classification_hinge_loss_objective"

    def targets(self, labels: Array) -> Array:
        """Return -s."""
        return (1 - 2 * labels)[:, np.newaxis]

    def evaluate(self, scores: Array, targets: Array, losses: Array) -> None:
        """Replace ``scores`` by the derivative and fill ``losses``."""
        # (m - targets) / 2 is (m+1)/2 for label 1 and (m-1)/2 for label 0.
        np.multiply(scores, targets, out=losses)
        np.add(losses, (np.float32(self.margin) - targets) / 2, out=losses)
        np.maximum(losses, 0, out=losses)
        np.sign(losses, out=scores)
        np.multiply(scores, targets, out=scores)


class _Residual:
    """A loss of the residual, prediction minus label."""

    def targets(self, labels: Array) -> Array:
        """Return the labels."""
        return labels[:, np.newaxis]

    def evaluate(self, scores: Array, targets: Array, losses: Array) -> None:
        """Replace ``scores`` by the derivative and fill ``losses``."""
        np.subtract(scores, targets, out=scores)
        self._of_residual(scores, losses)

    def _of_residual(self, residuals: Array, losses: Array) -> None:
        """Do so from the residuals, which become the derivative."""
        raise NotImplementedError


@dataclass(frozen=True)
class SquaredLoss(_Residual):
    """``e**2``; derivative e (see the module)."""

    objective: str = "mse_objective"

    def _of_residual(self, residuals: Array, losses: Array) -> None:
        np.square(residuals, out=losses)


@dataclass(frozen=True)
class AbsoluteLoss(_Residual):
    """``|e|``; derivative sign(e)."""

    objective: str = "absolute_loss_objective"

    def _of_residual(self, residuals: Array, losses: Array) -> None:
        np.abs(residuals, out=losses)
        np.sign(residuals, out=residuals)


@dataclass(frozen=True)
class QuantileLoss(_Residual):
    """``q max(0, -e) + (1-q) max(0, e)``: a share q of labels lies below the prediction."""

    quantile: float = 0.5
    objective: str = "quantile_loss_objective"

    def _of_residual(self, residuals: Array, losses: Array) -> None:
        # The slope is 1 - q above the label and -q below: (sign(e) + 1) / 2 - q, and halfway on the label itself.
        np.copyto(losses, residuals)
        np.sign(residuals, out=residuals)
        np.multiply(residuals, np.float32(0.5), out=residuals)
        np.add(residuals, np.float32(0.5 - self.quantile), out=residuals)
        np.multiply(losses, residuals, out=losses)


@dataclass(frozen=True)
class HuberLoss(_Residual):
    """``e**2 / 2`` where |e| < d, else ``|e| d - d**2 / 2``; derivative e clipped to [-d, d]."""

    delta: float = 1.0
    objective: str = "huber_loss_objective"

    def _of_residual(self, residuals: Array, losses: Array) -> None:
        # With g the clipped residual both branches are g (e - g / 2).
        np.copyto(losses, residuals)
        delta = np.float32(self.delta)
        np.clip(residuals, -delta, delta, out=residuals)
        np.subtract(losses, residuals * np.float32(0.5), out=losses)
        np.multiply(losses, residuals, out=losses)


@dataclass(frozen=True)
class EpsInsensitiveSquaredLoss(_Residual):
    """``max(0, e**2 - eps**2)``; derivative e where that is positive (see the module)."""

    insensitivity: float = 0.01
    objective: str = "eps_insensitive_squared_loss_objective"

    def _of_residual(self, residuals: Array, losses: Array) -> None:
        np.square(residuals, out=losses)
        np.subtract(losses, np.float32(self.insensitivity**2), out=losses)
        np.maximum(losses, 0, out=losses)
        np.multiply(residuals, losses > 0, out=residuals)


@dataclass(frozen=True)
class EpsInsensitiveAbsoluteLoss(_Residual):
    """``max(0, |e| - eps)``; derivative sign(e) where that is positive."""

    insensitivity: float = 0.01
    objective: str = "eps_insensitive_absolute_loss_objective"

    def _of_residual(self, residuals: Array, losses: Array) -> None:
        np.abs(residuals, out=losses)
        np.subtract(losses, np.float32(self.insensitivity), out=losses)
        np.maximum(losses, 0, out=losses)
        np.sign(residuals, out=residuals)
        np.multiply(residuals, losses > 0, out=residuals)


@dataclass(frozen=True)
class SoftmaxLoss:
    """``-log(softmax(f)[y])``; derivative ``softmax(f) - onehot(y)``."""

    classes: int
    objective: str = "multiclass_cross_entropy_objective"

    def targets(self, labels: Array) -> Array:
        """Return the class numbers, which float32 holds exactly below 2**24."""
        return labels[:, np.newaxis]

    def evaluate(self, scores: Array, targets: Array, losses: Array) -> None:
        """Replace ``scores`` by the derivative and fill ``losses``."""
        by_class = scores.reshape(len(scores), self.classes, -1)
        rows, truth = np.arange(len(scores)), targets[:, 0].astype(np.intp)
        self._reduce(np.maximum, by_class, losses)
        by_class -= losses[:, np.newaxis]
        np.negative(by_class[rows, truth], out=losses)
        np.exp(by_class, out=by_class)
        totals = np.empty_like(losses)
        self._reduce(np.add, by_class, totals)
        by_class /= totals[:, np.newaxis]
        np.add(losses, np.log(totals, out=totals), out=losses)
        by_class[rows, truth] -= 1

    def _reduce(self, operation: np.ufunc, by_class: Array, out: Array) -> None:
        """Reduce over the classes, one after the other: numpy is many times slower over a middle axis."""
        np.copyto(out, by_class[:, 0])
        for each in range(1, self.classes):
            operation(out, by_class[:, each], out=out)


def build_loss(name: str, hyperparameters: LinearLearnerHyperparameters) -> Loss:
    """Return the loss that a hyperparameter ``loss`` names; ``auto`` is resolved before."""
    hp = hyperparameters
    builders: dict[str, Loss] = {
        "logistic": LogisticLoss(),
        "hinge_loss": HingeLoss(float(hp.margin)),
        "squared_loss": SquaredLoss(),
        "absolute_loss": AbsoluteLoss(),
        "quantile_loss": QuantileLoss(float(hp.quantile)),
        "huber_loss": HuberLoss(float(hp.huber_delta)),
        "eps_insensitive_squared_loss": EpsInsensitiveSquaredLoss(float(hp.loss_insensitivity)),
        "eps_insensitive_absolute_loss": EpsInsensitiveAbsoluteLoss(float(hp.loss_insensitivity)),
        "softmax_loss": SoftmaxLoss(int(hp.num_classes)),
    }
    return builders[name]
