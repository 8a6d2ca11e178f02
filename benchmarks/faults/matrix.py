"""Cells of the matrix: which there are, how one is run, and what must be true afterwards."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_ll.operators import LinearLearnerTeardownOperator
from airflow_ll.requests.names import TaskIdentity
from benchmarks.faults.processes import TaskFailedError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_ll.testing import LocalRuntime
    from benchmarks.faults.processes import Call, Lives
    from benchmarks.faults.subjects import Subject, World

__all__ = ["Cell", "Matrix", "Outcome"]

_WRITES = ("Create", "Put", "Update", "Delete", "Upload", "Complete", "Invoke", "Stop")
_MOST_WRITES, _MOST_READS = 6, 3


@dataclass(frozen=True)
class Cell:
    """A kill: of the process that makes the ``number``-th call of an operation, ``when`` = before or after it."""

    subject: Subject
    mode: str
    service: str
    operation: str
    number: int
    when: str

    def __str__(self) -> str:
        return f"{self.subject.name}, {self.mode}: {self.when} {self.operation} {self.number}"


@dataclass(frozen=True)
class Outcome:
    """What became of a cell.

    :param killed: "worker" or "triggerer"; "" when the call did not come, so that nothing was killed.
    :param faults: what is wrong, in sentences.
    """

    cell: Cell
    killed: str
    faults: tuple[str, ...]


@dataclass(frozen=True)
class _Clean:
    """A run without a kill: what the others are held against."""

    calls: list[Call]
    result: dict[str, Any]
    objects: int


class Matrix:
    """Runs cells, one after another, on one runtime."""

    def __init__(self, runtime: LocalRuntime, lives: Lives, world: World) -> None:
        self._runtime, self._lives, self._world = runtime, lives, world
        self._sagemaker, self._s3 = runtime.client("sagemaker"), runtime.client("s3")
        self._numbers = itertools.count(1)
        self._clean: dict[tuple[str, str], _Clean] = {}

    def cells(self, subject: Subject, mode: str) -> Iterator[Cell]:
        """Yield the cells of an operator in a mode: its calls in a run without a kill say which."""
        counts = Counter((call.service, call.operation) for call in self.clean(subject, mode).calls)
        for (service, operation), count in counts.items():
            most = _MOST_WRITES if operation.startswith(_WRITES) else _MOST_READS
            for number in range(1, min(count, most) + 1):
                for when in ("before", "after"):
                    yield Cell(subject, mode, service, operation, number, when)

    def typical(self, subject: Subject, mode: str) -> Cell:
        """Return the cell to run when there is time for one: a lost answer to a Create, or a dead triggerer."""
        calls = self.clean(subject, mode).calls
        in_triggerer = [number for number, call in enumerate(calls) if call.process == "triggerer"]
        writes = [number for number, call in enumerate(calls) if call.operation.startswith(_WRITES)]
        first = next(iter((in_triggerer if mode == "deferrable" else writes) or in_triggerer or [0]))
        chosen = calls[first]
        number = sum(call.operation == chosen.operation for call in calls[: first + 1])
        return Cell(subject, mode, chosen.service, chosen.operation, number, "after")

    def clean(self, subject: Subject, mode: str) -> _Clean:
        """Return what a run without a kill does."""
        key = (subject.name, mode)
        if key not in self._clean:
            world, identity, _ = self._begin(subject)
            result = self._lives.run(lambda: subject.task(world, mode), identity)
            self._clean[key] = _Clean(list(self._lives.calls), result, len(list(self._keys(world))))
            self._tear_down(world, identity)
        return self._clean[key]

    def run(self, cell: Cell) -> Outcome:
        """Run a cell and check it."""
        clean = self.clean(cell.subject, cell.mode)
        world, identity, already = self._begin(cell.subject)
        rule = f"kill when={cell.when} service={cell.service} operation={cell.operation} nth={cell.number}"
        try:
            with self._runtime.failing(f"{rule} pid-file={self._lives.pid_file}"):
                result = self._lives.run(lambda: cell.subject.task(world, cell.mode), identity)
            killed = next((process for process, kills in self._lives.kills.items() if kills), "")
            faults = [
                *self._wrong_result(cell, clean, result),
                *self._wrong_creates(cell.subject, identity, already),
                *self._wrong_objects(world, clean),
            ]
            self._tear_down(world, identity)
            faults += self._left_over(identity)
        except TaskFailedError as error:
            return Outcome(cell, "?", (f"it failed: {error}",))
        return Outcome(cell, killed, tuple(faults))

    def _begin(self, subject: Subject) -> tuple[World, TaskIdentity, int]:
        """Return a world and a run of the cell's own, after what comes before the task, and the log's length."""
        number = next(self._numbers)
        identity = TaskIdentity("faults", f"cell-{number}", "task")
        world = replace(
            self._world,
            location=f"{self._world.location}/{number}",
            own_endpoint=f"live-{identity.run_hash}",
            own_job=f"job-{identity.run_hash}",
        )
        for build in subject.first:
            self._lives.run(partial(build, world), replace(identity, task_id="before"))
        return world, identity, len(self._access_log())

    def _wrong_result(self, cell: Cell, clean: _Clean, result: dict[str, Any]) -> Iterator[str]:
        expected, got = cell.subject.facts(clean.result), cell.subject.facts(result)
        if got != expected:
            yield f"the result is {got} instead of {expected}"

    def _wrong_creates(self, subject: Subject, identity: TaskIdentity, already: int) -> Iterator[str]:
        """Compare the acknowledged calls that make resources with those of a run without a fault."""
        made: Counter[str] = Counter()
        for line in self._access_log()[already:]:
            _, service, operation, resource, status, _ = line.split(" ")
            changes = operation.startswith("Create") or operation == "UpdateEndpoint"
            if service == "sagemaker" and changes and identity.run_hash in resource and int(status) < 300:
                made[operation] += 1
        if made != Counter(subject.creates):
            yield f"acknowledged were {dict(made)} instead of {dict(subject.creates)}"

    def _wrong_objects(self, world: World, clean: _Clean) -> Iterator[str]:
        count = len(list(self._keys(world)))
        if count != clean.objects:
            yield f"{count} objects are in S3 instead of {clean.objects}"
        bucket, prefix = _bucket_and_prefix(world)
        if self._s3.list_multipart_uploads(Bucket=bucket, Prefix=prefix).get("Uploads"):
            yield "multipart uploads are left"

    def _tear_down(self, world: World, identity: TaskIdentity) -> None:
        self._lives.run(
            lambda: LinearLearnerTeardownOperator(task_id="teardown", endpoint_name=world.own_endpoint),
            replace(identity, task_id="teardown"),
        )

    def _left_over(self, identity: TaskIdentity) -> Iterator[str]:
        lists: tuple[tuple[str, str, dict[str, str]], ...] = (
            ("list_endpoints", "Endpoints", {}),
            ("list_endpoint_configs", "EndpointConfigs", {}),
            ("list_models", "Models", {}),
            ("list_training_jobs", "TrainingJobSummaries", {"StatusEquals": "InProgress"}),
            ("list_hyper_parameter_tuning_jobs", "HyperParameterTuningJobSummaries", {"StatusEquals": "InProgress"}),
            ("list_compilation_jobs", "CompilationJobSummaries", {"StatusEquals": "INPROGRESS"}),
            ("list_transform_jobs", "TransformJobSummaries", {"StatusEquals": "InProgress"}),
        )
        for operation, member, filters in lists:
            if left := getattr(self._sagemaker, operation)(NameContains=identity.run_hash, **filters)[member]:
                yield f"{len(left)} {member} are left"

    def _keys(self, world: World) -> Iterator[str]:
        bucket, prefix = _bucket_and_prefix(world)
        for page in self._s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            yield from (one["Key"] for one in page.get("Contents", []))

    def _access_log(self) -> list[str]:
        return (self._runtime.data_dir / "access.log").read_text(encoding="utf-8").splitlines()


def _bucket_and_prefix(world: World) -> tuple[str, str]:
    bucket, _, prefix = world.location.removeprefix("s3://").partition("/")
    return bucket, f"{prefix}/"
