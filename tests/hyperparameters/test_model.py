"""The model: attributes, forms, equality, copies, and round trips of anything it accepts."""

from __future__ import annotations

import copy
import pickle
import warnings
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_ll.exceptions import HyperparameterError
from airflow_ll.hyperparameters import (
    HYPERPARAMETERS,
    Hyperparameter,
    HyperparameterWarning,
    Kind,
    LinearLearnerHyperparameters,
)

LENIENT = {"predictor_type": "regressor", "target_recall": "0.8", "num_classes": "1", "margin": "1.0"}


@pytest.fixture
def model() -> LinearLearnerHyperparameters:
    return LinearLearnerHyperparameters(wd=0, predictor_type="regressor", normalize_data="auto", epochs=None)


def test_given_is_what_was_set_in_the_tables_order(model: LinearLearnerHyperparameters) -> None:
    assert list(model.given.items()) == [("predictor_type", "regressor"), ("normalize_data", "auto"), ("wd", 0.0)]
    model.given.clear()
    assert len(model.given) == 3


def test_an_attribute_is_the_value_given_else_the_services_default(model: LinearLearnerHyperparameters) -> None:
    assert (model.wd, model.normalize_data) == (0.0, "auto")
    assert (model.epochs, model.l1, model.use_bias, model.feature_dim) == (15, "auto", True, "auto")
    assert {name: getattr(model, name) for name in HYPERPARAMETERS} == {
        **{name: parameter.default for name, parameter in HYPERPARAMETERS.items()},
        **model.given,
    }


def test_an_unknown_attribute_names_the_nearest_one(model: LinearLearnerHyperparameters) -> None:
    with pytest.raises(AttributeError, match=r"did you mean 'epochs'\?$"):
        _ = model.epoch
    assert not hasattr(model, "__deepcopy__")
    assert {*HYPERPARAMETERS, "given", "to_request"} <= set(dir(model))


def test_the_request_holds_strings(model: LinearLearnerHyperparameters) -> None:
    assert model.to_request() == {"predictor_type": "regressor", "normalize_data": "auto", "wd": "0.0"}
    model = LinearLearnerHyperparameters(
        predictor_type="multiclass_classifier", num_classes=5, use_bias=True, unbias_data=False, learning_rate=1e-5
    )
    assert model.to_request() == {
        "predictor_type": "multiclass_classifier",
        "num_classes": "5",
        "use_bias": "True",
        "unbias_data": "False",
        "learning_rate": "1e-05",
    }


def test_rendered_templates_are_strings_or_typed() -> None:
    values = {
        "predictor_type": "regressor",
        "epochs": "15",
        "use_bias": "FALSE",
        "wd": 1,
        "momentum": None,
    }
    model = LinearLearnerHyperparameters.from_rendered(values)
    assert model.given == {"predictor_type": "regressor", "use_bias": False, "epochs": 15, "wd": 1.0}


def test_rendered_templates_are_held_to_all_rules() -> None:
    values = {"predictor_type": "regressor", "epochs": "1.5", "wd": True, "margin": "1.0", "_kvstore": "x"}
    with pytest.raises(HyperparameterError) as caught:
        LinearLearnerHyperparameters.from_rendered(values)
    assert [fault.split()[0] for fault in caught.value.faults] == ["epochs", "wd", "_kvstore", "margin"]
    with pytest.warns(HyperparameterWarning, match="num_classes") as seen:
        LinearLearnerHyperparameters.from_rendered({"predictor_type": "regressor", "num_classes": "2"})
    assert seen[0].filename == __file__


def test_a_model_is_immutable(model: LinearLearnerHyperparameters) -> None:
    with pytest.raises(AttributeError, match=r"use replace\(epochs=\.\.\.\)"):
        model.epochs = 3
    with pytest.raises(AttributeError, match=r"use replace\(wd=None\)"):
        del model.wd
    with pytest.raises(AttributeError, match="immutable"):
        model.new = 3
    assert model.epochs == 15


def test_replace_returns_another_model(model: LinearLearnerHyperparameters) -> None:
    assert model.replace(epochs=3, wd=None).given == {
        "predictor_type": "regressor",
        "normalize_data": "auto",
        "epochs": 3,
    }
    assert model.replace() == model
    with pytest.raises(HyperparameterError, match="epochs must be an integer"):
        model.replace(epochs="3")
    with pytest.raises(HyperparameterError, match="predictor_type must be one of"):
        model.replace(predictor_type=None)


def test_replace_speaks_only_of_what_is_new() -> None:
    described = LinearLearnerHyperparameters.from_request(LENIENT)
    assert described.replace(epochs=3).to_request() == {**LENIENT, "epochs": "3"}
    with pytest.raises(HyperparameterError) as caught:
        described.replace(margin=2.0, momentum=0.5)
    assert [fault.split()[0] for fault in caught.value.faults] == ["margin", "momentum"]
    with pytest.warns(HyperparameterWarning, match="accuracy_top_k has an effect") as seen:
        described.replace(accuracy_top_k=5)
    assert [warning.filename for warning in seen] == [__file__]


def test_replace_sees_what_a_new_choice_makes_irrelevant() -> None:
    model = LinearLearnerHyperparameters(predictor_type="regressor", loss="huber_loss", huber_delta=2)
    with pytest.raises(HyperparameterError, match="huber_delta has an effect only with loss='huber_loss'"):
        model.replace(loss="squared_loss")
    assert model.replace(loss="squared_loss", huber_delta=None).given["loss"] == "squared_loss"


def test_equality_and_hash_are_those_of_what_was_given(model: LinearLearnerHyperparameters) -> None:
    same = LinearLearnerHyperparameters(normalize_data="auto", wd=0.0, predictor_type="regressor")
    assert model == same
    assert hash(model) == hash(same)
    assert model != same.replace(epochs=15)
    assert model != model.given
    assert len({model, same}) == 1


def test_the_representation_is_the_call(model: LinearLearnerHyperparameters) -> None:
    text = "LinearLearnerHyperparameters(predictor_type='regressor', normalize_data='auto', wd=0.0)"
    assert repr(model) == text
    assert eval(text) == model


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_copies_are_equal_and_say_nothing(duplicate: Any) -> None:
    for model in (
        LinearLearnerHyperparameters(predictor_type="regressor", wd=1),
        LinearLearnerHyperparameters.from_request(LENIENT),
    ):
        assert duplicate(model) == model
        assert type(duplicate(model)) is LinearLearnerHyperparameters


def test_the_error_is_a_value_error_that_survives_a_process() -> None:
    with pytest.raises(ValueError, match="predictor_type") as caught:
        LinearLearnerHyperparameters(epochs=0)
    error = pickle.loads(pickle.dumps(caught.value))
    assert isinstance(error, HyperparameterError)
    assert len(error.faults) == 2


def values_of(parameter: Hyperparameter) -> st.SearchStrategy[Any]:
    words = st.sampled_from(parameter.words) if parameter.words else st.nothing()
    low, high = parameter.interval.low, parameter.interval.high
    if parameter.kind is Kind.INTEGER:
        return words | st.integers(int(low), int(min(high, 2**63 - 1)))
    if parameter.kind is Kind.NUMBER:
        return words | st.floats(allow_nan=False, allow_infinity=False).filter(parameter.interval.__contains__)
    return words | st.booleans() if parameter.kind is Kind.BOOLEAN else words


@st.composite
def valid(draw: st.DrawFn) -> dict[str, Any]:
    """Draw values that the constructor takes without a word."""
    names = draw(st.sets(st.sampled_from([name for name in HYPERPARAMETERS if name != "predictor_type"])))
    drawn = {name: draw(values_of(HYPERPARAMETERS[name])) for name in HYPERPARAMETERS if name in names}
    drawn["predictor_type"] = draw(values_of(HYPERPARAMETERS["predictor_type"]))
    if drawn["predictor_type"] == "multiclass_classifier":
        drawn["num_classes"] = draw(st.integers(3, 1_000_000))
    losses = {
        "binary_classifier": ["auto", "logistic", "hinge_loss"],
        "multiclass_classifier": ["auto", "softmax_loss"],
        "regressor": ["auto", "huber_loss", "quantile_loss", "eps_insensitive_squared_loss", "squared_loss"],
    }
    if "loss" in drawn:
        drawn["loss"] = draw(st.sampled_from(losses[drawn["predictor_type"]]))
    relevant = {
        name: value for name, value in drawn.items() if drawn["predictor_type"] in HYPERPARAMETERS[name].applies_to
    }
    for name in list(relevant):
        condition = HYPERPARAMETERS[name].only_with
        if condition and not condition.holds(relevant.get(condition.name)):
            del relevant[name]
    return relevant


@given(valid())
def test_every_form_leads_back_to_the_same_model(values: dict[str, Any]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = LinearLearnerHyperparameters(**values)
        request = model.to_request()
        assert LinearLearnerHyperparameters.from_rendered(values) == model
        assert LinearLearnerHyperparameters.from_rendered(request) == model
    assert model.given == values
    assert all(isinstance(text, str) and len(text) <= 2500 for text in request.values())
    assert LinearLearnerHyperparameters.from_request(request) == model
    lower = {name: text.lower() if text in {"True", "False"} else text for name, text in request.items()}
    assert LinearLearnerHyperparameters.from_request(lower) == model
    assert pickle.loads(pickle.dumps(model)) == model


WORDS = st.sampled_from(["auto", "f1", "hinge_loss", "regressor", "multiclass_classifier"])
ANYTHING = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.lists(st.integers()) | WORDS
)
NAMES = st.sampled_from([*HYPERPARAMETERS]) | st.text(max_size=20)


@given(
    st.dictionaries(
        NAMES, ANYTHING | st.sampled_from(["auto", "f1", "hinge_loss", "regressor", "multiclass_classifier"])
    )
)
def test_anything_is_a_model_or_a_list_of_sentences(values: dict[str, Any]) -> None:
    for read in (LinearLearnerHyperparameters.from_rendered, LinearLearnerHyperparameters.from_request):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", HyperparameterWarning)
                model = read(values)
        except HyperparameterError as error:
            faults = error.faults
        else:
            assert LinearLearnerHyperparameters.from_request(model.to_request()) == model
            continue
        assert faults
        assert all(fault.endswith((".", "?")) for fault in faults)
