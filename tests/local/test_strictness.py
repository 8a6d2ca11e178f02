"""What the service refuses is refused with its words, and nothing is left behind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from tests.local.support import IMAGE, ROLE, channel, training_request

if TYPE_CHECKING:
    from tests.conftest import Runtime

JOB_NAME = "[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}"
LONG = "a" * 64
RESOURCES = {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 30}
ALGORITHM = {"TrainingImage": IMAGE, "TrainingInputMode": "File"}
VARIANT = {"VariantName": "a", "ModelName": "m", "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}
ARN = "arn:aws:sagemaker:us-east-1:123456789012"


def one(value: str, path: str, constraint: str) -> str:
    return f"1 validation error detected: Value {value} at '{path}' failed to satisfy constraint: {constraint}"


def null(path: str) -> str:
    return one("null", path, "Member must not be null")


TRAINING_REFUSALS: list[tuple[dict[str, Any], str]] = [
    (
        {"TrainingJobName": "no spaces"},
        one("'no spaces'", "trainingJobName", f"Member must satisfy regular expression pattern: {JOB_NAME}"),
    ),
    (
        {"TrainingJobName": "-leading"},
        one("'-leading'", "trainingJobName", f"Member must satisfy regular expression pattern: {JOB_NAME}"),
    ),
    ({"TrainingJobName": None}, null("trainingJobName")),
    ({"RoleArn": None}, null("roleArn")),
    ({"OutputDataConfig": None}, null("outputDataConfig")),
    ({"OutputDataConfig": {}}, null("outputDataConfig.s3OutputPath")),
    ({"AlgorithmSpecification": None}, null("algorithmSpecification")),
    ({"AlgorithmSpecification": {"TrainingImage": IMAGE}}, null("algorithmSpecification.trainingInputMode")),
    ({"AlgorithmSpecification": {"TrainingInputMode": "File"}}, null("algorithmSpecification.trainingImage")),
    ({"ResourceConfig": None}, null("resourceConfig")),
    ({"ResourceConfig": {"InstanceCount": 1, "VolumeSizeInGB": 30}}, null("resourceConfig.instanceType")),
    ({"ResourceConfig": {"InstanceType": "ml.m5.large", "VolumeSizeInGB": 30}}, null("resourceConfig.instanceCount")),
    ({"StoppingCondition": None}, null("stoppingCondition")),
    ({"InputDataConfig": None}, null("inputDataConfig")),
    ({"InputDataConfig": []}, one("'[]'", "inputDataConfig", "Member must have length greater than or equal to 1")),
    ({"InputDataConfig": [{"ChannelName": "train"}]}, null("inputDataConfig.1.member.dataSource")),
    (
        {"InputDataConfig": [channel("train", "s3://data/train/"), channel("a b", "s3://data/train/")]},
        one(
            "'a b'",
            "inputDataConfig.2.member.channelName",
            r"Member must satisfy regular expression pattern: [A-Za-z0-9\.\-_]+",
        ),
    ),
    (
        {"InputDataConfig": [channel("train", "s3://data/train/", "Prefix")]},
        one(
            "'Prefix'",
            "inputDataConfig.1.member.dataSource.s3DataSource.s3DataType",
            "Member must satisfy enum value set: [ManifestFile, S3Prefix, AugmentedManifestFile, Converse]",
        ),
    ),
    (
        {"ResourceConfig": RESOURCES | {"InstanceCount": 0}},
        one("'0'", "resourceConfig.instanceCount", "Member must have value greater than or equal to 1"),
    ),
    (
        {"ResourceConfig": RESOURCES | {"InstanceCount": -1}},
        one("'-1'", "resourceConfig.instanceCount", "Member must have value greater than or equal to 0"),
    ),
    (
        {"AlgorithmSpecification": ALGORITHM | {"TrainingInputMode": "Stream"}},
        one(
            "'Stream'",
            "algorithmSpecification.trainingInputMode",
            "Member must satisfy enum value set: [Pipe, File, FastFile]",
        ),
    ),
    (
        {"StoppingCondition": {"MaxRuntimeInSeconds": 0}},
        one("'0'", "stoppingCondition.maxRuntimeInSeconds", "Member must have value greater than or equal to 1"),
    ),
    (
        {"OutputDataConfig": {"S3OutputPath": "bucket/models"}},
        one(
            "'bucket/models'",
            "outputDataConfig.s3OutputPath",
            "Member must satisfy regular expression pattern: (https|s3)://([^/]+)/?(.*)",
        ),
    ),
    (
        {"HyperParameters": {"epochs": "1" * 2501}},
        one(
            f"'{{epochs={'1' * 2501}}}'",
            "hyperParameters",
            "Map value must satisfy constraint: [Member must have length less than or equal to 2500, "
            "Member must have length greater than or equal to 0, Member must satisfy regular expression pattern: .*]",
        ),
    ),
    (
        {"TrainingJobName": LONG},
        (
            f"2 validation errors detected: Value '{LONG}' at 'trainingJobName' failed to satisfy constraint: "
            f"Member must have length less than or equal to 63; Value '{LONG}' at 'trainingJobName' failed to satisfy "
            f"constraint: Member must satisfy regular expression pattern: {JOB_NAME}"
        ),
    ),
    (
        {"AlgorithmSpecification": ALGORITHM | {"MetricDefinitions": [{"Name": "a", "Regex": "a=(.*)"}]}},
        (
            "You can't override the metric definitions for Amazon SageMaker algorithms. "
            "Please retry the request without specifying metric definitions."
        ),
    ),
    (
        {"InputDataConfig": [channel("train", "s3://data/nothing/")]},
        (
            'No S3 objects found under S3 URL "s3://data/nothing/" given in input data source. Please ensure that the '
            "bucket exists in the selected region (us-east-1), that objects exist under that S3 prefix, and that the "
            f'role "{ROLE}" has "s3:ListBucket" permissions on bucket "data".'
        ),
    ),
    (
        {"InputDataConfig": [channel("train", "s3://no-such-bucket/train/")]},
        (
            'No S3 objects found under S3 URL "s3://no-such-bucket/train/" given in input data source. Please ensure '
            "that the bucket exists in the selected region (us-east-1), that objects exist under that S3 prefix, and "
            f'that the role "{ROLE}" has "s3:ListBucket" permissions on bucket "no-such-bucket".'
        ),
    ),
]


@pytest.mark.parametrize(
    ("changes", "message"), TRAINING_REFUSALS, ids=[str(case[0])[:60] for case in TRAINING_REFUSALS]
)
def test_create_training_job_refuses(data_runtime: Runtime, changes: dict[str, Any], message: str) -> None:
    sagemaker = data_runtime.client("sagemaker", parameter_validation=False)

    with pytest.raises(ClientError) as refused:
        sagemaker.create_training_job(**training_request("refused", **changes))

    assert refused.value.response["Error"] == {"Code": "ValidationException", "Message": message}
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert sagemaker.list_training_jobs(NameContains="refused")["TrainingJobSummaries"] == []


WRONG_TYPES: list[tuple[dict[str, Any], str]] = [
    ({"HyperParameters": {"epochs": 3}}, "NUMBER_VALUE can not be converted to a String"),
    ({"HyperParameters": {"normalize_data": True}}, "TRUE_VALUE can not be converted to a String"),
    ({"ResourceConfig": RESOURCES | {"InstanceCount": "1"}}, "STRING_VALUE can not be converted to an Integer"),
    ({"RoleArn": [ROLE]}, "Start of list found where not expected"),
    ({"RoleArn": {"Arn": ROLE}}, "Start of structure or map found where not expected."),
    ({"ResourceConfig": "ml.m5.large"}, "Unexpected field type"),
    ({"EnableNetworkIsolation": "false"}, "STRING_VALUE can not be converted to a Boolean"),
]


@pytest.mark.parametrize(("changes", "message"), WRONG_TYPES)
def test_a_wrong_json_type_is_a_serialization_error(runtime: Runtime, changes: dict[str, Any], message: str) -> None:
    status, answer = raw_call(runtime, "CreateTrainingJob", training_request("refused") | changes)

    assert (status, answer) == (400, {"__type": "SerializationException", "message": message})


REFUSALS: list[tuple[str, dict[str, Any], str, str]] = [
    ("describe_training_job", {"TrainingJobName": "nobody"}, "ValidationException", "Requested resource not found."),
    ("stop_training_job", {"TrainingJobName": "nobody"}, "ValidationException", "Requested resource not found."),
    ("describe_model", {"ModelName": "nobody"}, "ValidationException", f'Could not find model "{ARN}:model/nobody".'),
    ("delete_model", {"ModelName": "nobody"}, "ValidationException", f'Could not find model "{ARN}:model/nobody".'),
    (
        "describe_endpoint",
        {"EndpointName": "nobody"},
        "ValidationException",
        f'Could not find endpoint "{ARN}:endpoint/nobody".',
    ),
    (
        "delete_endpoint",
        {"EndpointName": "nobody"},
        "ValidationException",
        f'Could not find endpoint "{ARN}:endpoint/nobody".',
    ),
    (
        "create_endpoint",
        {"EndpointName": "e", "EndpointConfigName": "nobody"},
        "ValidationException",
        f'Could not find endpoint configuration "{ARN}:endpoint-config/nobody".',
    ),
    (
        "create_endpoint_config",
        {"EndpointConfigName": "c", "ProductionVariants": [VARIANT | {"ModelName": "nobody"}]},
        "ValidationException",
        f'Could not find model "{ARN}:model/nobody".',
    ),
    (
        "create_endpoint_config",
        {"EndpointConfigName": "c", "ProductionVariants": []},
        "ValidationException",
        one("'[]'", "productionVariants", "Member must have length greater than or equal to 1"),
    ),
    (
        "create_endpoint_config",
        {"EndpointConfigName": "c", "ProductionVariants": [VARIANT | {"InitialInstanceCount": 0}]},
        "ValidationException",
        one(
            "'0'",
            "productionVariants.1.member.initialInstanceCount",
            "Member must have value greater than or equal to 1",
        ),
    ),
    (
        "create_model",
        {
            "ModelName": "m",
            "ExecutionRoleArn": ROLE,
            "PrimaryContainer": {"Image": IMAGE, "ModelDataUrl": "s3://data/none.tar.gz"},
        },
        "ValidationException",
        "Could not find model data at s3://data/none.tar.gz.",
    ),
    ("create_model", {"ModelName": "m", "ExecutionRoleArn": ROLE}, "ValidationException", null("primaryContainer")),
    (
        "create_model",
        {"ModelName": "m", "PrimaryContainer": {"Image": IMAGE}},
        "ValidationException",
        null("executionRoleArn"),
    ),
    (
        "describe_transform_job",
        {"TransformJobName": "nobody"},
        "ValidationException",
        "Could not find requested job with name: nobody",
    ),
    ("list_training_jobs", {"NextToken": "scrambled"}, "ValidationException", "The specified NextToken is invalid."),
    (
        "list_training_jobs",
        {"MaxResults": 101},
        "ValidationException",
        one("'101'", "maxResults", "Member must have value less than or equal to 100"),
    ),
    (
        "create_compilation_job",
        {
            "CompilationJobName": "c",
            "RoleArn": ROLE,
            "OutputConfig": {"S3OutputLocation": "s3://data/", "TargetDevice": "ml_c5"},
            "StoppingCondition": {"MaxRuntimeInSeconds": 900},
        },
        "ValidationException",
        null("inputConfig"),
    ),
]


@pytest.mark.parametrize(
    ("operation", "request_", "code", "message"), REFUSALS, ids=[f"{r[0]}-{i}" for i, r in enumerate(REFUSALS)]
)
def test_refusals_beyond_the_training_job(
    data_runtime: Runtime, operation: str, request_: dict[str, Any], code: str, message: str
) -> None:
    sagemaker = data_runtime.client("sagemaker", parameter_validation=False)

    with pytest.raises(ClientError) as refused:
        getattr(sagemaker, operation)(**request_)

    assert refused.value.response["Error"] == {"Code": code, "Message": message}


def test_an_unknown_operation_is_400(runtime: Runtime) -> None:
    status, answer = raw_call(runtime, "MakeCoffee", {})

    assert (status, answer["__type"]) == (400, "UnknownOperationException")


def test_unknown_members_are_ignored(data_runtime: Runtime) -> None:
    assert raw_call(data_runtime, "ListModels", {"Colour": "red"})[0] == 200


def test_a_body_that_is_no_json_is_a_serialization_error(runtime: Runtime) -> None:
    status, answer = raw_call(runtime, "ListModels", b"{nonsense")

    assert (status, answer["__type"]) == (400, "SerializationException")


def test_an_unknown_log_group_is_not_found(runtime: Runtime) -> None:
    logs = runtime.client("logs")

    with pytest.raises(logs.exceptions.ResourceNotFoundException, match=r"The specified log group does not exist\."):
        logs.describe_log_streams(logGroupName="/aws/sagemaker/NoSuchJobs")


def test_an_unknown_endpoint_is_not_found_in_the_words_of_the_runtime_api(runtime: Runtime) -> None:
    client = runtime.client("sagemaker-runtime")

    with pytest.raises(client.exceptions.ClientError) as refused:
        client.invoke_endpoint(EndpointName="nobody", Body=b"1", ContentType="text/csv")

    message = "Endpoint nobody of account 123456789012 not found."
    assert refused.value.response["Error"] == {"Code": "ValidationError", "Message": message}


def test_every_pattern_of_the_service_model_compiles() -> None:
    from airflow_ll.local.protocol import service_model
    from airflow_ll.local.validation import _compiled

    model = service_model("sagemaker")
    patterns = {model.shape_for(name).metadata.get("pattern") for name in model.shape_names}

    for pattern in patterns - {None}:
        _compiled(pattern)


def test_a_pair_of_surrogates_in_a_pattern_is_one_character() -> None:
    from airflow_ll.local.validation import _compiled

    assert _compiled(r"[\uD800\uDC00-\uDBFF\uDFFF]").fullmatch("\U0001f6eb")
    assert not _compiled(r"[\uD800\uDC00-\uDBFF\uDFFF]").fullmatch("a")


def raw_call(runtime: Runtime, operation: str, request: dict[str, Any] | bytes) -> tuple[int, Any]:
    """Call an operation as no SDK would: with a body of any kind."""
    import json
    import urllib.error
    import urllib.request

    body = request if isinstance(request, bytes) else json.dumps(request).encode()
    headers = {"X-Amz-Target": f"SageMaker.{operation}", "Content-Type": "application/x-amz-json-1.1"}
    try:
        with urllib.request.urlopen(urllib.request.Request(f"{runtime.url}/", body, headers), timeout=30) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())
