"""The operation Search, over training jobs, tuning jobs and endpoints.

A property is a path into what Describe answers (``ResourceConfig.InstanceType``), ``Tags.<key>`` or, of training jobs,
``Metrics.<name>`` for a final metric. In a list any element will do; nested filters are met by one element together.
"""

from __future__ import annotations

import datetime as dt
import struct
from typing import TYPE_CHECKING, Any

from airflow_ll.local.errors import ValidationError, unsupported
from airflow_ll.local.paging import page
from airflow_ll.local.protocol import service_model
from airflow_ll.local.resources import ENDPOINT, TRAINING_JOB, TUNING_JOB

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from airflow_ll.local.resources import Kind
    from airflow_ll.local.runtime import Runtime

__all__ = ["search"]

_KINDS: dict[str, Kind] = {
    "TrainingJob": TRAINING_JOB,
    "HyperParameterTuningJob": TUNING_JOB,
    "Endpoint": ENDPOINT,
}
_SHAPES = {"HyperParameterTuningJob": "HyperParameterTuningJobSearchEntity"}
_MAX_DEPTH = 10

_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "Equals": lambda found, wanted: found == wanted,
    "NotEquals": lambda found, wanted: found != wanted,
    "GreaterThan": lambda found, wanted: found > wanted,
    "GreaterThanOrEqualTo": lambda found, wanted: found >= wanted,
    "LessThan": lambda found, wanted: found < wanted,
    "LessThanOrEqualTo": lambda found, wanted: found <= wanted,
}
_ORDERED = ("GreaterThan", "GreaterThanOrEqualTo", "LessThan", "LessThanOrEqualTo")


def search(runtime: Runtime, request: dict[str, Any]) -> dict[str, Any]:
    """Answer Search."""
    resource = request["Resource"]
    if resource not in _KINDS:
        raise unsupported(f"searching for the resource {resource}", f"Search for one of {', '.join(_KINDS)}.")
    if "VisibilityConditions" in request or request.get("CrossAccountFilterOption") == "CrossAccount":
        raise unsupported("searching in other accounts")
    kind, expression = _KINDS[resource], request.get("SearchExpression", {})
    sort = request.get("SortBy", "LastModifiedTime")
    _check(resource, expression, sort)
    found = [one for one in _documents(runtime, kind) if _matches(one, expression)]
    keyed = [(_sort_key(one, sort), one[kind.name_member], {resource: one}) for one in found]
    shown, token = page(keyed, request, descending=request.get("SortOrder", "Descending") == "Descending")
    return {
        "Results": shown,
        "NextToken": token,
        "TotalHits": {"Value": len(found), "Relation": "EqualTo"},
    }


def _documents(runtime: Runtime, kind: Kind) -> Iterator[dict[str, Any]]:
    """Yield all resources of a kind as search sees them."""
    tags = runtime.store.tags_of_kind(kind.key)
    for body in runtime.store.all(kind.key):
        yield {**body, "Tags": tags.get(body[kind.arn_member], [])}


# What may be asked for.


def _check(resource: str, expression: Mapping[str, Any], sort: str) -> None:
    """Refuse properties that the resource does not have, and expressions that say nothing."""
    shape: Any = service_model("sagemaker").shape_for(_SHAPES.get(resource, resource))
    for name in (*_property_names(expression, 1), sort):
        if name.split(".", 1)[0] not in (*shape.members, "Metrics"):
            raise ValidationError(f"The property {name} is not one of the resource {resource}.")


def _property_names(expression: Mapping[str, Any], depth: int) -> Iterator[str]:
    if depth > _MAX_DEPTH:
        raise ValidationError(f"SearchExpression has more than {_MAX_DEPTH} levels of SubExpressions.")
    for one in expression.get("Filters", ()):
        _check_filter(one)
        yield one["Name"]
    for nested in expression.get("NestedFilters", ()):
        outer = nested["NestedPropertyName"]
        yield outer
        for one in nested["Filters"]:
            _check_filter(one)
            if not one["Name"].startswith(f"{outer}."):
                raise ValidationError(f"The nested filter {one['Name']} must begin with its property: {outer}.")
    for inner in expression.get("SubExpressions", ()):
        yield from _property_names(inner, depth + 1)


def _check_filter(one: Mapping[str, Any]) -> None:
    operator = one.get("Operator", "Equals")
    if ("Value" in one) == (operator in ("Exists", "NotExists")):
        article = "takes no" if "Value" in one else "needs a"
        raise ValidationError(f"The operator {operator} of the filter {one['Name']} {article} Value.")


# Matching.


def _matches(document: Mapping[str, Any], expression: Mapping[str, Any]) -> bool:
    results = [_passes(document, one["Name"], one) for one in expression.get("Filters", ())]
    results += [_nested(document, one) for one in expression.get("NestedFilters", ())]
    results += [_matches(document, one) for one in expression.get("SubExpressions", ())]
    if expression.get("Operator") == "Or" and results:
        return any(results)
    return all(results)


def _nested(document: Mapping[str, Any], nested: Mapping[str, Any]) -> bool:
    outer = nested["NestedPropertyName"]
    elements = _resolve(document, outer)
    return any(
        all(_passes(element, one["Name"].removeprefix(f"{outer}."), one) for one in nested["Filters"])
        for element in elements
        if isinstance(element, dict)
    )


def _passes(document: Mapping[str, Any], name: str, one: Mapping[str, Any]) -> bool:
    operator, wanted = one.get("Operator", "Equals"), one.get("Value", "")
    found = [value for value in _resolve(document, name) if not isinstance(value, dict | list)]
    if operator in ("Exists", "NotExists"):
        return bool(_resolve(document, name)) is (operator == "Exists")
    if operator == "NotEquals":
        return not any(_compare("Equals", value, wanted) for value in found)
    return any(_compare(operator, value, wanted) for value in found)


def _compare(operator: str, found: object, wanted: str) -> bool:
    if operator == "In":
        return any(_compare("Equals", found, one.strip()) for one in wanted.split(","))
    if operator == "Contains":
        return wanted.lower() in str(found).lower()
    left, right = _number(found), _moment(wanted)
    if left is not None and right is not None:
        return bool(_COMPARISONS[operator](left, right))
    if operator in _ORDERED and left is not None:
        return False  # a number against a word
    text = str(found).lower() if isinstance(found, bool) else str(found)
    return bool(_COMPARISONS[operator](text, wanted))


def _resolve(document: Any, name: str) -> list[Any]:
    """Return the values at a path; of a list all elements."""
    head, _, rest = name.partition(".")
    if head == "Tags" and rest and "Tags" in document:
        return [tag["Value"] for tag in document["Tags"] if tag["Key"] == rest]
    if head == "Metrics" and "Metrics" not in document:
        return [one["Value"] for one in document.get("FinalMetricDataList", ()) if one["MetricName"] == rest]
    if not name or (isinstance(document, dict) and name in document):  # keys of a map may have dots
        value = document[name] if name else document
        return list(value) if isinstance(value, list) else [value]
    if isinstance(document, list):
        return [value for element in document for value in _resolve(element, name)]
    if not isinstance(document, dict) or head not in document:
        return []
    return _resolve(document[head], rest)


def _number(value: object) -> float | None:
    if isinstance(value, bool):
        return None
    try:
        return float(value)  # type: ignore[arg-type]  # what is no number is None
    except (TypeError, ValueError):
        return None


def _moment(text: str) -> float | None:
    """Return a number, or a time in ISO 8601 as seconds since 1970."""
    number = _number(text)
    if number is not None:
        return number
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)).timestamp()


def _sort_key(document: Mapping[str, Any], name: str) -> str:
    """Return a text that sorts as the property does: numbers before words, what has none first."""
    found = [value for value in _resolve(document, name) if not isinstance(value, dict | list)]
    if not found:
        return ""
    number = _number(found[0])
    return f"1{_sortable(number)}" if number is not None else f"2{found[0]}"


def _sortable(number: float) -> str:
    """Return the bits of a number so that texts sort as numbers do."""
    (bits,) = struct.unpack(">Q", struct.pack(">d", number))
    return f"{bits ^ ((1 << 64) - 1 if bits >> 63 else 1 << 63):016x}"
