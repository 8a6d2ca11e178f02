"""The operations on endpoints; :mod:`airflow_ll.local.hosting` serves them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from airflow_ll.local import deployment_config
from airflow_ll.local.errors import ValidationError
from airflow_ll.local.plans import plan_of, retain
from airflow_ll.local.resources import ENDPOINT
from airflow_ll.local.validation import fault, refuse

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from airflow_ll.local.runtime import Runtime

__all__ = ["create", "delete", "update", "update_weights_and_capacities"]

_IN_PROGRESS = ("Creating", "Updating", "Deleting")
_UPDATABLE = ("InService", "UpdateRollbackFailed")


def create(runtime: Runtime, request: dict[str, Any]) -> dict[str, Any]:
    """Answer CreateEndpoint."""
    plan = plan_of(runtime, request["EndpointConfigName"])
    if "DeploymentConfig" in request:
        deployment_config.check(request["DeploymentConfig"], plan)
        plan["DeploymentConfig"] = request["DeploymentConfig"]
    answer = ENDPOINT.create(runtime, {**request, "_Pending": plan}, "Creating")
    runtime.hosting.work(request["EndpointName"])
    return answer


def update(runtime: Runtime, request: dict[str, Any]) -> dict[str, Any]:
    """Answer UpdateEndpoint: what serves now goes on until the new variants are ready."""
    plan = plan_of(runtime, request["EndpointConfigName"])
    plan["StartTime"] = time.time()

    def change(endpoint: dict[str, Any]) -> None:
        if request.get("RetainAllVariantProperties"):
            excluded = request.get("ExcludeRetainedVariantProperties", [])
            retain(plan, endpoint["_Deployment"], {one["VariantPropertyType"] for one in excluded})
        config = request.get("DeploymentConfig")
        if config is None and request.get("RetainDeploymentConfig"):
            config = endpoint.get("LastDeploymentConfig")
        if config is not None:
            deployment_config.check(config, plan)
            plan["DeploymentConfig"] = config
        endpoint["_Pending"] = plan

    return _begin(runtime, request, change, _UPDATABLE)


def update_weights_and_capacities(runtime: Runtime, request: dict[str, Any]) -> dict[str, Any]:
    """Answer UpdateEndpointWeightsAndCapacities."""
    wanted = request["DesiredWeightsAndCapacities"]

    def change(endpoint: dict[str, Any]) -> None:
        shown = {variant["VariantName"]: variant for variant in endpoint["ProductionVariants"]}
        for number, one in enumerate(wanted, 1):
            if one["VariantName"] not in shown:
                raise ValidationError(
                    f'The endpoint "{endpoint["EndpointArn"]}" has no production variant {one["VariantName"]}: '
                    f"it has {', '.join(shown)}."
                )
            variant = shown[one["VariantName"]]
            _check_capacity(f"desiredWeightsAndCapacities.{number}.member", one, variant)
            variant |= {key: one[key] for key in ("DesiredWeight", "DesiredInstanceCount") if key in one}
        endpoint["_Capacities"] = wanted

    return _begin(runtime, request, change, ("InService",))


def _check_capacity(path: str, wanted: dict[str, Any], variant: dict[str, Any]) -> None:
    serverless = variant.get("CurrentServerlessConfig") is not None
    name = wanted["VariantName"]
    if serverless and "DesiredInstanceCount" in wanted:
        raise ValidationError(
            f"The variant {name} is serverless: give ServerlessUpdateConfig, no DesiredInstanceCount."
        )
    if not serverless and "ServerlessUpdateConfig" in wanted:
        raise ValidationError(f"The variant {name} is not serverless: give no ServerlessUpdateConfig.")
    if wanted.get("DesiredInstanceCount") == 0:
        refuse([fault(f"{path}.desiredInstanceCount", 0, "Member must have value greater than or equal to 1")])


def _begin(
    runtime: Runtime, request: dict[str, Any], change: Callable[[dict[str, Any]], None], states: Collection[str]
) -> dict[str, Any]:
    """Move an endpoint from one of ``states`` to Updating, let ``change`` note what is wanted, and begin with it."""
    arn = ENDPOINT.describe(runtime, request)["EndpointArn"]

    def begin(endpoint: dict[str, Any]) -> bool:
        if endpoint["EndpointStatus"] not in states:
            return False
        change(endpoint)
        endpoint.pop("FailureReason", None)
        endpoint["EndpointStatus"] = "Updating"
        return True

    if runtime.store.update(ENDPOINT.key, request["EndpointName"], ENDPOINT.status_member, begin) is None:
        endpoint = ENDPOINT.describe(runtime, request)
        _refuse_in_progress(endpoint)
        raise ValidationError(f'Cannot update endpoint "{arn}" in the status {endpoint["EndpointStatus"]}.')
    runtime.hosting.work(request["EndpointName"])
    return {"EndpointArn": arn}


def delete(runtime: Runtime, request: dict[str, Any]) -> None:
    """Answer DeleteEndpoint."""
    _refuse_in_progress(ENDPOINT.describe(runtime, request))
    name = request["EndpointName"]
    seconds = runtime.speed.seconds(ENDPOINT.key, "Deleting") + runtime.faults.seconds(ENDPOINT.key, name, "Deleting")

    def change(endpoint: dict[str, Any]) -> None:
        _refuse_in_progress(endpoint)  # somebody else may be faster
        endpoint["EndpointStatus"] = "Deleting"

    if not seconds:
        ENDPOINT.delete(runtime, request)
    elif runtime.store.update(ENDPOINT.key, name, ENDPOINT.status_member, change) is None:
        raise ENDPOINT.not_found(runtime, name)
    runtime.hosting.remove(name, seconds)


def _refuse_in_progress(endpoint: dict[str, Any]) -> None:
    if endpoint["EndpointStatus"] in _IN_PROGRESS:
        raise ValidationError(f'Cannot update in-progress endpoint "{endpoint["EndpointArn"]}".')
