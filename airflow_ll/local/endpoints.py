"""The operations on endpoints; :mod:`airflow_ll.local.hosting` serves them."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from airflow_ll.local.errors import ValidationError, unsupported
from airflow_ll.local.models import model_data
from airflow_ll.local.resources import ENDPOINT, ENDPOINT_CONFIG, MODEL

if TYPE_CHECKING:
    from airflow_ll.local.runtime import Runtime

__all__ = ["create", "delete", "update"]

_IN_PROGRESS = ("Creating", "Updating")


def create(runtime: Runtime, request: dict[str, Any]) -> dict[str, Any]:
    """Answer CreateEndpoint."""
    if "DeploymentConfig" in request:
        raise unsupported("DeploymentConfig")
    plan = _plan(runtime, request["EndpointConfigName"])
    answer = ENDPOINT.create(runtime, {**request, "_Pending": plan}, "Creating")
    runtime.hosting.deploy(request["EndpointName"], plan["Id"])
    return answer


def update(runtime: Runtime, request: dict[str, Any]) -> dict[str, Any]:
    """Answer UpdateEndpoint: what serves now goes on until the new variants are ready."""
    for member in ("DeploymentConfig", "RetainAllVariantProperties"):
        if request.get(member):
            raise unsupported(member)
    endpoint = ENDPOINT.describe(runtime, request)
    plan = _plan(runtime, request["EndpointConfigName"])

    def change(current: dict[str, Any]) -> bool:
        if current["EndpointStatus"] != "InService":
            return False
        current.pop("FailureReason", None)
        current |= {"EndpointStatus": "Updating", "_Pending": plan}
        return True

    if runtime.store.update(ENDPOINT.key, request["EndpointName"], ENDPOINT.status_member, change) is None:
        _refuse_in_progress(ENDPOINT.describe(runtime, request))
        raise ValidationError(f'Cannot update endpoint "{endpoint["EndpointArn"]}" in the status Failed.')
    runtime.hosting.deploy(request["EndpointName"], plan["Id"])
    return {"EndpointArn": endpoint["EndpointArn"]}


def delete(runtime: Runtime, request: dict[str, Any]) -> None:
    """Answer DeleteEndpoint."""
    _refuse_in_progress(ENDPOINT.describe(runtime, request))
    ENDPOINT.delete(runtime, request)
    runtime.hosting.remove(request["EndpointName"])


def _refuse_in_progress(endpoint: dict[str, Any]) -> None:
    if endpoint["EndpointStatus"] in _IN_PROGRESS:
        raise ValidationError(f'Cannot update in-progress endpoint "{endpoint["EndpointArn"]}".')


def _plan(runtime: Runtime, config_name: str) -> dict[str, Any]:
    """Return all that is needed to serve a configuration, so that it may be deleted while it is in use."""
    config = ENDPOINT_CONFIG.describe(runtime, {"EndpointConfigName": config_name})
    variants = []
    for variant in config["ProductionVariants"]:
        model = MODEL.describe(runtime, variant)
        container = model.get("PrimaryContainer") or model["Containers"][0]
        variants.append({**variant, "ModelData": model_data(model), "Image": container["Image"]})
    return {"Id": uuid.uuid4().hex, "EndpointConfigName": config_name, "Variants": variants}
