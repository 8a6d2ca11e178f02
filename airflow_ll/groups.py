"""Ready-made task groups: a model from its record sets to its predictions, in one call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import TaskGroup, task

from airflow_ll.exceptions import RequestError
from airflow_ll.operators import (
    LinearLearnerDeployOperator,
    LinearLearnerPredictOperator,
    LinearLearnerTeardownOperator,
    LinearLearnerTrainingOperator,
    LinearLearnerTransformOperator,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_ll.operators.base import LinearLearnerOperator

__all__ = ["ModelTasks", "linear_learner_model"]


@dataclass(frozen=True)
class ModelTasks:
    """The tasks of :func:`linear_learner_model`; those that were not asked for are None.

    :param group: all of them, to be put before or after other tasks.
    :param train: the training.
    :param check: the gate on its metrics.
    :param deploy: the endpoint.
    :param predict: the question to the endpoint.
    :param transform: the batch transform.
    :param teardown: the end of what the run has put into service.
    """

    group: TaskGroup
    train: LinearLearnerTrainingOperator
    check: Any = None
    deploy: LinearLearnerDeployOperator | None = None
    predict: LinearLearnerPredictOperator | None = None
    transform: LinearLearnerTransformOperator | None = None
    teardown: LinearLearnerTeardownOperator | None = None

    @property
    def model_data(self) -> Any:
        """S3 URI of the model, for other tasks."""
        return _output(self.train, "model_data")

    @property
    def metrics(self) -> Any:
        """The training job's final metrics by name, for other tasks."""
        return _output(self.train, "metrics")

    @property
    def endpoint_name(self) -> Any:
        """The endpoint's name, for other tasks."""
        return _output(self.deploy, "endpoint_name")

    @property
    def predictions(self) -> Any:
        """The endpoint's answers, for other tasks."""
        return _output(self.predict, "predictions")

    @property
    def outputs(self) -> Any:
        """S3 URIs of the batch transform's outputs, for other tasks."""
        return _output(self.transform, "outputs")


def linear_learner_model(
    group_id: str,
    *,
    role: str,
    predictor_type: str,
    records: Any,
    hyperparameters: Mapping[str, Any] | None = None,
    at_least: Mapping[str, float] | None = None,
    at_most: Mapping[str, float] | None = None,
    endpoint: Any = False,
    features: Any = None,
    score: Any = None,
    training: Mapping[str, Any] | None = None,
    deployment: Mapping[str, Any] | None = None,
    transform: Mapping[str, Any] | None = None,
    **common: Any,
) -> ModelTasks:
    """Make the tasks that train a model, judge it, put it into service or score with it, and clean up.

    An endpoint without a name lives until the group's last task; one with a name stays and is updated by each run.
    A model that the gate refuses is neither deployed nor used, and the run fails.

    :param group_id: id of the task group, and with it the beginning of the tasks' ids.
    :param role: name or ARN of the IAM role of the jobs and of the model.
    :param predictor_type: "binary_classifier", "multiclass_classifier" or "regressor".
    :param records: results of record set tasks, one or a list, for training, validation and test.
    :param hyperparameters: the others, by name.
    :param at_least: the smallest values of final metrics that the model must reach, by the metric's name.
    :param at_most: the largest ones.
    :param endpoint: whether to deploy to an endpoint of the run, or the name of a lasting endpoint.
    :param features: rows to ask the endpoint about: a list, a file or an S3 URI.
    :param score: the result of a record set task to score by batch transform.
    :param training: further arguments of :class:`airflow_ll.operators.LinearLearnerTrainingOperator`.
    :param deployment: further arguments of :class:`airflow_ll.operators.LinearLearnerDeployOperator`.
    :param transform: further arguments of :class:`airflow_ll.operators.LinearLearnerTransformOperator`.
    :param common: arguments of all of these tasks, such as ``aws_conn_id`` or ``retries``.
    :raises RequestError: features without an endpoint, or options of a task that was not asked for.
    """
    _check_demands(endpoint, features, score, deployment, transform)
    parameters = {"predictor_type": predictor_type, **(hyperparameters or {})}
    with TaskGroup(group_id) as group:
        train = LinearLearnerTrainingOperator(
            task_id="train", role=role, records=records, hyperparameters=parameters, **_merged(common, training)
        )
        check = _gate(_output(train, "metrics"), at_least or {}, at_most or {}) if at_least or at_most else None
        source = {"role": role, "model_data": _output(train, "model_data"), **common}
        deploy = ask = batch = teardown = None
        if endpoint:
            name = None if endpoint is True else endpoint
            deploy = LinearLearnerDeployOperator(task_id="deploy", endpoint_name=name, **_merged(source, deployment))
        if deploy is not None and features is not None:
            ask = LinearLearnerPredictOperator(
                task_id="predict", endpoint_name=_output(deploy, "endpoint_name"), features=features, **common
            )
        if score is not None:
            model = source if deploy is None else {"model_name": _output(deploy, "model_name"), **common}
            batch = LinearLearnerTransformOperator(task_id="transform", records=score, **_merged(model, transform))
        users = [one for one in (deploy, ask, batch) if one is not None]
        if users and (endpoint is True or not endpoint):
            teardown = LinearLearnerTeardownOperator(task_id="teardown", scope="group", **common)
            teardown.as_teardown(setups=train, on_failure_fail_dagrun=True)
            users >> teardown
            # A run is judged by its last tasks: without this one, by the teardown alone, which succeeds after failures.
            users >> EmptyOperator(task_id="finished")
        if check is not None and users:
            check >> [one for one in (deploy, batch) if one is not None]
    return ModelTasks(group, train, check, deploy, ask, batch, teardown)


def _check_demands(endpoint: Any, features: Any, score: Any, deployment: Any, transform: Any) -> None:
    for given, wanted, what in (
        (features, endpoint, "features needs endpoint=True, or the name of an endpoint"),
        (deployment, endpoint, "deployment needs endpoint=True, or the name of an endpoint"),
        (transform, score, "transform needs score, the record set to score"),
    ):
        if given is not None and (wanted is None or wanted is False):
            raise RequestError(f"linear_learner_model: {what}.")


def _merged(*settings: Mapping[str, Any] | None) -> dict[str, Any]:
    return {key: value for one in settings for key, value in (one or {}).items()}


def _output(operator: LinearLearnerOperator | None, key: str) -> Any:
    if operator is None:
        raise RequestError(f"linear_learner_model: there is no {key}, since the task for it was not asked for.")
    outputs: Any = operator.output
    return outputs[key]


def _gate(metrics: Any, at_least: Mapping[str, float], at_most: Mapping[str, float]) -> Any:
    @task(task_id="check")
    def check(
        metrics: dict[str, float], at_least: Mapping[str, float], at_most: Mapping[str, float]
    ) -> dict[str, float]:
        """Fail for good when the model is not good enough: another attempt would judge the same model."""
        from airflow.sdk.exceptions import AirflowFailException

        faults = metric_faults(metrics, at_least, at_most)
        if faults:
            raise AirflowFailException(" ".join(faults))
        return metrics

    return check(metrics, at_least, at_most)  # as arguments, so that a mapped group may bring them


def metric_faults(
    metrics: Mapping[str, float], at_least: Mapping[str, float], at_most: Mapping[str, float]
) -> list[str]:
    """Return a sentence for each metric that is missing or out of bounds."""
    faults = []
    for bounds, word, sign in ((at_least, "at least", 1), (at_most, "at most", -1)):
        for name, bound in bounds.items():
            if name not in metrics:
                faults.append(f"There is no final metric {name!r}: the job has {', '.join(sorted(metrics))}.")
            elif not sign * metrics[name] >= sign * bound:
                faults.append(f"{name} must be {word} {bound:g}, got {metrics[name]:.6g}.")
    return faults
