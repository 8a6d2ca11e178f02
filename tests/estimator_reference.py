"""The members and parameters of the estimator, parsed from its reference page."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["documented_members"]

_CALL = re.compile(r"(?:class |classmethod )?([A-Za-z_.]+)\((.*)\)")
_VALUE = re.compile(r"([A-Za-z_0-9]+)(?: = .+)?")
_BULLET = re.compile(r" *• ([a-z_0-9]+) \((?:str|int|float|bool|dict|[Ll]ist|numpy|sagemaker|RecordSet)\b.*")
_NO_MEMBERS = {"LinearLearner", "Examples", "RecordSet"}


def documented_members(page: Path) -> list[str]:
    """Return what the page documents, in order: ``member`` and ``member(parameter)`` for each of a call."""
    return list(dict.fromkeys(_members(page.read_text().splitlines())))


def _members(lines: list[str]) -> Iterator[str]:
    name = ""
    for line in lines:
        if call := _CALL.fullmatch(line):
            name = call[1].removeprefix("sagemaker.")
            yield name
            yield from (f"{name}({parameter})" for parameter in _parameters(call[2]))
        elif bullet := _BULLET.fullmatch(line):
            yield f"{name}({bullet[1]})"
        elif (value := _VALUE.fullmatch(line)) and value[1] not in _NO_MEMBERS:
            yield value[1]


def _parameters(signature: str) -> Iterator[str]:
    for one in signature.split(","):
        name = one.split("=")[0].strip()
        if name:
            yield name
