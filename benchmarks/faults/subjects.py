"""What the matrix runs: every operator, what it creates, and when its result is right."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from airflow_ll.operators import (
    LinearLearnerAnalyticsOperator,
    LinearLearnerAttachOperator,
    LinearLearnerCompileOperator,
    LinearLearnerDeployOperator,
    LinearLearnerModelOperator,
    LinearLearnerPredictOperator,
    LinearLearnerRecordSetOperator,
    LinearLearnerRegisterOperator,
    LinearLearnerTeardownOperator,
    LinearLearnerTrainingOperator,
    LinearLearnerTransformOperator,
    LinearLearnerTuningOperator,
)
from airflow_ll.requests.names import TaskIdentity

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from benchmarks.faults.processes import Lives

__all__ = ["SUBJECTS", "Subject", "World", "prepare"]

ROLE = "arn:aws:iam::123456789012:role/learner"
_POLL_SECONDS = 0.3
_HYPERPARAMETERS = {"predictor_type": "binary_classifier", "epochs": 2, "num_models": 1}


@dataclass(frozen=True)
class World:
    """What the operators of a cell start from.

    :param rows: a file of features and labels.
    :param location: S3 URI of the cell's own folder.
    :param records: result of a record set task.
    :param training_job_name: a training job that is completed.
    :param model_data: S3 URI of its model.
    :param endpoint_name: an endpoint in service.
    :param own_endpoint: a name for an endpoint of the cell's own.
    :param own_job: a name for a training job, or a model package group, of the cell's own.
    """

    rows: str
    location: str
    records: Mapping[str, Any]
    training_job_name: str
    model_data: str
    endpoint_name: str
    own_endpoint: str = ""
    own_job: str = ""


@dataclass(frozen=True)
class Subject:
    """An operator in the matrix.

    :param build: makes the operator.
    :param creates: how many resources each operation makes in a run of the task; S3's are counted otherwise.
    :param facts: what no fault may change of the result.
    :param waits: whether it can be deferred.
    :param first: what the run does before the task that is killed.
    """

    name: str
    build: Callable[[World, Mapping[str, Any]], Any]
    creates: Mapping[str, int]
    facts: Callable[[Mapping[str, Any]], Any]
    waits: bool = False
    first: tuple[Callable[[World], Any], ...] = field(default=())

    @property
    def modes(self) -> tuple[str, ...]:
        """The modes it has."""
        return ("sync", "deferrable") if self.waits else ("sync",)

    def task(self, world: World, mode: str) -> Any:
        """Return the operator in a mode."""
        waiting = {"deferrable": mode == "deferrable", "poll_interval": _POLL_SECONDS} if self.waits else {}
        return self.build(world, waiting)


def _record_set(world: World, waiting: Mapping[str, Any]) -> Any:
    return LinearLearnerRecordSetOperator(
        task_id="task", features=world.rows, data_location=world.location, instance_count=2, **waiting
    )


def _training(world: World, waiting: Mapping[str, Any]) -> Any:
    return LinearLearnerTrainingOperator(
        task_id="task",
        role=ROLE,
        records=dict(world.records),
        output_path=world.location,
        hyperparameters=_HYPERPARAMETERS,
        **waiting,
    )


def _tuning(world: World, waiting: Mapping[str, Any]) -> Any:
    return LinearLearnerTuningOperator(
        task_id="task",
        role=ROLE,
        records=[dict(world.records), {**world.records, "channel": "validation"}],
        output_path=world.location,
        hyperparameters=_HYPERPARAMETERS,
        ranges={"use_bias": [True, False]},
        objective_metric_name="validation:objective_loss",
        strategy="Grid",
        max_jobs=2,
        max_parallel_jobs=2,
        **waiting,
    )


def _attach(world: World, waiting: Mapping[str, Any]) -> Any:
    return LinearLearnerAttachOperator(task_id="task", training_job_name=world.own_job, **waiting)


def _running(world: World) -> Any:
    return LinearLearnerTrainingOperator(
        task_id="before",
        role=ROLE,
        records=dict(world.records),
        output_path=world.location,
        hyperparameters=_HYPERPARAMETERS,
        training_job_name=world.own_job,
        wait_for_completion=False,
    )


def _analytics(world: World, waiting: Mapping[str, Any]) -> Any:
    return LinearLearnerAnalyticsOperator(
        task_id="task", training_job_name=world.training_job_name, output_path=world.location, **waiting
    )


def _compile(world: World, waiting: Mapping[str, Any]) -> Any:
    return LinearLearnerCompileOperator(
        task_id="task",
        training_job_name=world.training_job_name,
        target_instance_family="ml_c5",
        output_path=f"{world.location}/compiled",
        **waiting,
    )


def _model(world: World, waiting: Mapping[str, Any]) -> Any:
    return LinearLearnerModelOperator(task_id="task", role=ROLE, model_data=world.model_data, **waiting)


def _register(world: World, waiting: Mapping[str, Any]) -> Any:
    return LinearLearnerRegisterOperator(
        task_id="task",
        training_job_name=world.training_job_name,
        model_package_group_name=world.own_job,
        metrics_path=world.location,
        **waiting,
    )


def _deploy(world: World, waiting: Mapping[str, Any]) -> Any:
    return LinearLearnerDeployOperator(task_id="task", role=ROLE, model_data=world.model_data, **waiting)


def _named_deploy(world: World, waiting: Mapping[str, Any]) -> Any:
    return LinearLearnerDeployOperator(
        task_id="task", role=ROLE, model_data=world.model_data, endpoint_name=world.own_endpoint, **waiting
    )


def _deployed_before(world: World) -> Any:
    return LinearLearnerDeployOperator(
        task_id="before",
        role=ROLE,
        model_data=world.model_data,
        endpoint_name=world.own_endpoint,
        poll_interval=_POLL_SECONDS,
    )


def _predict(world: World, waiting: Mapping[str, Any]) -> Any:
    return LinearLearnerPredictOperator(
        task_id="task", endpoint_name=world.endpoint_name, features=world.rows, output_path=world.location, **waiting
    )


def _transform(world: World, waiting: Mapping[str, Any]) -> Any:
    return LinearLearnerTransformOperator(
        task_id="task",
        role=ROLE,
        records=dict(world.records),
        model_data=world.model_data,
        output_path=f"{world.location}/scores",
        **waiting,
    )


def _teardown(world: World, waiting: Mapping[str, Any]) -> Any:
    return LinearLearnerTeardownOperator(task_id="task", **waiting)


def _in_service(world: World) -> Any:
    return LinearLearnerDeployOperator(
        task_id="before", role=ROLE, model_data=world.model_data, poll_interval=_POLL_SECONDS
    )


def _only(*keys: str) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    return lambda result: {key: result[key] for key in keys}


def _trained(result: Mapping[str, Any]) -> dict[str, Any]:
    metrics = {name: value for name, value in result["metrics"].items() if name != "train:throughput"}
    return {"status": result["status"], "hyperparameters": result["hyperparameters"], "metrics": metrics}


_SERVICE = {"CreateModel": 1, "CreateEndpointConfig": 1}

SUBJECTS = (
    Subject("record set", _record_set, {}, _only("num_records", "feature_dim", "shards", "sha256")),
    Subject("training", _training, {"CreateTrainingJob": 1}, _trained, waits=True),
    Subject("tuning", _tuning, {"CreateHyperParameterTuningJob": 1}, _trained, waits=True),
    Subject("attach", _attach, {}, _trained, waits=True, first=(_running,)),
    Subject("analytics", _analytics, {}, _only("num_rows", "metrics")),
    Subject("compile", _compile, {"CreateCompilationJob": 1}, _only("status"), waits=True),
    Subject("model", _model, {"CreateModel": 1}, _only("model_data")),
    Subject(
        "register",
        _register,
        {"CreateModelPackageGroup": 1, "CreateModelPackage": 1},
        _only("model_package_version", "approval_status", "model_data"),
    ),
    Subject("deploy", _deploy, {**_SERVICE, "CreateEndpoint": 1}, _only("status"), waits=True),
    Subject(
        "update",
        _named_deploy,
        {**_SERVICE, "UpdateEndpoint": 1},
        _only("status"),
        waits=True,
        first=(_deployed_before,),
    ),
    Subject("predict", _predict, {}, _only("num_predictions", "predictions")),
    Subject("transform", _transform, {"CreateModel": 1, "CreateTransformJob": 1}, _only("status"), waits=True),
    Subject("teardown", _teardown, {}, _only(), first=(_in_service,)),
)


def prepare(lives: Lives, folder: Path, location: str) -> World:
    """Make what all cells share: rows, a record set, a model, an endpoint."""
    random = np.random.default_rng(7)
    features = random.normal(size=(200, 5)).astype(np.float32)
    labels = (features @ np.array([2.0, -1.0, 0.5, 0.0, 1.0]) > 0).astype(np.float32)
    np.savez(folder / "rows.npz", features=features, labels=labels)
    world = World(str(folder / "rows.npz"), location, {}, "", "", "")

    def run(task_id: str, build: Callable[[World, Mapping[str, Any]], Any]) -> dict[str, Any]:
        return lives.run(lambda: build(world, {}), TaskIdentity("faults", "shared", task_id))

    world = replace(world, records=run("records", _record_set))
    trained = run("training", _training)
    world = replace(world, training_job_name=trained["training_job_name"], model_data=trained["model_data"])
    return replace(world, endpoint_name=run("endpoint", _deploy)["endpoint_name"])
