"""Every member of every recorded payload, spoilt alone, is refused; the payload as it was recorded is not."""

from __future__ import annotations

import copy
import http.client
import json
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from airflow_ll.local.protocol import operation_model
from airflow_ll.local.validation import validate
from tests.conftest import SHARED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Runtime

RECORDINGS = sorted(path.stem for path in (SHARED / "golden").glob("*.json")) if SHARED.is_dir() else ["none"]
WRONG_TYPE = {"string": ["spoilt"], "list": "spoilt", "map": "spoilt", "structure": "spoilt", "boolean": "spoilt"}


class Mutation(NamedTuple):
    """One spoilt payload: where, and what the refusal must say."""

    path: str
    payload: dict[str, Any]
    code: str
    text: str


def payloads(case: str) -> list[tuple[str, dict[str, Any]]]:
    """Return the recorded SageMaker calls of a case, each kind of payload once."""
    recording = json.loads((SHARED / "golden" / f"{case}.json").read_text())
    calls = recording.get("calls", []) if isinstance(recording, dict) else []
    found = [(call["operation"], call["kwargs"]) for call in calls if call["service"] == "sagemaker"]
    return [call for number, call in enumerate(found) if call not in found[:number]]


def mutations(operation: str, payload: dict[str, Any]) -> Iterator[Mutation]:
    """Yield one mutation for each member of a payload."""
    shape = operation_model("sagemaker", operation).input_shape
    for path, steps, member, required in members(shape, payload, "", ()):
        spoilt = copy.deepcopy(payload)
        parent: Any = spoilt
        for step in steps[:-1]:
            parent = parent[step]
        kind, value, text = worst(member, required)
        if kind == "remove":
            del parent[steps[-1]]
        else:
            parent[steps[-1]] = value
        code = "SerializationException" if kind == "type" else "ValidationException"
        yield Mutation(
            path, spoilt, code, text if kind == "type" else f"at '{path}' failed to satisfy constraint: {text}"
        )


def members(
    shape: Any, value: Any, path: str, steps: tuple[Any, ...]
) -> Iterator[tuple[str, tuple[Any, ...], Any, bool]]:
    """Yield the path as AWS spells it, the way to it, the shape and whether it is required, of all members below."""
    if shape.type_name == "structure":
        for name, item in value.items():
            member = shape.members[name]
            here = f"{path}.{name[:1].lower()}{name[1:]}" if path else f"{name[:1].lower()}{name[1:]}"
            yield here, (*steps, name), member, name in shape.required_members
            yield from members(member, item, here, (*steps, name))
    elif shape.type_name == "list":
        for number, item in enumerate(value):
            here = f"{path}.{number + 1}.member"
            if shape.member.type_name != "structure":
                yield here, (*steps, number), shape.member, False
            yield from members(shape.member, item, here, (*steps, number))
    elif shape.type_name == "map":
        for key, item in value.items():
            yield path, (*steps, key), shape.value, False
            yield from members(shape.value, item, path, (*steps, key))


def worst(shape: Any, required: bool) -> tuple[str, Any, str]:
    """Return a way to spoil a member: without it, beyond its rule, or of another type."""
    if required:
        return "remove", None, "Member must not be null"
    if getattr(shape, "enum", None):
        return "rule", "spoilt", "Member must satisfy enum value set: ["
    low = shape.metadata.get("min")
    if shape.type_name in ("integer", "long", "float", "double"):
        if low is None:
            return "type", "spoilt", "can not be converted to a"
        return "rule", low - 1, f"Member must have value greater than or equal to {low}"
    return "type", WRONG_TYPE[shape.type_name], "where not expected" if shape.type_name == "string" else ""


@pytest.mark.parametrize("case", RECORDINGS)
def test_each_member_that_is_spoilt_is_refused(runtime: Runtime, case: str) -> None:
    if not SHARED.is_dir():
        pytest.skip("the reference data (../shared) is not here")
    connection = http.client.HTTPConnection(runtime.url.removeprefix("http://"), timeout=60)
    wrong = []
    for operation, payload in payloads(case):
        shape = operation_model("sagemaker", operation).input_shape
        assert shape is not None
        validate(shape, payload)
        for mutation in mutations(operation, payload):
            headers = {"X-Amz-Target": f"SageMaker.{operation}", "Content-Type": "application/x-amz-json-1.1"}
            connection.request("POST", "/", json.dumps(mutation.payload), headers)
            answer = connection.getresponse()
            text = answer.read().decode()
            if answer.status != 400 or mutation.code not in text or mutation.text not in json.loads(text)["message"]:
                wrong.append((operation, mutation.path, answer.status, text))
    connection.close()

    assert wrong == []


@pytest.mark.skipif(not SHARED.is_dir(), reason="the reference data (../shared) is not here")
def test_there_are_members_to_spoil() -> None:
    found = [
        (operation, one.path)
        for case in RECORDINGS
        for operation, payload in payloads(case)
        for one in mutations(operation, payload)
    ]

    assert len(found) > 500
    assert len({operation for operation, _ in found}) >= 8
