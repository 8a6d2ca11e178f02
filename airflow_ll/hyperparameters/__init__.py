"""The hyperparameters of LinearLearner: one table, one model; pure Python and quick to import.

>>> from airflow_ll.hyperparameters import LinearLearnerHyperparameters
>>> LinearLearnerHyperparameters(predictor_type="binary_classifier", use_bias=False).to_request()
{'predictor_type': 'binary_classifier', 'use_bias': 'False'}
"""

from __future__ import annotations

from airflow_ll.hyperparameters.declaration import Hyperparameter, Kind
from airflow_ll.hyperparameters.model import HyperparameterWarning, LinearLearnerHyperparameters, check_literals
from airflow_ll.hyperparameters.table import HYPERPARAMETERS

__all__ = [
    "HYPERPARAMETERS",
    "Hyperparameter",
    "HyperparameterWarning",
    "Kind",
    "LinearLearnerHyperparameters",
    "check_literals",
]
