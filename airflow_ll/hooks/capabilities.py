"""What the hook can do for Python code, one method a capability.

What a method creates belongs to the running task, with a name of the task's own: a retry finds it, as an operator's
does. Several things of one kind in one task need a ``label`` each, or an explicit name; outside of a task names are
explicit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from airflow_ll.exceptions import RequestError
from airflow_ll.hooks.creating import create, current_identity, settled
from airflow_ll.hooks.resources import (
    COMPILATION_JOB,
    ENDPOINT,
    ENDPOINT_CONFIG,
    MODEL,
    TRAINING_JOB,
    TRANSFORM_JOB,
    TUNING_JOB,
)
from airflow_ll.hooks.settings import compilation_settings, model_settings, specify, training_settings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import ArrayLike

    from airflow_ll.artifacts import Predictions
    from airflow_ll.hooks.linear_learner import LinearLearnerHook
    from airflow_ll.hooks.uploading import Upload
    from airflow_ll.requests import AttachedTrainingJob

__all__ = ["Capabilities"]


class Capabilities:
    """The methods that :class:`airflow_ll.hooks.LinearLearnerHook` has for tasks that are Python functions."""

    @property
    def _hook(self) -> LinearLearnerHook:
        return cast("LinearLearnerHook", self)

    def upload_record_set(self, features: ArrayLike, labels: ArrayLike | None = None, **settings: Any) -> Upload:
        """Upload arrays as a record set: see :func:`airflow_ll.hooks.record_sets.upload_record_set`."""
        from airflow_ll.hooks.record_sets import upload_record_set

        return upload_record_set(self._hook, features, labels, **settings)

    def attach(self, training_job_name: str, model_channel_name: str = "model") -> AttachedTrainingJob:
        """Return everything about a training job: see :func:`airflow_ll.requests.attach.attach_training_job`.

        ``training_job(attached.spec)`` asks for the same job again; its environment variables are among the settings.

        :raises RequestError: there is none of this name, or a spec cannot describe it.
        """
        from airflow_ll.requests import attach_training_job
        from airflow_ll.requests.names import user_tags

        description = self._hook.describe(TRAINING_JOB, training_job_name)
        if description is None:
            raise RequestError(f"There is no training job {training_job_name!r} in {self._hook.region}.")
        tags = user_tags(self._hook.tags(TRAINING_JOB.arn(description)))
        return attach_training_job(description, tags, model_channel_name)

    def training_job_analytics(
        self, training_job_name: str, metric_names: Sequence[str] | None = None
    ) -> list[dict[str, Any]]:
        """Return a job's metrics as rows: see :func:`airflow_ll.hooks.analytics.training_job_analytics`."""
        from airflow_ll.hooks.analytics import training_job_analytics

        return training_job_analytics(self._hook, training_job_name, metric_names)

    def predict(
        self,
        endpoint_name: str,
        features: Any,
        *,
        content_type: str = "text/csv",
        accept: str = "application/json",
        target_variant: str | None = None,
    ) -> Predictions:
        """Return the endpoint's predictions of ``features``, in as many calls as their size needs.

        :param features: array or scipy matrix of shape (rows, feature_dim).
        :param content_type: how the rows travel: ``text/csv``, ``application/json``, ``application/jsonlines`` or
            ``application/x-recordio-protobuf``.
        :param accept: how the answers travel; one of these.
        :param target_variant: the variant to ask, instead of one by weight.
        :return: predictions of all rows, in order.
        """
        from airflow_ll.hooks.predicting import predict

        client = self._hook.client("sagemaker-runtime")
        return predict(client, endpoint_name, features, content_type, accept, target_variant)

    def train(
        self,
        *,
        role: str,
        hyperparameters: Any,
        records: Any,
        name: str | None = None,
        label: str = "",
        wait: bool = True,
        **settings: Any,
    ) -> dict[str, Any]:
        """Run a training job and return its description (DescribeTrainingJob).

        :param role: name or ARN of the IAM role.
        :param hyperparameters: by name, or a ``LinearLearnerHyperparameters``.
        :param records: record sets, channels, or the results of record set tasks; one or a list.
        :param settings: further arguments of :func:`airflow_ll.hooks.settings.training_settings`.
        :raises JobFailedError: it failed.
        """
        from airflow_ll.requests import TrainingJobSpec, training_job

        given = training_settings(self._hook, role=role, hyperparameters=hyperparameters, records=records, **settings)

        def build(taken: str) -> dict[str, Any]:
            return training_job(specify(TrainingJobSpec, training_job_name=taken, **given))

        return create(self._hook, TRAINING_JOB, build, name, label, wait=wait)

    def tune(
        self,
        *,
        ranges: Mapping[str, Any],
        objective_metric_name: str,
        training: Mapping[str, Any],
        name: str | None = None,
        label: str = "",
        wait: bool = True,
        **settings: Any,
    ) -> dict[str, Any]:
        """Run a tuning job and return its description (DescribeHyperParameterTuningJob).

        :param ranges: what to try, by hyperparameter: see :func:`airflow_ll.requests.range_from_json`.
        :param training: what each training job is: arguments of :func:`airflow_ll.hooks.settings.training_settings`.
        :param settings: further fields of :class:`airflow_ll.requests.TuningJobSpec`.
        """
        from airflow_ll.requests import TrainingJobSpec, TuningJobSpec, range_from_json, tuning_job

        spec = specify(TrainingJobSpec, training_job_name="tuned", **training_settings(self._hook, **dict(training)))
        typed = {one: range_from_json(one, value) for one, value in ranges.items()}

        def build(taken: str) -> dict[str, Any]:
            return tuning_job(
                specify(
                    TuningJobSpec,
                    tuning_job_name=taken,
                    training=spec,
                    ranges=typed,
                    objective_metric_name=objective_metric_name,
                    **settings,
                )
            )

        return create(self._hook, TUNING_JOB, build, name, label, wait=wait)

    def compile_model(
        self,
        *,
        output_path: str | None = None,
        name: str | None = None,
        label: str = "",
        wait: bool = True,
        **settings: Any,
    ) -> dict[str, Any]:
        """Compile a model and return the job's description (DescribeCompilationJob).

        :param settings: ``training_job_name``, or ``model_data``, ``role`` and ``feature_dim``; and fields of
            :class:`airflow_ll.requests.CompilationJobSpec` such as ``target_instance_family``.
        """
        from airflow_ll.requests import CompilationJobSpec, compilation_job

        given = compilation_settings(self._hook, **settings)

        def build(taken: str) -> dict[str, Any]:
            output = self._hook.location(output_path, default=taken)
            return compilation_job(specify(CompilationJobSpec, compilation_job_name=taken, output_path=output, **given))

        return create(self._hook, COMPILATION_JOB, build, name, label, wait=wait)

    def create_model(self, *, name: str | None = None, label: str = "", **settings: Any) -> str:
        """Create a model and return its name.

        :param settings: ``training_job_name``, or ``model_data`` and ``role``; see
            :func:`airflow_ll.hooks.settings.model_settings`.
        """
        from airflow_ll.requests import ModelSpec, model

        given = model_settings(self._hook, **settings)

        def build(taken: str) -> dict[str, Any]:
            return model(ModelSpec(model_name=taken, **given))

        return str(create(self._hook, MODEL, build, name, label)["ModelName"])

    def deploy(
        self,
        model_name: str,
        *,
        instance_type: str | None = "ml.m5.large",
        initial_instance_count: int = 1,
        endpoint_name: str | None = None,
        label: str = "",
        wait: bool = True,
        deployment_config: Mapping[str, Any] | None = None,
        tags: Any = None,
        **variant: Any,
    ) -> dict[str, Any]:
        """Put a model into service, or update the endpoint of this name to it; return DescribeEndpoint's answer.

        :param variant: further fields of :class:`airflow_ll.requests.Variant`.
        """
        from airflow_ll.hooks.endpoints import ensure_named_endpoint
        from airflow_ll.requests import EndpointConfigSpec, EndpointSpec, Variant, endpoint, endpoint_config

        hook, own = self._hook, self._hook.default_tags(tags)
        where = {"instance_type": instance_type, "initial_instance_count": initial_instance_count}
        one = specify(Variant, model_name=model_name, **where, **variant)
        # The config of a named endpoint changes with every run, so its name is the run's.
        config = create(
            hook,
            ENDPOINT_CONFIG,
            lambda taken: endpoint_config(EndpointConfigSpec(taken, [one], tags=own)),
            None,
            label or endpoint_name or "",
        )["EndpointConfigName"]
        if endpoint_name is None:
            return create(
                hook, ENDPOINT, lambda taken: endpoint(EndpointSpec(taken, config, own)), None, label, wait=wait
            )
        spec = EndpointSpec(endpoint_name, config, own, deployment_config)
        ensure_named_endpoint(hook, current_identity(label), spec)
        return settled(hook, ENDPOINT, endpoint_name, wait=wait)

    def transform(
        self,
        *,
        model_name: str,
        data: str,
        output_path: str | None = None,
        name: str | None = None,
        label: str = "",
        wait: bool = True,
        **settings: Any,
    ) -> dict[str, Any]:
        """Run a batch transform job and return its description (DescribeTransformJob).

        :param settings: further fields of :class:`airflow_ll.requests.TransformJobSpec`.
        """
        from airflow_ll.requests import TransformJobSpec, transform_job

        def build(taken: str) -> dict[str, Any]:
            output = self._hook.location(output_path, default=taken)
            return transform_job(
                specify(
                    TransformJobSpec,
                    transform_job_name=taken,
                    model_name=model_name,
                    data=data,
                    output_path=output,
                    **settings,
                )
            )

        return create(self._hook, TRANSFORM_JOB, build, name, label, wait=wait)

    def register_model(self, model_package_group_name: str, **settings: Any) -> str:
        """Register a model version in a group, which is created when it is not there; return the version's ARN.

        :param settings: further fields of :class:`airflow_ll.requests.ModelPackageSpec`.
        """
        from airflow_ll.hooks.registry import ensure_model_package
        from airflow_ll.requests import ModelPackageGroupSpec, ModelPackageSpec

        spec = specify(ModelPackageSpec, model_package_group_name=model_package_group_name, **settings)
        group = ModelPackageGroupSpec(model_package_group_name)
        return ensure_model_package(self._hook, current_identity(), group, spec).arn

    def approve_model(self, model_package_arn: str, status: str = "Approved", description: str = "") -> None:
        """Set the approval status of a model version."""
        request = {"ModelPackageArn": model_package_arn, "ModelApprovalStatus": status}
        self._hook.client("sagemaker").update_model_package(
            **request, **({"ApprovalDescription": description} if description else {})
        )

    def delete_endpoint(self, endpoint_name: str) -> list[str]:
        """Delete an endpoint of this DAG, its endpoint config and its models; return what there was.

        Deleting what is gone is a success.

        :raises ResourceConflictError: it belongs to another DAG, or to nobody that we know.
        """
        from airflow_ll.hooks.endpoints import delete_service, service_of_endpoint

        parts = list(service_of_endpoint(self._hook, current_identity(), endpoint_name))
        return delete_service(self._hook, parts)
