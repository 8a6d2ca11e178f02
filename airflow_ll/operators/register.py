"""Register a model in the model registry."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_ll.hooks.connected import task_identity
from airflow_ll.hooks.failures import clear_failures
from airflow_ll.hooks.settings import finished_training_job, specify
from airflow_ll.lineage import Lineage
from airflow_ll.operators.base import LinearLearnerOperator, iso_times

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_ll.requests.names import TaskIdentity

__all__ = ["LinearLearnerRegisterOperator"]


class LinearLearnerRegisterOperator(LinearLearnerOperator):
    """Register a trained model as a new version in a model package group; the group is created when it is not there.

    A retry finds the version that an earlier attempt has registered. A status that somebody has set since then stays.

    :param model_package_group_name: the group.
    :param training_job_name: a finished training job, for the artifact, the image and the metrics; or
    :param model_data: S3 URI of ``model.tar.gz``.
    :param image_uri: the algorithm's image; by default the job's, or that of the region.
    :param approval_status: "PendingManualApproval", "Approved" or "Rejected".
    :param metrics: the model's quality by name, or the S3 URI of a JSON document; by default the training job's final
        metrics. A mapping is written as JSON beside the artifact, or below ``metrics_path``.
    :param metrics_path: S3 URI of the folder of that document.
    :param description: of the version.
    :param group_description: of the group, when it is created.
    :param metadata: further facts of the version, as strings.
    :param tags: tags of the group, when it is created; a version has none of its own.
    :param package_options: further fields of :class:`airflow_ll.requests.registry.ModelPackageSpec`:
        ``content_types``, ``response_types``, ``inference_instances``, ``transform_instances``, ``environment``.
    """

    template_fields: Sequence[str] = (
        "model_package_group_name",
        "training_job_name",
        "model_data",
        "image_uri",
        "approval_status",
        "metrics",
        "metrics_path",
        "description",
        "group_description",
        "metadata",
        "tags",
        "package_options",
        *LinearLearnerOperator.template_fields,
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"metrics": "json", "metadata": "json"}

    def __init__(
        self,
        *,
        model_package_group_name: str,
        training_job_name: str | None = None,
        model_data: str | None = None,
        image_uri: str | None = None,
        approval_status: str = "PendingManualApproval",
        metrics: Mapping[str, float] | str | None = None,
        metrics_path: str | None = None,
        description: str | None = None,
        group_description: str | None = None,
        metadata: Mapping[str, str] | None = None,
        tags: Any = None,
        package_options: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.model_package_group_name = model_package_group_name
        self.training_job_name = training_job_name
        self.model_data = model_data
        self.image_uri = image_uri
        self.approval_status = approval_status
        self.metrics = metrics
        self.metrics_path = metrics_path
        self.description = description
        self.group_description = group_description
        self.metadata = metadata
        self.tags = tags
        self.package_options = package_options

    @clear_failures
    def execute(self, context: Any) -> dict[str, Any]:
        """Ensure the group and the version; return the version."""
        from airflow_ll.hooks.registry import ensure_model_package
        from airflow_ll.requests import ModelPackageGroupSpec, ModelPackageSpec

        identity = task_identity(context)
        group = ModelPackageGroupSpec(
            self.model_package_group_name, self.group_description, self.hook.default_tags(self.tags)
        )
        spec = specify(ModelPackageSpec, **self._settings(identity))
        since = getattr(context.get("dag_run"), "run_after", None)
        made = ensure_model_package(self.hook, identity, group, spec, since)
        self.lineage = Lineage(read=[spec.model_data, spec.metrics_s3_uri], written=[made.arn])
        result = {
            "model_package_arn": made.arn,
            "model_package_group_name": self.model_package_group_name,
            "model_package_version": made.description.get("ModelPackageVersion"),
            "status": made.description.get("ModelPackageStatus"),
            "approval_status": made.description.get("ModelApprovalStatus"),
            "model_data": spec.model_data,
            "metrics_s3_uri": spec.metrics_s3_uri,
            **iso_times(made.description, creation_time="CreationTime"),
            "adopted": made.adopted,
        }
        return self.tell(context, result)

    def _settings(self, identity: TaskIdentity) -> dict[str, Any]:
        from airflow_ll.exceptions import RequestError
        from airflow_ll.requests.images import image_uri

        job = finished_training_job(self.hook, self.training_job_name) if self.training_job_name else {}
        model_data = self.model_data or job.get("ModelArtifacts", {}).get("S3ModelArtifacts")
        if not model_data:
            raise RequestError("A model package needs model_data or training_job_name, got neither.")
        image = self.image_uri or job.get("AlgorithmSpecification", {}).get("TrainingImage")
        final = {one["MetricName"]: one["Value"] for one in job.get("FinalMetricDataList", [])}
        metadata = {"training-job-name": self.training_job_name} if self.training_job_name else {}
        return {
            "model_package_group_name": self.model_package_group_name,
            "image_uri": image or image_uri(self.hook.region),
            "model_data": model_data,
            "approval_status": self.approval_status,
            "description": self.description,
            "metrics_s3_uri": self._metrics_uri(identity, model_data, final if self.metrics is None else self.metrics),
            "metadata": {**metadata, **(self.metadata or {})},
            **(self.package_options or {}),
        }

    def _metrics_uri(self, identity: TaskIdentity, model_data: str, metrics: Mapping[str, Any] | str) -> str | None:
        """Return where the metrics are, after writing those that are given as numbers."""
        if not metrics:
            return None
        if isinstance(metrics, str):
            return metrics
        from airflow_ll.requests.names import resource_name

        folder = (
            self.hook.location(self.metrics_path, default="") if self.metrics_path else model_data.rpartition("/")[0]
        )
        uri = f"{folder}/{resource_name(identity, 'model')}.metrics.json"
        values = {name: {"value": float(value)} for name, value in metrics.items()}
        self.hook.write(uri, json.dumps({"model_quality": values}, indent=1, sort_keys=True).encode())
        return uri
