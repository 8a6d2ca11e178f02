"""Requests and answers of AWS's JSON 1.1 and REST protocols, from botocore's service model alone."""

from __future__ import annotations

import datetime as dt
import functools
import json
import re
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote

from botocore.loaders import Loader
from botocore.model import OperationModel, ServiceModel, StructureShape

from airflow_ll.local import cbor
from airflow_ll.local.errors import AwsError, SerializationError, UnknownOperationError
from airflow_ll.local.validation import validate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from botocore.model import Shape

__all__ = [
    "Answer",
    "decode_json_request",
    "decode_rest_request",
    "encode_error",
    "encode_json_answer",
    "encode_rest_answer",
    "in_cbor",
    "operation_model",
    "render",
    "rest_operation",
    "service_model",
    "signed_scope",
]

_CREDENTIAL = re.compile(r"Credential=[^/,\s]+/\d{8}/([^/,\s]+)/([^/,\s]+)/aws4_request")


@dataclass(frozen=True)
class Answer:
    """One HTTP answer."""

    status: int
    body: bytes
    headers: dict[str, str]


@functools.lru_cache(maxsize=8)
def service_model(service: str) -> ServiceModel:
    """Return botocore's model of ``service``."""
    return ServiceModel(Loader().load_service_model(service, "service-2"), service)


def operation_model(service: str, name: str) -> OperationModel:
    """Return the model of one operation.

    :raises UnknownOperationError: the service does not have it.
    """
    model = service_model(service)
    if name not in model.operation_names:
        raise UnknownOperationError(f"The operation {name or '(none)'} is not one of {model.service_id}'s.")
    return model.operation_model(name)


def signed_scope(headers: Mapping[str, str], query: str) -> tuple[str, str] | None:
    """Return region and service of a request's SigV4 scope (header or presigned), ``None`` when it is unsigned."""
    credential = headers.get("authorization", "")
    if not credential and "X-Amz-Credential=" in query:
        credential = f"Credential={parse_qs(query).get('X-Amz-Credential', [''])[0]}"
    match = _CREDENTIAL.search(credential)
    return (match[1], match[2]) if match else None


def decode_json_request(operation: OperationModel, body: bytes) -> dict[str, Any]:
    """Parse and check the body of a JSON 1.1 request; unknown members are ignored, as AWS does."""
    try:
        request = json.loads(body or b"{}", parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise SerializationError(f"The request body is not JSON: {error}") from error
    _check_unicode(request, body)
    shape = operation.input_shape
    if not isinstance(request, dict):
        raise SerializationError("Unexpected field type")
    if shape is None:
        return {}
    try:
        validate(shape, request)
        known: dict[str, Any] = _known(shape, request)
    except RecursionError as error:
        raise SerializationError("The request body has too many levels.") from error
    return known


def _check_unicode(request: Any, body: bytes) -> None:
    """Refuse halves of surrogate pairs, which JSON can spell and no text can hold."""
    if b"\\u" in body:
        try:
            json.dumps(request, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise SerializationError("The request body is not valid Unicode.") from error


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not a JSON number")


def _known(shape: Shape, value: Any) -> Any:
    """Return ``value`` without nulls and without members that the model does not have."""
    if shape.type_name == "structure":
        members = shape.members  # type: ignore[attr-defined]
        return {
            name: _known(members[name], item) for name, item in value.items() if name in members and item is not None
        }
    if shape.type_name == "list":
        return [_known(shape.member, item) for item in value]  # type: ignore[attr-defined]
    if shape.type_name == "map":
        return {key: _known(shape.value, item) for key, item in value.items()}  # type: ignore[attr-defined]
    return value


def decode_rest_request(
    service: str, method: str, path: str, headers: Mapping[str, str], body: bytes
) -> tuple[OperationModel, dict[str, Any]]:
    """Find the REST operation of a request, parse its parts (path, headers, payload) and check them."""
    operation, labels = rest_operation(service, method, path)
    assert operation.input_shape is not None  # it has a URI with a label
    request = _rest_members(operation.input_shape, labels, headers, body)
    validate(operation.input_shape, request)
    return operation, request


def rest_operation(service: str, method: str, path: str) -> tuple[OperationModel, dict[str, str]]:
    """Return the operation at a path, and the labels of its URI.

    :raises UnknownOperationError: there is none.
    """
    for operation, pattern in _routes(service):
        match = pattern.fullmatch(path)
        if match and operation.http["method"] == method:
            return operation, match.groupdict()
    raise UnknownOperationError(f"{method} {path} is no operation of {service}.")


@functools.lru_cache(maxsize=4)
def _routes(service: str) -> list[tuple[OperationModel, re.Pattern[str]]]:
    model = service_model(service)
    operations = [model.operation_model(name) for name in model.operation_names]
    return [(one, re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", one.http["requestUri"]))) for one in operations]


def _rest_members(
    shape: StructureShape, uri: dict[str, str], headers: Mapping[str, str], body: bytes
) -> dict[str, Any]:
    request: dict[str, Any] = {}
    for name, member in shape.members.items():
        location, wire_name = member.serialization.get("location"), member.serialization.get("name", name)
        if location == "uri":
            request[name] = unquote(uri[wire_name])
        elif location == "header" and wire_name.lower() in headers:
            request[name] = _header(member, headers[wire_name.lower()])
        elif name == shape.serialization.get("payload"):
            request[name] = body
    return request


def _header(shape: Shape, text: str) -> Any:
    """Return the value of a header; one that is no number where there should be one is left for the checks."""
    if shape.type_name == "integer":
        try:
            return int(text)
        except ValueError:
            return text
    return text


def encode_json_answer(operation: OperationModel, answer: Mapping[str, Any] | None) -> Answer:
    """Return the JSON 1.1 answer of an operation; one without an output shape has an empty body."""
    shape = operation.output_shape
    body = b"" if shape is None else json.dumps(render(shape, answer or {})).encode()
    return Answer(200, body, {"content-type": "application/x-amz-json-1.1", "x-amzn-requestid": _request_id()})


def encode_rest_answer(operation: OperationModel, answer: Mapping[str, Any]) -> Answer:
    """Return the REST answer of an operation: headers, and the payload as the body or else the rest as JSON."""
    shape = operation.output_shape
    if not isinstance(shape, StructureShape):
        return Answer(200, b"", {"x-amzn-requestid": _request_id()})
    headers = {"x-amzn-requestid": _request_id()}
    for name, member in shape.members.items():
        if member.serialization.get("location") == "header" and answer.get(name) is not None:
            headers[member.serialization["name"]] = str(answer[name])
    payload = shape.serialization.get("payload")
    if payload:
        return Answer(200, bytes(answer.get(payload, b"")), headers)
    located = {name for name, member in shape.members.items() if "location" in member.serialization}
    body = {name: value for name, value in render(shape, dict(answer)).items() if name not in located}
    return Answer(operation.http.get("responseCode", 200), json.dumps(body).encode(), headers)


def encode_error(error: AwsError, *, rest: bool = False) -> Answer:
    """Return the answer that botocore turns into a ``ClientError`` with the error's code and message."""
    headers = {"x-amzn-requestid": _request_id(), "content-type": "application/x-amz-json-1.1"}
    body: dict[str, object] = {"message": error.message, **error.members}
    if rest:
        headers |= {"x-amzn-errortype": error.code, "content-type": "application/json"}
        if error.members:
            body = {"Message": error.message, **error.members}
    else:
        body = {"__type": error.code, **body}
    return Answer(error.status, json.dumps(body).encode(), headers)


def in_cbor(answer: Answer) -> Answer:
    """Return a JSON answer as the Smithy RPC protocol has it."""
    headers = {"content-type": "application/cbor", "smithy-protocol": "rpc-v2-cbor"}
    return Answer(answer.status, cbor.encode(json.loads(answer.body)), answer.headers | headers)


def render(shape: Shape, value: Any) -> Any:
    """Return ``value`` as JSON data with only the members that ``shape`` has; times become epoch seconds."""
    if isinstance(value, dict) and shape.type_name == "structure":
        members = shape.members  # type: ignore[attr-defined]
        return {name: render(members[name], value[name]) for name in members if value.get(name) is not None}
    if isinstance(value, list) and shape.type_name == "list":
        return [render(shape.member, item) for item in value]  # type: ignore[attr-defined]
    if isinstance(value, dict) and shape.type_name == "map":
        return {key: render(shape.value, item) for key, item in value.items()}  # type: ignore[attr-defined]
    if isinstance(value, dt.datetime):
        return value.timestamp()
    return value


def _request_id() -> str:
    return str(uuid.uuid4())
