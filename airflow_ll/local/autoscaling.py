"""Application Auto Scaling: moto keeps targets and policies, and endpoints are ours to know."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from airflow_ll.local.errors import ValidationError
from airflow_ll.local.resources import ENDPOINT

if TYPE_CHECKING:
    from airflow_ll.local.runtime import Runtime

__all__ = ["check"]

_VARIANT = re.compile(r"endpoint/([^/]+)/variant/([^/]+)")
_DIMENSION = "sagemaker:variant:DesiredInstanceCount"


def check(runtime: Runtime, operation: str, body: bytes) -> None:
    """Refuse to register a variant that no endpoint has; the rest of a request is moto's to judge.

    :raises ValidationError: there is no such endpoint or variant.
    """
    try:
        request = json.loads(body)
    except ValueError:
        return
    if operation != "RegisterScalableTarget" or not isinstance(request, dict):
        return
    match = _VARIANT.fullmatch(str(request.get("ResourceId")))
    if match is None or request.get("ScalableDimension") != _DIMENSION:
        return
    name, variant = match.groups()
    endpoint = ENDPOINT.describe(runtime, {"EndpointName": name})
    names = [one["VariantName"] for one in endpoint.get("ProductionVariants", [])]
    if variant not in names:
        raise ValidationError(
            f'Could not find variant "{variant}" of the endpoint "{endpoint["EndpointArn"]}": '
            f"it has {', '.join(names) or 'none yet'}."
        )
