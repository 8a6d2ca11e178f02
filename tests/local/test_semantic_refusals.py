"""What the service refuses for what exists, is taken, is missing or is busy, in AWS's words.

Each row names a public place where the text of the real service can be read; a ``*`` stands for what differs there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from botocore.exceptions import ClientError

from tests.local.support import IMAGE, ROLE, channel, long_training_request, training_request, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Runtime

ARN = "arn:aws:sagemaker:us-east-1:123456789012"
ISSUES = "https://github.com"


class Row(NamedTuple):
    service: str
    operation: str
    request: dict[str, Any]
    code: str
    message: str
    source: str


VARIANT = {"VariantName": "v", "ModelName": "sem", "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}
TRANSFORM = {
    "TransformJobName": "sem",
    "ModelName": "sem",
    "TransformInput": {
        "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://data/score/"}},
        "ContentType": "text/csv",
        "SplitType": "Line",
    },
    "TransformOutput": {"S3OutputPath": "s3://data/scored"},
    "TransformResources": {"InstanceCount": 1, "InstanceType": "ml.m5.large"},
}
NO_OBJECTS = (
    'No S3 objects found under S3 URL "s3://data/absent/" given in input data source. Please ensure that the bucket '
    "exists in the selected region (us-east-1), that objects exist under that S3 prefix, and that the role "
    f'"{ROLE}" has "s3:ListBucket" permissions on bucket "data".'
)
EXAMPLES = f"{ISSUES}/aws/amazon-sagemaker-examples/issues"

ROWS = [
    # not found
    Row(
        *("sagemaker", "describe_training_job", {"TrainingJobName": "absent"}),
        *("ValidationException", "Requested resource not found.", f"{EXAMPLES}/2360"),
    ),
    Row(
        *("sagemaker", "stop_training_job", {"TrainingJobName": "absent"}),
        *("ValidationException", "Requested resource not found.", f"{ISSUES}/boto/boto3/issues/2808"),
    ),
    Row(
        *("sagemaker", "describe_model", {"ModelName": "absent"}, "ValidationException"),
        *(f'Could not find model "{ARN}:model/absent".', f"{ISSUES}/aws-controllers-k8s/community/issues/431"),
    ),
    Row(
        *("sagemaker", "delete_model", {"ModelName": "absent"}, "ValidationException"),
        *(f'Could not find model "{ARN}:model/absent".', f"{ISSUES}/aws-controllers-k8s/community/issues/431"),
    ),
    Row(
        *("sagemaker", "describe_endpoint_config", {"EndpointConfigName": "absent"}, "ValidationException"),
        *(f'Could not find endpoint configuration "{ARN}:endpoint-config/absent".', f"{EXAMPLES}/2339"),
    ),
    Row(
        *("sagemaker", "delete_endpoint_config", {"EndpointConfigName": "absent"}, "ValidationException"),
        f'Could not find endpoint configuration "{ARN}:endpoint-config/absent".',
        f"{ISSUES}/hashicorp/terraform-provider-aws/blob/main/internal/service/sagemaker/endpoint_configuration.go",
    ),
    Row(
        *("sagemaker", "create_endpoint", {"EndpointName": "new", "EndpointConfigName": "absent"}),
        *("ValidationException", f'Could not find endpoint configuration "{ARN}:endpoint-config/absent".'),
        f"{ISSUES}/hashicorp/terraform-provider-aws/issues/40048",
    ),
    Row(
        *("sagemaker", "update_endpoint", {"EndpointName": "sem", "EndpointConfigName": "absent"}),
        *("ValidationException", f'Could not find endpoint configuration "{ARN}:endpoint-config/absent".'),
        f"{ISSUES}/hashicorp/terraform-provider-aws/issues/40048",
    ),
    Row(
        *("sagemaker", "describe_endpoint", {"EndpointName": "absent"}, "ValidationException"),
        *(f'Could not find endpoint "{ARN}:endpoint/absent".', f"{EXAMPLES}/2402"),
    ),
    Row(
        *("sagemaker", "delete_endpoint", {"EndpointName": "absent"}, "ValidationException"),
        *(f'Could not find endpoint "{ARN}:endpoint/absent".', f"{EXAMPLES}/2402"),
    ),
    Row(
        *("sagemaker", "update_endpoint", {"EndpointName": "absent", "EndpointConfigName": "sem"}),
        *("ValidationException", f'Could not find endpoint "{ARN}:endpoint/absent".', f"{EXAMPLES}/2402"),
    ),
    Row(
        *("sagemaker", "create_endpoint_config"),
        {"EndpointConfigName": "new", "ProductionVariants": [{**VARIANT, "ModelName": "absent"}]},
        *("ValidationException", f'Could not find model "{ARN}:model/absent".'),
        f"{ISSUES}/aws-controllers-k8s/community/issues/431",
    ),
    Row(
        *("sagemaker", "create_transform_job", {**TRANSFORM, "TransformJobName": "new", "ModelName": "absent"}),
        *("ValidationException", f'Could not find model "{ARN}:model/absent".'),
        f"{ISSUES}/aws-controllers-k8s/community/issues/431",
    ),
    Row(
        *("sagemaker", "create_training_job"),
        training_request("new", InputDataConfig=[channel("train", "s3://data/absent/")]),
        *("ValidationException", NO_OBJECTS, f"{EXAMPLES}/2414"),
    ),
    Row(
        *("sagemaker", "create_model"),
        {
            "ModelName": "new",
            "ExecutionRoleArn": ROLE,
            "PrimaryContainer": {"Image": IMAGE, "ModelDataUrl": "s3://data/absent.tar.gz"},
        },
        *("ValidationException", "Could not find model data at s3://data/absent.tar.gz.", f"{EXAMPLES}/2264"),
    ),
    Row(
        *("sagemaker-runtime", "invoke_endpoint", {"EndpointName": "absent", "Body": b"1"}, "ValidationError"),
        *("Endpoint absent of account 123456789012 not found.", f"{EXAMPLES}/1477"),
    ),
    Row(
        *("logs", "get_log_events", {"logGroupName": "/absent", "logStreamName": "x"}, "ResourceNotFoundException"),
        *("The specified log group does not exist.", f"{ISSUES}/boto/boto3/issues/2885"),
    ),
    Row(
        *("logs", "put_log_events"),
        {
            "logGroupName": "/aws/sagemaker/TrainingJobs",
            "logStreamName": "absent",
            "logEvents": [{"timestamp": 1, "message": "m"}],
        },
        *("ResourceNotFoundException", "The specified log stream does not exist."),
        f"{ISSUES}/mentum/lawgs/issues/11",
    ),
    Row(
        *("s3", "get_object", {"Bucket": "data", "Key": "absent"}, "NoSuchKey", "The specified key does not exist."),
        "https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html",
    ),
    Row(
        *("s3", "list_objects_v2", {"Bucket": "absent-bucket"}, "NoSuchBucket", "The specified bucket does not exist"),
        "https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html",
    ),
    # taken
    Row(
        *("sagemaker", "create_training_job", training_request("trained"), "ResourceInUse"),
        "Training job names must be unique within an AWS account and region, and a training job with this name already "
        f"exists ({ARN}:training-job/trained)",
        f"{ISSUES}/aws/amazon-sagemaker-examples/pull/3108",
    ),
    Row(
        *("sagemaker", "create_model"),
        {"ModelName": "sem", "ExecutionRoleArn": ROLE, "PrimaryContainer": {"Image": IMAGE, "ModelDataUrl": "MODEL"}},
        *("ValidationException", f'Cannot create already existing model "{ARN}:model/sem".'),
        f"{ISSUES}/astronomer/astronomer-providers/issues/1055",
    ),
    Row(
        *("sagemaker", "create_endpoint_config", {"EndpointConfigName": "sem", "ProductionVariants": [VARIANT]}),
        *("ValidationException", f'Cannot create already existing endpoint configuration "{ARN}:endpoint-config/sem".'),
        f"{ISSUES}/awslabs/spot-tagging-bot-for-digital-assets/issues/2",
    ),
    Row(
        *("sagemaker", "create_endpoint", {"EndpointName": "sem", "EndpointConfigName": "sem"}),
        *("ValidationException", f'Cannot create already existing endpoint "{ARN}:endpoint/sem".', f"{EXAMPLES}/2491"),
    ),
    Row(
        *("logs", "create_log_group", {"logGroupName": "/aws/sagemaker/TrainingJobs"}),
        *("ResourceAlreadyExistsException", "The specified log group already exists"),
        f"{ISSUES}/aws-robotics/cloudwatchlogs-ros1/issues/1",
    ),
    Row(
        *("logs", "create_log_stream", {"logGroupName": "/sem", "logStreamName": "taken"}),
        *("ResourceAlreadyExistsException", "The specified log stream already exists"),
        f"{ISSUES}/aws-robotics/cloudwatchlogs-ros1/issues/1",
    ),
    # busy, or over
    Row(
        *("sagemaker", "stop_training_job", {"TrainingJobName": "trained"}, "ValidationException"),
        "The request was rejected because the training job is in status Completed.",
        f"{ISSUES}/awslabs/benchmark-ai/issues/928",
    ),
    Row(
        *("sagemaker", "delete_endpoint", {"EndpointName": "sem-busy"}, "ValidationException"),
        f'Cannot update in-progress endpoint "{ARN}:endpoint/sem-busy".',
        f"{ISSUES}/aws-controllers-k8s/sagemaker-controller",
    ),
    Row(
        *("sagemaker", "update_endpoint", {"EndpointName": "sem-busy", "EndpointConfigName": "sem"}),
        *("ValidationException", f'Cannot update in-progress endpoint "{ARN}:endpoint/sem-busy".'),
        f"{ISSUES}/aws-controllers-k8s/sagemaker-controller",
    ),
    Row(
        *("s3", "delete_bucket", {"Bucket": "data"}, "BucketNotEmpty"),
        "The bucket you tried to delete is not empty",
        "https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html",
    ),
    # what this algorithm does not allow
    Row(
        *("sagemaker", "create_training_job"),
        training_request(
            "new",
            AlgorithmSpecification={
                "TrainingImage": IMAGE,
                "TrainingInputMode": "File",
                "MetricDefinitions": [{"Name": "a", "Regex": "a=(.*)"}],
            },
        ),
        "ValidationException",
        "You can't override the metric definitions for Amazon SageMaker algorithms. Please retry the request without "
        "specifying metric definitions.",
        f"{ISSUES}/aws/sagemaker-python-sdk/issues",
    ),
]


@pytest.fixture(scope="module")
def stage(data_runtime: Runtime, trained: dict[str, Any]) -> Iterator[Runtime]:
    """A runtime with one of everything: ``trained``, ``sem``, and an endpoint that stays busy."""
    sagemaker, logs = data_runtime.client("sagemaker"), data_runtime.client("logs")
    uri = trained["ModelArtifacts"]["S3ModelArtifacts"]
    for row in ROWS:
        container = row.request.get("PrimaryContainer", {})
        if container.get("ModelDataUrl") == "MODEL":
            container["ModelDataUrl"] = uri
    sagemaker.create_model(
        ModelName="sem", ExecutionRoleArn=ROLE, PrimaryContainer={"Image": IMAGE, "ModelDataUrl": uri}
    )
    sagemaker.create_endpoint_config(EndpointConfigName="sem", ProductionVariants=[VARIANT])
    data_runtime.fail("slow kind=endpoint resource=sem-busy seconds=3600")
    sagemaker.create_endpoint(EndpointName="sem", EndpointConfigName="sem")
    sagemaker.create_endpoint(EndpointName="sem-busy", EndpointConfigName="sem")
    logs.create_log_group(logGroupName="/sem")
    logs.create_log_stream(logGroupName="/sem", logStreamName="taken")
    wait_for(lambda: sagemaker.describe_endpoint(EndpointName="sem"), lambda one: one["EndpointStatus"] == "InService")
    yield data_runtime
    data_runtime.fail()
    sagemaker.delete_endpoint(EndpointName="sem")


@pytest.mark.parametrize("row", ROWS, ids=[f"{row.operation}-{number}" for number, row in enumerate(ROWS)])
def test_it_is_refused_as_the_service_does(stage: Runtime, row: Row) -> None:
    client = stage.client(row.service)
    before = names(stage)

    with pytest.raises(ClientError) as refused:
        getattr(client, row.operation)(**row.request)

    error = refused.value.response["Error"]
    assert (error["Code"], error["Message"]) == (row.code, row.message)
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] in (400, 404, 409)
    assert names(stage) == before


def names(runtime: Runtime) -> list[list[str]]:
    """Return the names of all that a refusal could have left behind."""
    sagemaker = runtime.client("sagemaker")
    return [
        sorted(one["TrainingJobName"] for one in sagemaker.list_training_jobs(MaxResults=100)["TrainingJobSummaries"]),
        sorted(
            one["TransformJobName"] for one in sagemaker.list_transform_jobs(MaxResults=100)["TransformJobSummaries"]
        ),
        sorted(one["ModelName"] for one in sagemaker.list_models(MaxResults=100)["Models"]),
        sorted(one["EndpointConfigName"] for one in sagemaker.list_endpoint_configs(MaxResults=100)["EndpointConfigs"]),
        sorted(one["EndpointName"] for one in sagemaker.list_endpoints(MaxResults=100)["Endpoints"]),
    ]


def test_a_job_that_stops_is_not_stopped_again(stage: Runtime) -> None:
    """Source: https://github.com/awslabs/benchmark-ai/issues/928."""
    sagemaker = stage.client("sagemaker")
    sagemaker.create_training_job(**long_training_request("stopped-once"))
    sagemaker.stop_training_job(TrainingJobName="stopped-once")

    with pytest.raises(
        ClientError, match=r"The request was rejected because the training job is in status Stopp(ing|ed)\."
    ):
        sagemaker.stop_training_job(TrainingJobName="stopped-once")


def test_each_row_has_a_source_and_is_a_row_of_its_own() -> None:
    assert len(ROWS) >= 20
    assert all(row.source.startswith("https://") for row in ROWS)
    calls = [(row.operation, str(row.request)) for row in ROWS]
    assert len(set(calls)) == len(calls)
