"""Endpoints with a name of their own, and everything that a DAG run has put into service."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_ll.exceptions import ResourceConflictError
from airflow_ll.hooks.autoscaling import SCALES, let_go
from airflow_ll.hooks.ensuring import Ensured, tagged
from airflow_ll.hooks.failures import is_denied, is_name_taken, is_transient
from airflow_ll.hooks.resources import ENDPOINT, ENDPOINT_CONFIG, MODEL, Resource
from airflow_ll.hooks.waiting import wait_until_ended, wait_until_gone
from airflow_ll.requests.endpoints import EndpointSpec, endpoint, endpoint_update
from airflow_ll.requests.names import TAG_PREFIX, TaskIdentity

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from airflow_ll.hooks.linear_learner import LinearLearnerHook

__all__ = [
    "delete_service",
    "ensure_named_endpoint",
    "names_of_run",
    "retire_previous",
    "service_of_endpoint",
    "service_of_run",
]

_PREVIOUS = f"{TAG_PREFIX}previous-endpoint-config"

_SETTLING_SECONDS = 3600.0
_TURNS = 20


def ensure_named_endpoint(
    hook: LinearLearnerHook,
    identity: TaskIdentity,
    spec: EndpointSpec,
    before_update: Callable[[dict[str, Any]], None] = lambda _: None,
) -> Ensured:
    """Create the endpoint of an explicit name, or update it to the spec's endpoint config.

    Such an endpoint outlives the run that created it: every run of the same DAG may update it. Before an update, the
    endpoint's tags take down the config that it serves, for :func:`retire_previous`.

    :param before_update: called with the endpoint's description right before an update.
    :raises ResourceConflictError: it belongs to another DAG, or to nobody that we know.
    """
    name = spec.endpoint_name
    for _ in range(_TURNS):
        description = hook.describe(ENDPOINT, name)
        if description is None:
            try:
                return Ensured(name, hook.create(ENDPOINT, tagged(endpoint(spec), identity)), adopted=False)
            except Exception as error:
                if is_name_taken(error):
                    continue
                raise
        _require_owner(hook, identity, description)
        ours = description["EndpointConfigName"] == spec.endpoint_config_name
        if ENDPOINT.status(description) == "Failed":  # SageMaker does not update an endpoint that never came up
            _delete_endpoint(hook, name)
        elif ours and ENDPOINT.status(description) != "Deleting":
            return Ensured(name, ENDPOINT.arn(description), adopted=True)
        elif ENDPOINT.is_running(description):
            hook.log.info("The endpoint %s is %s; waiting for that", name, ENDPOINT.status(description))
            _wait_until_settled(hook, name)
        else:
            return _update(hook, identity, spec, description, before_update)
    raise ResourceConflictError(f"The endpoint {name!r} keeps changing: another process works on it.")


def _update(
    hook: LinearLearnerHook,
    identity: TaskIdentity,
    spec: EndpointSpec,
    description: dict[str, Any],
    before_update: Callable[[dict[str, Any]], None],
) -> Ensured:
    if ENDPOINT.is_good(description):
        retire_previous(hook, identity, description)  # of an update that nobody has waited for
    _take_down(hook, description)
    before_update(description)
    hook.log.info("Updating the endpoint %s to %s", spec.endpoint_name, spec.endpoint_config_name)
    hook.client("sagemaker").update_endpoint(**endpoint_update(spec))
    return Ensured(spec.endpoint_name, ENDPOINT.arn(description), adopted=False)


def _take_down(hook: LinearLearnerHook, description: dict[str, Any]) -> None:
    tag = {"Key": _PREVIOUS, "Value": description["EndpointConfigName"]}
    try:
        hook.client("sagemaker").add_tags(ResourceArn=ENDPOINT.arn(description), Tags=[tag])
    except Exception as error:
        if not is_denied(error):
            raise
        hook.log.warning("%s will not be deleted, as AddTags is denied: %s", description["EndpointConfigName"], error)


def retire_previous(hook: LinearLearnerHook, identity: TaskIdentity, description: dict[str, Any]) -> list[str]:
    """Delete the endpoint config that an endpoint in service has served before, and its models; return what there was.

    What belongs to another DAG, and models that another endpoint config of their run serves, stay.

    :param description: of the endpoint, in service with its new config.
    """
    arn, current = ENDPOINT.arn(description), description["EndpointConfigName"]
    previous = next((tag["Value"] for tag in hook.tags(arn) if tag["Key"] == _PREVIOUS), None)
    if previous is None:
        return []
    deleted: list[str] = []
    if previous != current:
        try:
            deleted = delete_service(hook, list(_superseded(hook, identity, previous, current)))
        except Exception as error:
            if not is_denied(error):
                raise
            hook.log.warning("%s and its models stay, as their deletion is denied: %s", previous, error)
    hook.client("sagemaker").delete_tags(ResourceArn=arn, TagKeys=[_PREVIOUS])
    return deleted


def _superseded(
    hook: LinearLearnerHook, identity: TaskIdentity, previous: str, current: str
) -> Iterator[tuple[Resource, str]]:
    serving = set(hook.endpoint_resources(current))
    for resource, name in hook.endpoint_resources(previous):
        found = hook.describe(resource, name)
        if found is None or (resource, name) in serving:
            continue
        owner = TaskIdentity.from_tags(hook.tags(resource.arn(found)))
        if owner is None or owner.dag_id != identity.as_tagged().dag_id:
            continue
        if resource is ENDPOINT_CONFIG or not _serves_elsewhere(hook, owner, name, previous):
            yield resource, name


def _serves_elsewhere(hook: LinearLearnerHook, owner: TaskIdentity, model_name: str, previous: str) -> bool:
    """Whether another endpoint config of the model's run has this model."""
    configs = [name for name, _ in hook.names_containing(ENDPOINT_CONFIG, owner.run_hash) if name != previous]
    return any((MODEL, model_name) in hook.endpoint_resources(name) for name in configs)


def service_of_run(
    hook: LinearLearnerHook, identity: TaskIdentity, tasks: Collection[str] | None = None
) -> Iterator[tuple[Resource, str]]:
    """Yield the endpoints, endpoint configs and models that tasks of this DAG run have created."""
    for resource in (ENDPOINT, ENDPOINT_CONFIG, MODEL):
        yield from ((resource, name) for name in names_of_run(hook, resource, identity, tasks))


def names_of_run(
    hook: LinearLearnerHook, resource: Resource, identity: TaskIdentity, tasks: Collection[str] | None = None
) -> Iterator[str]:
    """Yield the names of what tasks of this DAG run have created of one kind.

    Names of a run share its hash; the tags confirm that it is no coincidence.

    :param identity: any task of the run; of a mapped one, ``tasks`` are those of the same map index.
    :param tasks: ids of the tasks; all of the run by default.
    """
    run = identity.as_tagged()
    ids = None if tasks is None else {replace(identity, task_id=one).as_tagged().task_id for one in tasks}
    for name, arn in list(hook.names_containing(resource, identity.run_hash)):
        owner = TaskIdentity.from_tags(hook.tags(arn))
        if owner is None or (owner.dag_id, owner.run_id) != (run.dag_id, run.run_id):
            continue
        if ids is None or (owner.task_id in ids and run.map_index in (-1, owner.map_index)):
            yield name


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
    if any(tag["Key"] == SCALES for tag in hook.tags(ENDPOINT.arn(description))):
        let_go(hook, name, [one["VariantName"] for one in description.get("ProductionVariants", ())])
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
