"""Strict request checks from botocore's service model, in AWS's own words.

botocore's client checks types, required members and minima only. SageMaker also checks patterns,
maxima and enumerations, and its model carries all of them, so a payload that passes here passes the
first gate on AWS. Rules that the model does not carry are in the operations.
"""

from __future__ import annotations

import functools
import re
import sys
from typing import TYPE_CHECKING, Any

import regex

from airflow_ll.local.errors import SerializationError, ValidationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from botocore.model import ListShape, MapShape, Shape, StructureShape

__all__ = ["fault", "missing", "refuse", "validate"]

_SURROGATES = re.compile(r"\\u([Dd][89ABab][0-9A-Fa-f]{2})\\u([Dd][C-Fc-f][0-9A-Fa-f]{2})")


_LARGEST = {
    "integer": (1 << 31) - 1,
    "long": (1 << 63) - 1,
    "float": 3.4028235e38,
    "double": sys.float_info.max,
    "timestamp": 253_402_300_799,  # the last second of the year 9999
}


def validate(shape: StructureShape, request: dict[str, Any]) -> None:
    """Check ``request`` against ``shape``.

    :raises SerializationError: at the first member of a wrong JSON type.
    :raises ValidationError: with every broken constraint.
    """
    refuse(list(_faults(shape, request, "")))


def refuse(faults: list[str]) -> None:
    """Raise the ``ValidationException`` that lists ``faults``, if there are any."""
    if faults:
        plural = "s" if len(faults) > 1 else ""
        raise ValidationError(f"{len(faults)} validation error{plural} detected: {'; '.join(faults)}")


def fault(path: str, value: object, constraint: str) -> str:
    """Return AWS's sentence for one broken constraint; ``path`` is lowerCamel."""
    if isinstance(value, bytes):
        return f"Value at '{path}' failed to satisfy constraint: {constraint}"
    shown = "null" if value is None else f"'{_java(value)}'"
    return f"Value {shown} at '{path}' failed to satisfy constraint: {constraint}"


def missing(path: str) -> str:
    """Return AWS's sentence for an absent member."""
    return fault(path, None, "Member must not be null")


def _faults(shape: Shape, value: Any, path: str) -> Iterator[str]:
    check = _CHECKS.get(shape.type_name)
    if check is not None:
        yield from check(shape, value, path)


def _structure(shape: StructureShape, value: Any, path: str) -> Iterator[str]:
    if not isinstance(value, dict):
        raise _wrong_type(value, "structure")
    for name in shape.required_members:
        if value.get(name) is None:
            yield missing(_join(path, name))
    for name, member in shape.members.items():
        if value.get(name) is not None:
            yield from _faults(member, value[name], _join(path, name))


def _list(shape: ListShape, value: Any, path: str) -> Iterator[str]:
    if not isinstance(value, list):
        raise _wrong_type(value, "list")
    yield from _length(shape, value, path)
    for number, item in enumerate(value, 1):
        yield from _faults(shape.member, item, f"{path}.{number}.member")


def _map(shape: MapShape, value: Any, path: str) -> Iterator[str]:
    if not isinstance(value, dict):
        raise _wrong_type(value, "map")
    yield from _length(shape, value, path)
    if any(list(_faults(shape.key, key, path)) for key in value):
        yield fault(path, value, f"Map keys must satisfy constraint: [{', '.join(_constraints(shape.key))}]")
    if shape.value.type_name != "string":
        for key, item in value.items():
            yield from _faults(shape.value, item, f"{path}.{key}.member")
    elif any(list(_faults(shape.value, item, path)) for item in value.values()):
        yield fault(path, value, f"Map value must satisfy constraint: [{', '.join(_constraints(shape.value))}]")


def _string(shape: Shape, value: Any, path: str) -> Iterator[str]:
    if not isinstance(value, str):
        raise _wrong_type(value, "String")
    yield from _length(shape, value, path)
    allowed = getattr(shape, "enum", [])
    if allowed and value not in allowed:
        yield fault(path, value, _enumeration(allowed))
    pattern = shape.metadata.get("pattern")
    if pattern and not _compiled(pattern).fullmatch(value):
        yield fault(path, value, f"Member must satisfy regular expression pattern: {pattern}")


def _number(shape: Shape, value: Any, path: str) -> Iterator[str]:
    integral = shape.type_name in ("integer", "long")
    if isinstance(value, bool) or not isinstance(value, int if integral else (int, float)):
        raise _wrong_type(value, shape.type_name.title())
    if not -_LARGEST[shape.type_name] <= value <= _LARGEST[shape.type_name]:
        raise _wrong_type(value, shape.type_name.title())
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    if low is not None and value < low:
        yield fault(path, value, f"Member must have value greater than or equal to {low}")
    if high is not None and value > high:
        yield fault(path, value, f"Member must have value less than or equal to {high}")


def _boolean(shape: Shape, value: Any, path: str) -> Iterator[str]:
    if not isinstance(value, bool):
        raise _wrong_type(value, "Boolean")
    yield from ()


def _timestamp(shape: Shape, value: Any, path: str) -> Iterator[str]:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) <= _LARGEST["timestamp"]:
        raise _wrong_type(value, "Timestamp")
    yield from ()


def _length(shape: Shape, value: str | bytes | list[Any] | dict[str, Any], path: str) -> Iterator[str]:
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    if low is not None and len(value) < low:
        yield fault(path, value, f"Member must have length greater than or equal to {low}")
    if high is not None and len(value) > high:
        yield fault(path, value, f"Member must have length less than or equal to {high}")


_CHECKS: dict[str, Callable[[Any, Any, str], Iterator[str]]] = {
    "structure": _structure,
    "list": _list,
    "map": _map,
    "string": _string,
    "character": _string,
    "integer": _number,
    "long": _number,
    "float": _number,
    "double": _number,
    "boolean": _boolean,
    "timestamp": _timestamp,
    "blob": _length,
}


def _constraints(shape: Shape) -> Iterator[str]:
    """Yield the constraints of a map's key or value in AWS's order."""
    if "max" in shape.metadata:
        yield f"Member must have length less than or equal to {shape.metadata['max']}"
    if "min" in shape.metadata:
        yield f"Member must have length greater than or equal to {shape.metadata['min']}"
    if "enum" in shape.metadata:
        yield _enumeration(shape.metadata["enum"])
    if "pattern" in shape.metadata:
        yield f"Member must satisfy regular expression pattern: {shape.metadata['pattern']}"


def _enumeration(allowed: list[str]) -> str:
    return f"Member must satisfy enum value set: [{', '.join(allowed)}]"


@functools.lru_cache(maxsize=1024)
def _compiled(pattern: str) -> Any:
    """Compile a pattern of Java's syntax: it has classes by property, and a pair of surrogates is one character."""
    return regex.compile(_SURROGATES.sub(_code_point, pattern))


def _code_point(pair: re.Match[str]) -> str:
    high, low = (int(half, 16) for half in pair.groups())
    return f"\\U{0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00):08X}"


def _join(path: str, name: str) -> str:
    name = name[:1].lower() + name[1:]
    return f"{path}.{name}" if path else name


def _java(value: object) -> str:
    """Return ``value`` as Java prints it, which is how AWS echoes collections."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}={_java(item)}' for key, item in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(_java, value))}]"
    return str(value)


def _wrong_type(value: object, wanted: str) -> SerializationError:
    if isinstance(value, list):
        return SerializationError("Start of list found where not expected")
    if isinstance(value, dict):
        return SerializationError("Start of structure or map found where not expected.")
    if wanted in ("structure", "list", "map"):
        return SerializationError("Unexpected field type")
    if isinstance(value, bool):
        kind = str(value).upper()
    else:
        kind = "STRING" if isinstance(value, str) else "NULL" if value is None else "NUMBER"
    return SerializationError(f"{kind}_VALUE can not be converted to {'an' if wanted[0] in 'IA' else 'a'} {wanted}")
