"""Every hyperparameter of training changes what is trained, and to what an independent trainer says beforehand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from airflow_ll.hyperparameters import HYPERPARAMETERS
from tests.learner import reference

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.learner.conftest import Container

ROWS, FEATURES, CLASSES = 210, 4, 3
ENOUGH = {"num_models": 1, "early_stopping_patience": 99}

#: (predictor type, the loss's name, what else is set, what is changed)
CASES: list[tuple[str, str, dict[str, Any], dict[str, Any]]] = [
    *(
        ("regressor", "squared_loss", {}, change)
        for change in (
            {"mini_batch_size": 30},
            {"epochs": 5},
            {"use_bias": False, "unbias_data": False, "unbias_label": False},
            {"num_point_for_scaler": 25},
            {"normalize_data": False},
            {"unbias_data": False},
            {"normalize_label": False},
            {"unbias_label": False},
            {"init_method": "normal"},
            {"init_scale": 0.5},
            {"init_bias": 0.7},
            {"optimizer": "sgd"},
            {"optimizer": "rmsprop"},
            {"learning_rate": 0.05},
            {"wd": 0.5},
            {"l1": 2.0},
            {"beta_1": 0.5},
            {"beta_2": 0.8},
            {"bias_lr_mult": 1.0},
            {"use_lr_scheduler": False},
            {"lr_scheduler_step": 2},
            {"lr_scheduler_factor": 0.5},
            {"lr_scheduler_minimum_lr": 0.00499},
        )
    ),
    ("regressor", "squared_loss", {"init_method": "normal"}, {"init_sigma": 0.4}),
    ("regressor", "squared_loss", {"optimizer": "sgd"}, {"momentum": 0.8}),
    ("regressor", "squared_loss", {"init_bias": 0.7, "wd": 0.5}, {"bias_wd_mult": 2.0}),
    ("regressor", "absolute_loss", {}, {"learning_rate": 0.02}),
    ("regressor", "quantile_loss", {}, {"quantile": 0.9}),
    ("regressor", "huber_loss", {}, {"huber_delta": 0.3}),
    ("regressor", "eps_insensitive_squared_loss", {}, {"loss_insensitivity": 0.5}),
    ("regressor", "eps_insensitive_absolute_loss", {}, {"loss_insensitivity": 0.5}),
    ("binary_classifier", "logistic", {}, {"positive_example_weight_mult": 4.0}),
    ("binary_classifier", "logistic", {}, {"positive_example_weight_mult": "balanced"}),
    ("binary_classifier", "hinge_loss", {}, {"margin": 0.3}),
    ("multiclass_classifier", "softmax_loss", {"num_classes": CLASSES}, {"balance_multiclass_weights": True}),
    ("multiclass_classifier", "softmax_loss", {"num_classes": CLASSES}, {"num_classes": CLASSES + 1}),
]

#: Those that choose among what was trained, or say what is trained: their tests are elsewhere.
ELSEWHERE = {
    "accuracy_top_k": "test_effects: test_top_k_and_beta_name_their_scores, and below",
    "binary_classifier_model_selection_criteria": "test_calibration, test_effects",
    "early_stopping_patience": "test_effects, test_fidelity",
    "early_stopping_tolerance": "test_fidelity: every logged job, and below",
    "f_beta": "test_calibration, and below",
    "feature_dim": "test_container: test_a_wrong_feature_dim_is_named",
    "loss": "all of the cases",
    "num_calibration_samples": "test_container: test_calibration_looks_at_no_more_rows_than_it_is_told",
    "num_models": "test_candidates",
    "predictor_type": "all of the cases",
    "target_precision": "test_calibration, test_effects",
    "target_recall": "test_calibration, test_effects",
}


def test_every_hyperparameter_has_a_test() -> None:
    changed = {name for *_, change in CASES for name in change}
    assert changed | set(ELSEWHERE) == set(HYPERPARAMETERS)
    assert not changed & set(ELSEWHERE)


@pytest.fixture
def features(rng: np.random.Generator) -> np.ndarray:
    return (rng.normal(size=(ROWS, FEATURES)) * [1, 5, 0.2, 2] + [0.5, -3, 1, 4]).astype(np.float32)


@pytest.fixture
def labels(features: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
    score = features @ np.array([1.0, -0.4, 3.0, 0.2]) + rng.normal(size=ROWS)
    # The classes have unlike shares, so that weights of classes matter.
    cuts = np.quantile(score, [0.5, 0.85])
    return {
        "regressor": (3 * score + 2).astype(np.float32),
        "binary_classifier": (score > cuts[1]).astype(np.float32),
        "multiclass_classifier": np.digitize(score, cuts).astype(np.float32),
    }


@pytest.mark.parametrize(
    ("kind", "loss", "given", "change"), CASES, ids=lambda value: value if isinstance(value, str) else str(value or "-")
)
def test_it_trains_what_the_plainest_trainer_does(
    fit: Callable[..., Container],
    features: np.ndarray,
    labels: dict[str, np.ndarray],
    kind: str,
    loss: str,
    given: dict[str, Any],
    change: dict[str, Any],
) -> None:
    found = []
    # The learning rate of a multiclass model is another one by default.
    fixed = {name: reference.DEFAULTS[name] for name in ("mini_batch_size", "epochs", "learning_rate")}
    fixed |= {"lr_scheduler_factor": 0.99} if kind == "multiclass_classifier" else {}
    for values in (given, given | change):
        expected = reference.train(features.astype(float), labels[kind].astype(float), loss, **(fixed | values))
        container = fit(features, labels[kind], seed=0, predictor_type=kind, loss=loss, **(ENOUGH | fixed | values))
        losses = [entry["train_objective"] for entry in container.metrics("epoch")]
        np.testing.assert_allclose(losses, expected.losses, rtol=1e-4)
        (result,) = container.metrics("result")
        trained = np.vstack([container.model.weights, container.model.bias])
        np.testing.assert_allclose(trained, expected.models[result["best_epoch"]], rtol=2e-3, atol=2e-4)
        found.append((losses, trained))
    (losses, trained), (changed_losses, changed) = found
    assert (
        len(losses) != len(changed_losses)
        or trained.shape != changed.shape
        or not np.allclose(trained, changed, rtol=5e-3, atol=5e-4)
    ), "it has no effect"


def test_a_larger_tolerance_stops_earlier(
    fit: Callable[..., Container], features: np.ndarray, labels: dict[str, np.ndarray]
) -> None:
    values = {"predictor_type": "regressor", "mini_batch_size": 20, "epochs": 40, "early_stopping_patience": 2}
    epochs = [
        fit(features, labels["regressor"], **values, early_stopping_tolerance=tolerance).metrics("result")[0]["epochs"]
        for tolerance in (1e-6, 0.01, 0.5)
    ]
    assert epochs == sorted(epochs, reverse=True)
    assert epochs[0] > epochs[2]


def test_a_wider_top_k_holds_more(
    fit: Callable[..., Container], features: np.ndarray, labels: dict[str, np.ndarray]
) -> None:
    values = {"predictor_type": "multiclass_classifier", "num_classes": CLASSES, "mini_batch_size": 20}
    shares = []
    for top in (1, 2, CLASSES):
        scores = fit(features, labels["multiclass_classifier"], **values, accuracy_top_k=top).scores("train")
        shares.append(scores[f"multiclass_top_k_accuracy_{top}"])
    assert shares[0] == pytest.approx(scores["multiclass_accuracy"])
    assert shares[0] < shares[1] < shares[2] == 1


def test_a_larger_beta_prefers_recall(
    fit: Callable[..., Container], features: np.ndarray, labels: dict[str, np.ndarray]
) -> None:
    values = {
        "predictor_type": "binary_classifier",
        "mini_batch_size": 20,
        "binary_classifier_model_selection_criteria": "f_beta",
    }
    recalls = [
        fit(features, labels["binary_classifier"], **values, f_beta=beta).scores("train")["recall"]
        for beta in (0.2, 1.0, 5.0)
    ]
    assert recalls == sorted(recalls)
    assert recalls[0] < recalls[2]
