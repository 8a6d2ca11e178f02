"""The rules between hyperparameters."""

from __future__ import annotations

import json
import warnings
from typing import TYPE_CHECKING, Any

import pytest

from airflow_ll.exceptions import HyperparameterError
from airflow_ll.hyperparameters import HyperparameterWarning, LinearLearnerHyperparameters, check_literals

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

CRITERION = "binary_classifier_model_selection_criteria"
BINARY = {"predictor_type": "binary_classifier"}
MULTICLASS = {"predictor_type": "multiclass_classifier", "num_classes": 3}
REGRESSOR = {"predictor_type": "regressor"}


def faults(values: dict[str, Any]) -> tuple[str, ...]:
    with pytest.raises(HyperparameterError) as caught:
        LinearLearnerHyperparameters(**values)
    assert str(caught.value) == "\n".join(caught.value.faults)
    return caught.value.faults


def given(values: dict[str, Any]) -> Mapping[str, object]:
    return LinearLearnerHyperparameters(**values).given


@pytest.mark.parametrize("values", [{}, {"predictor_type": None}, {"epochs": 3}])
def test_the_predictor_type_is_required(values: dict[str, Any]) -> None:
    (fault,) = faults(values)
    assert fault == (
        "predictor_type must be one of 'binary_classifier', 'multiclass_classifier', 'regressor', "
        "but it is missing: say what is to be learned."
    )


LOSSES = {
    "binary_classifier": {"logistic", "hinge_loss"},
    "multiclass_classifier": {"softmax_loss"},
    "regressor": {
        "squared_loss",
        "absolute_loss",
        "eps_insensitive_squared_loss",
        "eps_insensitive_absolute_loss",
        "quantile_loss",
        "huber_loss",
    },
}


@pytest.mark.parametrize("surroundings", [BINARY, MULTICLASS, REGRESSOR])
@pytest.mark.parametrize("loss", sorted({"auto"}.union(*LOSSES.values())))
def test_the_loss_suits_the_predictor_type(surroundings: dict[str, Any], loss: str) -> None:
    values = {**surroundings, "loss": loss}
    if loss == "auto" or loss in LOSSES[surroundings["predictor_type"]]:
        assert given(values)["loss"] == loss
    else:
        (fault,) = faults(values)
        assert fault.startswith("loss must be one of ")
        assert f" for a {surroundings['predictor_type']}, but got '{loss}'" in fault
        assert all(repr(allowed) in fault for allowed in LOSSES[surroundings["predictor_type"]])


@pytest.mark.parametrize("classes", [None, 1, 2])
def test_a_multiclass_classifier_has_three_classes(classes: int | None) -> None:
    (fault,) = faults({"predictor_type": "multiclass_classifier", "num_classes": classes})
    assert fault.startswith("num_classes must be at least 3 for a multiclass_classifier, but ")
    assert ("missing" if classes is None else f"got {classes}") in fault
    assert "predictor_type='binary_classifier'" in fault


@pytest.mark.parametrize("surroundings", [BINARY, REGRESSOR])
@pytest.mark.parametrize("classes", [1, 2, 3, 10])
def test_the_number_of_classes_is_ignored_elsewhere(surroundings: dict[str, Any], classes: int) -> None:
    with pytest.warns(
        HyperparameterWarning, match="^num_classes has an effect on a multiclass_classifier only"
    ) as seen:
        model = LinearLearnerHyperparameters(**surroundings, num_classes=classes)
    assert seen[0].filename == __file__
    assert model == LinearLearnerHyperparameters(**surroundings)
    assert model.to_request() == surroundings


def test_a_wrong_number_of_classes_is_refused_even_where_it_is_ignored() -> None:
    assert len(faults({**REGRESSOR, "num_classes": 0})) == 1


FITTING: list[tuple[dict[str, Any], dict[str, Any]]] = [
    (BINARY | {CRITERION: "precision_at_target_recall"}, {"target_recall": 0.9}),
    (BINARY | {CRITERION: "recall_at_target_precision"}, {"target_precision": 0.9}),
    (BINARY | {CRITERION: "f_beta"}, {"f_beta": 2.0}),
    (BINARY, {"f_beta": 2.0}),
    (MULTICLASS, {"f_beta": 2.0}),
    (BINARY | {"loss": "hinge_loss"}, {"margin": 2.0}),
    (REGRESSOR | {"loss": "quantile_loss"}, {"quantile": 0.9}),
    (REGRESSOR | {"loss": "huber_loss"}, {"huber_delta": 2.0}),
    (REGRESSOR | {"loss": "eps_insensitive_squared_loss"}, {"loss_insensitivity": 0.1}),
    (REGRESSOR | {"loss": "eps_insensitive_absolute_loss"}, {"loss_insensitivity": 0.1}),
    *[(BINARY | adam, {"beta_1": 0.5, "beta_2": 0.5}) for adam in ({}, {"optimizer": "adam"}, {"optimizer": "auto"})],
    (BINARY | {"optimizer": "sgd"}, {"momentum": 0.5}),
    *[
        (BINARY | scheduler, {"lr_scheduler_step": 5, "lr_scheduler_factor": 0.5, "lr_scheduler_minimum_lr": 0.1})
        for scheduler in ({}, {"use_lr_scheduler": True})
    ],
]

UNFITTING: list[tuple[dict[str, Any], dict[str, Any]]] = [
    (BINARY, {"target_recall": 0.8}),
    (BINARY | {CRITERION: "recall_at_target_precision"}, {"target_recall": 0.9}),
    (BINARY, {"target_precision": 0.8}),
    (BINARY | {CRITERION: "accuracy"}, {"target_precision": 0.9}),
    (MULTICLASS, {"target_recall": 0.9}),
    (REGRESSOR, {"target_precision": 0.9}),
    (BINARY | {CRITERION: "accuracy"}, {"f_beta": 1.0}),
    (REGRESSOR, {"f_beta": 1.0}),
    (BINARY, {"margin": 1.0}),
    (BINARY | {"loss": "auto"}, {"margin": 1.0}),
    (BINARY | {"loss": "logistic"}, {"margin": 1.0}),
    (MULTICLASS, {"margin": 1.0}),
    (REGRESSOR, {"quantile": 0.5}),
    (REGRESSOR | {"loss": "huber_loss"}, {"quantile": 0.5}),
    (BINARY, {"quantile": 0.5}),
    (REGRESSOR, {"huber_delta": 1.0}),
    (REGRESSOR | {"loss": "quantile_loss"}, {"huber_delta": 1.0}),
    (REGRESSOR | {"loss": "squared_loss"}, {"loss_insensitivity": 0.01}),
    (BINARY | {"optimizer": "sgd"}, {"beta_1": 0.9}),
    (BINARY | {"optimizer": "rmsprop"}, {"beta_2": 0.9}),
    (BINARY, {"momentum": 0.0}),
    (BINARY | {"optimizer": "auto"}, {"momentum": 0.5}),
    (BINARY | {"optimizer": "adam"}, {"momentum": 0.5}),
    (BINARY | {"use_lr_scheduler": False}, {"lr_scheduler_step": 5}),
    (BINARY | {"use_lr_scheduler": False}, {"lr_scheduler_factor": 0.5}),
    (BINARY | {"use_lr_scheduler": False}, {"lr_scheduler_minimum_lr": 0.5}),
]


@pytest.mark.parametrize(("choices", "fitting"), FITTING)
def test_a_hyperparameter_beside_its_choice_is_accepted(choices: dict[str, Any], fitting: dict[str, Any]) -> None:
    assert given(choices | fitting) == choices | fitting


@pytest.mark.parametrize(("choices", "unfitting"), UNFITTING)
def test_a_hyperparameter_without_its_choice_is_refused(choices: dict[str, Any], unfitting: dict[str, Any]) -> None:
    (name,) = unfitting
    (fault,) = faults(choices | unfitting)
    assert fault.startswith(f"{name} has an effect o")
    assert fault.endswith((f"leave {name} out.", "leave it out."))


@pytest.mark.parametrize(("choices", "unfitting"), UNFITTING)
def test_a_job_that_has_one_is_read_and_sent_as_it_is(choices: dict[str, Any], unfitting: dict[str, Any]) -> None:
    request = {name: str(value) for name, value in (choices | unfitting).items()}
    assert LinearLearnerHyperparameters.from_request(request).to_request() == request


def test_auto_asks_for_nothing() -> None:
    values = {**REGRESSOR, "momentum": "auto", "use_lr_scheduler": False, "lr_scheduler_step": "auto"}
    assert given({**values, "positive_example_weight_mult": "auto"})["momentum"] == "auto"


@pytest.mark.parametrize(
    ("surroundings", "name", "value"),
    [
        (REGRESSOR, CRITERION, "accuracy"),
        (MULTICLASS, CRITERION, "f_beta"),
        (REGRESSOR, "accuracy_top_k", 2),
        (BINARY, "accuracy_top_k", 2),
        (MULTICLASS, "positive_example_weight_mult", "balanced"),
        (BINARY, "balance_multiclass_weights", True),
        (BINARY, "normalize_label", True),
        (MULTICLASS, "unbias_label", False),
        (REGRESSOR, "num_calibration_samples", 100),
    ],
)
def test_what_the_service_ignores_is_warned_about_and_sent(
    surroundings: dict[str, Any], name: str, value: object
) -> None:
    with pytest.warns(HyperparameterWarning, match=f"^{name} has an effect on a .*: it is ignored.$"):
        model = LinearLearnerHyperparameters(**surroundings, **{name: value})
    assert model.to_request()[name] == str(value)


def test_an_ignored_criterion_does_not_make_f_beta_irrelevant() -> None:
    with pytest.warns(HyperparameterWarning, match=f"^{CRITERION} has an effect on a binary_classifier only"):
        model = LinearLearnerHyperparameters(**MULTICLASS, **{CRITERION: "accuracy"}, f_beta=2)
    assert model.f_beta == 2


@pytest.mark.parametrize(
    ("legacy", "today"),
    [
        ({CRITERION: "f1"}, {CRITERION: "f_beta", "f_beta": 1.0}),
        ({CRITERION: "f1", "f_beta": 1}, {CRITERION: "f_beta", "f_beta": 1.0}),
        ({CRITERION: "cross_entropy_loss"}, {CRITERION: "loss_function"}),
    ],
)
def test_a_criterion_of_the_past_is_sent_by_its_new_name(legacy: dict[str, Any], today: dict[str, Any]) -> None:
    with pytest.warns(HyperparameterWarning, match="is a name of the past"):
        model = LinearLearnerHyperparameters(**BINARY, **legacy)
    assert model == LinearLearnerHyperparameters(**BINARY, **today)
    described = {name: str(value) for name, value in (BINARY | legacy).items()}
    assert LinearLearnerHyperparameters.from_request(described) == model


def test_f1_is_of_beta_1() -> None:
    (fault,) = faults({**BINARY, CRITERION: "f1", "f_beta": 2})
    assert (
        fault == f"f_beta must be 1 with {CRITERION}='f1', but got 2.0: choose {CRITERION}='f_beta' for another beta."
    )


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("normalise_data", "normalise_data is not a hyperparameter of LinearLearner: did you mean 'normalize_data'?"),
        ("Epochs", "Epochs is not a hyperparameter of LinearLearner: did you mean 'epochs'?"),
        ("batch_size", "batch_size is not a hyperparameter of LinearLearner: did you mean 'mini_batch_size'?"),
        ("zzz", "zzz is not a hyperparameter of LinearLearner: leave it out."),
        ("_kvstore", "_kvstore is private to the service and cannot be set: leave it out."),
    ],
)
def test_unknown_names_are_refused_with_the_nearest_known_one(name: str, sentence: str) -> None:
    assert faults({**REGRESSOR, name: 1}) == (sentence,)
    assert faults({**REGRESSOR, name: None}) == (sentence,)


def test_everything_wrong_is_told_at_once() -> None:
    found = faults(
        {"epoch": 3, "epochs": "3", "use_bias": 1, "loss": "log", "momentum": 2, "num_classes": 3, "quantile": 0.5}
    )
    assert [fault.split()[0] for fault in found] == [
        "epoch",
        "epochs",
        "use_bias",
        "loss",
        "momentum",
        "predictor_type",
        "momentum",
    ]


def test_an_unseen_choice_is_not_held_against_what_depends_on_it() -> None:
    (fault,) = faults({"predictor_type": "binary", "num_classes": 1, "loss": "hinge_loss", "f_beta": 1})
    assert fault.startswith("predictor_type ")
    (fault,) = faults({**BINARY, "loss": "hinge", "margin": 1.0})
    assert fault.startswith("loss ")


def test_warnings_come_only_with_a_model() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(faults({**BINARY, "num_classes": 2, "epochs": 0})) == 1


def test_a_description_is_held_to_the_requirements() -> None:
    for request in (
        {"epochs": "3"},
        {"predictor_type": "multiclass_classifier"},
        {"predictor_type": "binary_classifier", "loss": "squared_loss"},
        {"predictor_type": "regressor", "epoch": "3"},
        {"predictor_type": "regressor", "epochs": "three"},
    ):
        with pytest.raises(HyperparameterError) as caught:
            LinearLearnerHyperparameters.from_request(request)
        assert len(caught.value.faults) == 1


@pytest.mark.parametrize("predictor_type", ["binary_classifier", "multiclass_classifier", "regressor"])
def test_the_containers_defaults_are_read(shared: Path, predictor_type: str) -> None:
    container = json.loads((shared / "aws-jobs" / "default-input_2024.json").read_text())
    request = {**container, "predictor_type": predictor_type}
    if predictor_type == "multiclass_classifier":
        request["num_classes"] = "7"
    model = LinearLearnerHyperparameters.from_request(request)
    assert {name: text.lower() for name, text in model.to_request().items()} == {
        name: text for name, text in request.items() if not name.startswith("_")
    }
    assert model.epochs == 15
    assert model.replace(epochs=3).given == {**model.given, "epochs": 3}


@pytest.mark.parametrize(
    ("request_", "sentence"),
    [
        ({f"_{number}": "" for number in range(100)}, "HyperParameters hold at most 100 entries, but got 101"),
        ({f"_{'x' * 256}": ""}, "must have at most 256 characters, but it has 257: shorten it."),
        ({"_private": "x" * 2501}, "The value of '_private' must have at most 2500 characters, but it has 2501"),
        ({"wd": "0." + "1" * 2500}, "The value of 'wd' must have at most 2500 characters, but it has 2502"),
    ],
)
def test_the_limits_of_the_api_hold(request_: dict[str, str], sentence: str) -> None:
    with pytest.raises(HyperparameterError) as caught:
        LinearLearnerHyperparameters.from_request({"predictor_type": "regressor", **request_})
    assert any(sentence in fault for fault in caught.value.faults)


def is_template(value: object) -> bool:
    return isinstance(value, str) and "{{" in value


T = "{{ params.value }}"


@pytest.mark.parametrize(
    ("values", "names"),
    [
        ({"predictor_type": T}, []),
        ({"predictor_type": T, "epochs": 0, "wd": T, "epoch": T}, ["epochs", "epoch"]),
        ({}, ["predictor_type"]),
        ({"predictor_type": None}, ["predictor_type"]),
        ({**BINARY, "epochs": "15", "use_bias": "true"}, ["epochs", "use_bias"]),
        ({**BINARY, "loss": T, "margin": 1.0}, []),
        ({**BINARY, "loss": "hinge_loss", "margin": T}, []),
        ({**BINARY, "margin": T}, []),
        ({**BINARY, "margin": 1.0}, ["margin"]),
        ({"predictor_type": T, CRITERION: "accuracy", "f_beta": 2}, []),
        ({"predictor_type": T, "loss": "log"}, ["loss"]),
        ({"predictor_type": "multiclass_classifier", "num_classes": T}, []),
        ({"predictor_type": "multiclass_classifier"}, ["num_classes"]),
        ({**BINARY, CRITERION: "f1", "f_beta": T}, []),
        ({**BINARY, "num_classes": 2}, []),
    ],
)
def test_literals_are_checked_around_templates(values: dict[str, Any], names: list[str]) -> None:
    assert sorted(fault.split()[0] for fault in check_literals(values, is_template)) == sorted(names)


@pytest.mark.parametrize("values", ["{{ xcom }}", None, [("epochs", 3)]])
def test_hyperparameters_are_a_mapping(values: Any) -> None:
    for read in (LinearLearnerHyperparameters.from_rendered, LinearLearnerHyperparameters.from_request):
        with pytest.raises(HyperparameterError, match=r"must be a mapping of names to values, but got .+: pass a dict"):
            read(values)


def test_a_name_that_is_no_string_is_refused() -> None:
    values: dict[Any, Any] = {"predictor_type": "regressor", 3: "x"}
    for read in (LinearLearnerHyperparameters.from_rendered, LinearLearnerHyperparameters.from_request):
        with pytest.raises(HyperparameterError, match="3 is not a hyperparameter: names are strings"):
            read(values)
