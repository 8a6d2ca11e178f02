"""Invocations of endpoints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_ll.local.errors import ModelInvocationError
from airflow_ll.local.fleet import log_group
from airflow_ll.local.serving import ContainerError

if TYPE_CHECKING:
    from airflow_ll.local.runtime import Runtime

__all__ = ["invoke"]


def invoke(runtime: Runtime, request: dict[str, Any]) -> dict[str, Any]:
    """Answer InvokeEndpoint.

    :raises RuntimeValidationError: there is no such endpoint or variant.
    :raises InvocationThrottledError: a serverless endpoint has as many requests as it may.
    :raises ModelInvocationError: the model refused the request, or did not answer.
    """
    name = request["EndpointName"]
    variant = runtime.hosting.route(name).choose(request.get("TargetVariant"))
    headers = {"Content-Type": request.get("ContentType", ""), "Accept": request.get("Accept", "")}
    if "CustomAttributes" in request:
        headers["X-Amzn-SageMaker-Custom-Attributes"] = request["CustomAttributes"]
    try:
        given = {key: value for key, value in headers.items() if value}
        status, body, content_type = variant.invoke(request.get("Body", b""), given)
    except ContainerError as error:
        status, body, content_type = 500, str(error).encode(), "text/plain"
    if status != 200:
        raise _model_error(runtime, name, status, body)
    return {"Body": body, "ContentType": content_type, "InvokedProductionVariant": variant.name}


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
