"""One model trained in the plainest way: float64, one row after the other where it is shorter to write.

Written from the formulas of the documentation and of MXNet's optimisers; it shares nothing with the learner but the
first weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from airflow_ll.learner.initialization import initial_weights

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Array = NDArray[np.float64]

DEFAULTS: dict[str, Any] = {
    "epochs": 3, "mini_batch_size": 20, "use_bias": True, "num_point_for_scaler": 10_000,
    "normalize_data": True, "unbias_data": True, "normalize_label": True, "unbias_label": True,
    "init_method": "uniform", "init_scale": 0.07, "init_sigma": 0.01, "init_bias": 0.0,
    "optimizer": "adam", "learning_rate": 0.005, "wd": 1e-4, "l1": 0.0, "momentum": 0.0, "beta_1": 0.9, "beta_2": 0.999,
    "bias_lr_mult": 10.0, "bias_wd_mult": 0.0,
    "use_lr_scheduler": True, "lr_scheduler_step": 10, "lr_scheduler_factor": 0.99, "lr_scheduler_minimum_lr": 1e-5,
    "margin": 1.0, "quantile": 0.5, "huber_delta": 1.0, "loss_insensitivity": 0.01,
    "positive_example_weight_mult": 1.0, "balance_multiclass_weights": False, "num_classes": 1,
}  # fmt: skip


@dataclass
class Trained:
    """By epoch: the mean loss, and the model of raw features, (features + 1, classes), the last row its bias."""

    losses: list[float]
    models: list[Array]


def train(features: Array, labels: Array, loss: str, **given: Any) -> Trained:
    hp = DEFAULTS | given
    size, classes = int(hp["mini_batch_size"]), int(hp["num_classes"])
    scaled = _whole_batches_of_the_scaler(len(labels), size, int(hp["num_point_for_scaler"]))
    mean = features[:scaled].mean(axis=0) if hp["unbias_data"] else np.zeros(features.shape[1])
    stdev = features[:scaled].std(axis=0) if hp["normalize_data"] else np.ones(features.shape[1])
    is_regression = loss not in {"logistic", "hinge_loss", "softmax_loss"}
    label_mean = labels[:scaled].mean() if is_regression and hp["unbias_label"] else 0.0
    label_stdev = labels[:scaled].std() if is_regression and hp["normalize_label"] else 1.0
    x = np.column_stack([(features - mean) / stdev, np.ones(len(labels))])
    y, weight_of = (labels - label_mean) / label_stdev, _weights(labels, hp)
    scale = hp["init_sigma"] if hp["init_method"] == "normal" else hp["init_scale"]
    first = initial_weights(hp["init_method"], scale, (features.shape[1], classes), 1, 0)
    model = np.vstack([first, np.full((1, classes), hp["init_bias"] if hp["use_bias"] else 0.0)]).astype(float)
    state: dict[str, Any] = {"t": 0, "m": np.zeros_like(model), "v": np.zeros_like(model)}
    trained = Trained([], [])
    for _ in range(int(hp["epochs"])):
        of_batches = []
        for start in range(0, len(y) - size + 1, size):
            rows = slice(start, start + size)
            gradient, total = np.zeros_like(model), 0.0
            for row, label, weight in zip(x[rows], y[rows], weight_of[rows], strict=True):
                value, slope = _loss(loss, row @ model, label, hp)
                total += weight * value
                gradient += weight * np.outer(row, slope)
            of_batches.append(total / size)
            _update(model, gradient / size, state, hp)
        trained.losses.append(float(np.mean(of_batches)))
        raw = model[:-1] * label_stdev / stdev[:, np.newaxis]
        bias = model[-1] * label_stdev + label_mean - mean @ raw
        trained.models.append(np.vstack([raw, bias]))
    return trained


def _whole_batches_of_the_scaler(rows: int, size: int, wanted: int) -> int:
    seen = 0
    while seen <= wanted and seen + size <= rows:
        seen += size
    return seen


def _weights(labels: Array, hp: dict[str, Any]) -> Array:
    if hp["balance_multiclass_weights"]:
        return np.array([len(labels) / np.sum(labels == label) for label in labels])
    positive = hp["positive_example_weight_mult"]
    if positive == "balanced":
        positive = np.sum(labels == 0) / np.sum(labels == 1)
    return np.where(labels == 1, float(positive), 1.0) if hp["num_classes"] == 1 else np.ones(len(labels))


def _loss(name: str, scores: Array, label: float, hp: dict[str, Any]) -> tuple[float, Array]:
    """Return the loss of one row, and its derivative by the scores, (classes,)."""
    if name == "softmax_loss":
        probabilities = np.exp(scores) / np.exp(scores).sum()
        return -np.log(probabilities[int(label)]), probabilities - np.eye(len(scores))[int(label)]
    value, slope = _of_score(name, scores[0], label, hp)
    return value, np.array([slope])


def _of_score(name: str, f: float, y: float, hp: dict[str, Any]) -> tuple[float, float]:
    e, eps, delta, q = f - y, hp["loss_insensitivity"], hp["huber_delta"], hp["quantile"]
    m = hp["margin"]
    p = 1 / (1 + np.exp(-f))
    # MXNet's regression layer has no factor 2 in the derivative of a square.
    losses: dict[str, Callable[[], tuple[float, float]]] = {
        "squared_loss": lambda: (e**2, e),
        "absolute_loss": lambda: (abs(e), np.sign(e)),
        "quantile_loss": lambda: (q * max(-e, 0) + (1 - q) * max(e, 0), 1 - q if e > 0 else -q),
        "huber_loss": lambda: (e**2 / 2, e) if abs(e) < delta else (abs(e) * delta - delta**2 / 2, delta * np.sign(e)),
        "eps_insensitive_squared_loss": lambda: (e**2 - eps**2, e) if abs(e) > eps else (0.0, 0.0),
        "eps_insensitive_absolute_loss": lambda: (abs(e) - eps, np.sign(e)) if abs(e) > eps else (0.0, 0.0),
        "logistic": lambda: (-np.log(p if y else 1 - p), p - y),
        "hinge_loss": lambda: (
            (max(0.0, (m + 1) / 2 - f), -1.0 * (f < (m + 1) / 2))
            if y
            else (max(0.0, (m - 1) / 2 + f), 1.0 * (f > -(m - 1) / 2))
        ),
    }
    return losses[name]()


def _update(model: Array, gradient: Array, state: dict[str, Any], hp: dict[str, Any]) -> None:
    decay = np.full_like(model, hp["wd"])
    decay[-1] *= hp["bias_wd_mult"]
    g, t = gradient + decay * model, state["t"]
    rate = hp["learning_rate"]
    if hp["use_lr_scheduler"]:
        rate = max(rate * hp["lr_scheduler_factor"] ** (t // hp["lr_scheduler_step"]), hp["lr_scheduler_minimum_lr"])
    rates = np.full_like(model, rate)
    rates[-1] *= hp["bias_lr_mult"] if hp["use_bias"] else 0
    state["t"] = t = t + 1
    if hp["optimizer"] == "sgd":
        state["m"] = hp["momentum"] * state["m"] - rates * g
        model += state["m"]
    elif hp["optimizer"] == "rmsprop":
        state["v"] = 0.9 * state["v"] + 0.1 * g**2
        model -= rates * g / np.sqrt(state["v"] + 1e-8)
    else:
        b1, b2 = hp["beta_1"], hp["beta_2"]
        state["m"], state["v"] = b1 * state["m"] + (1 - b1) * g, b2 * state["v"] + (1 - b2) * g**2
        model -= rates * np.sqrt(1 - b2**t) / (1 - b1**t) * state["m"] / (np.sqrt(state["v"]) + 1e-8)
    model[:-1] = np.sign(model[:-1]) * np.maximum(np.abs(model[:-1]) - rate * hp["l1"], 0)
