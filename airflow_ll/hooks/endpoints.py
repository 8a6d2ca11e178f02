"""Endpoints with a name of their own, and everything that a DAG run has put into service."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_ll.exceptions import ResourceConflictError
from airflow_ll.hooks.ensuring import Ensured, tagged
from airflow_ll.hooks.failures import is_name_taken, is_transient
from airflow_ll.hooks.resources import ENDPOINT, ENDPOINT_CONFIG, MODEL, Resource
from airflow_ll.hooks.waiting import wait_until_ended, wait_until_gone
from airflow_ll.requests.names import TaskIdentity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_ll.hooks.linear_learner import LinearLearnerHook

__all__ = ["delete_service", "ensure_named_endpoint", "service_of_endpoint", "service_of_run"]

_SETTLING_SECONDS = 3600.0
_TURNS = 20


def ensure_named_endpoint(hook: LinearLearnerHook, identity: TaskIdentity, request: dict[str, Any]) -> Ensured:
    """Create the endpoint of an explicit name, or update it to the request's endpoint config.

    Such an endpoint outlives the run that created it: every run of the same DAG may update it.

    :raises ResourceConflictError: it belongs to another DAG, or to nobody that we know.
    """
    name = request["EndpointName"]
    for _ in range(_TURNS):
        description = hook.describe(ENDPOINT, name)
        if description is None:
            try:
                return Ensured(name, hook.create(ENDPOINT, tagged(request, identity)), adopted=False)
            except Exception as error:
                if is_name_taken(error):
                    continue
                raise
        _require_owner(hook, identity, description)
        arn = ENDPOINT.arn(description)
        ours = description["EndpointConfigName"] == request["EndpointConfigName"]
        if ENDPOINT.status(description) == "Failed":  # SageMaker does not update an endpoint that never came up
            _delete_endpoint(hook, name)
        elif ours and ENDPOINT.status(description) != "Deleting":
            return Ensured(name, arn, adopted=True)
        elif ENDPOINT.is_running(description):
            hook.log.info("The endpoint %s is %s; waiting for that", name, ENDPOINT.status(description))
            _wait_until_settled(hook, name)
        else:
            hook.log.info("Updating the endpoint %s to %s", name, request["EndpointConfigName"])
            hook.client("sagemaker").update_endpoint(**{key: request[key] for key in request if key != "Tags"})
            return Ensured(name, arn, adopted=False)
    raise ResourceConflictError(f"The endpoint {name!r} keeps changing: another process works on it.")


def service_of_run(hook: LinearLearnerHook, identity: TaskIdentity) -> Iterator[tuple[Resource, str]]:
    """Yield the endpoints, endpoint configs and models that any task of this DAG run has created.

    Names of a run share its hash; the tags confirm that it is no coincidence.
    """
    run = identity.as_tagged()
    for resource in (ENDPOINT, ENDPOINT_CONFIG, MODEL):
        for name, arn in list(hook.names_containing(resource, identity.run_hash)):
            owner = TaskIdentity.from_tags(hook.tags(arn))
            if owner is not None and (owner.dag_id, owner.run_id) == (run.dag_id, run.run_id):
                yield resource, name


def service_of_endpoint(hook: LinearLearnerHook, identity: TaskIdentity, name: str) -> Iterator[tuple[Resource, str]]:
    """Yield an endpoint, its endpoint config and its models, whichever run of this DAG has created them.

    :raises ResourceConflictError: the endpoint belongs to another DAG, or to nobody that we know.
    """
    description = hook.describe(ENDPOINT, name)
    if description is None:
        return
    _require_owner(hook, identity, description)
    yield ENDPOINT, name
    for resource, part in hook.endpoint_resources(description["EndpointConfigName"]):
        found = hook.describe(resource, part)
        if found is not None and _is_of_dag(hook, identity, resource.arn(found)):
            yield resource, part


def delete_service(hook: LinearLearnerHook, parts: list[tuple[Resource, str]]) -> list[str]:
    """Delete endpoints, then endpoint configs, then models; return what there was, as ``endpoint/<name>``."""
    deleted = []
    for resource in (ENDPOINT, ENDPOINT_CONFIG, MODEL):
        for name in dict.fromkeys(name for one, name in parts if one is resource):
            there = _delete_endpoint(hook, name) if resource is ENDPOINT else hook.delete(resource, name)
            if there:
                hook.log.info("Deleted the %s %s", resource.title, name)
                deleted.append(f"{resource.kind}/{name}")
    return deleted


def _delete_endpoint(hook: LinearLearnerHook, name: str) -> bool:
    description = hook.describe(ENDPOINT, name)
    if description is None:
        return False
    try:
        hook.delete(ENDPOINT, name)
    except Exception as error:
        if is_transient(error):
            raise
        _wait_until_settled(hook, name)  # SageMaker may refuse to delete what is still being created
        hook.delete(ENDPOINT, name)
    wait_until_gone(hook, ENDPOINT, name, timeout=_SETTLING_SECONDS)
    return True


def _wait_until_settled(hook: LinearLearnerHook, name: str) -> None:
    description = hook.describe(ENDPOINT, name)
    if description is None:
        return
    if ENDPOINT.status(description) == "Deleting":
        wait_until_gone(hook, ENDPOINT, name, timeout=_SETTLING_SECONDS)
    else:
        wait_until_ended(hook, ENDPOINT, name, timeout=_SETTLING_SECONDS)


def _is_of_dag(hook: LinearLearnerHook, identity: TaskIdentity, arn: str) -> bool:
    owner = TaskIdentity.from_tags(hook.tags(arn))
    return owner is not None and owner.dag_id == identity.as_tagged().dag_id


def _require_owner(hook: LinearLearnerHook, identity: TaskIdentity, description: dict[str, Any]) -> None:
    owner = TaskIdentity.from_tags(hook.tags(ENDPOINT.arn(description)))
    if owner is None or owner.dag_id != identity.as_tagged().dag_id:
        whose = str(owner) if owner else "nobody that airflow-ll knows (it has no airflow-ll: tags)"
        raise ResourceConflictError(
            f"The endpoint {description['EndpointName']!r} belongs to {whose}, not to DAG {identity.dag_id!r}: "
            "choose another endpoint_name, or delete it first."
        )
