from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_ll.hyperparameters import LinearLearnerHyperparameters
from airflow_ll.learner.candidates import Candidate, build_candidates


def _build(kind: str = "binary_classifier", *, tuned: bool = False, **values: Any) -> tuple[Candidate, ...]:
    return build_candidates(LinearLearnerHyperparameters(predictor_type=kind, **values), tuned=tuned)


# Index and printed hyperparameters of winners that public logs of real jobs show.
@pytest.mark.parametrize(
    ("index", "learning_rate", "wd", "minimum_lr", "step"),
    [
        (0, 0.005, 1e-4, 1e-5, 10),
        (2, 0.005, 1e-4, 1e-4, 10),
        (3, 0.005, 1e-4, 1e-4, 100),
        (4, 0.1, 1e-4, 1e-5, 10),
        (6, 0.1, 1e-4, 1e-4, 10),
        (23, 0.1, 1, 1e-4, 100),
    ],
)
@pytest.mark.parametrize("kind", ["binary_classifier", "regressor"])
def test_the_grid_has_the_service_s_order(
    kind: str, index: int, learning_rate: float, wd: float, minimum_lr: float, step: int
) -> None:
    models = _build(kind)
    assert len(models) == 32
    assert models[index] == Candidate("adam", learning_rate, wd, 0.0, step, 0.99, minimum_lr)


def test_a_winner_is_printed_as_the_service_prints_it() -> None:
    assert _build()[23].to_json() == (
        '{"optimizer": "adam", "learning_rate": 0.1, "wd": 1, "l1": 0.0, "lr_scheduler_step": 100, '
        '"lr_scheduler_factor": 0.99, "lr_scheduler_minimum_lr": 0.0001}'
    )


def test_a_given_value_takes_its_axis_out_of_the_grid() -> None:
    models = _build(learning_rate=0.03)
    assert len(models) == 16
    assert {model.learning_rate for model in models} == {0.03}
    assert len(_build(learning_rate=0.03, wd=0.5, lr_scheduler_step=7, lr_scheduler_minimum_lr=1e-3)) == 1


def test_without_a_scheduler_its_axes_are_gone() -> None:
    assert len(_build(use_lr_scheduler=False)) == 8


def test_fewer_models_are_the_first_of_the_grid_and_more_begin_with_it() -> None:
    grid = _build()
    assert _build(num_models=5) == grid[:5]
    assert _build(num_models=1) == grid[:1]
    more = _build(num_models=64)
    assert more[:32] == grid
    assert len(set(more)) == 64
    assert _build(num_models=64) == more


def test_a_tuned_job_trains_one_model() -> None:
    assert _build(num_models=16, tuned=True) == _build()[:1]


def test_multiclass_has_28_models_that_are_the_same_in_every_job() -> None:
    models = _build("multiclass_classifier", num_classes=3)
    assert len(models) == 28
    assert len(set(models)) == 28
    assert models == _build("multiclass_classifier", num_classes=3)


def test_the_first_multiclass_model_is_the_given_one() -> None:
    first, second, *_ = _build("multiclass_classifier", num_classes=3, learning_rate=0.3, wd=0.2, l1=0.1)
    assert (first.learning_rate, first.wd, first.l1) == (0.3, 0.2, 0.1)
    assert (first.lr_scheduler_step, first.lr_scheduler_factor, first.lr_scheduler_minimum_lr) == (10, 0.98, 1e-5)
    assert second.learning_rate != 0.3


def test_the_printed_form_is_json() -> None:
    assert json.loads(_build()[0].to_json())["optimizer"] == "adam"
