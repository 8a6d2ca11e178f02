"""One value: is it what its hyperparameter allows, and how it is written in the API.

A value has two forms.  In Python it has its own type: ``15``, ``0.1``, ``True``, ``"auto"``.  In the API's
``HyperParameters`` it is a string: ``"15"``, ``"0.1"``, ``"True"``, ``"auto"``.  Each function takes one form
and refuses the other, with one sentence that says what is allowed, what was given and what to do.
"""

from __future__ import annotations

import math
import numbers
import operator
import re
import reprlib
from typing import TYPE_CHECKING

from airflow_ll.hyperparameters.declaration import AUTO, Kind

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow_ll.hyperparameters.declaration import Hyperparameter, Value

__all__ = ["did_you_mean", "parsed", "rendered", "shown", "typed"]

INTEGER_BITS = 64
_INTEGER = re.compile(r"[+-]?[0-9]{1,30}")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_BOOLEANS = {"true": True, "false": False}

_short = reprlib.Repr()
_short.maxstring = _short.maxother = 80


def typed(parameter: Hyperparameter, value: object) -> Value:
    """Return ``value``, given in its own type, as a plain Python value.

    NumPy's scalars count as the Python types they stand for.

    Raises
    ------
    ValueError
        One sentence about what is wrong with it.
    """
    if isinstance(value, str):
        return _word(parameter, str.__str__(value))
    if parameter.kind is Kind.INTEGER:
        return _integer(parameter, value)
    if parameter.kind is Kind.NUMBER:
        return _number(parameter, value)
    if parameter.kind is Kind.BOOLEAN and _is_boolean(value):
        return bool(value)
    raise refusal(parameter, value, "")


def parsed(parameter: Hyperparameter, text: object) -> Value:
    """Return the value that ``text`` stands for in the API's form.

    Raises
    ------
    ValueError
        One sentence about what is wrong with it.
    """
    if not isinstance(text, str):
        raise refusal(parameter, text, "in the API's form every value is a string")
    value = _read(parameter, str.__str__(text))
    if value is None:
        raise refusal(parameter, text, _near_word(parameter, text))
    return typed(parameter, value)


def rendered(value: Value) -> str:
    """Return ``value`` as the API takes it: ``True``, ``15``, ``1e-05``, ``auto``."""
    return value if isinstance(value, str) else repr(value)


def refusal(parameter: Hyperparameter, value: object, advice: str) -> ValueError:
    """Return the error for ``value``; ``advice`` says what to do instead, when that is known."""
    advice = advice or _choose_another(parameter)
    got = f"{shown(value)} ({type(value).__name__})"
    stop = "" if advice.endswith("?") else "."
    return ValueError(f"{parameter.name} must be {parameter.allowed}, but got {got}: {advice}{stop}")


def shown(value: object) -> str:
    """Return a short representation of any object, on one line."""
    if isinstance(value, int) and value.bit_length() > INTEGER_BITS:
        return f"an integer of {value.bit_length()} bits"
    return " ".join(_short.repr(value).split())


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return advice with the known word nearest to ``word``, or nothing when none is near."""
    from difflib import get_close_matches

    near = get_close_matches(word.lower(), known, n=1)
    return f"did you mean {near[0]!r}?" if near else ""


def _integer(parameter: Hyperparameter, value: object) -> int:
    if _is_boolean(value) or not isinstance(value, numbers.Integral):
        raise refusal(parameter, value, _integer_advice(parameter, value))
    number = operator.index(value)
    if number not in parameter.interval:
        raise refusal(parameter, value, "")
    if number.bit_length() >= INTEGER_BITS:
        raise refusal(parameter, value, f"it has to fit in {INTEGER_BITS} bits")
    return number


def _number(parameter: Hyperparameter, value: object) -> float:
    if _is_boolean(value) or not isinstance(value, numbers.Real):
        raise refusal(parameter, value, "write a plain number")
    number = _as_float(value)
    if not math.isfinite(number):
        raise refusal(parameter, value, "it has to be finite")
    if number not in parameter.interval:
        raise refusal(parameter, value, "")
    return number


def _as_float(value: numbers.Real) -> float:
    try:
        return float(value) + 0.0  # 0.0 for -0.0
    except OverflowError:
        return math.inf


def _word(parameter: Hyperparameter, text: str) -> str:
    if text in parameter.words or text in parameter.legacy:
        return text
    value = _read(parameter, text)
    if value is None:
        raise refusal(parameter, text, _near_word(parameter, text))
    raise refusal(parameter, text, f"write {typed(parameter, value)!r}, without quotes")


def _read(parameter: Hyperparameter, text: str) -> Value | None:
    """Return what ``text`` spells in the API's form, whether in range or not, or None."""
    if text in parameter.words or text in parameter.legacy:
        return text
    if parameter.kind is Kind.BOOLEAN:
        return _BOOLEANS.get(text.lower())
    if parameter.kind is Kind.INTEGER and _INTEGER.fullmatch(text):
        return int(text)
    if parameter.kind is Kind.NUMBER and _NUMBER.fullmatch(text):
        return float(text)
    return None


def _is_boolean(value: object) -> bool:
    # NumPy's boolean is known by its name, so that NumPy does not have to be imported.
    return isinstance(value, bool) or (type(value).__module__ == "numpy" and type(value).__name__ in {"bool", "bool_"})


def _integer_advice(parameter: Hyperparameter, value: object) -> str:
    if _is_boolean(value) or not isinstance(value, numbers.Real):
        return "write a plain integer"
    number = _as_float(value)
    if not number.is_integer():
        return "it is not rounded, choose an integer"
    return f"write {number:.0f}" if number in parameter.interval else ""


def _near_word(parameter: Hyperparameter, text: str) -> str:
    return did_you_mean(text, parameter.words) or _choose_another(parameter)


def _choose_another(parameter: Hyperparameter) -> str:
    if parameter.kind is Kind.BOOLEAN:
        return "write True or False"
    if parameter.default is None:
        return "choose one of them"
    if parameter.default == AUTO and parameter.kind is not Kind.CHOICE:
        return "choose another or leave it out, then the algorithm chooses"
    return f"choose another or leave it out for the service's default, {parameter.default!r}"
