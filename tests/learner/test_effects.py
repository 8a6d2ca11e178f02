"""Every hyperparameter has the effect that was predicted before it was run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.learner.conftest import Container

    Fit = Callable[..., Container]

REGRESSOR: dict[str, Any] = {"predictor_type": "regressor", "mini_batch_size": 50}
EXACT: dict[str, Any] = {"early_stopping_tolerance": 1e-7, "early_stopping_patience": 10}
BINARY: dict[str, Any] = {"predictor_type": "binary_classifier", "mini_batch_size": 50}


@pytest.fixture
def line(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A noisy plane far from the origin, (2000, 3) and (2000,)."""
    features = (rng.normal(size=(2000, 3)) * [1, 20, 0.1] + [0, 300, 5]).astype(np.float32)
    labels = features @ np.array([3.0, -0.5, 40.0]) + 1000 + rng.normal(size=2000)
    return features, labels.astype(np.float32)


@pytest.fixture
def noisy(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Overlapping classes, one positive in five, (4000, 4) and (4000,)."""
    features = rng.normal(size=(4000, 4)).astype(np.float32)
    probability = 1 / (1 + np.exp(-(1.5 * features[:, 0] - 2)))
    return features, (rng.random(4000) < probability).astype(np.float32)


@pytest.mark.parametrize("optimizer", ["adam", "sgd", "rmsprop"])
def test_each_optimizer_finds_the_plane(fit: Fit, line: tuple[np.ndarray, np.ndarray], optimizer: str) -> None:
    model = fit(*line, **REGRESSOR, optimizer=optimizer, epochs=60, **EXACT).model
    np.testing.assert_allclose(model.weights[:, 0], [3, -0.5, 40], rtol=0.05)
    np.testing.assert_allclose(model.predict(line[0]).scores.mean(), line[1].mean(), rtol=1e-3)


def test_momentum_and_betas_change_the_path(fit: Fit, line: tuple[np.ndarray, np.ndarray]) -> None:
    plain = fit(*line, **REGRESSOR, optimizer="sgd", epochs=1, learning_rate=0.005).metrics("epoch")
    heavy = fit(*line, **REGRESSOR, optimizer="sgd", epochs=1, learning_rate=0.005, momentum=0.9).metrics("epoch")
    assert heavy[0]["train_objective"] < plain[0]["train_objective"]
    default = fit(*line, **REGRESSOR, epochs=1).metrics("epoch")
    other = fit(*line, **REGRESSOR, epochs=1, beta_1=0.5, beta_2=0.9).metrics("epoch")
    assert other[0]["train_objective"] != default[0]["train_objective"]


def test_labels_whose_squares_are_no_float32_end_in_a_model(fit: Fit, line: tuple[np.ndarray, np.ndarray]) -> None:
    trained = fit(line[0], np.arange(2000) % 2 * np.float32(1e37), **REGRESSOR, epochs=1)  # warnings are errors here
    assert np.isfinite(trained.model.weights).all()
    assert trained.scores("train")["mse"] > 1e73


@pytest.mark.parametrize("quantile", [0.1, 0.5, 0.9])
def test_a_quantile_leaves_its_share_of_labels_below(
    fit: Fit, line: tuple[np.ndarray, np.ndarray], quantile: float
) -> None:
    model = fit(*line, **REGRESSOR, loss="quantile_loss", quantile=quantile, epochs=60, **EXACT).model
    assert np.mean(line[1] < model.predict(line[0]).scores) == pytest.approx(quantile, abs=0.02)


@pytest.mark.parametrize(
    "loss", ["absolute_loss", "huber_loss", "eps_insensitive_squared_loss", "eps_insensitive_absolute_loss"]
)
def test_each_regression_loss_finds_the_plane(fit: Fit, line: tuple[np.ndarray, np.ndarray], loss: str) -> None:
    container = fit(*line, **REGRESSOR, loss=loss, epochs=40)
    assert container.scores("train")["mse"] == pytest.approx(1, abs=0.15)
    assert f"{loss}_objective" in container.scores("train")


def test_robust_losses_ignore_what_pulls_the_squared_loss(fit: Fit, line: tuple[np.ndarray, np.ndarray]) -> None:
    features, labels = line
    spoilt = labels.copy()
    spoilt[::20] += 2000
    squared = fit(features, spoilt, **REGRESSOR).model
    absolute = fit(features, spoilt, **REGRESSOR, loss="absolute_loss", epochs=40).model
    assert abs(np.median(squared.predict(features).scores - labels)) > 50
    assert abs(np.median(absolute.predict(features).scores - labels)) < 5


def test_the_hinge_separates_and_scores_raw_values(fit: Fit, noisy: tuple[np.ndarray, np.ndarray]) -> None:
    features, separable = noisy[0], (noisy[0][:, 0] > 0.5).astype(np.float32)
    container = fit(features, separable, **BINARY, loss="hinge_loss", margin=1.0)
    scores = container.model.predict(features).scores
    assert scores.min() < 0 or scores.max() > 1
    assert container.scores("train")["roc_auc_score"] > 0.99


def test_a_huge_l1_leaves_no_weight(fit: Fit, line: tuple[np.ndarray, np.ndarray]) -> None:
    model = fit(*line, **REGRESSOR, l1=1000).model
    assert (model.weights == 0).all()
    assert model.bias[0] == pytest.approx(line[1].mean(), rel=0.01)


def test_l1_removes_features_without_meaning_first(fit: Fit, noisy: tuple[np.ndarray, np.ndarray]) -> None:
    model = fit(*noisy, **BINARY, l1=0.1, wd=0, optimizer="sgd", learning_rate=0.1, epochs=30).model
    assert (model.weights[1:] == 0).all()
    assert model.weights[0, 0] > 0


def test_a_huge_wd_shrinks_the_weights_but_not_the_bias(fit: Fit, line: tuple[np.ndarray, np.ndarray]) -> None:
    free = fit(*line, **REGRESSOR, wd=0).model
    held = fit(*line, **REGRESSOR, wd=100).model
    assert np.abs(held.weights).max() < 0.1 * np.abs(free.weights).max()
    assert held.predict(line[0]).scores.mean() == pytest.approx(line[1].mean(), rel=0.01)


def test_decay_on_the_bias_pulls_it_to_zero(fit: Fit, noisy: tuple[np.ndarray, np.ndarray]) -> None:
    constant = np.zeros_like(noisy[0])
    free = fit(constant, noisy[1], **BINARY, wd=1, epochs=30).model.bias[0]
    held = fit(constant, noisy[1], **BINARY, wd=1, bias_wd_mult=1, epochs=30).model.bias[0]
    share = noisy[1].mean()
    assert free == pytest.approx(np.log(share / (1 - share)), abs=0.05)
    assert abs(held) < 0.6 * abs(free)


def test_without_bias_there_is_none(fit: Fit, noisy: tuple[np.ndarray, np.ndarray]) -> None:
    assert fit(*noisy, **BINARY, use_bias=False).model.bias[0] == 0


def test_init_is_where_it_starts(fit: Fit, noisy: tuple[np.ndarray, np.ndarray]) -> None:
    still = {"learning_rate": 1e-12, "epochs": 1, "wd": 0, "normalize_data": False, "unbias_data": False}
    normal = fit(*noisy, **BINARY, **still, init_method="normal", init_sigma=3.0, init_bias=0.5).model
    uniform = fit(*noisy, **BINARY, **still, init_scale=1e-6).model
    assert np.abs(normal.weights).max() > 0.5
    assert normal.bias[0] == pytest.approx(0.5, abs=1e-5)
    assert np.abs(uniform.weights).max() <= 1.1e-6


def test_normalisation_makes_scales_irrelevant(fit: Fit, noisy: tuple[np.ndarray, np.ndarray]) -> None:
    features, labels = noisy
    scale = np.array([1e4, 1, 1e-3, 1], np.float32)
    plain = fit(features, labels, **BINARY).scores("train")["roc_auc_score"]
    scaled = fit(features * scale, labels, **BINARY).scores("train")["roc_auc_score"]
    raw = fit(features * scale, labels, **BINARY, normalize_data=False, epochs=1).metrics("epoch")
    assert scaled == pytest.approx(plain, abs=1e-3)
    assert raw[0]["train_objective"] > 1


@pytest.mark.parametrize(
    ("criterion", "extra", "name", "least"),
    [
        ("precision_at_target_recall", {"target_recall": 0.9}, "recall", 0.9),
        ("recall_at_target_precision", {"target_precision": 0.6}, "precision", 0.6),
    ],
)
@pytest.mark.parametrize("validated", [False, True])
def test_a_target_is_reached_on_the_calibration_rows(
    fit: Fit,
    noisy: tuple[np.ndarray, np.ndarray],
    criterion: str,
    extra: dict[str, float],
    name: str,
    least: float,
    validated: bool,
) -> None:
    validation = noisy if validated else None
    container = fit(
        *noisy, **BINARY, validation=validation, binary_classifier_model_selection_criteria=criterion, **extra
    )
    assert container.scores("validation" if validated else "train")[name] >= least


def test_weighting_positives_raises_recall(fit: Fit, noisy: tuple[np.ndarray, np.ndarray]) -> None:
    def mean_score(weight: float | str) -> float:
        return float(fit(*noisy, **BINARY, positive_example_weight_mult=weight).model.predict(noisy[0]).scores.mean())

    assert mean_score(1.0) == pytest.approx(noisy[1].mean(), abs=0.02)
    assert mean_score(3.0) > 1.5 * noisy[1].mean()
    assert mean_score("balanced") == pytest.approx(0.5, abs=0.1)


def test_a_weighted_objective_has_the_service_s_name(fit: Fit, noisy: tuple[np.ndarray, np.ndarray]) -> None:
    container = fit(*noisy, **BINARY, positive_example_weight_mult=2.0)
    assert "binary_classification_weighted_cross_entropy_objective" in container.scores("train")
    assert container.model.metrics_params["positive_example_weight_mult"] == 2


def test_balanced_classes_find_the_rare_one(fit: Fit, rng: np.random.Generator) -> None:
    labels = rng.choice(3, size=3000, p=[0.78, 0.2, 0.02]).astype(np.float32)
    features = (rng.normal(size=(3000, 3)) + np.eye(3)[labels.astype(int)]).astype(np.float32)
    values = {"predictor_type": "multiclass_classifier", "num_classes": 3, "mini_batch_size": 100}

    def recall(balanced: bool) -> float:
        predicted = fit(features, labels, **values, balance_multiclass_weights=balanced).model.predict(features).labels
        assert predicted is not None
        return float(np.mean(predicted[labels == 2] == 2))

    assert recall(True) > recall(False) + 0.2


def test_early_stopping_waits_for_its_patience(fit: Fit, noisy: tuple[np.ndarray, np.ndarray]) -> None:
    short = fit(*noisy, **BINARY, early_stopping_patience=1, early_stopping_tolerance=0.5).metrics("result")[0]
    never = fit(*noisy, **BINARY, early_stopping_patience=100).metrics("result")[0]
    assert short["epochs"] == short["best_epoch"] + 3
    assert never["epochs"] == 15


def test_top_k_and_beta_name_their_scores(fit: Fit, rng: np.random.Generator) -> None:
    labels = rng.integers(0, 4, 400).astype(np.float32)
    features = rng.normal(size=(400, 2)).astype(np.float32)
    values = {"predictor_type": "multiclass_classifier", "num_classes": 4, "mini_batch_size": 100}
    scores = fit(features, labels, **values, accuracy_top_k=4, f_beta=2.0).scores("train")
    assert scores["multiclass_top_k_accuracy_4"] == 1
    assert "macro_f_2.000" in scores


def test_real_sets_are_learnt_about_as_well_as_linear_models_can(fit: Fit) -> None:
    cancer, diabetes, digits = load_breast_cancer(), load_diabetes(), load_digits()
    binary = fit(cancer.data, cancer.target, **BINARY).scores("train")
    assert binary["roc_auc_score"] > 0.99
    assert binary["binary_classification_accuracy"] > 0.97
    regression = fit(diabetes.data, diabetes.target, **REGRESSOR).scores("train")
    assert regression["mse"] < 0.52 * np.var(diabetes.target)
    several = fit(
        digits.data,
        digits.target,
        predictor_type="multiclass_classifier",
        num_classes=10,
        mini_batch_size=50,
    ).scores("train")
    assert several["multiclass_accuracy"] > 0.96
