"""What the demo reads out of a training job's log, on logs of the real service."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from demo.errors import DemoError
from demo.training_log import best_model, how_far

if TYPE_CHECKING:
    from pathlib import Path


BINARY = {"predictor_type": "binary_classifier"}


def test_the_chosen_model_of_a_real_job(shared: Path) -> None:
    lines = (shared / "aws-jobs/binary-2024/train.log").read_text().splitlines()
    best = best_model(lines, BINARY)
    assert best["index"] == 2
    assert best["hyperparameters"]["learning_rate"] == 0.005
    assert best["hyperparameters"]["lr_scheduler_minimum_lr"] == 0.0001
    assert best["objective"] == pytest.approx(0.5551001572652641)
    assert how_far(lines) == "epoch 10, binary_classification_cross_entropy_objective 0.5540"


def test_the_validation_channel_judges_if_there_is_one(shared: Path) -> None:
    lines = (shared / "aws-jobs/logs/2023_binary_with_validation.log").read_text().splitlines()
    best = best_model(lines, BINARY)
    assert 0 <= best["index"] < 32
    assert best["objective"] == pytest.approx(0.4792416833968477)


def test_a_log_that_has_just_begun_tells_nothing() -> None:
    begun = ["Docker entrypoint called with argument(s): train"]
    assert how_far(begun) == ""
    with pytest.raises(DemoError, match="which model it kept"):
        best_model(begun, BINARY)
