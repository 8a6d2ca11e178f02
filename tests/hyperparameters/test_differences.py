"""What the SDK does with a value we do too, or the documentation says why not."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from airflow_ll.exceptions import HyperparameterError
from airflow_ll.hyperparameters import HYPERPARAMETERS, HyperparameterWarning, Kind, LinearLearnerHyperparameters
from tests.hyperparameters.surroundings import model_with

if TYPE_CHECKING:
    from collections.abc import Callable

PAGE = Path(__file__).parents[2] / "docs" / "differences-from-sdk.md"

REFUSED = "refused"
NUMERIC = (Kind.INTEGER, Kind.NUMBER)


class Probe(NamedTuple):
    """One value for one hyperparameter; ``theirs`` and ``ours`` are what is sent, or REFUSED."""

    name: str
    value: Any
    theirs: str | None
    ours: str | None

    @property
    def kind(self) -> Kind:
        return HYPERPARAMETERS[self.name].kind


WEIGHT = "positive_example_weight_mult"

DIFFERENCES: dict[str, Callable[[Probe], bool]] = {
    "`auto` is accepted": lambda probe: probe.value == "auto" and probe.ours == "auto",
    "Booleans are booleans": lambda probe: (
        probe.kind is Kind.BOOLEAN and not isinstance(probe.value, bool) and probe.ours == REFUSED
    ),
    "Booleans are not numbers": lambda probe: (
        probe.kind in NUMERIC and isinstance(probe.value, bool) and probe.ours == REFUSED
    ),
    "Strings are not numbers": lambda probe: (
        probe.kind in NUMERIC and probe.value in ("0.5", "15", "15.0") and probe.ours == REFUSED
    ),
    "Integers are not rounded": lambda probe: (
        probe.kind is Kind.INTEGER and isinstance(probe.value, float) and probe.ours == REFUSED
    ),
    "NaN and infinity are refused": lambda probe: (
        isinstance(probe.value, float) and not math.isfinite(probe.value) and probe.ours == REFUSED
    ),
    f"`{WEIGHT}` is checked": lambda probe: (
        probe.name == WEIGHT
        and (
            probe.ours == REFUSED
            if isinstance(probe.value, str) or probe.value <= 0
            else probe.ours == repr(float(probe.value))
        )
    ),
    "`margin` and `huber_delta` are positive": lambda probe: (
        probe.name in {"margin", "huber_delta"} and probe.value == 0 and probe.ours == REFUSED
    ),
    "A multiclass classifier has at least three classes": lambda probe: (
        probe.name == "num_classes" and probe.value in (None, 1, 2) and probe.ours == REFUSED
    ),
    "`predictor_type` is required": lambda probe: (
        probe.name == "predictor_type" and probe.value is None and probe.ours == REFUSED
    ),
}
"""Each deliberate difference by its heading in the documentation, and the probes that it covers."""


def sent(name: str, value: object) -> str | None:
    try:
        return model_with(name, value).to_request().get(name)
    except HyperparameterError:
        return REFUSED


@pytest.fixture(scope="module")
def probes(shared: Path) -> list[Probe]:
    recorded = json.loads((shared / "golden" / "hyperparameter_probes.json").read_text())
    found = []
    for name, attempts in recorded.items():
        for attempt in attempts:
            value = eval(attempt["in"], {"nan": math.nan, "inf": math.inf})
            theirs = REFUSED if "error" in attempt else attempt["sent"]
            found.append(Probe(name, value, theirs, sent(name, value)))
    return found


def test_the_probes_cover_every_hyperparameter(probes: list[Probe]) -> None:
    assert {probe.name for probe in probes} == set(HYPERPARAMETERS)


def test_every_probe_agrees_or_is_a_documented_difference(probes: list[Probe]) -> None:
    differing = [probe for probe in probes if probe.ours != probe.theirs]
    assert [probe for probe in differing if not any(covers(probe) for covers in DIFFERENCES.values())] == []


@pytest.mark.parametrize("heading", DIFFERENCES)
def test_every_documented_difference_is_one(probes: list[Probe], heading: str) -> None:
    assert any(DIFFERENCES[heading](probe) for probe in probes if probe.ours != probe.theirs)


@pytest.mark.parametrize("heading", DIFFERENCES)
def test_every_difference_is_documented(heading: str) -> None:
    assert f"### {heading}\n" in PAGE.read_text()


def test_the_estimators_own_checks_agree_but_for_the_documented(shared: Path) -> None:
    """The SDK's constructor accepts these four; we don't, and it refuses nothing that we accept."""
    recorded = json.loads((shared / "golden" / "constructor_checks.json").read_text())
    disagreements = set()
    for arguments, outcome in recorded.items():
        if not arguments.startswith("{"):
            continue  # about the role and the instances
        try:
            ours: object = LinearLearnerHyperparameters(**json.loads(arguments)).to_request()
        except HyperparameterError:
            ours = None
        if ours != outcome.get("ok"):
            disagreements.add(arguments)
    assert disagreements == {
        "{}",
        '{"predictor_type": "multiclass_classifier", "num_classes": "5"}',
        '{"predictor_type": "binary_classifier", "loss": "squared_loss"}',
        '{"predictor_type": "regressor", "typo_param": 1}',
        '{"predictor_type": "regressor", "instance": 1}',
    }


def test_a_request_of_the_sdk_with_everything_set_is_read_and_sent_unchanged(shared: Path) -> None:
    recorded = json.loads((shared / "golden" / "fit_binary_many_hyperparameters.json").read_text())
    everything = recorded["calls"][0]["kwargs"]["HyperParameters"]
    assert set(everything) == set(HYPERPARAMETERS)
    assert LinearLearnerHyperparameters.from_request(everything).to_request() == everything
    with pytest.raises(HyperparameterError, match="momentum has an effect only with optimizer='sgd'"):
        LinearLearnerHyperparameters.from_rendered(everything)


@pytest.mark.parametrize(("former", "today"), [("f1", "f_beta"), ("cross_entropy_loss", "loss_function")])
def test_names_of_the_past_are_translated(former: str, today: str) -> None:
    with pytest.warns(HyperparameterWarning, match=f"'{former}' is a name of the past"):
        model = model_with("binary_classifier_model_selection_criteria", former)
    assert model.binary_classifier_model_selection_criteria == today
