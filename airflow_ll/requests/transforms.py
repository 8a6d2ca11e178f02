"""The batch transform job."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from airflow_ll.requests.checks import (
    CONTENT_TYPE,
    EXPERIMENT,
    FLAG,
    INSTANCE_TYPE,
    KMS_KEY,
    NAME,
    S3_URI,
    TAGS,
    Spec,
    environment,
    instance_of,
    one_of,
    present,
    s3_uri,
    setting,
    text,
    whole,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["BatchDataCapture", "TransformJobSpec", "transform_job"]

_FILTER: Final = text(r"\$.*", "a JSONPath that begins with '$' and has at most 63 characters", 63)


@dataclass(frozen=True)
class BatchDataCapture(Spec):
    """What a transform job keeps of its requests and answers."""

    destination_s3_uri: str = setting(s3_uri(512))
    kms_key: str | None = setting(KMS_KEY, None)
    generate_inference_id: bool = setting(FLAG, False)


@dataclass(frozen=True)
class TransformJobSpec(Spec):
    """A batch transform job.

    :param data: URI of the input: a prefix, or a manifest with ``data_type="ManifestFile"``.
    :param split_type: how an object becomes records: "Line" for CSV, "RecordIO" for record sets.
    :param assemble_with: "Line" puts a line feed between the answers.
    :param strategy: "MultiRecord" fills a request up to ``max_payload`` MB.
    :param input_filter: JSONPath of the part of a record that the model sees.
    :param output_filter: JSONPath of the part of the joined result that is written.
    :param join_source: "Input" joins each answer to its record.
    :param invocations_timeout: seconds that one request may take.
    :param invocations_max_retries: tries after a failed request.
    :raises RequestError: with one sentence for each fault.
    """

    transform_job_name: str = setting(NAME)
    model_name: str = setting(NAME)
    data: str = setting(S3_URI)
    output_path: str = setting(S3_URI)
    data_type: str = setting(one_of("S3Prefix", "ManifestFile", "AugmentedManifestFile"), "S3Prefix")
    content_type: str | None = setting(CONTENT_TYPE, None)
    compression_type: str | None = setting(one_of("None", "Gzip"), None)
    split_type: str | None = setting(one_of("None", "Line", "RecordIO", "TFRecord"), None)
    accept: str | None = setting(CONTENT_TYPE, None)
    assemble_with: str | None = setting(one_of("None", "Line"), None)
    output_kms_key: str | None = setting(KMS_KEY, None)
    instance_type: str = setting(INSTANCE_TYPE, "ml.m5.xlarge")
    instance_count: int = setting(whole(1), 1)
    volume_kms_key: str | None = setting(KMS_KEY, None)
    strategy: str | None = setting(one_of("MultiRecord", "SingleRecord"), None)
    max_concurrent_transforms: int | None = setting(whole(0), None)
    max_payload: int | None = setting(whole(0, 100), None)
    environment: Mapping[str, str] = setting(environment(16, 10240), factory=dict)
    input_filter: str | None = setting(_FILTER, None)
    output_filter: str | None = setting(_FILTER, None)
    join_source: str | None = setting(one_of("None", "Input"), None)
    invocations_timeout: int | None = setting(whole(1, 3600), None)
    invocations_max_retries: int | None = setting(whole(0, 3), None)
    experiment_config: Mapping[str, str] = setting(EXPERIMENT, factory=dict)
    data_capture: BatchDataCapture | None = setting(instance_of(BatchDataCapture), None)
    tags: Sequence[Mapping[str, str]] = setting(TAGS, ())

    def conflicts(self) -> Iterator[str]:
        """Yield the fault of more parallel payloads than a transform container takes."""
        if (self.max_concurrent_transforms or 0) * (self.max_payload or 0) > 100:
            yield (
                "TransformJobSpec.max_concurrent_transforms times max_payload must be at most 100 MB, "
                f"got {self.max_concurrent_transforms} times {self.max_payload}: lower one of them."
            )


def transform_job(spec: TransformJobSpec) -> dict[str, Any]:
    """Return the request of CreateTransformJob."""
    return present(
        TransformJobName=spec.transform_job_name,
        ModelName=spec.model_name,
        TransformInput=present(
            DataSource={"S3DataSource": {"S3DataType": spec.data_type, "S3Uri": spec.data}},
            ContentType=spec.content_type,
            CompressionType=spec.compression_type,
            SplitType=spec.split_type,
        ),
        TransformOutput=present(
            S3OutputPath=spec.output_path,
            Accept=spec.accept,
            AssembleWith=spec.assemble_with,
            KmsKeyId=spec.output_kms_key,
        ),
        TransformResources=present(
            InstanceType=spec.instance_type, InstanceCount=spec.instance_count, VolumeKmsKeyId=spec.volume_kms_key
        ),
        BatchStrategy=spec.strategy,
        MaxConcurrentTransforms=spec.max_concurrent_transforms,
        MaxPayloadInMB=spec.max_payload,
        Environment=dict(spec.environment),
        DataProcessing=present(
            InputFilter=spec.input_filter, OutputFilter=spec.output_filter, JoinSource=spec.join_source
        ),
        ModelClientConfig=present(
            InvocationsTimeoutInSeconds=spec.invocations_timeout,
            InvocationsMaxRetries=spec.invocations_max_retries,
        ),
        ExperimentConfig=dict(spec.experiment_config),
        DataCaptureConfig=_data_capture(spec.data_capture) if spec.data_capture else None,
        Tags=[dict(tag) for tag in spec.tags],
    )


def _data_capture(capture: BatchDataCapture) -> dict[str, Any]:
    return present(
        DestinationS3Uri=capture.destination_s3_uri,
        KmsKeyId=capture.kms_key,
        GenerateInferenceId=capture.generate_inference_id or None,
    )
