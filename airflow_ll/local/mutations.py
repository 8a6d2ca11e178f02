"""What a call to moto changes: its operation and parameters, in whichever protocol the client spoke.

moto's memory ends with the process. What is kept of a call is what it asked for, not its bytes: the parameters carry
no signature, say the same in all protocols, and can be written down without the secrets among them.
"""

from __future__ import annotations

import json
import time
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

    from airflow_ll.local.calls import Call

__all__ = ["METRIC_DATA", "Mutation", "is_read_only", "read", "wire_request"]

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


def is_read_only(operation: str) -> bool:
    """Return whether an operation only looks; AWS names such operations by their first word."""
    return operation.startswith(_READING)


def read(call: Call, body: bytes) -> Mutation | None:
    """Return what a call changes, ``None`` for one that changes nothing or that botocore does not know."""
    if call.service not in _MODELS or is_read_only(call.operation):
        return None
    model = service_model(_MODELS[call.service])
    if call.operation not in model.operation_names:
        return None
    try:
        parameters = _parameters(model.operation_model(call.operation), call, body)
    except (AwsError, ValueError, TypeError, AttributeError, KeyError, RecursionError):
        return None  # moto refuses what cannot be read
    if call.operation == METRIC_DATA:
        _stamp(parameters)
    return Mutation(call.service, _IAM_REGION if call.service == "iam" else call.region, call.operation, parameters)


def wire_request(mutation: Mutation) -> tuple[str, dict[str, str], bytes]:
    """Return the path, the headers and the body of a request that makes this call."""
    model = service_model(_MODELS[mutation.service])
    serializer = create_serializer("query" if mutation.service == "iam" else "json", include_validation=False)
    made = serializer.serialize_to_request(dict(mutation.parameters), model.operation_model(mutation.operation))
    body = made["body"]
    credential = f"journal/20000101/{mutation.region}/{mutation.service}/aws4_request"
    headers = {**made["headers"], "Authorization": f"AWS4-HMAC-SHA256 Credential={credential}"}
    return made["url_path"], headers, urlencode(body).encode() if isinstance(body, dict) else bytes(body)


def _parameters(operation: OperationModel, call: Call, body: bytes) -> dict[str, Any]:
    shape = operation.input_shape
    if not isinstance(shape, StructureShape):
        return {}
    if call.target:
        given: Any = json.loads(body or b"{}")
    elif call.rpc:
        given = cbor.decode(body) if body else {}
    else:
        given = _typed(shape, _query_tree(call.query, body))
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
