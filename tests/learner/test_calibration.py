from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, fbeta_score, precision_score, recall_score, roc_auc_score

from airflow_ll.learner.calibration import Criterion, calibrate
from airflow_ll.learner.metrics import roc_auc

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True, params=[2, 65_536], ids=["many spans", "one span"], scope="module")
def _spans(request: pytest.FixtureRequest) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("airflow_ll.learner.blocks._SPAN", request.param)
        yield


EXAMPLES = st.lists(st.tuples(st.integers(0, 12), st.booleans()), min_size=2, max_size=40)


def _arrays(examples: list[tuple[int, bool]]) -> tuple[np.ndarray, np.ndarray]:
    scores = np.array([score for score, _ in examples], np.float32) / 12
    return scores, np.array([label for _, label in examples], np.float32)


@pytest.mark.parametrize("name", ["accuracy", "f_beta"])
@given(examples=EXAMPLES)
def test_the_value_is_the_best_of_all_thresholds(name: str, examples: list[tuple[int, bool]]) -> None:
    scores, labels = _arrays(examples)

    def measure(threshold: float) -> float:
        predicted = scores >= threshold
        if name == "accuracy":
            return float(accuracy_score(labels, predicted))
        return float(fbeta_score(labels, predicted, beta=2, zero_division=0))

    found = calibrate(scores, labels, Criterion(name, f_beta=2.0))
    assert found.value == pytest.approx(max(map(measure, scores)))
    assert found.threshold in scores


@given(examples=EXAMPLES.filter(lambda examples: any(label for _, label in examples)))
def test_precision_at_target_recall_reaches_the_recall_with_the_best_precision(
    examples: list[tuple[int, bool]],
) -> None:
    scores, labels = _arrays(examples)
    found = calibrate(scores, labels, Criterion("precision_at_target_recall", target_recall=0.7))
    predicted = scores >= np.float32(found.threshold)
    assert recall_score(labels, predicted) >= 0.7
    reaching = [t for t in scores if recall_score(labels, scores >= t) >= 0.7]
    assert precision_score(labels, predicted) == max(precision_score(labels, scores >= t) for t in reaching)


def test_recall_at_target_precision_takes_the_most_precise_when_none_reaches_it() -> None:
    scores = np.array([0.9, 0.8, 0.7, 0.6], np.float32)
    labels = np.array([0, 1, 0, 1], np.float32)
    found = calibrate(scores, labels, Criterion("recall_at_target_precision", target_precision=0.8))
    assert found.threshold == pytest.approx(0.6)  # precision 0.5, as at 0.8, and of equals the lowest


def test_examples_of_one_score_are_never_parted() -> None:
    scores = np.array([0.5, 0.5, 0.5, 0.1], np.float32)
    found = calibrate(scores, np.array([1, 0, 1, 0], np.float32), Criterion("accuracy"))
    assert (found.threshold, found.value) == (0.5, 0.75)


def test_the_loss_criterion_leaves_the_threshold_alone() -> None:
    found = calibrate(np.array([0.9], np.float32), np.array([1], np.float32), Criterion("loss_function"))
    assert found.threshold == 0.5


@given(examples=EXAMPLES.filter(lambda examples: len({label for _, label in examples}) == 2))
def test_auc_agrees_with_scikit_learn(examples: list[tuple[int, bool]]) -> None:
    scores, labels = _arrays(examples)
    assert roc_auc(scores, labels) == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
