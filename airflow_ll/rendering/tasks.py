"""Run a task's own code against an AWS that is not there, and the tasks that it takes results from."""

from __future__ import annotations

import contextvars
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pendulum
from airflow.providers.common.compat.sdk import AirflowException

from airflow_ll.exceptions import LinearLearnerError, RequestError
from airflow_ll.hooks.linear_learner import LinearLearnerHook
from airflow_ll.operators.base import LinearLearnerOperator
from airflow_ll.operators.record_set import RecordSetTask
from airflow_ll.rendering.placeholders import SIZES, Unknown, record_set_result, unlike
from airflow_ll.rendering.service import ImaginaryAws, UnknowableError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Rendering", "render"]


@dataclass(frozen=True)
class Rendering:
    """The requests of a task in their order, as JSON, and why there may be more of them."""

    requests: list[dict[str, Any]]
    note: str | None = None


@dataclass(frozen=True)
class Run:
    """The DAG run that is imagined."""

    dag: Any
    run_id: str
    conf: Mapping[str, Any]
    logical_date: pendulum.DateTime
    map_index: int
    sizes: Mapping[str, int]
    aws: ImaginaryAws
    results: dict[str, Any] = field(default_factory=dict)


def render(
    dag: Any,
    task_id: str,
    *,
    run_id: str | None = None,
    conf: Mapping[str, Any] | None = None,
    logical_date: pendulum.DateTime | None = None,
    map_index: int = -1,
    region: str = "us-east-1",
    account_id: str = "123456789012",
    reads: bool = False,
) -> Rendering:
    """Return the requests that the first attempt of a task would make after the tasks before it have succeeded.

    What those create and return is worked out alike; what depends on data nobody has read is a placeholder in ``<>``.

    :param dag: the DAG.
    :param task_id: one of its tasks, of this package.
    :param run_id: of the run; names follow from it.
    :param conf: of the run; it overrides the DAG's params.
    :param logical_date: of the run, now by default.
    :param map_index: which of a mapped task's instances.
    :param region: where the task's connection leads, unless the task says so itself.
    :param account_id: of the imagined account.
    :param reads: whether to return Describe, List, Get and Head calls too.
    :raises RequestError: the DAG has no such task, or it is of another package.
    """
    when = logical_date or pendulum.now("UTC")
    both = []
    for sizes in SIZES:
        aws = ImaginaryAws(region, account_id)
        run = Run(dag, run_id or f"manual__{when.isoformat()}", conf or {}, when, map_index, sizes, aws)
        both.append(_render_once(run, task_id, reads=reads))
    return Rendering(unlike(both[0].requests, both[1].requests), both[0].note)


def _render_once(run: Run, task_id: str, *, reads: bool) -> Rendering:
    note = None
    context, task = _prepare(run, _task(run, task_id))
    if not isinstance(task, LinearLearnerOperator):
        raise RequestError(
            f"The task {task_id!r} is a {type(task).__name__}: only what tasks of airflow_ll ask of AWS is known."
        )
    for earlier in run.dag.get_task(task_id).get_flat_relative_ids(upstream=True):
        context["ti"].xcom_pull(earlier)  # what it would have created is there then
    try:
        if isinstance(task, RecordSetTask):
            return Rendering(_record_set_requests(task, context, run))
        _execute(task, context)
    except (AirflowException, LinearLearnerError) as error:
        reason = error.__context__ or error  # the sentence that Airflow shows hides what went wrong
        unknown = _unknown(task, run.dag.task_dict)
        if not isinstance(reason, UnknowableError) and not unknown:
            raise
        note = str(reason) + (f" Unknown before other tasks have run: {', '.join(unknown)}." if unknown else "")
    return Rendering([one.to_dict() for one in run.aws.requests if reads or one.changes_something], note)


def _execute(task: Any, context: Mapping[str, Any]) -> Any:
    """Run the task as Airflow's task runner does."""
    from airflow.sdk.bases.operator import ExecutorSafeguard

    inside = contextvars.copy_context()
    inside.run(ExecutorSafeguard.tracker.set, task)
    return inside.run(task.execute, context)


def _unknown(task: LinearLearnerOperator, task_ids: Mapping[str, Any]) -> list[str]:
    """Return the placeholders in what the task was given."""
    given = repr([getattr(task, name, None) for name in task.template_fields])
    found = re.findall(f"<(?:{'|'.join(map(re.escape, task_ids))})[^<>]*>", given)
    return list(dict.fromkeys(found))


def _record_set_requests(task: RecordSetTask, context: Mapping[str, Any], run: Run) -> list[dict[str, Any]]:
    """Return what is uploaded, without reading a row: any number of shards, then the manifest, for each channel."""
    result = record_set_result(task, context, run.sizes)
    settings = task.object_settings().of_writes
    requests = []
    for one in result.values() if "s3_data" not in result else (result,):
        bucket, _, manifest = one["s3_data"].removeprefix("s3://").partition("/")
        folder = manifest.removesuffix(".amazon.manifest")
        for key, body in ((f"{folder}<shard>.pbr", "<rows>"), (manifest, "<names of the shards>")):
            request = {"Bucket": bucket, "Key": key, "Body": body, **settings}
            requests.append({"service": "s3", "operation": "PutObject", "request": request})
    return requests


def _task(run: Run, task_id: str) -> Any:
    if task_id not in run.dag.task_dict:
        known = ", ".join(run.dag.task_dict)
        raise RequestError(f"The DAG {run.dag.dag_id!r} has no task {task_id!r}: its tasks are {known}.")
    task = run.dag.task_dict[task_id]
    return task if task.is_mapped else task.prepare_for_execution()


def _prepare(run: Run, task: Any) -> tuple[dict[str, Any], Any]:
    """Return a task with its templates rendered and its hook without AWS, and its context."""
    instance = TaskInstance(run, task)
    context = _context(run, task, instance)
    task.render_template_fields(context)
    task = context["task"]
    if isinstance(task, LinearLearnerOperator):
        hook = LinearLearnerHook(aws_conn_id=None, region_name=task.region_name or run.aws.region)
        hook.__dict__["_session"] = run.aws.session(task.region_name)
        task.__dict__["hook"] = hook
    return context, task


def _context(run: Run, task: Any, instance: TaskInstance) -> dict[str, Any]:
    from airflow.sdk.execution_time.context import ConnectionAccessor, MacrosAccessor, VariableAccessor

    when = run.logical_date
    params = {name: run.dag.params[name] for name in run.dag.params} | dict(task.params or {}) | dict(run.conf)
    known = {"run_id": run.run_id, "conf": dict(run.conf), "logical_date": when, "dag_id": run.dag.dag_id}
    return {
        "dag": run.dag,
        "task": task,
        "ti": instance,
        "task_instance": instance,
        "run_id": run.run_id,
        "dag_run": _Namespace(known | {"data_interval_start": when, "data_interval_end": when, "run_after": when}),
        "params": params,
        "logical_date": when,
        "data_interval_start": when,
        "data_interval_end": when,
        "ds": when.strftime("%Y-%m-%d"),
        "ds_nodash": when.strftime("%Y%m%d"),
        "ts": when.isoformat(),
        "ts_nodash": when.strftime("%Y%m%dT%H%M%S"),
        "macros": MacrosAccessor(),
        "var": {"json": VariableAccessor(deserialize_json=True), "value": VariableAccessor(deserialize_json=False)},
        "conn": ConnectionAccessor(),
    }


class _Namespace:
    def __init__(self, values: Mapping[str, Any]) -> None:
        self.__dict__.update(values)


class TaskInstance:
    """What templates and operators ask of a running task's instance, without a run."""

    try_number = 1

    def __init__(self, run: Run, task: Any) -> None:
        self._run, self.task = run, task
        self.dag_id, self.task_id, self.run_id = run.dag.dag_id, task.task_id, run.run_id
        self.map_index = run.map_index if task.is_mapped else -1

    def xcom_push(self, key: str, value: Any) -> None:
        """Keep nothing: there is nobody to read it."""

    def xcom_pull(self, task_ids: Any = None, key: str = "return_value", **_: Any) -> Any:
        """Return the result of an earlier task, or a placeholder."""
        if task_ids is None or isinstance(task_ids, str):
            return self._pull(task_ids or self.task_id, key)
        return [self._pull(task_id, key) for task_id in task_ids]

    def _pull(self, task_id: str, key: str) -> Any:
        results = self._run.results
        if task_id not in results:
            results[task_id] = Unknown(f"<{task_id}>")  # what asks for itself
            with self._run.aws.unrecorded():
                results[task_id] = _result(self._run, task_id)
        found = results[task_id]
        if key == "return_value":
            return found
        return found.get(key, Unknown(f"<{task_id}.{key}>")) if isinstance(found, dict) else found[key]


def _result(run: Run, task_id: str) -> Any:
    known = _task(run, task_id)
    if not isinstance(known, LinearLearnerOperator):
        return Unknown(f"<{task_id}>")
    context, task = _prepare(run, known)
    if isinstance(task, RecordSetTask):
        return record_set_result(task, context, run.sizes)
    try:
        return json.loads(json.dumps(_execute(task, context), default=str))
    except (AirflowException, LinearLearnerError) as error:
        task.log.warning("What the task %s returns cannot be worked out: %s", task_id, error)
        return Unknown(f"<{task_id}>")
