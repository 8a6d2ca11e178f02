"""The part of JSONPath that SageMaker's DataProcessing documents: names, wildcards, indexes, inclusive slices.

Source: "Supported JSONPath Operators" in the developer guide's page on associating predictions with input records.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

__all__ = ["JsonPath", "JsonPathError"]

_STEP = re.compile(r"\.(?P<name>[^.\[\]*'\s]+)|\.?\[(?P<bracket>[^\]]*)\]|(?P<wildcard>\.\*)")
_NAME = re.compile(r"'([^']*)'|\"([^\"]*)\"")
_NUMBER = re.compile(r"-?\d+")
_SLICE = re.compile(r"(-?\d*):(-?\d*)")


class JsonPathError(ValueError):
    """The text is no supported JSONPath, or a document does not have what the path names."""


@dataclass(frozen=True)
class _Names:
    """One or several children of an object."""

    names: tuple[str, ...]

    def select(self, value: Any, rest: tuple[_Step, ...]) -> Any:
        if not isinstance(value, dict):
            raise JsonPathError(f"{self.names[0]!r} names a child of an object, not of {_kind(value)}")
        for name in self.names:
            if name not in value:
                raise JsonPathError(f"there is no {name!r}")
        chosen = {name: _walk(value[name], rest) for name in self.names}
        return chosen if len(self.names) > 1 else chosen[self.names[0]]


@dataclass(frozen=True)
class _Slice:
    """A part of an array, with its last element as SageMaker counts; ``None`` is an end of the array."""

    first: int | None
    last: int | None

    def of(self, array: list[Any]) -> list[Any]:
        first, last = (one + len(array) if one is not None and one < 0 else one for one in (self.first, self.last))
        return array[max(first or 0, 0) : None if last is None else max(last + 1, 0)]


@dataclass(frozen=True)
class _Elements:
    """Indexes and slices of an array; one index alone gives the element itself."""

    places: tuple[int | _Slice, ...]

    def select(self, value: Any, rest: tuple[_Step, ...]) -> Any:
        if not isinstance(value, list):
            raise JsonPathError(f"an index names an element of an array, not of {_kind(value)}")
        chosen: list[Any] = []
        for place in self.places:
            if isinstance(place, _Slice):
                chosen += place.of(value)
            elif -len(value) <= place < len(value):
                chosen.append(value[place])
            else:
                raise JsonPathError(f"the index {place} is outside an array of {len(value)}")
        walked = [_walk(one, rest) for one in chosen]
        return walked[0] if len(self.places) == 1 and isinstance(self.places[0], int) else walked


@dataclass(frozen=True)
class _Wildcard:
    """All children."""

    def select(self, value: Any, rest: tuple[_Step, ...]) -> Any:
        if not isinstance(value, dict | list):
            raise JsonPathError(f"* names children, but {_kind(value)} has none")
        return [_walk(one, rest) for one in (value.values() if isinstance(value, dict) else value)]


_Step = _Names | _Elements | _Wildcard


class JsonPath:
    """A parsed path.

    :raises JsonPathError: it is not one of those that SageMaker supports.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._steps = tuple(_parse(text))

    @property
    def is_root(self) -> bool:
        """Whether it selects everything."""
        return not self._steps

    def select(self, document: Any) -> Any:
        """Return what the path names in ``document``: a value; an object for several names; else a list.

        :raises JsonPathError: the document does not have it.
        """
        try:
            return _walk(document, self._steps)
        except JsonPathError as error:
            raise JsonPathError(f"the filter {self.text} does not fit a record: {error}") from None


def _walk(value: Any, steps: tuple[_Step, ...]) -> Any:
    return steps[0].select(value, steps[1:]) if steps else value


def _parse(text: str) -> list[_Step]:
    if not text.startswith("$"):
        raise JsonPathError(f"{text!r} does not begin with $")
    steps: list[_Step] = []
    position = 1
    while position < len(text):
        match = _STEP.match(text, position)
        if match is None:
            raise JsonPathError(f"{text!r} is not understood from {text[position:]!r} on")
        if match["wildcard"] or match["bracket"] == "*":
            steps.append(_Wildcard())
        elif match["name"]:
            steps.append(_Names((match["name"],)))
        else:
            steps.append(_bracket(text, match["bracket"]))
        position = match.end()
    return steps


def _bracket(text: str, content: str) -> _Step:
    """Return the step of what stands between brackets: quoted names, or indexes and slices."""
    parts = [part.strip() for part in content.split(",")]
    names = [_NAME.fullmatch(part) for part in parts]
    if all(names):
        return _Names(tuple(str(match[1] if match[1] is not None else match[2]) for match in names if match))
    places: list[int | _Slice] = []
    for part in parts:
        span = _SLICE.fullmatch(part)
        if span:
            first, last = (int(end) if end.strip("-") else None for end in span.groups())
            places.append(_Slice(first, last))
        elif _NUMBER.fullmatch(part):
            places.append(int(part))
        else:
            raise JsonPathError(f"{text!r} has {part!r} where a quoted name, an index or a slice is allowed")
    return _Elements(tuple(places))


def _kind(value: Any) -> str:
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "an array"
    return "a text" if isinstance(value, str) else "a number, boolean or null"
