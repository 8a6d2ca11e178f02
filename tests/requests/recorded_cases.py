"""Our requests for the settings of the recorded cases of the SageMaker SDK."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_ll.hyperparameters import LinearLearnerHyperparameters
from airflow_ll.requests import (
    AsyncInference,
    CategoricalRange,
    ContinuousRange,
    DataCapture,
    EndpointConfigSpec,
    EndpointSpec,
    FileSystemChannel,
    IntegerRange,
    ModelSpec,
    Variant,
    compilation_job,
    endpoint,
    endpoint_config,
    endpoint_update,
    model,
    training_job,
    transform_job,
    tuning_job,
)
from tests.requests.specs import (
    EXPERIMENT,
    IMAGE,
    KMS,
    ROLE,
    TAGS,
    VPC,
    compilation,
    record_set,
    training,
    transform,
    tuning,
)

if TYPE_CHECKING:
    from collections.abc import Callable

Request = dict[str, Any]

TIMED = "linear-learner-2024-01-02-03-04-05-678"
ARTIFACT = "s3://ll-bucket/ll-job-1/output/model.tar.gz"
TEMPLATED = "s3://ll-bucket/o/{{ ti.xcom_pull(task_ids='train')['Training']['TrainingJobName'] }}/output/model.tar.gz"
REGRESSOR = LinearLearnerHyperparameters(predictor_type="regressor")


def fitted(**changes: Any) -> Request:
    return training_job(training(training_job_name=TIMED, instance_type="ml.c4.xlarge", **changes))


def recorded_set(name: str, **changes: Any) -> Any:
    return record_set(s3_data=f"s3://ll-bucket/sagemaker-record-sets/{name}/.amazon.manifest", **changes)


def minimal() -> Request:
    return fitted(channels=[recorded_set("LinearLearner-2024-01-02-03-04-05-678", num_records=10)])


MANY = """
    predictor_type=binary_classifier
    binary_classifier_model_selection_criteria=precision_at_target_recall target_recall=0.9
    target_precision=0.85 positive_example_weight_mult=balanced epochs=20 use_bias=True num_models=32
    num_calibration_samples=1000 init_method=normal init_scale=0.1 init_sigma=0.02 init_bias=0.5
    optimizer=adam loss=logistic wd=0.0001 l1=0.0 momentum=0.5 learning_rate=0.01 beta_1=0.9
    beta_2=0.999 bias_lr_mult=10.0 bias_wd_mult=0.0 use_lr_scheduler=False lr_scheduler_step=100
    lr_scheduler_factor=0.99 lr_scheduler_minimum_lr=1e-05 normalize_data=True normalize_label=False
    unbias_data=True unbias_label=False num_point_for_scaler=10000 margin=1.0 quantile=0.5
    loss_insensitivity=0.01 huber_delta=1.0 early_stopping_patience=3 early_stopping_tolerance=0.001
    num_classes=1 accuracy_top_k=3 f_beta=1.0 balance_multiclass_weights=False mini_batch_size=200
"""


def many() -> Request:
    channels = [record_set(channel=name) for name in ("train", "validation", "test")]
    hyperparameters = LinearLearnerHyperparameters.from_request(dict(one.split("=") for one in MANY.split()))
    return training_job(
        training(
            training_job_name="my-ll-2024-01-02-03-04-05-678",
            hyperparameters=hyperparameters,
            channels=channels,
            output_path="s3://ll-bucket/out",
            input_mode="Pipe",
            instance_type="ml.m5.2xlarge",
            instance_count=2,
            volume_size=50,
            output_kms_key=KMS,
            volume_kms_key=KMS,
            max_run=3600,
            max_wait=7200,
            use_spot_instances=True,
            keep_alive_period=600,
            max_retry_attempts=2,
            environment={"A": "b"},
            tags=TAGS,
            experiment_config=EXPERIMENT,
            enable_network_isolation=True,
            encrypt_inter_container_traffic=True,
            checkpoint_s3_uri="s3://ll-bucket/ckpt",
            checkpoint_local_path="/opt/ml/checkpoints",
            **VPC,
        )
    )


def multiclass() -> Request:
    name = "LinearLearner-2024-01-02-03-04-05-678"
    channels = [recorded_set(name, num_records=10), recorded_set(name, num_records=10, channel="validation")]
    hyperparameters = LinearLearnerHyperparameters(
        predictor_type="multiclass_classifier",
        loss="softmax_loss",
        num_classes=5,
        accuracy_top_k=2,
        balance_multiclass_weights=True,
    )
    spec = training(channels=channels, hyperparameters=hyperparameters, instance_type="ml.c4.xlarge", instance_count=2)
    return training_job(replace(spec, training_job_name="explicit-name"))


def file_system() -> Request:
    channel = FileSystemChannel("fs-0123456789abcdef0", "EFS", "/data", num_records=5000, feature_dim=3)
    return fitted(channels=[channel], hyperparameters=REGRESSOR, **VPC)


def s3_prefix() -> Request:
    channel = record_set(s3_data="s3://ll-bucket/p/", s3_data_type="S3Prefix", distribution="FullyReplicated")
    return fitted(channels=[channel], hyperparameters=REGRESSOR)


def for_deploy(**changes: Any) -> Request:
    return training_job(training(training_job_name="ll-job-1", instance_type="ml.c4.xlarge", **changes))


def created_model(name: str = TIMED, **changes: Any) -> Request:
    return model(ModelSpec(**{"model_name": name, "role": ROLE, "image_uri": IMAGE, "model_data": ARTIFACT, **changes}))


def config(name: str, model_name: str, **changes: Any) -> Request:
    variant = changes.pop("variant", {})
    return endpoint_config(
        EndpointConfigSpec(name, [Variant(model_name, **{"instance_type": "ml.m4.xlarge", **variant})], **changes)
    )


def full_variant() -> Request:
    return {
        "instance_type": "ml.c5.large",
        "initial_instance_count": 2,
        "volume_size": 20,
        "model_data_download_timeout": 600,
        "container_startup_health_check_timeout": 300,
    }


def full_capture() -> DataCapture:
    return DataCapture(
        "s3://ll-bucket/cap",
        sampling_percentage=50,
        kms_key=KMS,
        csv_content_types=["text/csv"],
        json_content_types=["application/json"],
    )


X_Y = [{"Key": "x", "Value": "y"}]
ATTACHED = "my-ll-2024-01-02-03-04-05-678"
NEO_IMAGE = "301217895009.dkr.ecr.us-west-2.amazonaws.com/sagemaker-neo-mxnet:latest"
UPDATED = f"{TIMED}-2024-01-02-03-04-05-678"

ML_C5: dict[str, Any] = {
    "compilation_job_name": "compilation-linear-learner-2024-01-02-03-04-05-678",
    "model_data": ARTIFACT,
    "framework": "mxnet",
    "framework_version": "1.8",
}


def compiled(**changes: Any) -> Request:
    return compilation_job(compilation(**ML_C5 | changes))


def tuned() -> Request:
    hyperparameters = LinearLearnerHyperparameters(predictor_type="binary_classifier", epochs=5)
    channels = [record_set(), record_set(channel="validation")]
    return tuning_job(
        tuning(
            tuning_job_name="linear-learner-240102-0304",
            training=training(hyperparameters=hyperparameters, channels=channels, instance_type="ml.c4.xlarge"),
            ranges={
                "wd": ContinuousRange(1e-7, 1, "Logarithmic"),
                "use_bias": CategoricalRange([True, False]),
                "mini_batch_size": IntegerRange(100, 5000),
            },
            max_jobs=4,
            max_parallel_jobs=2,
        )
    )


def exported_training(**changes: Any) -> Request:
    return fitted(use_spot_instances=True, max_wait=90000, tags=[{"Key": "t", "Value": "v"}], **changes)


def exported_tuning(**changes: Any) -> Request:
    return tuning_job(
        tuning(
            tuning_job_name="tn",
            training=training(instance_type="ml.c4.xlarge", **changes),
            max_jobs=4,
            max_parallel_jobs=2,
        )
    )


def exported_model() -> Request:
    return created_model("m", model_data=TEMPLATED, **VPC)


#: recorded case, then how its request is found in the recording, and ours
CASES: list[tuple[str, str, Callable[[], Request]]] = [
    ("fit_binary_minimal", "CreateTrainingJob", minimal),
    ("fit_binary_wait_logs", "CreateTrainingJob", fitted),
    ("fit_binary_many_hyperparameters", "CreateTrainingJob", many),
    ("fit_multiclass", "CreateTrainingJob", multiclass),
    ("fit_file_system_record_set", "CreateTrainingJob", file_system),
    ("fit_s3prefix_record_set", "CreateTrainingJob", s3_prefix),
    ("fit_role_name_expansion", "CreateTrainingJob", lambda: fitted(hyperparameters=REGRESSOR)),
    ("fit_stopped_job_is_success", "CreateTrainingJob", lambda: fitted(hyperparameters=REGRESSOR)),
    ("deploy_default", "CreateTrainingJob", for_deploy),
    ("deploy_default", "CreateModel", created_model),
    ("deploy_default", "CreateEndpointConfig", lambda: config(TIMED, TIMED)),
    ("deploy_default", "CreateEndpoint", lambda: endpoint(EndpointSpec(TIMED, TIMED))),
    (
        "deploy_full",
        "CreateTrainingJob",
        lambda: for_deploy(output_kms_key=KMS, enable_network_isolation=True, tags=TAGS, **VPC),
    ),
    ("deploy_full", "CreateModel", lambda: created_model("mod", tags=X_Y, enable_network_isolation=True, **VPC)),
    (
        "deploy_full",
        "CreateEndpointConfig",
        lambda: config("ep", "mod", variant=full_variant(), kms_key=KMS, data_capture=full_capture(), tags=X_Y),
    ),
    ("deploy_full", "CreateEndpoint", lambda: endpoint(EndpointSpec("ep", "ep", tags=X_Y))),
    ("deploy_async", "CreateModel", created_model),
    (
        "deploy_async",
        "CreateEndpointConfig",
        lambda: config(
            "ep", TIMED, async_inference=AsyncInference("s3://ll-bucket/async", "s3://ll-bucket/async-fail")
        ),
    ),
    ("deploy_async", "CreateEndpoint", lambda: endpoint(EndpointSpec("ep", "ep"))),
    ("deploy_model_already_exists", "CreateModel", created_model),
    ("deploy_model_already_exists", "CreateEndpointConfig", lambda: config(TIMED, TIMED)),
    ("deploy_model_already_exists", "CreateEndpoint", lambda: endpoint(EndpointSpec(TIMED, TIMED))),
    (
        "deploy_model_update_endpoint",
        "CreateModel",
        lambda: created_model("m-new", model_data="s3://ll-bucket/model.tar.gz"),
    ),
    ("deploy_model_update_endpoint", "CreateEndpointConfig", lambda: config("m-new", "m-new")),
    ("deploy_model_update_endpoint", "UpdateEndpoint", lambda: endpoint_update(EndpointSpec("ep", "m-new"))),
    ("model_only", "CreateModel", lambda: created_model(model_data="s3://ll-bucket/model.tar.gz")),
    ("compile_then_deploy", "CreateTrainingJob", lambda: for_deploy(tags=TAGS)),
    (
        "compile_then_deploy",
        "CreateCompilationJob",
        lambda: compiled(output_path="s3://ll-bucket/compiled", target_instance_family="ml_c5"),
    ),
    (
        "compile_then_deploy",
        "CreateModel",
        lambda: created_model(image_uri=NEO_IMAGE, model_data="s3://ll-bucket/compiled/model-ml_c5.tar.gz", tags=TAGS),
    ),
    (
        "compile_then_deploy",
        "CreateEndpointConfig",
        lambda: config(TIMED, TIMED, variant={"instance_type": "ml.c5.large"}, tags=TAGS),
    ),
    ("compile_then_deploy", "CreateEndpoint", lambda: endpoint(EndpointSpec(TIMED, TIMED, tags=TAGS))),
    (
        "compile_target_platform",
        "CreateCompilationJob",
        lambda: compiled(
            output_path="s3://ll-bucket/compiled",
            target_platform_os="LINUX",
            target_platform_arch="X86_64",
            target_platform_accelerator="NVIDIA",
            compiler_options={"gpu-code": "sm_72"},
            compile_max_run=600,
            tags=[{"Key": "a", "Value": "b"}],
        ),
    ),
    ("transform_default", "CreateModel", created_model),
    (
        "transform_default",
        "CreateTransformJob",
        lambda: transform_job(
            transform(
                transform_job_name=TIMED,
                model_name=TIMED,
                data="s3://ll-bucket/in",
                output_path=f"s3://ll-bucket/{TIMED}",
                instance_type="ml.m4.xlarge",
            )
        ),
    ),
    ("transform_recordio", "CreateModel", created_model),
    (
        "transform_recordio",
        "CreateTransformJob",
        lambda: transform_job(
            transform(
                transform_job_name=TIMED,
                model_name=TIMED,
                data="s3://ll-bucket/in",
                content_type="application/x-recordio-protobuf",
                split_type="RecordIO",
                output_path=f"s3://ll-bucket/{TIMED}",
                instance_type="ml.m4.xlarge",
            )
        ),
    ),
    (
        "attach_completed",
        "CreateModel",
        lambda: created_model(ATTACHED, model_data=f"s3://ll-bucket/{ATTACHED}/output/model.tar.gz", tags=TAGS, **VPC),
    ),
    ("attach_completed", "CreateEndpointConfig", lambda: config(ATTACHED, ATTACHED, tags=TAGS)),
    ("attach_completed", "CreateEndpoint", lambda: endpoint(EndpointSpec(ATTACHED, ATTACHED, tags=TAGS))),
    ("predictor_update_and_delete", "CreateModel", created_model),
    ("predictor_update_and_delete", "CreateEndpointConfig", lambda: config(TIMED, TIMED)),
    (
        "predictor_update_and_delete",
        "CreateEndpointConfig:1",
        lambda: config(UPDATED, "m-old", variant={"initial_instance_count": 2}, tags=TAGS),
    ),
    ("predictor_update_and_delete", "UpdateEndpoint", lambda: endpoint_update(EndpointSpec(TIMED, UPDATED))),
    ("tuner_fit", "CreateHyperParameterTuningJob", tuned),
    ("airflow_training_config", "CreateTrainingJob:config", exported_training),
    (
        "airflow_training_config",
        "CreateTrainingJob:config_with_mini_batch",
        lambda: (
            exported_training(
                hyperparameters=LinearLearnerHyperparameters(predictor_type="binary_classifier", mini_batch_size=123)
            )
            | {"TrainingJobName": "jn"}
        ),
    ),
    ("airflow_tuning_config", "CreateHyperParameterTuningJob:no_mbs", exported_tuning),
    (
        "airflow_tuning_config",
        "CreateHyperParameterTuningJob:mini_batch_size_123",
        lambda: exported_tuning(
            hyperparameters=LinearLearnerHyperparameters(predictor_type="binary_classifier", mini_batch_size=123)
        ),
    ),
    ("airflow_model_deploy_transform_config", "CreateModel:model_config", exported_model),
    ("airflow_model_deploy_transform_config", "CreateModel:deploy_config.Model", exported_model),
    (
        "airflow_model_deploy_transform_config",
        "CreateEndpointConfig:deploy_config.EndpointConfig",
        lambda: config("m", "m"),
    ),
    (
        "airflow_model_deploy_transform_config",
        "CreateEndpoint:deploy_config.Endpoint",
        lambda: endpoint(EndpointSpec("ep", "m")),
    ),
    ("airflow_model_deploy_transform_config", "CreateModel:transform_config.Model", exported_model),
    (
        "airflow_model_deploy_transform_config",
        "CreateTransformJob:transform_config.Transform",
        lambda: transform_job(
            transform(
                transform_job_name=TIMED,
                data="s3://b/in",
                output_path=f"s3://ll-bucket/{TIMED}",
                instance_type="ml.m4.xlarge",
            )
        ),
    ),
    ("airflow_model_deploy_transform_config", "CreateModel:transform_config_default_vpc.Model", exported_model),
]
