"""Ranges of hyperparameters as a DAG file or a template spells them."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_ll.requests import CategoricalRange, ContinuousRange, IntegerRange, range_from_json


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("wd", {"min_value": 1e-7, "max_value": 1}, ContinuousRange(1e-7, 1)),
        ("wd", {"min_value": "1e-7", "max_value": "1"}, ContinuousRange(1e-7, 1.0)),
        (
            "learning_rate",
            {"min_value": 0.1, "max_value": 1, "scaling_type": "Logarithmic"},
            ContinuousRange(0.1, 1, "Logarithmic"),
        ),
        ("mini_batch_size", {"min_value": 100, "max_value": "5000"}, IntegerRange(100, 5000)),
        ("use_bias", [True, False], CategoricalRange([True, False])),
        ("wd", ContinuousRange(0, 1), ContinuousRange(0, 1)),
    ],
)
def test_a_range_is_typed_by_its_hyperparameter(name: str, value: Any, expected: Any) -> None:
    assert range_from_json(name, value) == expected
