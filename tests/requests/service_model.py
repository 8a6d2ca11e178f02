"""AWS's own refusals: requests against botocore's model of SageMaker, with its patterns, limits and enums."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import botocore.session
import regex
from botocore.validate import ParamValidator

if TYPE_CHECKING:
    from collections.abc import Iterator

    from botocore.model import ServiceModel


@cache
def sagemaker() -> ServiceModel:
    return botocore.session.get_session().get_service_model("sagemaker")


def refusals(operation: str, request: dict[str, Any]) -> list[str]:
    """Return what AWS would refuse in ``request``."""
    shape = sagemaker().operation_model(operation).input_shape
    assert shape is not None
    report = ParamValidator().validate(request, shape)
    return ([report.generate_report()] if report.has_errors() else []) + list(_constraints(request, shape, operation))


def _constraints(value: Any, shape: Any, path: str) -> Iterator[str]:
    yield from _limits(value, shape, path)
    if shape.type_name == "structure":
        for name in value.keys() & shape.members:
            item = value[name]
            yield from _constraints(item, shape.members[name], f"{path}.{name}")
    elif shape.type_name == "list":
        for index, item in enumerate(value):
            yield from _constraints(item, shape.member, f"{path}[{index}]")
    elif shape.type_name == "map":
        for key, item in value.items():
            yield from _constraints(key, shape.key, f"{path}({key})")
            yield from _constraints(item, shape.value, f"{path}.{key}")


def _limits(value: Any, shape: Any, path: str) -> Iterator[str]:
    limits = shape.metadata
    size = value if isinstance(value, (int, float)) else len(value)
    if size > limits.get("max", float("inf")) or size < limits.get("min", float("-inf")):
        yield f"{path}: {size} is outside {limits.get('min')}..{limits.get('max')}"
    if "enum" in limits and value not in limits["enum"]:
        yield f"{path}: {value!r} is not in the enum"
    if "pattern" in limits and not regex.fullmatch(limits["pattern"], value):
        yield f"{path}: {value!r} does not match {limits['pattern']}"
