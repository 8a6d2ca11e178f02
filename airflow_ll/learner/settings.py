"""Hyperparameters with every ``auto`` resolved: the one place that says what ``auto`` means to the learner."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from airflow_ll.learner.calibration import Criterion
from airflow_ll.learner.candidates import Candidate, build_candidates
from airflow_ll.learner.losses import Loss, build_loss

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from airflow_ll.hyperparameters import LinearLearnerHyperparameters

__all__ = ["RowWeights", "Settings", "resolve"]

T = TypeVar("T")

_AUTO_LOSS = {
    "binary_classifier": "logistic",
    "multiclass_classifier": "softmax_loss",
    "regressor": "squared_loss",
}
_UNSEEN_CLASS_WEIGHT = 1_000_000.0


@dataclass(frozen=True)
class Settings:
    """What one training job does.

    Attributes named as a hyperparameter have its meaning; ``classes`` is the number of outputs of a model.
    """

    hyperparameters: LinearLearnerHyperparameters
    predictor_type: str
    loss_name: str
    loss: Loss
    classes: int
    criterion: Criterion
    candidates: tuple[Candidate, ...]
    normalize_data: bool
    unbias_data: bool
    normalize_label: bool
    unbias_label: bool
    bias_lr_mult: float
    bias_wd_mult: float
    beta_1: float
    beta_2: float
    momentum: float

    @property
    def binary(self) -> bool:
        """Whether there are two classes."""
        return self.predictor_type == "binary_classifier"

    @property
    def multiclass(self) -> bool:
        """Whether there are several classes."""
        return self.predictor_type == "multiclass_classifier"


def resolve(hp: LinearLearnerHyperparameters, *, tuned: bool = False) -> Settings:
    """Resolve every ``auto``.

    Parameters
    ----------
    hp : LinearLearnerHyperparameters
        As the user set them.
    tuned : bool
        The job belongs to a tuning job, which trains one model.
    """
    kind = str(hp.predictor_type)
    regressor, use_bias = kind == "regressor", bool(hp.use_bias)
    loss_name = _auto(hp.loss, _AUTO_LOSS[kind])
    return Settings(
        hyperparameters=hp,
        predictor_type=kind,
        loss_name=loss_name,
        loss=build_loss(loss_name, hp),
        classes=int(hp.num_classes) if kind == "multiclass_classifier" else 1,
        criterion=Criterion(
            str(hp.binary_classifier_model_selection_criteria),
            float(hp.target_recall),
            float(hp.target_precision),
            float(hp.f_beta),
        ),
        candidates=build_candidates(hp, tuned=tuned),
        normalize_data=_flag(hp.normalize_data, True),
        unbias_data=_flag(hp.unbias_data, use_bias),
        normalize_label=regressor and _flag(hp.normalize_label, True),
        unbias_label=regressor and _flag(hp.unbias_label, use_bias),
        bias_lr_mult=float(_auto(hp.bias_lr_mult, 10.0)),
        bias_wd_mult=float(_auto(hp.bias_wd_mult, 0.0)),
        beta_1=float(_auto(hp.beta_1, 0.9)),
        beta_2=float(_auto(hp.beta_2, 0.999)),
        momentum=float(_auto(hp.momentum, 0.0)),
    )


@dataclass(frozen=True)
class RowWeights:
    """The weight of a row by its class; ``by_class`` is None when all are 1.

    ``positive`` is the multiplier of a binary classifier's positive examples.
    """

    by_class: NDArray[np.float32] | None = None
    positive: float = 1.0

    @classmethod
    def of(cls, settings: Settings, labels: NDArray[np.float32]) -> RowWeights:
        """Take them from the hyperparameters and the training labels, (n,)."""
        if settings.binary:
            positive = _positive_weight(settings.hyperparameters.positive_example_weight_mult, labels)
            if positive == 1:
                return cls()
            return cls(np.array([1, positive], np.float32), positive)
        if settings.multiclass and settings.hyperparameters.balance_multiclass_weights:
            counts = np.bincount(labels.astype(np.intp), minlength=settings.classes)
            inverse = np.full(settings.classes, _UNSEEN_CLASS_WEIGHT)
            np.divide(len(labels), counts, out=inverse, where=counts > 0)
            return cls(inverse.astype(np.float32))
        return cls()

    def rows(self, labels: NDArray[np.float32]) -> NDArray[np.float32] | None:
        """Return the weights of rows with these labels, (n, 1), or None when all are 1."""
        return None if self.by_class is None else self.by_class[labels.astype(np.intp)][:, np.newaxis]

    def objective(self, loss: Loss) -> str:
        """Return the objective's name in the log: the service marks a weighted one."""
        name = loss.objective
        if self.by_class is None:
            return name
        return name.replace("classification_", "classification_weighted_").replace(
            "multiclass_cross", "multiclass_weighted_cross"
        )


def _positive_weight(wanted: float | str, labels: NDArray[np.float32]) -> float:
    """Return the weight of a positive row.

    ``balanced`` gives both classes the same total weight; with one class only there is nothing to balance, and a weight
    of 0 would leave nothing to learn. What ``auto`` does on the service is not known: 1 here.
    """
    if wanted == "auto":
        return 1.0
    if wanted == "balanced":
        positives = int(np.count_nonzero(labels))
        negatives = len(labels) - positives
        return negatives / positives if positives and negatives else 1.0
    return float(wanted)


def _auto(value: object, otherwise: T) -> T:
    return otherwise if value in {"auto", None} else value  # type: ignore[return-value]


def _flag(value: object, otherwise: bool) -> bool:
    return otherwise if value in {"auto", None} else bool(value)
