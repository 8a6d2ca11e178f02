"""What CreateHyperParameterTuningJob refuses beyond the service model.

The texts about objectives are worded after AWS's, but no public report of them is known; where none is even remembered
the sentence says what is wrong and what is allowed.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from airflow_ll.hyperparameters import HYPERPARAMETERS, Kind
from airflow_ll.local import training_jobs
from airflow_ll.local.errors import ValidationError, unsupported
from airflow_ll.local.search_space import Categorical, SearchSpace
from airflow_ll.local.validation import missing, refuse

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["check"]

_MINIMISED = ("absolute_loss", "mse", "objective_loss")
_MAXIMISED = (
    *("binary_classification_accuracy", "binary_f_beta", "precision", "recall", "roc_auc_score"),
    *("dcg", "macro_f_beta", "macro_precision", "macro_recall", "multiclass_accuracy", "multiclass_top_k_accuracy"),
)
_OBJECTIVES = {
    f"{split}:{name}": direction
    for split in ("validation", "test")
    for names, direction in ((_MINIMISED, "Minimize"), (_MAXIMISED, "Maximize"))
    for name in names
}
_KINDS = {
    "ContinuousParameterRanges": Kind.NUMBER,
    "IntegerParameterRanges": Kind.INTEGER,
    "CategoricalParameterRanges": Kind.BOOLEAN,
}
_MAX_RANGES = 30


def check(request: dict[str, Any]) -> None:
    """Refuse a request; its TrainingJobDefinition gets the ResourceConfig of its tuning resources.

    :raises ValidationError: with the first fault.
    """
    _check_supported(request)
    config = request["HyperParameterTuningJobConfig"]
    needed = {
        "trainingJobDefinition": request.get("TrainingJobDefinition"),
        "hyperParameterTuningJobConfig.hyperParameterTuningJobObjective": config.get(
            "HyperParameterTuningJobObjective"
        ),
        "hyperParameterTuningJobConfig.parameterRanges": config.get("ParameterRanges"),
    }
    refuse([missing(path) for path, value in needed.items() if value is None])
    definition = request["TrainingJobDefinition"]
    resources = definition.get("HyperParameterTuningResourceConfig")
    if resources is not None:
        if resources.keys() & {"AllocationStrategy", "InstanceConfigs"}:
            raise unsupported("InstanceConfigs", "Give InstanceType and InstanceCount.")
        definition.setdefault("ResourceConfig", resources)
    training_jobs.check(definition, "trainingJobDefinition.")
    _check_objective(config["HyperParameterTuningJobObjective"], definition["AlgorithmSpecification"]["TrainingImage"])
    for fault in _range_faults(config["ParameterRanges"], definition.get("StaticHyperParameters", {})):
        raise ValidationError(fault)
    _check_limits(config)


def _check_supported(request: dict[str, Any]) -> None:
    config = request["HyperParameterTuningJobConfig"]
    if "TrainingJobDefinitions" in request:
        raise unsupported("TrainingJobDefinitions", "Give one TrainingJobDefinition.")
    if "WarmStartConfig" in request:
        raise unsupported("WarmStartConfig", "Start without parent tuning jobs.")
    if "Autotune" in request or config.get("ParameterRanges", {}).get("AutoParameters"):
        raise unsupported("Autotune", "Give the ranges.")
    if config["Strategy"] == "Hyperband":
        raise unsupported("the strategy Hyperband", "Use Bayesian, Random or Grid.")
    criteria = config.get("TuningJobCompletionCriteria", {})
    if criteria.get("ConvergenceDetected", {}).get("CompleteOnConvergence") == "Enabled":
        raise unsupported("ConvergenceDetected", "Use BestObjectiveNotImproving.")


def _check_objective(objective: Mapping[str, str], image: str) -> None:
    name, direction = objective["MetricName"], objective["Type"]
    if name not in _OBJECTIVES:
        raise ValidationError(
            f"The objective metric for the hyperparameter tuning job, [{name}], isn't valid for the [{image}] "
            "algorithm. Choose a valid objective metric."
        )
    if direction != _OBJECTIVES[name]:
        raise ValidationError(
            f"The objective metric type, [{direction}], that you specified for objective metric, [{name}], isn't "
            f"valid for the [{image}] algorithm. Choose a valid objective metric type."
        )


def _range_faults(ranges: Mapping[str, Any], static: Mapping[str, str]) -> Iterator[str]:
    """Yield a sentence for every range that cannot be searched."""
    named = [(kind, one) for kind in _KINDS for one in ranges.get(kind, ())]
    if not 1 <= len(named) <= _MAX_RANGES:
        yield f"A hyperparameter tuning job needs 1 to {_MAX_RANGES} hyperparameter ranges, got {len(named)}."
    names = [one["Name"] for _, one in named]
    for kind, one in named:
        name = one["Name"]
        if names.count(name) > 1:
            yield f"The hyperparameter {name} has more than one range: give it one."
        if name in static:
            yield f"The hyperparameter {name} is in StaticHyperParameters and has a range: remove it from one of them."
        yield from _tunable_faults(kind, name)
        yield from (_word_faults(one) if kind == "CategoricalParameterRanges" else _number_faults(kind, one))


def _tunable_faults(kind: str, name: str) -> Iterator[str]:
    parameter = HYPERPARAMETERS.get(name)
    if parameter is None or parameter.tunable is None:
        tunable = sorted(known for known, declared in HYPERPARAMETERS.items() if declared.tunable is not None)
        yield f"The hyperparameter {name} is not tunable for this algorithm. Tunable are {', '.join(tunable)}."
    elif kind != "CategoricalParameterRanges" and parameter.kind is not _KINDS[kind]:
        yield f"The hyperparameter {name} is {parameter.kind.value}: it cannot be in {kind}."


def _word_faults(one: Mapping[str, Any]) -> Iterator[str]:
    parameter = HYPERPARAMETERS.get(one["Name"])
    for word in one["Values"]:
        if parameter is not None and parameter.kind is Kind.BOOLEAN and word.lower() not in ("true", "false"):
            yield f"The value {word!r} of the hyperparameter {one['Name']} must be {parameter.allowed}."
        if parameter is not None and parameter.kind in (Kind.NUMBER, Kind.INTEGER) and word not in parameter.words:
            number = _number(word)
            if number is None or number not in parameter.interval:
                yield f"The value {word!r} of the hyperparameter {one['Name']} must be {parameter.allowed}."


def _number_faults(kind: str, one: Mapping[str, str]) -> Iterator[str]:
    name, scaling = one["Name"], one.get("ScalingType", "Auto")
    low, high = _number(one["MinValue"]), _number(one["MaxValue"])
    integer = kind == "IntegerParameterRanges"
    for member, value in (("MinValue", low), ("MaxValue", high)):
        if value is None or (integer and not value.is_integer()):
            wanted = "an integer" if integer else "a number"
            yield f"{member} of the hyperparameter {name} must be {wanted}, got {one[member]!r}."
            return
    assert low is not None
    assert high is not None
    parameter = HYPERPARAMETERS.get(name)
    if low > high:
        yield f"MinValue of the hyperparameter {name}, {one['MinValue']}, is larger than MaxValue, {one['MaxValue']}."
    if parameter is not None and not (low in parameter.interval and high in parameter.interval):
        yield f"The range of the hyperparameter {name} must be within {parameter.interval}, got {low:g} to {high:g}."
    if scaling == "Logarithmic" and low <= 0:
        yield f"Logarithmic scaling of the hyperparameter {name} needs a range above 0, got MinValue {one['MinValue']}."
    if scaling == "ReverseLogarithmic" and (integer or low < 0 or high >= 1):
        yield (
            f"ReverseLogarithmic scaling of the hyperparameter {name} needs a continuous range within 0 <= x < 1.0, "
            f"got {one['MinValue']} to {one['MaxValue']}."
        )


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _check_limits(config: Mapping[str, Any]) -> None:
    limits, space = config["ResourceLimits"], SearchSpace.of(config["ParameterRanges"])
    jobs, parallel = limits.get("MaxNumberOfTrainingJobs"), limits["MaxParallelTrainingJobs"]
    if config["Strategy"] == "Grid":
        if not all(isinstance(one, Categorical) for one in space.ranges):
            raise ValidationError("The Grid strategy searches CategoricalParameterRanges only: list the values to try.")
        if jobs is not None and jobs != space.size:
            raise ValidationError(
                f"MaxNumberOfTrainingJobs must be the number of combinations, {space.size:g}, for the Grid strategy, "
                f"or be left out, got {jobs}."
            )
    elif jobs is None:
        refuse([missing("hyperParameterTuningJobConfig.resourceLimits.maxNumberOfTrainingJobs")])
    elif space.size < jobs:
        raise ValidationError(
            "You don't have enough combinations of hyperparameter ranges. The total number of hyperparameter "
            f"combinations for the provided ranges [{space.size:.1f}] must be equal or greater than the value of "
            f"MaxNumberOfJobs, [{jobs}]. Provide additional ranges."
        )
    if jobs is not None and parallel > jobs:
        raise ValidationError(
            f"MaxParallelTrainingJobs, {parallel}, must not be larger than MaxNumberOfTrainingJobs, {jobs}."
        )
