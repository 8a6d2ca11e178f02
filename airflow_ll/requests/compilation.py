"""The Neo compilation job."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from airflow_ll.requests.checks import (
    KMS_KEY,
    NAME,
    ROLE,
    S3_URI,
    SECURITY_GROUPS,
    SUBNETS,
    TAGS,
    Rule,
    Spec,
    one_of,
    present,
    setting,
    text,
    vpc_config,
    vpc_faults,
    whole,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["CompilationJobSpec", "compilation_job", "target_device"]

# The estimator's documentation spells these devices without the API's underscore.
_DEVICE_ALIASES: Final = {"jetsontx1": "jetson_tx1", "jetsontx2": "jetson_tx2"}

_INPUT_SHAPE: Final = Rule(
    "a dict from input names to shapes, {'data': [1, <feature_dim>]} for this algorithm",
    lambda value: (
        isinstance(value, Mapping)
        and bool(value)
        and all(isinstance(key, str) and _is_shape(shape) for key, shape in value.items())
        and len(json.dumps(value)) <= 16384
    ),
)


_OPTIONS: Final = Rule(
    "a dict of options of at most 1024 characters as JSON",
    lambda value: isinstance(value, Mapping) and len(json.dumps(dict(value))) <= 1024,
)


def _is_shape(value: object) -> bool:
    return isinstance(value, (list, tuple)) and bool(value) and all(type(n) is int and n > 0 for n in value)


@dataclass(frozen=True)
class CompilationJobSpec(Spec):
    """A compilation job in the estimator's terms.

    :param model_data: URI of the ``model.tar.gz`` to compile.
    :param input_shape: ``{"data": [1, feature_dim]}``.
    :param target_instance_family: the device, such as "ml_c5"; or give the platform's os and arch instead.
    :param framework: this algorithm's models are MXNet's.
    :param compile_max_run: seconds after which SageMaker stops the job.
    :param compiler_options: as the compiler takes them.
    :raises RequestError: with one sentence for each fault.
    """

    compilation_job_name: str = setting(NAME)
    role: str = setting(ROLE)
    model_data: str = setting(S3_URI)
    input_shape: Mapping[str, Sequence[int]] = setting(_INPUT_SHAPE)
    output_path: str = setting(S3_URI)
    target_instance_family: str | None = setting(text("[a-z][a-z0-9_]*", "a target device such as 'ml_c5'", 64), None)
    target_platform_os: str | None = setting(one_of("ANDROID", "LINUX"), None)
    target_platform_arch: str | None = setting(one_of("X86_64", "X86", "ARM64", "ARM_EABI", "ARM_EABIHF"), None)
    target_platform_accelerator: str | None = setting(one_of("INTEL_GRAPHICS", "MALI", "NVIDIA", "NNA"), None)
    framework: str = setting(
        one_of("mxnet", "tensorflow", "keras", "pytorch", "onnx", "xgboost", "tflite", "darknet", "sklearn"), "mxnet"
    )
    framework_version: str | None = setting(text(r"[0-9]\.[A-Za-z0-9.]+", "a version such as '1.8'", 10), None)
    compile_max_run: int = setting(whole(1), 900)
    compiler_options: Mapping[str, Any] | None = setting(_OPTIONS, None)
    output_kms_key: str | None = setting(KMS_KEY, None)
    subnets: Sequence[str] = setting(SUBNETS, ())
    security_group_ids: Sequence[str] = setting(SECURITY_GROUPS, ())
    tags: Sequence[Mapping[str, str]] = setting(TAGS, ())

    def conflicts(self) -> Iterator[str]:
        """Yield the faults between the two ways to name a target."""
        platform = (self.target_platform_os, self.target_platform_arch)
        if (self.target_instance_family is None) == (platform == (None, None)):
            yield (
                "CompilationJobSpec must have either target_instance_family or target_platform_os and _arch, "
                f"got {'neither' if self.target_instance_family is None else 'both'}."
            )
        elif self.target_instance_family is None and None in platform:
            yield (
                "CompilationJobSpec.target_platform_os and target_platform_arch must be given together, "
                f"got {platform[0]!r} and {platform[1]!r}."
            )
        if self.target_platform_accelerator and self.target_instance_family:
            yield "CompilationJobSpec.target_platform_accelerator needs a target platform, got a device: drop it."
        yield from vpc_faults("CompilationJobSpec", self.subnets, self.security_group_ids)


def compilation_job(spec: CompilationJobSpec) -> dict[str, Any]:
    """Return the request of CreateCompilationJob."""
    return present(
        CompilationJobName=spec.compilation_job_name,
        RoleArn=spec.role,
        InputConfig=present(
            S3Uri=spec.model_data,
            DataInputConfig=json.dumps({name: list(shape) for name, shape in spec.input_shape.items()}),
            Framework=spec.framework.upper(),
            FrameworkVersion=spec.framework_version,
        ),
        OutputConfig=present(
            S3OutputLocation=spec.output_path,
            TargetDevice=_device(spec.target_instance_family),
            TargetPlatform=present(
                Os=spec.target_platform_os,
                Arch=spec.target_platform_arch,
                Accelerator=spec.target_platform_accelerator,
            ),
            CompilerOptions=json.dumps(dict(spec.compiler_options)) if spec.compiler_options else None,
            KmsKeyId=spec.output_kms_key,
        ),
        VpcConfig=vpc_config(spec.subnets, spec.security_group_ids),
        StoppingCondition={"MaxRuntimeInSeconds": spec.compile_max_run},
        Tags=[dict(tag) for tag in spec.tags],
    )


def target_device(instance_type: str) -> str:
    """Return the device whose compiled model runs on ``instance_type``: "ml_c5" for "ml.c5.large"."""
    return "_".join(instance_type.split(".")[:-1])


def _device(name: str | None) -> str | None:
    return _DEVICE_ALIASES.get(name, name) if name else None
