"""The hyperparameter tuning job."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from airflow_ll.exceptions import RequestError
from airflow_ll.hyperparameters import HYPERPARAMETERS, Kind
from airflow_ll.requests.channels import channel_request
from airflow_ll.requests.checks import (
    FLAG,
    TAGS,
    Rule,
    Spec,
    instance_of,
    list_of,
    one_of,
    present,
    setting,
    text,
    vpc_config,
    whole,
)
from airflow_ll.requests.training import (
    TrainingJobSpec,
    checkpoint_config,
    hyper_parameters,
    resource_config,
    retry_strategy,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["CategoricalRange", "ContinuousRange", "IntegerRange", "TuningJobSpec", "range_from_json", "tuning_job"]

_TUNING_NAME: Final = text(
    "[a-zA-Z0-9](-*[a-zA-Z0-9]){0,31}",
    "1 to 32 letters, digits and hyphens that begin and end with a letter or digit",
    32,
)
_SCALING: Final = one_of("Auto", "Linear", "Logarithmic", "ReverseLogarithmic")
_REAL: Final = Rule("a number", lambda value: type(value) in (int, float))
_INTEGER: Final = Rule("a whole number", lambda value: type(value) is int)


@dataclass(frozen=True)
class ContinuousRange(Spec):
    """Real values between two ends."""

    min_value: float = setting(_REAL)
    max_value: float = setting(_REAL)
    scaling_type: str = setting(_SCALING, "Auto")

    def conflicts(self) -> Iterator[str]:
        """Yield the fault of an empty range."""
        yield from _empty_range(self)


@dataclass(frozen=True)
class IntegerRange(Spec):
    """Whole values between two ends."""

    min_value: int = setting(_INTEGER)
    max_value: int = setting(_INTEGER)
    scaling_type: str = setting(one_of("Auto", "Linear", "Logarithmic"), "Auto")

    def conflicts(self) -> Iterator[str]:
        """Yield the fault of an empty range."""
        yield from _empty_range(self)


@dataclass(frozen=True)
class CategoricalRange(Spec):
    """Any of a few values."""

    values: Sequence[str | float | bool] = setting(
        Rule("a list of 1 to 30 values", lambda value: isinstance(value, (list, tuple)) and 1 <= len(value) <= 30)
    )


_RANGE_KEYS: Final = {"min_value", "max_value", "scaling_type"}

Range: TypeAlias = ContinuousRange | IntegerRange | CategoricalRange

_RANGES: Final = Rule(
    "a dict from 1 to 30 hyperparameters to ContinuousRange, IntegerRange or CategoricalRange",
    lambda value: (
        isinstance(value, Mapping)
        and 1 <= len(value) <= 30
        and all(isinstance(item, (ContinuousRange, IntegerRange, CategoricalRange)) for item in value.values())
    ),
)


@dataclass(frozen=True)
class TuningJobSpec(Spec):
    """A tuning job.

    :param training: what each training job is; its name, tags, experiment and warm pool are not used.
    :param ranges: the tuned hyperparameters; they leave the static ones.
    :param objective_metric_name: such as "validation:objective_loss".
    :param early_stopping_type: "Auto" stops training jobs that cannot become the best.
    :param warm_start_parents: names of earlier tuning jobs to learn from.
    :raises RequestError: with one sentence for each fault.
    """

    tuning_job_name: str = setting(_TUNING_NAME)
    training: TrainingJobSpec = setting(instance_of(TrainingJobSpec))
    ranges: Mapping[str, Range] = setting(_RANGES)
    objective_metric_name: str = setting(text(".+", "the name of a metric of at most 255 characters", 255))
    objective_type: str = setting(one_of("Minimize", "Maximize"), "Minimize")
    strategy: str = setting(one_of("Bayesian", "Random", "Hyperband", "Grid"), "Bayesian")
    max_jobs: int | None = setting(whole(1), 1)
    max_parallel_jobs: int = setting(whole(1), 1)
    max_runtime: int | None = setting(whole(120, 15768000), None)
    early_stopping_type: str = setting(one_of("Off", "Auto"), "Off")
    random_seed: int | None = setting(whole(0), None)
    warm_start_parents: Sequence[str] = setting(list_of(_TUNING_NAME, "names of tuning jobs", 5), ())
    warm_start_type: str = setting(one_of("IdenticalDataAndAlgorithm", "TransferLearning"), "IdenticalDataAndAlgorithm")
    autotune: bool = setting(FLAG, False)
    tags: Sequence[Mapping[str, str]] = setting(TAGS, ())

    def conflicts(self) -> Iterator[str]:
        """Yield what the limits and the strategy disagree about."""
        if self.max_jobs is not None and self.max_parallel_jobs > self.max_jobs:
            yield (
                f"TuningJobSpec.max_parallel_jobs must be at most max_jobs ({self.max_jobs}), "
                f"got {self.max_parallel_jobs}: lower it."
            )
        yield from (fault for name, one in self.ranges.items() for fault in _range_faults(name, one))
        tuned, rows = self.ranges.get("mini_batch_size"), self.training.num_records
        if isinstance(tuned, IntegerRange) and rows is not None and tuned.max_value > rows:
            yield (
                f"TuningJobSpec.ranges of mini_batch_size must end at most at the {rows} rows of the train channel, "
                f"got {tuned.max_value}: lower it."
            )
        if self.strategy == "Grid" and not all(isinstance(one, CategoricalRange) for one in self.ranges.values()):
            yield "TuningJobSpec.ranges must be CategoricalRange for the strategy 'Grid': list the values to try."


def range_from_json(name: str, value: Any) -> Range:
    """Return the range of the hyperparameter ``name`` that JSON describes.

    :param value: a list of values; ``{"min_value": ..., "max_value": ...}`` with ``scaling_type`` if need be, whose
        numbers a template may have left as strings; or a range already.
    :raises RequestError: it is none of these.
    """
    if isinstance(value, (ContinuousRange, IntegerRange, CategoricalRange)):
        return value
    if isinstance(value, (list, tuple)):
        return CategoricalRange(value)
    if not isinstance(value, Mapping) or not {"min_value", "max_value"} <= set(value) <= _RANGE_KEYS:
        raise RequestError(
            f"The range of {name!r} must be a list of values, or min_value and max_value (and scaling_type), got "
            f"{value!r}."
        )
    parameter = HYPERPARAMETERS.get(name)
    kind, number = (
        (IntegerRange, int) if parameter is not None and parameter.kind is Kind.INTEGER else (ContinuousRange, float)
    )
    settings = dict(value)
    for end in ("min_value", "max_value"):
        settings[end] = _number(name, end, settings[end], number)
    return kind(**settings)


def _number(name: str, end: str, value: Any, number: type) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return number(value)
    except ValueError:
        raise RequestError(f"{end} of the range of {name!r} must be a number, got {value!r}.") from None


def tuning_job(spec: TuningJobSpec) -> dict[str, Any]:
    """Return the request of CreateHyperParameterTuningJob."""
    return present(
        HyperParameterTuningJobName=spec.tuning_job_name,
        HyperParameterTuningJobConfig=present(
            Strategy=spec.strategy,
            HyperParameterTuningJobObjective={
                "Type": spec.objective_type,
                "MetricName": spec.objective_metric_name,
            },
            ResourceLimits=present(
                MaxNumberOfTrainingJobs=spec.max_jobs,
                MaxParallelTrainingJobs=spec.max_parallel_jobs,
                MaxRuntimeInSeconds=spec.max_runtime,
            ),
            ParameterRanges=_parameter_ranges(spec.ranges),
            TrainingJobEarlyStoppingType=spec.early_stopping_type,
            RandomSeed=spec.random_seed,
        ),
        TrainingJobDefinition=_training_job_definition(spec.training, spec.ranges),
        WarmStartConfig=_warm_start(spec),
        Autotune={"Mode": "Enabled"} if spec.autotune else None,
        Tags=[dict(tag) for tag in spec.tags],
    )


def _training_job_definition(training: TrainingJobSpec, ranges: Mapping[str, Range]) -> dict[str, Any]:
    static = {name: value for name, value in hyper_parameters(training).items() if name not in ranges}
    resources = resource_config(training)
    resources.pop("KeepAlivePeriodInSeconds", None)
    return present(
        StaticHyperParameters=static,
        AlgorithmSpecification={
            "TrainingImage": training.image_uri,
            "TrainingInputMode": training.input_mode,
        },
        RoleArn=training.role,
        InputDataConfig=[channel_request(channel) for channel in training.channels],
        OutputDataConfig=present(S3OutputPath=training.output_path, KmsKeyId=training.output_kms_key),
        HyperParameterTuningResourceConfig=resources,
        StoppingCondition=present(MaxRuntimeInSeconds=training.max_run, MaxWaitTimeInSeconds=training.max_wait),
        VpcConfig=vpc_config(training.subnets, training.security_group_ids),
        Environment=dict(training.environment),
        EnableManagedSpotTraining=training.use_spot_instances or None,
        EnableNetworkIsolation=training.enable_network_isolation or None,
        EnableInterContainerTrafficEncryption=training.encrypt_inter_container_traffic or None,
        CheckpointConfig=checkpoint_config(training),
        RetryStrategy=retry_strategy(training),
    )


def _parameter_ranges(ranges: Mapping[str, Range]) -> dict[str, list[dict[str, Any]]]:
    continuous: list[dict[str, Any]] = []
    integer: list[dict[str, Any]] = []
    categorical: list[dict[str, Any]] = []
    for name, one in ranges.items():
        if isinstance(one, CategoricalRange):
            categorical.append({"Name": name, "Values": [str(value) for value in one.values]})
            continue
        entry = {
            "Name": name,
            "MinValue": str(one.min_value),
            "MaxValue": str(one.max_value),
            "ScalingType": one.scaling_type,
        }
        (integer if isinstance(one, IntegerRange) else continuous).append(entry)
    return present(
        ContinuousParameterRanges=continuous, IntegerParameterRanges=integer, CategoricalParameterRanges=categorical
    )


def _warm_start(spec: TuningJobSpec) -> dict[str, Any]:
    if not spec.warm_start_parents:
        return {}
    return {
        "ParentHyperParameterTuningJobs": [{"HyperParameterTuningJobName": name} for name in spec.warm_start_parents],
        "WarmStartType": spec.warm_start_type,
    }


def _range_faults(name: str, one: Range) -> Iterator[str]:
    """Yield why the service would not tune ``name`` over the range ``one``."""
    parameter = HYPERPARAMETERS.get(name)
    if parameter is None or parameter.tunable is None:
        tunable = [known for known, declared in HYPERPARAMETERS.items() if declared.tunable is not None]
        yield f"TuningJobSpec.ranges must be of tunable hyperparameters ({', '.join(tunable)}), got {name!r}."
    elif isinstance(one, ContinuousRange) and parameter.kind is not Kind.NUMBER:
        yield f"TuningJobSpec.ranges of {name!r}, {parameter.kind.value}, must not be a ContinuousRange: use another."
    elif isinstance(one, IntegerRange) and parameter.kind is not Kind.INTEGER:
        yield f"TuningJobSpec.ranges of {name!r}, {parameter.kind.value}, must not be an IntegerRange: use another."


def _empty_range(one: ContinuousRange | IntegerRange) -> Iterator[str]:
    if one.min_value >= one.max_value:
        yield f"{type(one).__name__}.min_value must be below max_value ({one.max_value}), got {one.min_value}."
