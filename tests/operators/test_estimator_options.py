"""Every option of the estimator reaches the resource that it is about."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from airflow.sdk import DAG

from airflow_ll.hooks import LinearLearnerHook
from airflow_ll.operators import (
    LinearLearnerDeployOperator,
    LinearLearnerModelOperator,
    LinearLearnerRecordSetOperator,
    LinearLearnerTrainingOperator,
    LinearLearnerTransformOperator,
)
from tests.operators.conftest import BUCKET, ROLE, RUNS_A_DAG, run_dag

if TYPE_CHECKING:
    from tests.conftest import Runtime

pytestmark = RUNS_A_DAG

KEY = "arn:aws:kms:us-east-1:123456789012:key/11111111-2222-3333-4444-555555555555"
VPC = {"Subnets": ["subnet-0123456789abcdef0"], "SecurityGroupIds": ["sg-0123456789abcdef0"]}
TEAM = [{"Key": "team", "Value": "ml"}]
ROWS = [[float(row), 1.0, 0.5] for row in range(20)]
PROTECTED = {
    "subnets": VPC["Subnets"],
    "security_group_ids": VPC["SecurityGroupIds"],
    "enable_network_isolation": True,
}


@pytest.fixture(autouse=True)
def role(aws: Runtime) -> None:
    """The role that jobs are given by its name."""
    iam = aws.client("iam")
    with suppress(iam.exceptions.EntityAlreadyExistsException):
        iam.create_role(RoleName="learner", AssumeRolePolicyDocument="{}")


def trained(dag_id: str, location: str, **settings: Any) -> Any:
    """Return a DAG that uploads and trains, with all that a training job can have."""
    options = {
        **PROTECTED,
        "encrypt_inter_container_traffic": True,
        "volume_kms_key": KEY,
        "output_kms_key": KEY,
        "input_mode": "Pipe",
        "checkpoint_s3_uri": f"{location}/checkpoints",
        "checkpoint_local_path": "/opt/ml/checkpoints",
        "max_retry_attempts": 2,
        "experiment_config": {"ExperimentName": "e", "TrialName": "t"},
    }
    with DAG(f"{dag_id}_train") as dag:
        records = LinearLearnerRecordSetOperator(
            task_id="upload",
            features=ROWS,
            labels=[sum(row) for row in ROWS],
            data_location=location,
            instance_count=2,
            encrypt=True,
        )
        LinearLearnerTrainingOperator(
            task_id="train",
            role="learner",
            records=records.output,
            hyperparameters={"predictor_type": "regressor", "epochs": 1, "num_models": 1},
            output_path=location,
            instance_type="ml.c5.xlarge",
            instance_count=2,
            mini_batch_size=5,
            volume_size=50,
            max_run=1800,
            use_spot_instances=True,
            max_wait=3600,
            environment={"A": "b"},
            base_job_name="churn",
            tags=TEAM,
            job_options=options,
            poll_interval=1,
            **settings,
        )
    return dag


def test_a_training_job_has_everything_that_was_asked_for(aws: Runtime, dag_id: str, location: str) -> None:
    told = run_dag(trained(dag_id, location))

    assert told.state == "success", told.states
    job = aws.client("sagemaker").describe_training_job(TrainingJobName=told.result("train")["training_job_name"])
    assert job["TrainingJobName"].startswith("churn-")
    assert job["RoleArn"].endswith(":role/learner"), "the name of a role is resolved"
    assert job["ResourceConfig"] == {
        "InstanceType": "ml.c5.xlarge",
        "InstanceCount": 2,
        "VolumeSizeInGB": 50,
        "VolumeKmsKeyId": KEY,
    }
    assert job["StoppingCondition"] == {"MaxRuntimeInSeconds": 1800, "MaxWaitTimeInSeconds": 3600}
    assert job["OutputDataConfig"]["KmsKeyId"] == KEY
    assert job["AlgorithmSpecification"]["TrainingInputMode"] == "Pipe"
    assert job["HyperParameters"]["mini_batch_size"] == "5"
    assert job["VpcConfig"] == VPC
    assert job["CheckpointConfig"] == {"S3Uri": f"{location}/checkpoints", "LocalPath": "/opt/ml/checkpoints"}
    assert job["RetryStrategy"] == {"MaximumRetryAttempts": 2}
    assert job["Environment"] == {"A": "b"}
    assert job["ExperimentConfig"] == {"ExperimentName": "e", "TrialName": "t"}
    assert job["ProfilerConfig"] == {"DisableProfiler": True}
    assert "DebugHookConfig" not in job
    for flag in ("EnableNetworkIsolation", "EnableInterContainerTrafficEncryption", "EnableManagedSpotTraining"):
        assert job[flag] is True
    key = told.result("upload")["s3_data"].partition(f"{BUCKET}/")[2]
    assert aws.client("s3").head_object(Bucket=BUCKET, Key=key)["ServerSideEncryption"] == "AES256"


def test_a_model_has_what_its_training_job_had_unless_told_otherwise(aws: Runtime, dag_id: str, location: str) -> None:
    job = run_dag(trained(dag_id, location)).result("train")
    with DAG(dag_id) as dag:
        LinearLearnerModelOperator(task_id="same", training_job_name=job["training_job_name"])
        LinearLearnerModelOperator(
            task_id="other",
            training_job_name=job["training_job_name"],
            model_name=f"{dag_id.replace('_', '-')}-other",
            role=ROLE,
            environment={"A": "b"},
            vpc_config={},
            enable_network_isolation=False,
            tags={"team": "other"},
        )
    ran = run_dag(dag)

    assert ran.state == "success", ran.states
    sagemaker = aws.client("sagemaker")
    same, other = (sagemaker.describe_model(ModelName=ran.result(one)["model_name"]) for one in ("same", "other"))
    assert same["PrimaryContainer"] == {"Image": job["image_uri"], "ModelDataUrl": job["model_data"]}
    assert (same["VpcConfig"], same["EnableNetworkIsolation"]) == (VPC, True)
    assert same["ExecutionRoleArn"].endswith(":role/learner")
    assert TEAM[0] in sagemaker.list_tags(ResourceArn=same["ModelArn"])["Tags"]
    assert (other["ModelName"], other["ExecutionRoleArn"]) == (f"{dag_id.replace('_', '-')}-other", ROLE)
    assert ("VpcConfig" in other, other.get("EnableNetworkIsolation", False)) == (False, False)
    assert other["PrimaryContainer"]["Environment"] == {"A": "b"}
    assert {"Key": "team", "Value": "other"} in sagemaker.list_tags(ResourceArn=other["ModelArn"])["Tags"]


def test_an_endpoint_config_has_everything_that_was_asked_for(aws: Runtime, dag_id: str, model_data: str) -> None:
    with DAG(dag_id) as dag:
        LinearLearnerDeployOperator(
            task_id="deploy",
            role=ROLE,
            model_data=model_data,
            instance_type="ml.c5.large",
            initial_instance_count=2,
            accelerator_type="ml.eia2.medium",
            kms_key=KEY,
            variant_options={
                "variant_name": "champion",
                "volume_size": 20,
                "model_data_download_timeout": 600,
                "container_startup_health_check_timeout": 300,
            },
            tags=TEAM,
            poll_interval=1,
        )
    deployed = run_dag(dag).result("deploy")
    sagemaker = aws.client("sagemaker")
    config = sagemaker.describe_endpoint_config(EndpointConfigName=deployed["endpoint_config_name"])

    assert config["KmsKeyId"] == KEY
    assert config["ProductionVariants"] == [
        {
            "VariantName": "champion",
            "ModelName": deployed["model_name"],
            "InstanceType": "ml.c5.large",
            "InitialInstanceCount": 2,
            "InitialVariantWeight": 1.0,
            "AcceleratorType": "ml.eia2.medium",
            "VolumeSizeInGB": 20,
            "ModelDataDownloadTimeoutInSeconds": 600,
            "ContainerStartupHealthCheckTimeoutInSeconds": 300,
        }
    ]
    for arn in (config["EndpointConfigArn"], deployed["endpoint_arn"]):
        assert TEAM[0] in sagemaker.list_tags(ResourceArn=arn)["Tags"]
    sagemaker.delete_endpoint(EndpointName=deployed["endpoint_name"])


def test_a_transform_job_has_what_was_asked_for_and_its_training_jobs_tags(
    aws: Runtime, dag_id: str, location: str
) -> None:
    job = run_dag(trained(dag_id, location)).result("train")
    LinearLearnerHook().write(f"{location}/in.csv", b"1.0,1.0,0.5\n2.0,1.0,0.5\n")
    with DAG(dag_id) as dag:
        LinearLearnerTransformOperator(
            task_id="transform",
            training_job_name=job["training_job_name"],
            data=f"{location}/in.csv",
            output_path=f"{location}/out",
            instance_type="ml.c5.xlarge",
            instance_count=2,
            strategy="SingleRecord",
            assemble_with="Line",
            accept="application/jsonlines",
            max_payload=3,
            environment={"A": "b"},
            job_options={
                "output_kms_key": KEY,
                "volume_kms_key": KEY,
                "max_concurrent_transforms": 2,
                "experiment_config": {"ExperimentName": "e"},
            },
            poll_interval=1,
        )
    ran = run_dag(dag)

    assert ran.state == "success", ran.states
    sagemaker = aws.client("sagemaker")
    made = sagemaker.describe_transform_job(TransformJobName=ran.result("transform")["transform_job_name"])
    assert made["TransformResources"] == {"InstanceType": "ml.c5.xlarge", "InstanceCount": 2, "VolumeKmsKeyId": KEY}
    assert made["TransformOutput"]["KmsKeyId"] == KEY
    assert (made["BatchStrategy"], made["MaxPayloadInMB"], made["MaxConcurrentTransforms"]) == ("SingleRecord", 3, 2)
    assert made["Environment"] == {"A": "b"}
    assert TEAM[0] in sagemaker.list_tags(ResourceArn=made["TransformJobArn"])["Tags"]
    model = sagemaker.describe_model(ModelName=made["ModelName"])
    assert (model["EnableNetworkIsolation"], model["VpcConfig"]) == (True, VPC)
    assert model["ExecutionRoleArn"].endswith(":role/learner")


@pytest.mark.parametrize("service", ["sagemaker", "sagemaker-runtime", "s3", "logs", "cloudwatch", "iam", "sts"])
def test_region_and_endpoint_reach_the_client_of_every_service(
    aws: Runtime, service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    hook = LinearLearnerHook(region_name="eu-central-1", verify=False, botocore_config={"connect_timeout": 7})
    client = hook.client(service)

    assert client.meta.endpoint_url == aws.url
    assert client.meta.region_name in {"eu-central-1", "aws-global"}
    assert client.meta.config.connect_timeout == 7
