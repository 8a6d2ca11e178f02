"""Invocations of endpoints."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from airflow_ll.local.errors import ModelInvocationError, RuntimeValidationError
from airflow_ll.local.fleet import log_group
from airflow_ll.local.serving import ContainerError

if TYPE_CHECKING:
    from airflow_ll.local.runtime import Runtime

__all__ = ["invoke", "score"]

_SECONDS = 60
_OF_OTHER_ENDPOINTS = (
    *("TargetModel", "TargetContainerHostname", "InferenceComponentName", "EnableExplanations"),
    *("SessionId", "PrefixAwareId"),
)


def invoke(runtime: Runtime, request: dict[str, Any]) -> dict[str, Any]:
    """Answer InvokeEndpoint.

    :raises RuntimeValidationError: there is no such endpoint or variant, or it is asynchronous.
    :raises InvocationThrottledError: a serverless endpoint has as many requests as it may.
    :raises ModelInvocationError: the model refused the request, or did not answer.
    """
    name = request["EndpointName"]
    if runtime.hosting.route(name).asynchronous is not None:
        raise RuntimeValidationError(f"Endpoint {name} is asynchronous: call InvokeEndpointAsync instead.")
    for member in _OF_OTHER_ENDPOINTS:
        if member in request:
            raise RuntimeValidationError(f"Endpoint {name} serves one LinearLearner model a variant: give no {member}.")
    return score(runtime, request, _SECONDS)


def score(runtime: Runtime, request: dict[str, Any], seconds: float) -> dict[str, Any]:
    """Send a request to the variant that its weight or name chooses; count and capture it.

    :raises AwsError: as :func:`invoke`.
    """
    started = time.perf_counter()
    name, body = request["EndpointName"], request.get("Body", b"")
    route = runtime.hosting.route(name)
    variant = route.choose(request.get("TargetVariant"))
    headers = {"Content-Type": request.get("ContentType"), "Accept": request.get("Accept")}
    headers["X-Amzn-SageMaker-Custom-Attributes"] = request.get("CustomAttributes")
    sent = time.perf_counter()
    try:
        given = {key: value for key, value in headers.items() if value}
        status, answer, content_type = variant.invoke(body, given, seconds)
    except ContainerError as error:
        status, answer, content_type = 500, str(error).encode(), "text/plain"
    model_seconds = time.perf_counter() - sent
    if status == 200 and route.capture is not None:
        runtime.hosting.captures.add(route.capture, name, variant.name, request, (answer, content_type))
    runtime.cloudwatch.endpoints.record(
        name,
        variant.name,
        instances=variant.instances,
        status=status,
        model_seconds=model_seconds,
        overhead_seconds=time.perf_counter() - started - model_seconds,
    )
    if status != 200:
        raise _model_error(runtime, name, status, answer)
    return {"Body": answer, "ContentType": content_type, "InvokedProductionVariant": variant.name}


def _model_error(runtime: Runtime, name: str, status: int, body: bytes) -> ModelInvocationError:
    region, account, group = runtime.region, runtime.account_id, log_group(name)
    text = body.decode("utf-8", "replace")
    side = "client" if status < 500 else "server"
    return ModelInvocationError(
        f'Received {side} error ({status}) from primary with message "{text}". See https://{region}.console.aws.'
        f"amazon.com/cloudwatch/home?region={region}#logEventViewer:group={group} in account {account} "
        "for more information.",
        OriginalStatusCode=status,
        OriginalMessage=text,
        LogStreamArn=f"arn:aws:logs:{region}:{account}:log-group:{group}",
    )
