"""The grammar of fault rules: ``EFFECT KEY=VALUE ...``, split as a shell splits words.

Everything that a rule may say is declared in :data:`EFFECTS`; ``docs/runtime.md`` lists the same.
"""

from __future__ import annotations

import difflib
import re
import shlex
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from airflow_ll.exceptions import FaultRuleError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

__all__ = ["EFFECTS", "Effect", "Rule", "parse_rule", "parse_rules"]

_INSTEAD = {"nth": ("times", "rate", "seed"), "pid": ("pid-file",)}
"""Settings that leave no meaning to others."""


@dataclass(frozen=True)
class Effect:
    """One thing that can go wrong: what it is, which settings select it, which of them it cannot do without."""

    about: str
    settings: Mapping[str, Callable[[str], Any]]
    required: tuple[tuple[str, ...], ...] = ()
    defaults: Mapping[str, Any] = field(default_factory=dict)


def _pattern(text: str) -> str:
    if not text:
        raise ValueError("a name, with * and ? as in file names")
    return text


def _number(low: float, high: float) -> Callable[[str], float]:
    def convert(text: str) -> float:
        wanted = f"a number from {low:g} to {high:g}"
        try:
            value = float(text)
        except ValueError:
            raise ValueError(wanted) from None
        if not low <= value <= high:
            raise ValueError(wanted)
        return value

    return convert


def _whole(low: int) -> Callable[[str], int]:
    def convert(text: str) -> int:
        if not re.fullmatch(r"\d{1,18}", text) or int(text) < low:
            raise ValueError(f"a whole number of at least {low}")
        return int(text)

    return convert


def _one_of(*allowed: str) -> Callable[[str], str]:
    def convert(text: str) -> str:
        if text not in allowed:
            raise ValueError(f"one of {', '.join(allowed)}")
        return text

    return convert


_COUNTING = {"nth": _whole(1), "times": _whole(1), "rate": _number(0, 1), "seed": _whole(0)}
_CALL = {"service": _pattern, "operation": _pattern, "resource": _pattern, **_COUNTING}
_WORK = {"kind": _pattern, "resource": _pattern, **_COUNTING}
_WHEN = {"when": _one_of("before", "after")}
_SECONDS = {"seconds": _number(0, 86_400)}

EFFECTS: dict[str, Effect] = {
    "throttling": Effect("the call is refused: ThrottlingException, on S3 SlowDown", _CALL),
    "access-denied": Effect("the call is refused: AccessDeniedException, on S3 AccessDenied", _CALL),
    "server-error": Effect(
        "the call is answered with 500 or 503, and nothing is done",
        {**_CALL, "status": _one_of("500", "503")},
        defaults={"status": "500"},
    ),
    "reset": Effect(
        "the connection is reset, before the call is carried out or after",
        {**_CALL, **_WHEN},
        defaults={"when": "before"},
    ),
    "delay": Effect("the call is carried out so much later", {**_CALL, **_SECONDS}, (("seconds",),)),
    "kill": Effect(
        "a process gets SIGKILL and the call no answer, before the call is carried out or after",
        {**_CALL, **_WHEN, "pid": _whole(2), "pid-file": _pattern},
        (("pid", "pid-file"), ("when",)),
    ),
    "capacity": Effect("a job or an endpoint gets no instances and fails", _WORK),
    "failure": Effect(
        "a job or an endpoint fails with this FailureReason before it does anything",
        {**_WORK, "reason": _pattern},
        (("reason",),),
    ),
    "slow": Effect(
        "a phase takes so much longer", {**_WORK, "phase": _pattern, **_SECONDS}, (("seconds",),), {"phase": "*"}
    ),
    "spot-interruption": Effect(
        "a training job on spot instances loses them, so long after its training began",
        {**_WORK, **_SECONDS},
        defaults={"seconds": 0.0},
    ),
}


@dataclass(frozen=True)
class Rule:
    """A parsed rule; ``settings`` has the converted values, defaults included."""

    text: str
    effect: str
    settings: Mapping[str, Any]

    def matches(self, **names: str) -> bool:
        """Return whether its patterns fit; one that it does not have fits everything."""
        return all(fnmatchcase(name, self.settings.get(key, "*")) for key, name in names.items())

    def __getitem__(self, key: str) -> Any:
        return self.settings[key]


def parse_rules(lines: Iterable[str]) -> list[Rule]:
    """Return the rules of lines; empty ones, and those that begin with ``#``, are no rules."""
    return [parse_rule(line) for line in lines if line.strip() and not line.lstrip().startswith("#")]


def parse_rule(text: str) -> Rule:
    """Parse one rule.

    :raises FaultRuleError: it is no rule; the sentence says what would be one.
    """
    try:
        name, *words = shlex.split(text)
    except ValueError as error:
        raise _wrong(text, f"cannot be split into words ({error})", "quote values that have spaces or quotes") from None
    if name not in EFFECTS:
        raise _wrong(text, f"begins with {name!r}", f"effects are {', '.join(EFFECTS)}{_nearest(name, EFFECTS)}")
    effect = EFFECTS[name]
    settings: dict[str, Any] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or key not in effect.settings:
            known = ", ".join(effect.settings)
            raise _wrong(
                text, f"has the word {word!r}", f"{name} takes KEY=VALUE of {known}{_nearest(key, effect.settings)}"
            )
        if key in settings:
            raise _wrong(text, f"has {key} twice", "give it once")
        try:
            settings[key] = effect.settings[key](value)
        except ValueError as error:
            raise _wrong(text, f"has {key}={value}", f"{key} is {error}") from None
    _check(text, name, effect, settings)
    return Rule(text.strip(), name, {**effect.defaults, **settings})


def _check(text: str, name: str, effect: Effect, settings: dict[str, Any]) -> None:
    for choices in effect.required:
        if not any(choice in settings for choice in choices):
            raise _wrong(text, f"has no {' or '.join(choices)}", f"{name} needs {' or '.join(choices)}")
    for key, others in _INSTEAD.items():
        for other in others:
            if key in settings and other in settings:
                raise _wrong(text, f"has {key} and {other}", "give one of them")
    if "seed" in settings and "rate" not in settings:
        raise _wrong(text, "has seed without rate", "only a rate is left to chance: give rate, or leave seed out")


def _wrong(text: str, what: str, instead: str) -> FaultRuleError:
    return FaultRuleError(f"The fault rule {text.strip()!r} {what}: {instead}.")


def _nearest(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), 1)
    return f" (did you mean {close[0]}?)" if close else ""
