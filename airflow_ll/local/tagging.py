"""The Resource Groups Tagging API over the control plane's resources: find what has a tag, tag and untag."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from airflow_ll.local import cbor, protocol
from airflow_ll.local.errors import AwsError, InvalidParameterError, SerializationError, ValidationError, unsupported
from airflow_ll.local.paging import decode_token, encode_token
from airflow_ll.local.tags import add_tags, remove_tags

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from airflow_ll.local.calls import Call
    from airflow_ll.local.runtime import Runtime

__all__ = ["SERVICE", "answer"]

SERVICE = "tagging"
"""The name in the requests' signature."""

_MODEL = "resourcegroupstaggingapi"
_DEFAULT_PAGE, _MAX_PAGE = 50, 100

Tags = list[dict[str, str]]


def answer(runtime: Runtime, call: Call, body: bytes) -> protocol.Answer:
    """Answer one call: of the Smithy RPC protocol or of JSON 1.1."""
    try:
        operation = protocol.operation_model(_MODEL, call.operation)
        request = protocol.decode_json_request(operation, _as_json(body) if call.rpc else body)
        if call.operation not in _OPERATIONS:
            raise unsupported(call.operation)
        found = protocol.encode_json_answer(operation, _OPERATIONS[call.operation](runtime, request))
    except AwsError as error:
        found = protocol.encode_error(error)
    return protocol.in_cbor(found) if call.rpc else found


def _as_json(body: bytes) -> bytes:
    try:
        return json.dumps(cbor.decode(body) if body else {}).encode()
    except TypeError as error:  # byte strings, of which the service's model has none
        raise SerializationError(f"The request body is not what the operation takes: {error}") from error


def _get_resources(runtime: Runtime, request: dict[str, Any]) -> dict[str, Any]:
    arns, filters = request.get("ResourceARNList"), request.get("TagFilters", [])
    types = request.get("ResourceTypeFilters", [])
    if arns and (filters or types):
        raise InvalidParameterError("ResourceARNList cannot be used together with TagFilters or ResourceTypeFilters.")
    found = {
        arn: tags
        for arn, tags in runtime.store.tagged().items()
        if (not arns or arn in arns)
        and (not types or any(_is_of_type(arn, one) for one in types))
        and all(_has_tag(tags, one) for one in filters)
    }
    shown, token = _page(sorted(found), request)
    mapping = [{"ResourceARN": arn, "Tags": found[arn]} for arn in shown]
    return {"ResourceTagMappingList": mapping, "PaginationToken": token}


def _get_tag_keys(runtime: Runtime, request: dict[str, Any]) -> dict[str, Any]:
    keys = {tag["Key"] for tags in runtime.store.tagged().values() for tag in tags}
    shown, token = _page(sorted(keys), request)
    return {"TagKeys": shown, "PaginationToken": token}


def _get_tag_values(runtime: Runtime, request: dict[str, Any]) -> dict[str, Any]:
    tagged = runtime.store.tagged().values()
    values = {tag["Value"] for tags in tagged for tag in tags if tag["Key"] == request["Key"]}
    shown, token = _page(sorted(values), request)
    return {"TagValues": shown, "PaginationToken": token}


def _tag_resources(runtime: Runtime, request: dict[str, Any]) -> dict[str, Any]:
    given = [{"Key": key, "Value": value} for key, value in request["Tags"].items()]
    return _on_each(request, lambda arn: add_tags(runtime, arn, given))


def _untag_resources(runtime: Runtime, request: dict[str, Any]) -> dict[str, Any]:
    return _on_each(request, lambda arn: remove_tags(runtime, arn, request["TagKeys"]))


def _on_each(request: dict[str, Any], change: Callable[[str], None]) -> dict[str, Any]:
    """Change every resource that takes the change; the others are the answer."""
    failed = {}
    for arn in request["ResourceARNList"]:
        try:
            change(arn)
        except ValidationError as error:
            code = InvalidParameterError.code
            failed[arn] = {"StatusCode": error.status, "ErrorCode": code, "ErrorMessage": error.message}
    return {"FailedResourcesMap": failed}


def _is_of_type(arn: str, wanted: str) -> bool:
    """Return whether an ARN is of a type such as ``sagemaker`` or ``sagemaker:training-job``."""
    service, resource = arn.split(":", 5)[2::3]
    return wanted in (service, f"{service}:{resource.partition('/')[0]}")


def _has_tag(tags: Tags, wanted: Mapping[str, Any]) -> bool:
    values = wanted.get("Values", [])
    return any(tag["Key"] == wanted.get("Key", tag["Key"]) and (not values or tag["Value"] in values) for tag in tags)


def _page(items: Sequence[str], request: dict[str, Any]) -> tuple[list[str], str]:
    """Return the items of a request's page, and the next one's token, ``""`` at the end as the service does."""
    size = request.get("ResourcesPerPage", _DEFAULT_PAGE)
    if not 1 <= size <= _MAX_PAGE:
        raise InvalidParameterError(f"ResourcesPerPage must be between 1 and {_MAX_PAGE}, got {size}.")
    after = ""
    if request.get("PaginationToken"):
        try:
            after = decode_token(request["PaginationToken"], str)[1]
        except AwsError as error:
            raise InvalidParameterError("The specified PaginationToken is invalid.") from error
    left = [one for one in items if one > after]
    return left[:size], encode_token(("", left[size - 1])) if len(left) > size else ""


_OPERATIONS: dict[str, Callable[[Runtime, dict[str, Any]], dict[str, Any]]] = {
    "GetResources": _get_resources,
    "GetTagKeys": _get_tag_keys,
    "GetTagValues": _get_tag_values,
    "TagResources": _tag_resources,
    "UntagResources": _untag_resources,
}
