"""A task's life in processes of their own, forked from a warm parent: the worker, the triggerer, the resumed worker."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import traceback
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_ll.hooks.linear_learner import LinearLearnerHook
from airflow_ll.requests.names import TaskIdentity

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["Call", "Lives", "TaskFailedError", "TaskInstance"]

_SERVICES = ("sagemaker", "s3", "logs", "cloudwatch", "sagemaker-runtime")
_MOST_TRIES = 5


class Call(NamedTuple):
    """A call that a process made: whether "worker" or "triggerer", and of which operation."""

    process: str
    service: str
    operation: str


class TaskFailedError(Exception):
    """An attempt ended in an error of its own, without being killed."""


class _KilledError(Exception):
    pass


@dataclass(frozen=True)
class TaskInstance(TaskIdentity):
    """What an operator needs of Airflow's task instance."""

    def xcom_push(self, key: str, value: Any) -> None:
        """Links are kept nowhere here."""


@dataclass
class Lives:
    """Runs tasks to their end, however often their processes are killed.

    :param folder: for the pid of the process at work, and for what the processes log.
    """

    folder: Path
    hook: LinearLearnerHook = field(default_factory=LinearLearnerHook)
    kills: dict[str, int] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)

    def __post_init__(self) -> None:
        for service in _SERVICES:
            self.hook.client(service)  # made once, connected by no one: the children are warm
        _ = self.hook.impatient_sagemaker

    @property
    def pid_file(self) -> Path:
        """Where the runtime finds whom to kill."""
        return self.folder / "pid"

    @property
    def log(self) -> str:
        """What the processes of the last task have logged."""
        return (self.folder / "log").read_text(encoding="utf-8", errors="replace")

    def run(self, build: Callable[[], Any], identity: TaskIdentity) -> dict[str, Any]:
        """Return the result of the task; ``kills`` and ``calls`` then tell how it came about.

        :param build: makes the operator, in the process that runs it.
        :raises TaskFailedError: an attempt failed without being killed.
        """
        self.kills, self.calls = {"worker": 0, "triggerer": 0}, []
        (self.folder / "log").write_text("", encoding="utf-8")
        for _ in range(_MOST_TRIES):
            try:
                return self._try(build, identity)
            except _KilledError:
                self.kills["worker"] += 1
        raise TaskFailedError(f"killed again and again: {self.kills}")

    def _try(self, build: Callable[[], Any], identity: TaskIdentity) -> dict[str, Any]:
        context = {"ti": TaskInstance(identity.dag_id, identity.run_id, identity.task_id)}
        told = self._child(lambda: _work(self._task(build).execute, context))
        while "trigger" in told:
            event = self._wait(*told["trigger"])
            told = self._child(partial(self._resume, build, context, event))
        result: dict[str, Any] = told["result"]
        return result

    def _resume(self, build: Callable[[], Any], context: Any, event: dict[str, Any]) -> dict[str, Any]:
        return _work(self._task(build).execute_complete, context, event)

    def _wait(self, path: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """Run the trigger; when its triggerer dies, another one takes it over."""
        while True:
            try:
                return self._child(lambda: _trigger(path, arguments), "triggerer")
            except _KilledError:
                self.kills["triggerer"] += 1

    def _task(self, build: Callable[[], Any]) -> Any:
        task = build()
        task.__dict__["hook"] = self.hook
        return task

    def _child(self, work: Callable[[], dict[str, Any]], process: str = "worker") -> dict[str, Any]:
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reader)
            os._exit(self._inside(work, writer))
        os.close(writer)
        with os.fdopen(reader, "rb") as answer:
            told = answer.read()
        _, status = os.waitpid(pid, 0)
        if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
            raise _KilledError
        if status:
            raise TaskFailedError(self.log[-3000:])
        value, calls = json.loads(told)
        self.calls += [Call(process, *one) for one in calls]
        return dict(value)

    def _inside(self, work: Callable[[], dict[str, Any]], writer: int) -> int:
        self.pid_file.write_text(str(os.getpid()), encoding="utf-8")
        log = os.open(self.folder / "log", os.O_WRONLY | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
        try:
            calls = _record_calls(self.hook)
            value = work()
            with os.fdopen(writer, "wb") as answer:
                answer.write(json.dumps([value, calls]).encode())
        except BaseException:
            traceback.print_exc()
            return 1
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
        return 0


def _work(method: Callable[..., Any], *arguments: Any) -> dict[str, Any]:
    try:
        return {"result": method(*arguments)}
    except TaskDeferred as deferred:
        path, settings = deferred.trigger.serialize()
        return {"trigger": [path, settings]}


def _trigger(path: str, arguments: dict[str, Any]) -> dict[str, Any]:
    module, _, kind = path.rpartition(".")
    trigger = getattr(import_module(module), kind)(**arguments)

    async def event() -> dict[str, Any]:
        return dict((await anext(trigger.run())).payload)

    return asyncio.run(event())


def _record_calls(hook: LinearLearnerHook) -> list[tuple[str, str]]:
    """Note the service, as signatures name it, and the operation of every call that this process makes."""
    calls: list[tuple[str, str]] = []

    def note(event_name: str, **_: Any) -> None:
        service, operation = event_name.split(".")[1:]
        calls.append(("logs" if service == "cloudwatch-logs" else service, operation))

    make: Any = LinearLearnerHook._new_client

    def make_and_watch(self: LinearLearnerHook, service: str, config: Any) -> Any:
        client = make(self, service, config)
        client.meta.events.register("before-send", note)
        return client

    LinearLearnerHook._new_client = make_and_watch  # type: ignore[method-assign]  # in a child that ends soon
    for client in hook._clients.values():
        client.meta.events.register("before-send", note)
    return calls
