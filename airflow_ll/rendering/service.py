"""An AWS that exists in this process only: it writes down what it is asked and answers as if all went well at once."""

from __future__ import annotations

import copy
import datetime as dt
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import boto3
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders

from airflow_ll.exceptions import LinearLearnerError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from botocore.model import OperationModel

__all__ = ["ImaginaryAws", "Request", "UnknowableError"]

_NOW = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)
_READS = re.compile("^(Describe|List|Get|Head|Batch(Get|Describe))")
_STATUSES = {"Endpoint": "InService", "CompilationJob": "COMPLETED"}
_KEPT = re.compile("(TrainingJob|TransformJob|CompilationJob|HyperParameterTuningJob|Model|EndpointConfig|Endpoint)$")


class UnknowableError(LinearLearnerError):
    """What comes next depends on an answer that only AWS can give."""


@dataclass(frozen=True)
class Request:
    """One call: the service's id, the operation and its parameters, all as boto3 spells them."""

    service: str
    operation: str
    parameters: dict[str, Any]

    @property
    def changes_something(self) -> bool:
        """Whether it does more than look."""
        return not _READS.match(self.operation)

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {"service": self.service, "operation": self.operation, "request": _readable(self.parameters)}


@dataclass
class ImaginaryAws:
    """Jobs complete when they are created, endpoints are in service, every bucket is there and empty.

    :param region: of clients that name no other.
    :param account_id: in all ARNs and in the name of the default bucket.
    """

    region: str
    account_id: str
    requests: list[Request] = field(default_factory=list)
    _resources: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)

    def session(self, region: str | None = None) -> boto3.Session:
        """Return a session whose clients talk to this AWS."""
        session = boto3.Session("nobody", "nothing", region_name=region or self.region)
        events: Any = session.events
        events.register("provide-client-params", self._note)
        events.register("before-call", self._answer)
        return session

    def unrecorded(self) -> AbstractContextManager[None]:
        """Leave out the requests that are made meanwhile; what they create exists."""
        from contextlib import contextmanager

        @contextmanager
        def shortened() -> Iterator[None]:
            known = len(self.requests)
            yield
            del self.requests[known:]

        return shortened()

    # botocore's events

    def _note(self, params: dict[str, Any], model: OperationModel, **_: Any) -> None:
        service = str(model.service_model.service_name)
        self.requests.append(Request(service, model.name, copy.deepcopy(params)))

    def _answer(self, model: OperationModel, **_: Any) -> tuple[AWSResponse, dict[str, Any]]:
        parameters = self.requests[-1].parameters
        answer = self._find_answer(model, parameters)
        status = 404 if "Error" in answer else 200
        metadata = {"HTTPStatusCode": status, "HTTPHeaders": {}, "RetryAttempts": 0}
        return AWSResponse("", status, HTTPHeaders(), None), {"ResponseMetadata": metadata} | answer

    def _find_answer(self, model: OperationModel, parameters: dict[str, Any]) -> dict[str, Any]:
        service, operation = model.service_model.service_name, model.name
        fixed: dict[str, dict[str, Any]] = {
            "GetCallerIdentity": {"Account": self.account_id},
            "GetRole": {"Role": {"Arn": f"arn:aws:iam::{self.account_id}:role/{parameters.get('RoleName')}"}},
            "ListTags": {"Tags": self._tags(parameters.get("ResourceArn", ""))},
            "HeadBucket": {},
            "HeadObject": _missing("404"),
        }
        if operation in fixed:
            return fixed[operation]
        verb, kind = _split(operation)
        if service == "sagemaker" and kind and verb == "Create":
            return self._create(kind, parameters)
        if service == "sagemaker" and kind and verb == "Describe":
            return self._resources.get((kind, parameters[f"{kind}Name"])) or _missing("ValidationException")
        if service == "sagemaker" and kind and verb == "Delete":
            self._resources.pop((kind, parameters[f"{kind}Name"]), None)
            return {}
        if service == "sagemaker" and verb == "List":
            return _empty(model) | self._listed(operation, parameters.get("NameContains", ""))
        if service in ("sagemaker-runtime", "logs") or operation == "GetObject":
            raise UnknowableError(f"What comes after {operation} depends on its answer.")
        return _empty(model)

    def _create(self, kind: str, parameters: dict[str, Any]) -> dict[str, Any]:
        name = parameters[f"{kind}Name"]
        arn = f"arn:aws:sagemaker:{self.region}:{self.account_id}:{_dashed(kind)}/{name.lower()}"
        status = _STATUSES.get(kind, "Completed")
        times = dict.fromkeys(("CreationTime", "LastModifiedTime"), _NOW)
        self._resources[kind, name] = {
            **copy.deepcopy(parameters),
            f"{kind}Arn": arn,
            f"{kind}Status": status,
            **_outcome(kind, name, parameters),
            **times,
        }
        return {f"{kind}Arn": arn}

    def _listed(self, operation: str, text: str) -> dict[str, Any]:
        wanted = operation.removeprefix("List").removesuffix("s")
        found = [known for (kind, name), known in self._resources.items() if kind == wanted and text in name]
        return {f"{wanted}s": found, f"{wanted}Summaries": found}

    def _tags(self, arn: str) -> list[dict[str, str]]:
        for (kind, _), known in self._resources.items():
            if known[f"{kind}Arn"] == arn:
                tags: list[dict[str, str]] = known.get("Tags", [])
                return tags
        return []


def _outcome(kind: str, name: str, parameters: dict[str, Any]) -> dict[str, Any]:
    """Return what a description says when the work is done, as far as it can be known."""
    if kind == "TrainingJob":
        data = f"{parameters['OutputDataConfig']['S3OutputPath'].rstrip('/')}/{name}/output/model.tar.gz"
        return {"SecondaryStatus": "Completed", "ModelArtifacts": {"S3ModelArtifacts": data}}
    if kind == "CompilationJob":
        output = parameters["OutputConfig"]
        target = output.get("TargetDevice") or "_".join(map(str, output["TargetPlatform"].values()))
        data = f"{output['S3OutputLocation'].rstrip('/')}/model-{target}.tar.gz"
        return {"ModelArtifacts": {"S3ModelArtifacts": data}, "FailureReason": ""}
    return {}


def _split(operation: str) -> tuple[str, str | None]:
    verb = re.match("[A-Z][a-z]+", operation)
    kind = _KEPT.search(operation)
    known = kind is not None and verb is not None and verb[0] + kind[0] == operation
    return (verb[0] if verb else ""), (kind[0] if known and kind else None)


def _dashed(kind: str) -> str:
    return re.sub("(?<!^)(?=[A-Z])", "-", kind).lower()


def _empty(model: OperationModel) -> dict[str, Any]:
    """Return an answer with nothing in it."""
    output = model.output_shape
    lists = output.members.items() if output is not None else ()
    return {name: [] for name, shape in lists if shape.type_name == "list"}


def _missing(code: str) -> dict[str, Any]:
    return {"Error": {"Code": code, "Message": "Could not find it: nothing exists here."}}


def _readable(value: Any) -> Any:
    """Return JSON for a parameter; bodies by their size."""
    if isinstance(value, dict):
        return {key: _readable(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_readable(one) for one in value]
    if isinstance(value, bytes | bytearray):
        return f"<{len(value)} bytes>"
    return value if isinstance(value, str | int | float | None) else f"<{type(value).__name__}>"
