"""For each hyperparameter, the others without which it is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_ll.hyperparameters import HYPERPARAMETERS, LinearLearnerHyperparameters

if TYPE_CHECKING:
    from airflow_ll.hyperparameters.declaration import Value


def surroundings(name: str) -> dict[str, Value]:
    """Return values beside which ``name`` is relevant."""
    parameter = HYPERPARAMETERS[name]
    values: dict[str, Value] = {"predictor_type": parameter.applies_to[0]}
    if "binary_classifier" not in parameter.applies_to and "multiclass_classifier" in parameter.applies_to:
        values["num_classes"] = 3
    if parameter.only_with is not None:
        values[parameter.only_with.name] = parameter.only_with.values[0]
    return values


def model_with(name: str, value: object) -> LinearLearnerHyperparameters:
    """Return a model that has ``value`` for ``name`` and nothing wrong beside it."""
    return LinearLearnerHyperparameters(**{**surroundings(name), name: value})
