"""The hyperparameters of one training job: checked as a whole, immutable, in Python's and in the API's form."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NoReturn, Self

from airflow_ll.exceptions import HyperparameterError
from airflow_ll.hyperparameters.rules import check, map_faults, unknown_name
from airflow_ll.hyperparameters.table import HYPERPARAMETERS
from airflow_ll.hyperparameters.values import parsed, rendered, shown, typed

if TYPE_CHECKING:
    from collections.abc import Callable, Set

    from airflow_ll.hyperparameters.declaration import Hyperparameter, Value
    from airflow_ll.hyperparameters.rules import Findings

__all__ = ["HyperparameterWarning", "LinearLearnerHyperparameters", "check_literals"]


class HyperparameterWarning(UserWarning):
    """A hyperparameter is ignored, or is sent under a newer name."""


class LinearLearnerHyperparameters:
    """The hyperparameters of one training job.

    Parameters
    ----------
    **values
        The hyperparameters by name (:data:`airflow_ll.hyperparameters.HYPERPARAMETERS`), each in its own type;
        None is the same as left out.  ``predictor_type`` is required.

    Raises
    ------
    HyperparameterError
        With one sentence for each thing that is wrong.

    Notes
    -----
    An attribute is the value given, else the service's default: ``hyperparameters.epochs``.  Models are
    immutable; two are equal when the same values were given.

    Examples
    --------
    >>> hyperparameters = LinearLearnerHyperparameters(predictor_type="regressor", learning_rate=0.1)
    >>> hyperparameters.to_request()
    {'predictor_type': 'regressor', 'learning_rate': '0.1'}
    >>> hyperparameters.epochs
    15
    """

    __slots__ = ("_given",)
    _given: dict[str, Value]

    def __init__(self, **values: object) -> None:
        object.__setattr__(self, "_given", _accept(check(values, typed)))

    @classmethod
    def from_rendered(cls, values: Mapping[str, object]) -> Self:
        """Return the model of ``values`` as an Airflow template leaves them.

        A string is read in the API's form, since a template renders to nothing else; any other value is taken
        as the constructor takes it, and the same rules hold.
        """
        return cls._of(_accept(check(_mapping(values), _typed_or_parsed)))

    @classmethod
    def from_request(cls, hyperparameters: Mapping[str, str]) -> Self:
        """Return the model of a job's ``HyperParameters``.

        The values are checked as strictly as ever, and so is what no job can train without.  But the service
        accepts (and its descriptions hold) values that have no effect, such as ``target_recall`` beside
        another criterion: these are kept, without a word.  The service's private names, which begin with
        ``_``, are left out.
        """
        public = {name: text for name, text in _mapping(hyperparameters).items() if not str(name).startswith("_")}
        findings = check(public, parsed)
        _refuse([*map_faults(hyperparameters), *findings.faults])
        return cls._of(findings.values)

    @property
    def given(self) -> dict[str, Value]:
        """The values that were given, by name, in the order of the table."""
        return dict(self._given)

    def to_request(self) -> dict[str, str]:
        """Return the API's ``HyperParameters``: the values that were given, as strings."""
        return {name: rendered(value) for name, value in self._given.items()}

    def replace(self, **changes: object) -> Self:
        """Return a model with ``changes``; None takes a hyperparameter out.

        What has no effect in this model already may stay as it is.
        """
        before = check(self._given, typed)
        settled = {name for name, _ in (*before.irrelevant, *before.notices)} - set(changes)
        findings = check({**self._given, **changes}, typed)
        return self._of(_accept(findings, settled))

    @classmethod
    def _of(cls, values: dict[str, Value]) -> Self:
        """Return the model of values that are checked already."""
        model = cls.__new__(cls)
        object.__setattr__(model, "_given", values)
        return model

    def __getattr__(self, name: str) -> Any:
        if name not in HYPERPARAMETERS:
            raise AttributeError(unknown_name(name))
        return self._given.get(name, HYPERPARAMETERS[name].default)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"Hyperparameters are immutable: use replace({name}=...) for a model with another value.")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"Hyperparameters are immutable: use replace({name}=None) for a model without it.")

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *HYPERPARAMETERS})

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, LinearLearnerHyperparameters):
            return NotImplemented
        return self._given == other._given

    def __hash__(self) -> int:
        return hash(tuple(self._given.items()))

    def __repr__(self) -> str:
        given = ", ".join(f"{name}={value!r}" for name, value in self._given.items())
        return f"{type(self).__name__}({given})"

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        # Not through the constructor: what was read from a description need not pass it, nor warn again.
        return self._of, (self.given,)


def check_literals(values: Mapping[str, object], is_template: Callable[[object], bool]) -> list[str]:
    """Return the faults of ``values`` that can be told before templates are rendered.

    Parameters
    ----------
    values
        What is to be given to :meth:`LinearLearnerHyperparameters.from_rendered` after rendering.
    is_template
        Says whether a value is still to be rendered; it and the rules that depend on it are left alone.
    """
    findings = check(_mapping(values), typed, is_template)
    return [*findings.faults, *(remark.sentence for remark in findings.irrelevant)]


def _typed_or_parsed(parameter: Hyperparameter, value: object) -> Value:
    return parsed(parameter, value) if isinstance(value, str) else typed(parameter, value)


def _mapping(values: object) -> Mapping[str, Any]:
    if isinstance(values, Mapping):
        return values
    got = f"{shown(values)} ({type(values).__name__})"
    raise HyperparameterError([f"Hyperparameters must be a mapping of names to values, but got {got}: pass a dict."])


def _accept(findings: Findings, settled: Set[str] = frozenset()) -> dict[str, Value]:
    """Refuse, warn, or return the values to keep; nothing is said about the names in ``settled``."""
    _refuse([*findings.faults, *(remark.sentence for remark in findings.irrelevant if remark.name not in settled)])
    notices = [remark for remark in findings.notices if remark.name not in settled]
    for remark in notices:
        warnings.warn(remark.sentence, HyperparameterWarning, stacklevel=3)
    ignored = {"num_classes"} & {remark.name for remark in notices}
    return {name: value for name, value in findings.values.items() if name not in ignored}


def _refuse(faults: list[str]) -> None:
    if faults:
        raise HyperparameterError(faults)
