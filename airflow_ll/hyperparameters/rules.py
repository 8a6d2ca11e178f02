"""The check of a whole set of hyperparameters: each value for itself, then the rules that span several.

There are three kinds of rules.

Requirements
    Without them no job can train: ``predictor_type`` is set, ``loss`` suits it, a multiclass classifier has at
    least three classes.
Relevance
    A hyperparameter that belongs to a loss, a criterion, an optimizer or the schedule needs that choice; without
    it, its author expects an effect that it cannot have.
Notices
    The service ignores a hyperparameter of another predictor type, and knows a few things by a newer name.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from airflow_ll.hyperparameters.declaration import AUTO, MULTICLASS, PREDICTOR_TYPES
from airflow_ll.hyperparameters.table import CRITERION, FEWEST_CLASSES, HYPERPARAMETERS, LOSSES
from airflow_ll.hyperparameters.values import did_you_mean, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from airflow_ll.hyperparameters.declaration import Hyperparameter, Value

__all__ = ["Findings", "Remark", "check", "map_faults", "unknown_name"]

MAP_ENTRIES, MAP_KEY_LENGTH, MAP_VALUE_LENGTH = 100, 256, 2500
"""The limits of the API's HyperParameters map."""


class Unknown(Enum):
    """Stands for a value that no rule can see."""

    TEMPLATE = "still to be rendered"
    REFUSED = "refused already"


class Remark(NamedTuple):
    """One sentence about one hyperparameter."""

    name: str
    sentence: str


class Findings(NamedTuple):
    """What a check found; ``values`` are in the table's order."""

    values: dict[str, Value]
    faults: list[str]
    irrelevant: list[Remark]
    notices: list[Remark]


def check(
    given: Mapping[str, object],
    read: Callable[[Hyperparameter, object], Value],
    is_template: Callable[[object], bool] = lambda _: False,
) -> Findings:
    """Check ``given``; None is not set, ``read`` turns one value into its own type or raises ValueError.

    Values for which ``is_template`` is true are not looked at, nor is any rule that depends on them.
    """
    seen, faults = _read_all(given, read, is_template)
    irrelevant, notices = _modernise(seen)
    faults += _unmet_requirements(seen)
    for name, value in seen.items():
        parameter = HYPERPARAMETERS[name]
        if value in (AUTO, Unknown.TEMPLATE):
            continue  # may be what it is without being set
        if sentence := _foreign(parameter, seen):
            (irrelevant if parameter.only_with else notices).append(Remark(name, sentence))
        elif sentence := _without_effect(parameter, seen):
            irrelevant.append(Remark(name, sentence))
    values = {name: seen[name] for name in HYPERPARAMETERS if name in seen}
    known = {name: value for name, value in values.items() if not isinstance(value, Unknown)}
    return Findings(known, faults, irrelevant, notices)


def unknown_name(name: object) -> str:
    """Return the fault of a name that is not in the table."""
    if not isinstance(name, str):
        return f"{shown(name)} is not a hyperparameter: names are strings."
    bare = shown(name)[1:-1]
    if name.startswith("_"):
        return f"{bare} is private to the service and cannot be set: leave it out."
    advice = did_you_mean(bare, HYPERPARAMETERS) or "leave it out."
    return f"{bare} is not a hyperparameter of LinearLearner: {advice}"


def map_faults(mapping: Mapping[str, object]) -> list[str]:
    """Return what keeps ``mapping`` from being the API's HyperParameters, whatever the algorithm."""
    faults = []
    if len(mapping) > MAP_ENTRIES:
        faults.append(f"HyperParameters hold at most {MAP_ENTRIES} entries, but got {len(mapping)}: leave some out.")
    for name, text in mapping.items():
        for what, words, most in (("name", name, MAP_KEY_LENGTH), ("value", text, MAP_VALUE_LENGTH)):
            if isinstance(words, str) and len(words) > most:
                limit = f"at most {most} characters, but it has {len(words)}"
                faults.append(f"The {what} of {shown(name)} must have {limit}: shorten it.")
    return faults


def _read_all(
    given: Mapping[str, object],
    read: Callable[[Hyperparameter, object], Value],
    is_template: Callable[[object], bool],
) -> tuple[dict[str, Value | Unknown], list[str]]:
    seen: dict[str, Value | Unknown] = {}
    faults = []
    for name, value in given.items():
        if name not in HYPERPARAMETERS:
            faults.append(unknown_name(name))
        elif value is not None:
            try:
                seen[name] = Unknown.TEMPLATE if is_template(value) else read(HYPERPARAMETERS[name], value)
            except ValueError as error:
                seen[name] = Unknown.REFUSED
                faults.append(str(error))
    return seen, faults


def _modernise(seen: dict[str, Value | Unknown]) -> tuple[list[Remark], list[Remark]]:
    """Put today's name of a criterion in the place of a legacy one; return what is in conflict and what is new."""
    legacy, former = HYPERPARAMETERS[CRITERION].legacy, seen.get(CRITERION)
    if not isinstance(former, str) or former not in legacy:
        return [], []
    seen[CRITERION] = legacy[former]
    today = f"{CRITERION}={legacy[former]!r}"
    conflicts = []
    if former == "f1":
        today += " and f_beta=1"
        beta = seen.setdefault("f_beta", 1.0)
        if isinstance(beta, float) and beta != 1:
            advice = f"with {CRITERION}='f1', but got {beta}: choose {CRITERION}='f_beta' for another beta"
            conflicts.append(Remark("f_beta", f"f_beta must be 1 {advice}."))
    return conflicts, [Remark(CRITERION, f"{CRITERION}={former!r} is a name of the past: {today} is sent instead.")]


def _unmet_requirements(seen: Mapping[str, Value | Unknown]) -> Iterator[str]:
    predictor_type = seen.get("predictor_type")
    if predictor_type is None:
        allowed = HYPERPARAMETERS["predictor_type"].allowed
        yield f"predictor_type must be {allowed}, but it is missing: say what is to be learned."
    loss, losses = seen.get("loss", AUTO), LOSSES.get(str(predictor_type), ())
    if isinstance(loss, str) and losses and loss not in (AUTO, *losses):
        allowed = ", ".join(map(repr, (*losses, AUTO)))
        yield f"loss must be one of {allowed} for a {predictor_type}, but got {loss!r}: choose one of them."
    classes = seen.get("num_classes", 0)
    if predictor_type == MULTICLASS and isinstance(classes, int) and classes < FEWEST_CLASSES:
        got = f"got {classes}" if "num_classes" in seen else "it is missing"
        yield (
            f"num_classes must be at least {FEWEST_CLASSES} for a {MULTICLASS}, but {got}: "
            "set it to the number of classes, or choose predictor_type='binary_classifier' for two."
        )


def _foreign(parameter: Hyperparameter, seen: Mapping[str, Value | Unknown]) -> str:
    """Return what is to be said of a hyperparameter of another predictor type, or nothing."""
    predictor_type = seen.get("predictor_type")
    if not isinstance(predictor_type, str) or predictor_type in parameter.applies_to:
        return ""
    advice = "leave it out" if parameter.only_with else "it is ignored"
    types = " or ".join(parameter.applies_to)
    return f"{parameter.name} has an effect on a {types} only, but predictor_type is {predictor_type!r}: {advice}."


def _without_effect(parameter: Hyperparameter, seen: Mapping[str, Value | Unknown]) -> str:
    """Return what is to be said of a hyperparameter whose condition does not hold, or nothing."""
    condition = parameter.only_with
    if condition is None:
        return ""
    decisive = HYPERPARAMETERS[condition.name]
    if seen.get("predictor_type") is Unknown.TEMPLATE and decisive.applies_to != PREDICTOR_TYPES:
        return ""
    choice = None if _foreign(decisive, seen) else seen.get(condition.name)  # an ignored choice is none
    if isinstance(choice, Unknown) or condition.holds(choice):
        return ""
    got = "not set" if choice is None else repr(choice)
    return (
        f"{parameter.name} has an effect only with {condition}, but {condition.name} is {got}: "
        f"change that, or leave {parameter.name} out."
    )
