"""What a call to moto changes: its operation and parameters, in whichever protocol the client spoke.

moto's memory ends with the process. What is kept of a call is what it asked for, not its bytes: the parameters carry
no signature, say the same in all protocols, and can be written down without the secrets among them.
"""

from __future__ import annotations

import gzip
import json
import time
import zlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode

from botocore.model import ListShape, StructureShape
from botocore.serialize import create_serializer

from airflow_ll.local import cbor
from airflow_ll.local.errors import AwsError
from airflow_ll.local.protocol import service_model

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from botocore.model import OperationModel, Shape

__all__ = ["METRIC_DATA", "Mutation", "is_read_only", "operation_name", "read", "wire_request"]

METRIC_DATA = "PutMetricData"

_MODELS = {"iam": "iam", "monitoring": "cloudwatch", "application-autoscaling": "application-autoscaling"}
"""The services that remember, by the names in their signatures. What STS hands out is gone soon anyway, and secret."""

_READING = ("Describe", "Get", "List", "Simulate")
_REDACTED = "redacted"
_IAM_REGION = "us-east-1"  # IAM is the same in all regions, whichever a client signs for


@dataclass(frozen=True)
class Mutation:
    """A call that changes something; ``service`` is the name in its signature."""

    service: str
    region: str
    operation: str
    parameters: Mapping[str, Any]

    def each(self, member: str) -> Iterator[Mutation]:
        """Yield a call for each item of a list that it is given, as if they had been asked for one by one."""
        for item in self.parameters.get(member, ()):
            yield replace(self, parameters={**self.parameters, member: [item]})


def operation_name(target: str, path: str, query: str, body: bytes) -> str:
    """Return the operation of a request: in its target header, its path (Smithy RPC) or its parameters (query)."""
    if target:
        return target
    if path.startswith("/service/"):
        return path.rpartition("/")[2]
    return str(_query_tree(query, body).get("Action", ""))


def is_read_only(operation: str) -> bool:
    """Return whether an operation only looks; AWS names such operations by their first word."""
    return operation.startswith(_READING)


def read(service: str, region: str, request: Mapping[str, str], body: bytes) -> Mutation | None:
    """Return what a call changes, ``None`` for one that changes nothing or that botocore does not know.

    :param request: ``target``, ``path``, ``query`` and ``content-encoding`` of the HTTP request.
    """
    try:
        plain = gzip.decompress(body) if request["content-encoding"] == "gzip" else body
        operation = operation_name(request["target"], request["path"], request["query"], plain)
        if service not in _MODELS or is_read_only(operation):
            return None
        model = service_model(_MODELS[service])
        if operation not in model.operation_names:
            return None
        parameters = _parameters(model.operation_model(operation), request, plain)
    except (AwsError, ValueError, TypeError, AttributeError, KeyError, EOFError, OSError, zlib.error, RecursionError):
        return None  # moto refuses what cannot be read
    if operation == METRIC_DATA:
        _stamp(parameters)
    return Mutation(service, _IAM_REGION if service == "iam" else region, operation, parameters)


def wire_request(mutation: Mutation) -> tuple[str, dict[str, str], bytes]:
    """Return the path, the headers and the body of a request that makes this call."""
    model = service_model(_MODELS[mutation.service])
    serializer = create_serializer("query" if mutation.service == "iam" else "json", include_validation=False)
    made = serializer.serialize_to_request(dict(mutation.parameters), model.operation_model(mutation.operation))
    body = made["body"]
    credential = f"journal/20000101/{mutation.region}/{mutation.service}/aws4_request"
    headers = {**made["headers"], "Authorization": f"AWS4-HMAC-SHA256 Credential={credential}"}
    return made["url_path"], headers, urlencode(body).encode() if isinstance(body, dict) else bytes(body)


def _parameters(operation: OperationModel, request: Mapping[str, str], body: bytes) -> dict[str, Any]:
    shape = operation.input_shape
    if not isinstance(shape, StructureShape):
        return {}
    if request["target"]:
        given: Any = json.loads(body or b"{}")
    elif request["path"].startswith("/service/"):
        given = cbor.decode(body) if body else {}
    else:
        given = _typed(shape, _query_tree(request["query"], body))
    if not isinstance(given, dict):
        raise ValueError("the parameters are no structure")
    return {
        name: _REDACTED if member.metadata.get("sensitive") else given[name]
        for name, member in shape.members.items()
        if given.get(name) is not None
    }


def _query_tree(query: str, body: bytes) -> dict[str, Any]:
    """Return the parameters of a query request as a tree: ``Tags.member.1.Key=k`` is a leaf four levels down."""
    tree: dict[str, Any] = {}
    for key, value in [*parse_qsl(query, keep_blank_values=True), *parse_qsl(body.decode("latin-1"), True)]:
        node, *path = tree, *key.split(".")
        for part in path[:-1]:
            below = node.setdefault(part, {})
            node = below if isinstance(below, dict) else node.setdefault(f"{part}.", {})
        node[path[-1]] = value
    return tree


def _typed(shape: Shape, node: Any) -> Any:
    """Return a branch of a query's tree as the values that the service's model says it has."""
    if isinstance(shape, StructureShape):
        named = ((name, member, member.serialization.get("name", name)) for name, member in shape.members.items())
        return {name: _typed(member, node[wire]) for name, member, wire in named if wire in node}
    if isinstance(shape, ListShape):
        items = node if shape.serialization.get("flattened") else (node or {}).get("member", {})
        return [_typed(shape.member, items[number]) for number in sorted(items, key=int)] if items else []
    convert = _SCALARS.get(shape.type_name, str)
    return convert(node)


_SCALARS: dict[str, Any] = {
    "integer": int,
    "long": int,
    "float": float,
    "double": float,
    "boolean": lambda text: text.lower() == "true",
}


def _stamp(parameters: dict[str, Any]) -> None:
    """Give metric data without a time the present, which they would else get from the clock of a later replay."""
    now = time.time()
    parameters["MetricData"] = [{"Timestamp": now, **one} for one in parameters.get("MetricData", [])]
