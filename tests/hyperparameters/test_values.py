"""Every hyperparameter against wrong types, values out of range and the ends of its range."""

from __future__ import annotations

import math
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_ll.exceptions import HyperparameterError
from airflow_ll.hyperparameters import HYPERPARAMETERS, Hyperparameter, Kind, LinearLearnerHyperparameters
from airflow_ll.hyperparameters.values import parsed, rendered, typed
from tests.hyperparameters.surroundings import model_with, surroundings

if TYPE_CHECKING:
    from collections.abc import Iterator

NEVER = [
    object(),
    [],
    [1],
    (),
    {},
    {"a": 1},
    {1},
    b"15",
    1 + 2j,
    lambda: 1,
    int,
    Decimal(1),
    np.array([1]),
    np.eye(9),
    np.array(True),
    "",
    " ",
    "None",
    "nope",
    "{{ params.value }}",
    "nan",
    "1e400",
    "1_000",
    "٣",
    " 15",
]
"""What no hyperparameter takes, in whatever form."""

HUGE = Fraction(10**400, 3)
BOOLEANS = [True, False, np.True_, np.False_]
NOT_FINITE = [math.nan, math.inf, -math.inf, np.float32("nan"), np.float64("inf")]
WRONG_TYPE: dict[Kind, list[Any]] = {
    Kind.INTEGER: [
        *BOOLEANS,
        *NOT_FINITE,
        0.5,
        1.0,
        3.0,
        1.9,
        np.float64(15),
        Fraction(3),
        "15",
        "1.0",
        2**63,
        10**5000,
    ],
    Kind.NUMBER: [*BOOLEANS, *NOT_FINITE, "0.5", "1", "1e-05", 10**400, HUGE],
    Kind.BOOLEAN: [*NOT_FINITE, 0, 1, -1, 0.0, 1.0, np.int64(1), "True", "false", "1", "yes", "on"],
    Kind.CHOICE: [*BOOLEANS, *NOT_FINITE, 0, 1, 0.5, "Auto", "ADAM", "Uniform", "LOGISTIC"],
}


def integers_at_the_ends(parameter: Hyperparameter) -> Iterator[tuple[Any, bool]]:
    low, high = int(parameter.interval.low), parameter.interval.high
    yield from [(low - 1, False), (low, True), (np.int32(low), True), (np.int64(low - 1), False), (-(10**20), False)]
    if high < math.inf:
        yield from [(int(high), True), (int(high) + 1, False), (np.int64(high), True)]
    else:
        yield from [(2**63 - 1, True), (np.int64(2**63 - 1), True)]


def numbers_at_the_ends(parameter: Hyperparameter) -> Iterator[tuple[Any, bool]]:
    interval = parameter.interval
    for end, outside, excluded in (
        (interval.low, -math.inf, interval.open_low),
        (interval.high, math.inf, interval.open_high),
    ):
        if math.isfinite(end):
            beyond, within = math.nextafter(end, outside), math.nextafter(end, -outside)
            yield from [(end, not excluded), (beyond, False), (within, True), (np.float64(within), True)]
            yield int(end), not excluded
        else:
            yield from [(math.copysign(1.7976931348623157e308, end), True), (int(math.copysign(10**6, end)), True)]


def ends(parameter: Hyperparameter) -> Iterator[tuple[Any, bool]]:
    """Values at the ends of the range, and whether they are in it."""
    if parameter.kind is Kind.INTEGER:
        yield from integers_at_the_ends(parameter)
    elif parameter.kind is Kind.NUMBER:
        yield from numbers_at_the_ends(parameter)
    elif parameter.kind is Kind.BOOLEAN:
        yield from [(value, True) for value in BOOLEANS]
    yield from [(word, True) for word in parameter.words]
    yield from [(word, word in parameter.words) for word in ("auto", "balanced", "sgd", "normal")]


WRONG = [(name, value) for name, one in HYPERPARAMETERS.items() for value in [*NEVER, *WRONG_TYPE[one.kind]]]
AT_THE_ENDS = [(name, value, fits) for name, one in HYPERPARAMETERS.items() for value, fits in ends(one)]


def refused(name: str, value: object) -> str:
    with pytest.raises(HyperparameterError) as caught:
        model_with(name, value)
    (fault,) = [fault for fault in caught.value.faults if fault.startswith(f"{name} must be ")]
    return fault


@pytest.mark.parametrize("name", HYPERPARAMETERS)
def test_every_hyperparameter_refuses_wrong_types(name: str) -> None:
    for _, value in [case for case in WRONG if case[0] == name]:
        fault = refused(name, value)
        assert HYPERPARAMETERS[name].allowed in fault
        assert "\n" not in fault
        assert fault.endswith((".", "?"))
        assert len(fault) < 600


@pytest.mark.parametrize("name", HYPERPARAMETERS)
def test_every_hyperparameter_keeps_to_its_range(name: str) -> None:
    parameter = HYPERPARAMETERS[name]
    for _, value, fits in [case for case in AT_THE_ENDS if case[0] == name]:
        if fits:
            assert typed(parameter, value) == value
            assert parsed(parameter, rendered(typed(parameter, value))) == value
        else:
            refused(name, value)


# Written out by hand, so that a wrong table is seen.
ACCEPTED: dict[str, list[Any]] = {
    "predictor_type": ["binary_classifier", "regressor"],
    "num_classes": [3, 1_000_000],
    "feature_dim": ["auto", 1, 10**9],
    "mini_batch_size": [1, 5000, 10**7],
    "epochs": [1, 15, 10**6],
    "num_models": ["auto", 1, 32, 33],
    "num_calibration_samples": ["auto", 1, 10**7],
    "accuracy_top_k": [1, 1_000_000],
    "use_bias": [True, False],
    "use_lr_scheduler": [True, False],
    "balance_multiclass_weights": [True, False],
    "normalize_data": [True, False, "auto"],
    "normalize_label": [True, False, "auto"],
    "unbias_data": [True, False, "auto"],
    "unbias_label": [True, False, "auto"],
    "init_method": ["uniform", "normal"],
    "init_scale": [1e-300, 0.07, 5],
    "init_bias": [-1e300, -1, 0, 0.5],
    "optimizer": ["auto", "sgd", "adam", "rmsprop"],
    "loss": ["auto", "logistic", "hinge_loss"],
    "wd": ["auto", 0, 0.0, 100],
    "learning_rate": ["auto", 1e-9, 1, 50.0],
    "momentum": ["auto", 0, 0.999999],
    "beta_1": ["auto", 0.0, 0.9],
    "bias_lr_mult": ["auto", 10],
    "bias_wd_mult": ["auto", 0],
    "lr_scheduler_step": ["auto", 1, 100],
    "lr_scheduler_factor": ["auto", 1e-9, 0.999999],
    "lr_scheduler_minimum_lr": ["auto", 1e-5],
    "positive_example_weight_mult": ["auto", "balanced", 1e-9, 2, 1e5],
    "margin": [1e-9, 1],
    "quantile": [1e-9, 0.5, 0.999999],
    "target_recall": [1e-9, 0.8, 0.999999],
    "early_stopping_patience": [1, 10**6],
    "early_stopping_tolerance": [1e-9, 2],
    "f_beta": [1e-9, 0.5, 2],
    "binary_classifier_model_selection_criteria": [
        "accuracy",
        "f_beta",
        "precision_at_target_recall",
        "recall_at_target_precision",
        "loss_function",
    ],
}
OUT_OF_RANGE: dict[str, list[Any]] = {
    "predictor_type": ["auto", "classifier", "binary"],
    "num_classes": ["auto", 0, 1_000_001],
    "feature_dim": [0, -1],
    "mini_batch_size": ["auto", 0, -1],
    "epochs": ["auto", 0, -1],
    "num_models": [0],
    "accuracy_top_k": ["auto", 0, 1_000_001],
    "use_bias": ["auto"],
    "use_lr_scheduler": ["auto"],
    "balance_multiclass_weights": ["auto"],
    "init_method": ["auto", "xavier"],
    "init_scale": ["auto", 0, -0.07],
    "init_sigma": ["auto", 0],
    "init_bias": ["auto"],
    "optimizer": ["adagrad"],
    "loss": ["cross_entropy", "hinge"],
    "wd": [-1e-300, -1],
    "l1": [-1],
    "learning_rate": [0, -0.1],
    "momentum": [1, 1.0, -0.1],
    "beta_1": [1.0, -0.1],
    "beta_2": [1.0, -0.1],
    "bias_lr_mult": [0],
    "bias_wd_mult": [-1],
    "lr_scheduler_step": [0],
    "lr_scheduler_factor": [0, 1],
    "lr_scheduler_minimum_lr": [0],
    "positive_example_weight_mult": [0, -1],
    "margin": ["auto", 0],
    "quantile": ["auto", 0, 1],
    "loss_insensitivity": ["auto", 0],
    "huber_delta": ["auto", 0],
    "target_recall": ["auto", 0, 1],
    "target_precision": ["auto", 0, 1],
    "early_stopping_patience": ["auto", 0],
    "early_stopping_tolerance": ["auto", 0],
    "f_beta": ["auto", 0, -1],
    "binary_classifier_model_selection_criteria": ["auto", "auc"],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name in ACCEPTED for value in ACCEPTED[name]])
def test_these_values_are_accepted_and_sent(name: str, value: Any) -> None:
    model = model_with(name, value)
    assert getattr(model, name) == value
    assert type(getattr(model, name)) in ({float} if HYPERPARAMETERS[name].kind is Kind.NUMBER else {type(value)}) | {
        str
    }
    assert model.to_request()[name] == str(getattr(model, name))


@pytest.mark.parametrize(("name", "value"), [(name, value) for name in OUT_OF_RANGE for value in OUT_OF_RANGE[name]])
def test_these_values_are_refused(name: str, value: Any) -> None:
    refused(name, value)


class Optimizer(str, Enum):  # noqa: UP042 - its str() is not its value
    ADAM = "adam"


@pytest.mark.parametrize(
    ("name", "value", "plain"),
    [
        ("epochs", np.int16(7), 7),
        ("epochs", np.uint64(7), 7),
        ("wd", np.float32(0.5), 0.5),
        ("wd", np.int8(2), 2.0),
        ("wd", 1, 1.0),
        ("wd", Fraction(1, 4), 0.25),
        ("use_bias", np.False_, False),
        ("optimizer", np.str_("adam"), "adam"),
        ("optimizer", Optimizer.ADAM, "adam"),
    ],
)
def test_scalars_of_numpy_and_enums_become_plain_values(name: str, value: Any, plain: object) -> None:
    kept = model_with(name, value).given[name]
    assert kept == plain
    assert type(kept) is type(plain)


def test_zero_has_no_sign() -> None:
    assert model_with("wd", -0.0).to_request()["wd"] == "0.0"


LEAVE_OUT = "choose another or leave it out for the service's default"
LEAVE_TO_THE_ALGORITHM = "choose another or leave it out, then the algorithm chooses"


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("epochs", "15", "epochs must be an integer >= 1, but got '15' (str): write 15, without quotes."),
        ("epochs", 15.0, "epochs must be an integer >= 1, but got 15.0 (float): write 15."),
        ("epochs", 1.9, "epochs must be an integer >= 1, but got 1.9 (float): it is not rounded, choose an integer."),
        ("epochs", True, "epochs must be an integer >= 1, but got True (bool): write a plain integer."),
        ("epochs", "auto", f"epochs must be an integer >= 1, but got 'auto' (str): {LEAVE_OUT}, 15."),
        ("epochs", "-1", f"epochs must be an integer >= 1, but got -1 (int): {LEAVE_OUT}, 15."),
        ("use_bias", "no", "use_bias must be True or False, but got 'no' (str): write True or False."),
        ("use_bias", "FALSE", "use_bias must be True or False, but got 'FALSE' (str): write False, without quotes."),
        ("use_bias", 1, "use_bias must be True or False, but got 1 (int): write True or False."),
        ("wd", math.nan, "wd must be a number >= 0 or 'auto', but got nan (float): it has to be finite."),
        ("wd", -1, f"wd must be a number >= 0 or 'auto', but got -1 (int): {LEAVE_TO_THE_ALGORITHM}."),
        (
            "optimizer",
            "Adam",
            "optimizer must be one of 'sgd', 'adam', 'rmsprop', 'auto', but got 'Adam' (str): did you mean 'adam'?",
        ),
        (
            "epochs",
            2**64,
            "epochs must be an integer >= 1, but got an integer of 65 bits (int): it has to fit in 64 bits.",
        ),
    ],
)
def test_a_fault_is_one_sentence(name: str, value: Any, sentence: str) -> None:
    assert refused(name, value) == sentence


@pytest.mark.parametrize("text", ["True", "true", "TRUE", "tRuE", "False", "false", "FALSE", "fAlSe"])
def test_booleans_are_parsed_in_any_case(text: str) -> None:
    assert parsed(HYPERPARAMETERS["use_bias"], text) is (text.lower() == "true")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("use_bias", "1"),
        ("use_bias", "yes"),
        ("use_bias", "auto"),
        ("use_bias", True),
        ("epochs", "15.0"),
        ("epochs", "1e3"),
        ("epochs", "0x10"),
        ("epochs", "1_000"),
        ("epochs", " 15"),
        ("epochs", "15\n"),
        ("epochs", "٣"),
        ("epochs", "9" * 40),
        ("epochs", "9" * 2500),
        ("epochs", 15),
        ("wd", "nan"),
        ("wd", "inf"),
        ("wd", "1e999"),
        ("wd", "-1"),
        ("wd", "0,5"),
        ("wd", "."),
        ("wd", "1e"),
        ("wd", ""),
        ("wd", 0.5),
        ("optimizer", "ADAM"),
    ],
)
def test_strings_are_parsed_strictly(name: str, text: Any) -> None:
    request = {**{key: rendered(value) for key, value in surroundings(name).items()}, name: text}
    with pytest.raises(HyperparameterError, match=f"^{name} must be "):
        LinearLearnerHyperparameters.from_request(request)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("epochs", "+15", 15),
        ("epochs", "0015", 15),
        ("wd", "1", 1.0),
        ("wd", "1.", 1.0),
        ("wd", ".5", 0.5),
        ("wd", "1E-05", 1e-5),
        ("positive_example_weight_mult", "balanced", "balanced"),
    ],
)
def test_strings_are_parsed_in_every_spelling_of_a_number(name: str, text: str, value: object) -> None:
    assert parsed(HYPERPARAMETERS[name], text) == value


@given(st.sampled_from([one for one in HYPERPARAMETERS.values() if one.kind is Kind.NUMBER]), st.floats())
def test_a_number_is_accepted_exactly_when_it_is_in_range(parameter: Hyperparameter, number: float) -> None:
    if math.isfinite(number) and number in parameter.interval:
        assert parsed(parameter, rendered(typed(parameter, number))) == number
    else:
        with pytest.raises(ValueError, match=f"^{parameter.name} must be a number"):
            typed(parameter, number)
