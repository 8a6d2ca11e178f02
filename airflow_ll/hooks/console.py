"""Pages of the AWS console."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

if TYPE_CHECKING:
    from airflow_ll.hooks.resources import Resource

__all__ = ["console_url"]

_DOMAINS = {
    "aws": "console.aws.amazon.com",
    "aws-cn": "console.amazonaws.cn",
    "aws-us-gov": "console.amazonaws-us-gov.com",
}
_PAGES = {
    "training": "jobs",
    "transform": "transform-jobs",
    "tuning": "hyper-tuning-jobs",
    "compilation": "compilation-jobs",
    "endpoint": "endpoints",
}
_LOG_GROUPS = {"training": "/aws/sagemaker/TrainingJobs", "transform": "/aws/sagemaker/TransformJobs"}


def console_url(client: Any, resource: Resource, name: str, page: str = "resource") -> str | None:
    """Return a page about a resource; None without one, or when the client's endpoint is not AWS's own.

    :param client: a SageMaker client, which knows region, partition and endpoint.
    :param page: "resource" itself, the "logs" of a training or transform job, or a training job's "metrics".
    """
    meta = client.meta
    domain, host = _DOMAINS.get(meta.partition), urlsplit(meta.endpoint_url).hostname or ""
    if not domain or not host.endswith((".amazonaws.com", ".amazonaws.com.cn")):
        return None
    region = meta.region_name
    fragment = _fragment(resource, name, page)
    if fragment is None:
        return None
    service = "sagemaker" if page == "resource" else "cloudwatch"
    return f"https://{region}.{domain}/{service}/home?region={region}#{fragment}"


def _fragment(resource: Resource, name: str, page: str) -> str | None:
    if page == "resource" and resource.kind in _PAGES:
        return f"/{_PAGES[resource.kind]}/{name}"
    if page == "logs" and resource.kind in _LOG_GROUPS:
        group, prefix = _twice(_LOG_GROUPS[resource.kind]), _twice(f"?logStreamNameFilter={name}/")
        return f"logsV2:log-groups/log-group/{group}{prefix}"
    if page == "metrics" and resource.kind == "training":
        return f"metricsV2:query={quote(f'{{/aws/sagemaker/TrainingJobs,TrainingJobName}} {name}', safe='')}"
    return None


def _twice(text: str) -> str:
    """Return ``text`` as the console quotes parts of a fragment: percent-encoded, and each percent sign as ``$25``."""
    return quote(text, safe="=").replace("%", "$25")
