"""Compile a trained model for the machines it is to run on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from airflow_ll.exceptions import RequestError
from airflow_ll.hooks.connected import task_identity
from airflow_ll.hooks.resources import COMPILATION_JOB
from airflow_ll.hooks.settings import compilation_settings, specify
from airflow_ll.lineage import Lineage
from airflow_ll.links import CompilationJobLink
from airflow_ll.operators.base import LinearLearnerJobOperator, iso_times

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_ll.hooks.ensuring import Ensured
    from airflow_ll.triggers.compilation import LinearLearnerCompilationTrigger

__all__ = ["LinearLearnerCompileOperator"]


class LinearLearnerCompileOperator(LinearLearnerJobOperator):
    """Compile a model with SageMaker Neo.

    Deploy it by passing the result's ``compilation_job_name`` to
    :class:`airflow_ll.operators.LinearLearnerDeployOperator`.

    :param training_job_name: a finished training job: its artifact, role and feature_dim are used; or
    :param model_data: S3 URI of ``model.tar.gz``, with ``role`` and ``feature_dim`` or ``input_shape``.
    :param role: name or ARN of the IAM role that the job takes on.
    :param feature_dim: number of features.
    :param input_shape: names and shapes of the inputs; ``{"data": [1, feature_dim]}`` by default.
    :param target_instance_family: the device, such as "ml_c5"; or
    :param target_platform: ``{"os": "LINUX", "arch": "X86_64", "accelerator": "NVIDIA"}``; accelerator is optional.
    :param output_path: S3 URI of the compiled model; by default a folder of the job's name in the default bucket.
    :param framework: of the model; this algorithm's models are MXNet's.
    :param framework_version: of the framework.
    :param compile_max_run: seconds after which SageMaker stops the job.
    :param compiler_options: as the compiler takes them.
    :param compilation_job_name: an explicit name, usable once; by default it follows from the task and its run.
    :param tags: tags of the job, beside those that every resource of a task has.
    :param job_options: further fields of :class:`airflow_ll.requests.compilation.CompilationJobSpec`:
        ``output_kms_key``, ``subnets``, ``security_group_ids``.
    """

    resource = COMPILATION_JOB
    operator_extra_links = (CompilationJobLink(),)
    template_fields: Sequence[str] = (
        "training_job_name",
        "model_data",
        "role",
        "feature_dim",
        "input_shape",
        "target_instance_family",
        "target_platform",
        "output_path",
        "framework",
        "framework_version",
        "compile_max_run",
        "compiler_options",
        "compilation_job_name",
        "tags",
        "job_options",
        *LinearLearnerJobOperator.template_fields,
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"input_shape": "json", "compiler_options": "json"}

    def __init__(
        self,
        *,
        training_job_name: str | None = None,
        model_data: str | None = None,
        role: str | None = None,
        feature_dim: int | None = None,
        input_shape: Mapping[str, Sequence[int]] | None = None,
        target_instance_family: str | None = None,
        target_platform: Mapping[str, str] | None = None,
        output_path: str | None = None,
        framework: str = "mxnet",
        framework_version: str | None = None,
        compile_max_run: int = 900,
        compiler_options: Mapping[str, Any] | None = None,
        compilation_job_name: str | None = None,
        tags: Any = None,
        job_options: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.training_job_name = training_job_name
        self.model_data = model_data
        self.role = role
        self.feature_dim = feature_dim
        self.input_shape = input_shape
        self.target_instance_family = target_instance_family
        self.target_platform = target_platform
        self.output_path = output_path
        self.framework = framework
        self.framework_version = framework_version
        self.compile_max_run = compile_max_run
        self.compiler_options = compiler_options
        self.compilation_job_name = compilation_job_name
        self.tags = tags
        self.job_options = job_options

    def submit(self, context: Mapping[str, Any]) -> Ensured:
        """Create the compilation job, or adopt that of an earlier attempt."""
        settings = self._settings()

        def build(name: str) -> dict[str, Any]:
            from airflow_ll.requests import CompilationJobSpec, compilation_job

            output = self.hook.location(self.output_path, default=name)
            return compilation_job(
                specify(CompilationJobSpec, compilation_job_name=name, output_path=output, **settings)
            )

        return self.ensure(
            COMPILATION_JOB, task_identity(context), build, name=self.compilation_job_name, if_exists=self.if_exists
        )

    def _settings(self) -> dict[str, Any]:
        if self.output_path:
            self.hook.location(self.output_path, default="")  # a missing bucket is told first
        return compilation_settings(
            self.hook,
            training_job_name=self.training_job_name,
            model_data=self.model_data,
            role=self.role,
            feature_dim=self.feature_dim,
            input_shape=self.input_shape,
            target_instance_family=self.target_instance_family,
            framework=self.framework,
            framework_version=self.framework_version,
            compile_max_run=int(self.compile_max_run),
            compiler_options=self.compiler_options,
            tags=self.hook.default_tags(self.tags),
            **self._platform(),
            **(self.job_options or {}),
        )

    def _platform(self) -> dict[str, Any]:
        platform = dict(self.target_platform or {})
        if unknown := platform.keys() - {"os", "arch", "accelerator"}:
            raise RequestError(f"target_platform has os, arch and accelerator, got {', '.join(sorted(unknown))}.")
        return {f"target_platform_{key}": value for key, value in platform.items()}

    def result(self, description: dict[str, Any], *, adopted: bool) -> dict[str, Any]:
        """Return what later tasks need to know of the job."""
        output = description["OutputConfig"]
        compiled = description.get("ModelArtifacts", {}).get("S3ModelArtifacts")
        self.lineage = Lineage(read=[description["InputConfig"]["S3Uri"]], written=[compiled])
        return {
            "compilation_job_name": description["CompilationJobName"],
            "compilation_job_arn": description["CompilationJobArn"],
            "status": description["CompilationJobStatus"],
            "model_data": compiled,
            "image_uri": description.get("InferenceImage"),
            "target_device": output.get("TargetDevice"),
            "target_platform": {key.lower(): value for key, value in output.get("TargetPlatform", {}).items()},
            **iso_times(
                description,
                creation_time="CreationTime",
                compilation_start_time="CompilationStartTime",
                compilation_end_time="CompilationEndTime",
            ),
            "adopted": adopted,
        }

    def trigger(self, name: str, **settings: Any) -> LinearLearnerCompilationTrigger:
        """Return the trigger that waits for the job."""
        from airflow_ll.triggers.compilation import LinearLearnerCompilationTrigger

        return LinearLearnerCompilationTrigger(name, **settings)
