"""One smallest and one fullest spec of every kind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_ll.hyperparameters import LinearLearnerHyperparameters
from airflow_ll.records import RecordSet
from airflow_ll.requests import (
    AsyncInference,
    BatchDataCapture,
    CategoricalRange,
    Channel,
    CompilationJobSpec,
    ContinuousRange,
    DataCapture,
    DeploymentConfig,
    EndpointConfigSpec,
    EndpointSpec,
    FileSystemChannel,
    IntegerRange,
    ModelPackageGroupSpec,
    ModelPackageSpec,
    ModelSpec,
    Serverless,
    TrainingJobSpec,
    TransformJobSpec,
    TuningJobSpec,
    Variant,
    compilation_job,
    deployment_config,
    endpoint,
    endpoint_config,
    endpoint_update,
    image_uri,
    model,
    model_package,
    model_package_group,
    training_job,
    transform_job,
    tuning_job,
)

if TYPE_CHECKING:
    from collections.abc import Callable

ROLE = "arn:aws:iam::123456789012:role/service-role/SageMakerRole"
IMAGE = image_uri("us-west-2")
KMS = "arn:aws:kms:us-west-2:123456789012:key/11111111-2222-3333-4444-555555555555"
TAGS = [{"Key": "team", "Value": "ml"}]
VPC: dict[str, Any] = {"subnets": ["subnet-1"], "security_group_ids": ["sg-1"]}
EXPERIMENT = {"ExperimentName": "e", "TrialName": "t", "TrialComponentDisplayName": "d"}
MANIFEST = "s3://ll-bucket/data/.amazon.manifest"
BINARY = LinearLearnerHyperparameters(predictor_type="binary_classifier")


def record_set(**changes: Any) -> RecordSet:
    return RecordSet(**{"s3_data": MANIFEST, "num_records": 5000, "feature_dim": 3, **changes})


def training(**changes: Any) -> TrainingJobSpec:
    settings: dict[str, Any] = {
        "training_job_name": "job",
        "role": ROLE,
        "hyperparameters": BINARY,
        "channels": [record_set()],
        "output_path": "s3://ll-bucket/",
        "image_uri": IMAGE,
    }
    return TrainingJobSpec(**settings | changes)


def full_training(**changes: Any) -> TrainingJobSpec:
    channels = [
        record_set(),
        Channel(
            "s3://ll-bucket/validation/",
            "validation",
            "text/csv",
            compression_type="Gzip",
            record_wrapper_type="None",
            input_mode="FastFile",
            shuffle_seed=0,
        ),
        FileSystemChannel("fs-0123456789abcdef0", "FSxLustre", "/data", "rw", "test", "text/csv"),
        Channel("s3://ll-bucket/m", "model", s3_data_type="AugmentedManifestFile", attribute_names=("a", "b")),
    ]
    settings: dict[str, Any] = {
        "channels": channels,
        "instance_type": "ml.m5.2xlarge",
        "instance_count": 2,
        "volume_size": 50,
        "max_run": 3600,
        "input_mode": "Pipe",
        "output_kms_key": KMS,
        "volume_kms_key": KMS,
        "keep_alive_period": 600,
        "use_spot_instances": True,
        "max_wait": 7200,
        "checkpoint_s3_uri": "s3://ll-bucket/ckpt",
        "checkpoint_local_path": "/opt/ml/checkpoints",
        "max_retry_attempts": 2,
        "enable_network_isolation": True,
        "encrypt_inter_container_traffic": True,
        "environment": {"A": "b"},
        "experiment_config": EXPERIMENT,
        "debug_hook_config": {"S3OutputPath": "s3://ll-bucket/debug"},
        "profiler_config": {"S3OutputPath": "s3://ll-bucket/profile"},
        "tags": TAGS,
    }
    return training(**settings | VPC | changes)


def transform(**changes: Any) -> TransformJobSpec:
    settings: dict[str, Any] = {
        "transform_job_name": "t",
        "model_name": "m",
        "data": "s3://b/in",
        "output_path": "s3://b/out",
    }
    return TransformJobSpec(**settings | changes)


def full_transform() -> TransformJobSpec:
    return transform(
        data_type="ManifestFile",
        instance_type="ml.m5.2xlarge",
        instance_count=2,
        content_type="text/csv",
        compression_type="Gzip",
        split_type="Line",
        accept="application/jsonlines",
        assemble_with="Line",
        output_kms_key=KMS,
        volume_kms_key=KMS,
        strategy="MultiRecord",
        max_concurrent_transforms=2,
        max_payload=6,
        environment={"A": "b"},
        input_filter="$[1:]",
        output_filter="$.SageMakerOutput",
        join_source="Input",
        invocations_timeout=600,
        invocations_max_retries=1,
        experiment_config=EXPERIMENT,
        data_capture=BatchDataCapture("s3://b/capture", KMS, generate_inference_id=True),
        tags=TAGS,
    )


def compilation(**changes: Any) -> CompilationJobSpec:
    settings: dict[str, Any] = {
        "compilation_job_name": "c",
        "role": ROLE,
        "model_data": "s3://b/model.tar.gz",
        "input_shape": {"data": [1, 3]},
        "output_path": "s3://b/out",
    }
    return CompilationJobSpec(**settings | changes)


def full_compilation() -> CompilationJobSpec:
    return compilation(
        target_platform_os="LINUX",
        target_platform_arch="X86_64",
        target_platform_accelerator="NVIDIA",
        framework="tensorflow",
        framework_version="2.9",
        compile_max_run=600,
        compiler_options={"gpu-code": "sm_72"},
        output_kms_key=KMS,
        tags=TAGS,
        **VPC,
    )


def tuning(**changes: Any) -> TuningJobSpec:
    settings: dict[str, Any] = {
        "tuning_job_name": "tune",
        "training": training(),
        "ranges": {"wd": ContinuousRange(1e-7, 1)},
        "objective_metric_name": "validation:objective_loss",
    }
    return TuningJobSpec(**settings | changes)


def full_tuning() -> TuningJobSpec:
    return tuning(
        training=full_training(),
        ranges={
            "wd": ContinuousRange(1e-7, 1, "Logarithmic"),
            "mini_batch_size": IntegerRange(100, 5000),
            "use_bias": CategoricalRange([True, False]),
        },
        strategy="Random",
        objective_type="Maximize",
        max_jobs=4,
        max_parallel_jobs=2,
        max_runtime=86400,
        early_stopping_type="Auto",
        random_seed=0,
        warm_start_parents=["older"],
        warm_start_type="TransferLearning",
        autotune=True,
        tags=TAGS,
    )


def full_endpoint_config(**changes: Any) -> EndpointConfigSpec:
    variant = Variant(
        "m",
        "ml.c5.large",
        2,
        accelerator_type="ml.eia2.medium",
        volume_size=20,
        model_data_download_timeout=600,
        container_startup_health_check_timeout=300,
    )
    settings: dict[str, Any] = {
        "endpoint_config_name": "ec",
        "variants": [variant, Variant("m2", "ml.c5.large", variant_name="challenger", initial_weight=0.1)],
        "kms_key": KMS,
        "data_capture": DataCapture(
            "s3://b/capture",
            sampling_percentage=50,
            kms_key=KMS,
            csv_content_types=["text/csv"],
            json_content_types=["application/json"],
        ),
        "tags": TAGS,
    }
    return EndpointConfigSpec(**settings | changes)


def async_endpoint_config() -> EndpointConfigSpec:
    inference = AsyncInference("s3://b/async", "s3://b/failed", KMS, TOPIC, TOPIC, 4)
    return EndpointConfigSpec("ec", [Variant("m", "ml.m5.xlarge")], async_inference=inference)


TOPIC = "arn:aws:sns:us-west-2:123456789012:topic"
CSV_CHANNEL = Channel(
    "s3://b/validation/",
    "validation",
    "text/csv",
    "ManifestFile",
    "ShardedByS3Key",
    "Gzip",
    "RecordIO",
    "Pipe",
    7,
    (),
    9,
    3,
)
MANIFEST_CHANNEL = Channel("s3://b/m", "validation", s3_data_type="AugmentedManifestFile", attribute_names=("a", "b"))
FULL_VARIANT = Variant("m", "ml.c5.large", 2, "challenger", 0.5, None, "ml.eia2.medium", 20, 600, 300)


def full_model_package() -> ModelPackageSpec:
    return ModelPackageSpec(
        "g",
        IMAGE,
        "s3://b/model.tar.gz",
        "Approved",
        "a version",
        {"A": "b"},
        "s3://b/metrics.json",
        ["text/csv"],
        ["application/json"],
        ["ml.m5.large"],
        ["ml.m5.large"],
        {"git-commit": "abc"},
        "token-1",
    )


def with_channel(channel: Any) -> dict[str, Any]:
    return training_job(training(channels=[record_set(), channel], **VPC))


def with_variant(variant: Variant) -> dict[str, Any]:
    return endpoint_config(EndpointConfigSpec("e", [variant, Variant("m2", "ml.m5.xlarge", variant_name="other")]))


def with_deployment(spec: DeploymentConfig) -> dict[str, Any]:
    return endpoint_update(EndpointSpec("e", "ec", deployment_config=deployment_config(spec)))


def with_range(one: Any) -> dict[str, Any]:
    return tuning_job(tuning(ranges={"mini_batch_size" if isinstance(one, IntegerRange) else "wd": one}))


DEPLOYMENT = {
    "BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 60}},
    "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": "errors"}]},
}

#: id -> operation, builder, spec
SPECS: dict[str, tuple[str, Callable[[Any], dict[str, Any]], Any]] = {
    "training": ("CreateTrainingJob", training_job, training()),
    "training-full": ("CreateTrainingJob", training_job, full_training()),
    "model": ("CreateModel", model, ModelSpec("m", ROLE, IMAGE, "s3://b/model.tar.gz")),
    "model-full": (
        "CreateModel",
        model,
        ModelSpec(
            "m",
            ROLE,
            IMAGE,
            "s3://b/m.tar.gz",
            {"A": "b"},
            ["subnet-1"],
            ["sg-1"],
            enable_network_isolation=True,
            tags=TAGS,
        ),
    ),
    "endpoint-config": (
        "CreateEndpointConfig",
        endpoint_config,
        EndpointConfigSpec("ec", [Variant("m", "ml.m5.xlarge")]),
    ),
    "endpoint-config-full": ("CreateEndpointConfig", endpoint_config, full_endpoint_config()),
    "endpoint-config-async": ("CreateEndpointConfig", endpoint_config, async_endpoint_config()),
    "endpoint-config-serverless": (
        "CreateEndpointConfig",
        endpoint_config,
        EndpointConfigSpec("ec", [Variant("m", serverless=Serverless(4096, 10, 2))]),
    ),
    "channel": ("CreateTrainingJob", with_channel, CSV_CHANNEL),
    "channel-manifest": ("CreateTrainingJob", with_channel, MANIFEST_CHANNEL),
    "file-system-channel": (
        "CreateTrainingJob",
        with_channel,
        FileSystemChannel("fs-0123456789abcdef0", "FSxLustre", "/data", "rw", "validation", "text/csv", 10, 3),
    ),
    "variant": ("CreateEndpointConfig", with_variant, FULL_VARIANT),
    "variant-serverless": ("CreateEndpointConfig", with_variant, Variant("m", serverless=Serverless())),
    "serverless": ("CreateEndpointConfig", lambda s: with_variant(Variant("m", serverless=s)), Serverless(4096, 10, 2)),
    "data-capture": (
        "CreateEndpointConfig",
        lambda capture: endpoint_config(full_endpoint_config(data_capture=capture)),
        DataCapture("s3://b/c", False, 50, ["Input"], KMS, ["text/csv"], ["application/json"]),
    ),
    "async-inference": (
        "CreateEndpointConfig",
        lambda one: endpoint_config(EndpointConfigSpec("e", [Variant("m", "ml.m5.xlarge")], async_inference=one)),
        AsyncInference("s3://b/async", "s3://b/failed", KMS, TOPIC, TOPIC, 4),
    ),
    "batch-data-capture": (
        "CreateTransformJob",
        lambda capture: transform_job(transform(data_capture=capture)),
        BatchDataCapture("s3://b/capture", KMS, generate_inference_id=True),
    ),
    "continuous-range": ("CreateHyperParameterTuningJob", with_range, ContinuousRange(1e-7, 1, "Logarithmic")),
    "integer-range": ("CreateHyperParameterTuningJob", with_range, IntegerRange(1, 9, "Linear")),
    "categorical-range": ("CreateHyperParameterTuningJob", with_range, CategoricalRange([0.1, 1.0])),
    "endpoint": ("CreateEndpoint", endpoint, EndpointSpec("e", "ec")),
    "endpoint-full": ("CreateEndpoint", endpoint, EndpointSpec("e", "ec", TAGS, DEPLOYMENT)),
    "endpoint-update-retained": (
        "UpdateEndpoint",
        endpoint_update,
        EndpointSpec("e", "ec", retain_variant_properties=True),
    ),
    "deployment": ("UpdateEndpoint", with_deployment, DeploymentConfig()),
    "deployment-canary": (
        "CreateEndpoint",
        with_deployment,
        DeploymentConfig("CANARY", 1, "INSTANCE_COUNT", 60, 120, 3600, ["errors"]),
    ),
    "endpoint-update": ("UpdateEndpoint", endpoint_update, EndpointSpec("e", "ec", tags=TAGS)),
    "endpoint-update-full": ("UpdateEndpoint", endpoint_update, EndpointSpec("e", "ec", deployment_config=DEPLOYMENT)),
    "transform": ("CreateTransformJob", transform_job, transform()),
    "transform-full": ("CreateTransformJob", transform_job, full_transform()),
    "compilation": ("CreateCompilationJob", compilation_job, compilation(target_instance_family="ml_c5")),
    "compilation-full": ("CreateCompilationJob", compilation_job, full_compilation()),
    "model-package-group": (
        "CreateModelPackageGroup",
        model_package_group,
        ModelPackageGroupSpec("g", "a group", TAGS),
    ),
    "model-package": ("CreateModelPackage", model_package, ModelPackageSpec("g", IMAGE, "s3://b/model.tar.gz")),
    "model-package-full": ("CreateModelPackage", model_package, full_model_package()),
    "tuning": ("CreateHyperParameterTuningJob", tuning_job, tuning()),
    "tuning-full": ("CreateHyperParameterTuningJob", tuning_job, full_tuning()),
}
