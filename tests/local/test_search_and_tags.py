"""Search, lists and the tagging API over resources that exist."""

from __future__ import annotations

import datetime as dt
import io
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError
from botocore.parsers import RpcV2CBORParser
from hypothesis import given
from hypothesis import strategies as st

from airflow_ll.local import cbor
from airflow_ll.local.errors import SerializationError
from tests.local.support import training_ended, training_request

if TYPE_CHECKING:
    from tests.conftest import Runtime


@pytest.fixture(scope="module")
def found_jobs(data_runtime: Runtime) -> Runtime:
    """The runtime with three training jobs of different settings, two of which failed."""
    sagemaker = data_runtime.client("sagemaker")
    for number, dimension in enumerate(("5", "8", "9")):
        parameters = training_request("x")["HyperParameters"] | {"feature_dim": dimension, "epochs": str(number + 9)}
        resources = {"InstanceCount": number + 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 30}
        request = training_request(
            f"search-{number}",
            HyperParameters=parameters,
            ResourceConfig=resources,
            Tags=[{"Key": "search.team", "Value": "a" if number else "b"}],
        )
        sagemaker.create_training_job(**request)
    for number in range(3):
        training_ended(data_runtime, f"search-{number}")
    return data_runtime


def searched(runtime: Runtime, *filters: dict[str, Any], **expression: Any) -> list[str]:
    """Return the names that match filters, among the jobs of this module."""
    ours = {"Name": "TrainingJobName", "Operator": "Contains", "Value": "search-"}
    given_ = {key: value for key, value in {"Filters": list(filters), **expression}.items() if value}
    whole = {"Filters": [ours], "SubExpressions": [given_]} if given_ else {"Filters": [ours]}
    answer = runtime.client("sagemaker").search(
        Resource="TrainingJob", SearchExpression=whole, SortBy="TrainingJobName", SortOrder="Ascending"
    )
    return [one["TrainingJob"]["TrainingJobName"].removeprefix("search-") for one in answer["Results"]]


FILTERS: list[tuple[dict[str, Any], list[str]]] = [
    ({"Name": "TrainingJobStatus", "Value": "Failed"}, ["1", "2"]),
    ({"Name": "TrainingJobStatus", "Operator": "NotEquals", "Value": "Failed"}, ["0"]),
    ({"Name": "HyperParameters.epochs", "Operator": "GreaterThan", "Value": "9"}, ["1", "2"]),
    ({"Name": "HyperParameters.epochs", "Operator": "LessThanOrEqualTo", "Value": "10"}, ["0", "1"]),
    ({"Name": "ResourceConfig.InstanceCount", "Operator": "In", "Value": "1, 3"}, ["0", "2"]),
    ({"Name": "ResourceConfig.InstanceType", "Operator": "Contains", "Value": "M5"}, ["0", "1", "2"]),
    ({"Name": "FailureReason", "Operator": "Exists"}, ["1", "2"]),
    ({"Name": "FailureReason", "Operator": "NotExists"}, ["0"]),
    ({"Name": "Tags.search.team", "Value": "a"}, ["1", "2"]),
    ({"Name": "Metrics.train:progress", "Operator": "GreaterThanOrEqualTo", "Value": "100"}, ["0"]),
    ({"Name": "CreationTime", "Operator": "GreaterThan", "Value": "2001-01-01T00:00:00Z"}, ["0", "1", "2"]),
    ({"Name": "CreationTime", "Operator": "LessThan", "Value": "2001-01-01"}, []),
    ({"Name": "EnableManagedSpotTraining", "Value": "false"}, ["0", "1", "2"]),
    ({"Name": "InputDataConfig.ChannelName", "Value": "train"}, ["0", "1", "2"]),
    ({"Name": "SecondaryStatusTransitions.Status", "Value": "Uploading"}, ["0"]),
]


@pytest.mark.parametrize(("one", "names"), FILTERS, ids=[f"{one['Name']}-{i}" for i, (one, _) in enumerate(FILTERS)])
def test_a_filter_finds_what_it_says(found_jobs: Runtime, one: dict[str, Any], names: list[str]) -> None:
    assert searched(found_jobs, one) == names


def test_nested_filters_are_met_by_one_element(found_jobs: Runtime) -> None:
    def transition(**wanted: str) -> list[dict[str, Any]]:
        filters = [{"Name": f"SecondaryStatusTransitions.{name}", "Value": value} for name, value in wanted.items()]
        return [{"NestedPropertyName": "SecondaryStatusTransitions", "Filters": filters}]

    met = transition(Status="Completed", StatusMessage="Training job completed")
    mixed = transition(Status="Completed", StatusMessage="Downloading input data")

    assert searched(found_jobs, NestedFilters=met) == ["0"]
    assert searched(found_jobs, NestedFilters=mixed) == []


def test_expressions_join_by_or_and_and(found_jobs: Runtime) -> None:
    first = {"Name": "HyperParameters.epochs", "Value": "9"}
    last = {"Name": "HyperParameters.epochs", "Value": "11"}

    assert searched(found_jobs, first, last) == []
    assert searched(found_jobs, first, last, Operator="Or") == ["0", "2"]


def test_search_sorts_and_pages(found_jobs: Runtime) -> None:
    expression = {"Filters": [{"Name": "TrainingJobName", "Operator": "Contains", "Value": "search-"}]}
    pages = (
        found_jobs.client("sagemaker")
        .get_paginator("search")
        .paginate(
            Resource="TrainingJob",
            SearchExpression=expression,
            SortBy="ResourceConfig.InstanceCount",
            SortOrder="Descending",
            PaginationConfig={"PageSize": 2},
        )
    )
    found = [[one["TrainingJob"]["TrainingJobName"] for one in page["Results"]] for page in pages]

    assert found == [["search-2", "search-1"], ["search-0"]]
    assert all(page["TotalHits"] == {"Value": 3, "Relation": "EqualTo"} for page in pages)


REFUSALS: list[tuple[dict[str, Any], str]] = [
    (
        {"Resource": "TrainingJob", "SearchExpression": {"Filters": [{"Name": "Colour", "Value": "red"}]}},
        "The property Colour is not one of the resource TrainingJob.",
    ),
    ({"Resource": "TrainingJob", "SortBy": "Colour"}, "The property Colour is not one of the resource TrainingJob."),
    (
        {
            "Resource": "TrainingJob",
            "SearchExpression": {"Filters": [{"Name": "RoleArn", "Operator": "Exists", "Value": "x"}]},
        },
        "The operator Exists of the filter RoleArn takes no Value.",
    ),
    (
        {"Resource": "TrainingJob", "SearchExpression": {"Filters": [{"Name": "RoleArn"}]}},
        "The operator Equals of the filter RoleArn needs a Value.",
    ),
    (
        {
            "Resource": "TrainingJob",
            "SearchExpression": {
                "NestedFilters": [
                    {"NestedPropertyName": "InputDataConfig", "Filters": [{"Name": "ChannelName", "Value": "train"}]}
                ]
            },
        },
        "The nested filter ChannelName must begin with its property: InputDataConfig.",
    ),
    (
        {"Resource": "TrainingJob", "NextToken": "scrambled"},
        "The specified NextToken is invalid.",
    ),
    (
        {"Resource": "Project"},
        (
            "The embedded runtime does not support searching for the resource Project yet. "
            "Search for one of TrainingJob, HyperParameterTuningJob, Endpoint."
        ),
    ),
]


@pytest.mark.parametrize(("request_", "message"), REFUSALS, ids=range(len(REFUSALS)))
def test_search_refuses(found_jobs: Runtime, request_: dict[str, Any], message: str) -> None:
    with pytest.raises(ClientError) as refused:
        found_jobs.client("sagemaker").search(**request_)

    assert refused.value.response["Error"] == {"Code": "ValidationException", "Message": message}


# Lists.


def test_lists_filter_by_times(found_jobs: Runtime) -> None:
    sagemaker = found_jobs.client("sagemaker")
    middle = sagemaker.describe_training_job(TrainingJobName="search-1")["CreationTime"]

    def names(**request: Any) -> list[str]:
        found = sagemaker.list_training_jobs(NameContains="search-", **request)["TrainingJobSummaries"]
        return [one["TrainingJobName"] for one in found]

    tick = dt.timedelta(microseconds=1)  # the store's times are finer than the client's
    assert names(CreationTimeAfter=middle + tick) == ["search-2"]
    assert names(CreationTimeBefore=middle - tick) == ["search-0"]
    assert names(LastModifiedTimeAfter=middle) == ["search-0", "search-1", "search-2"]
    assert names(LastModifiedTimeBefore=middle) == []


def test_a_token_of_another_order_is_refused(found_jobs: Runtime) -> None:
    sagemaker = found_jobs.client("sagemaker")
    token = sagemaker.list_training_jobs(MaxResults=1, SortBy="Name")["NextToken"]

    with pytest.raises(ClientError, match=r"The specified NextToken is invalid\."):
        sagemaker.list_training_jobs(MaxResults=1, SortBy="CreationTime", NextToken=token)


def test_a_filter_that_is_not_applied_is_refused(found_jobs: Runtime) -> None:
    with pytest.raises(ClientError, match="does not support the filter WarmPoolStatusEquals"):
        found_jobs.client("sagemaker").list_training_jobs(WarmPoolStatusEquals="Available")


def test_describe_echoes_what_create_was_given(data_runtime: Runtime) -> None:
    given_ = {
        "ExperimentConfig": {"ExperimentName": "e", "TrialName": "t", "TrialComponentDisplayName": "c"},
        "Environment": {"STAGE": "dev"},
        "RetryStrategy": {"MaximumRetryAttempts": 3},
        "VpcConfig": {"SecurityGroupIds": ["sg-1"], "Subnets": ["subnet-1"]},
        "DebugHookConfig": {"S3OutputPath": "s3://data/debug/", "CollectionConfigurations": []},
        "ProfilerConfig": {"S3OutputPath": "s3://data/profile/", "DisableProfiler": False},
        "EnableNetworkIsolation": True,
        "EnableInterContainerTrafficEncryption": True,
    }
    sagemaker = data_runtime.client("sagemaker")
    sagemaker.create_training_job(**training_request("echoed", **given_))

    description = training_ended(data_runtime, "echoed")

    assert {name: description[name] for name in given_} == given_


# Tags.


def test_resources_are_found_by_their_tags(found_jobs: Runtime) -> None:
    tagging = found_jobs.client("resourcegroupstaggingapi")
    arn = "arn:aws:sagemaker:us-east-1:123456789012:training-job/search-"

    def found(**request: Any) -> list[str]:
        pages = tagging.get_paginator("get_resources").paginate(**request, PaginationConfig={"PageSize": 1})
        return [one["ResourceARN"].removeprefix(arn) for page in pages for one in page["ResourceTagMappingList"]]

    assert found(TagFilters=[{"Key": "search.team", "Values": ["a"]}]) == ["1", "2"]
    assert found(TagFilters=[{"Key": "search.team", "Values": ["a", "b"]}]) == ["0", "1", "2"]
    assert found(TagFilters=[{"Key": "search.team"}], ResourceTypeFilters=["sagemaker:training-job"]) == ["0", "1", "2"]
    assert found(TagFilters=[{"Key": "search.team"}], ResourceTypeFilters=["sagemaker:endpoint", "s3"]) == []
    assert found(ResourceARNList=[f"{arn}1"]) == ["1"]
    assert found(TagFilters=[{"Key": "search.team"}, {"Key": "other"}]) == []


def test_tags_come_in_pages(found_jobs: Runtime) -> None:
    sagemaker = found_jobs.client("sagemaker")
    arn = sagemaker.list_training_jobs(MaxResults=1)["TrainingJobSummaries"][0]["TrainingJobArn"]
    kept = {tag["Key"] for tag in sagemaker.list_tags(ResourceArn=arn)["Tags"]}
    more = {f"page-{number:02d}" for number in range(20)}
    sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": key, "Value": ""} for key in more])
    pages = list(sagemaker.get_paginator("list_tags").paginate(ResourceArn=arn, PaginationConfig={"PageSize": 50}))
    assert {tag["Key"] for page in pages for tag in page["Tags"]} == kept | more
    with pytest.raises(ClientError, match="NextToken is invalid"):
        sagemaker.list_tags(ResourceArn=arn, NextToken="zzz")
    sagemaker.delete_tags(ResourceArn=arn, TagKeys=sorted(more))


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (["AWS:team"], "Tag keys that begin with aws: are reserved for system use, but one is AWS:team"),
        (["a", "b", "a"], "Tag keys must be unique, but a is given more than once"),
        ([f"more-{number}" for number in range(50)], "A resource can have 50 tags, but this one would have 51"),
    ],
)
def test_tags_that_a_resource_cannot_have_are_refused(found_jobs: Runtime, keys: list[str], message: str) -> None:
    sagemaker = found_jobs.client("sagemaker")
    arn = sagemaker.describe_training_job(TrainingJobName="search-1")["TrainingJobArn"]
    before = sagemaker.list_tags(ResourceArn=arn)["Tags"]
    with pytest.raises(ClientError, match=message):
        sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": key, "Value": ""} for key in keys])
    assert sagemaker.list_tags(ResourceArn=arn)["Tags"] == before


@pytest.mark.parametrize(
    ("keys", "message"),
    [(["aws:team"], "reserved for system use"), ([f"more-{number}" for number in range(50)], "can have 50 tags")],
)
def test_the_tagging_api_has_the_same_rules(found_jobs: Runtime, keys: list[str], message: str) -> None:
    arn = found_jobs.client("sagemaker").describe_training_job(TrainingJobName="search-1")["TrainingJobArn"]
    tagging = found_jobs.client("resourcegroupstaggingapi")
    failed = tagging.tag_resources(ResourceARNList=[arn], Tags=dict.fromkeys(keys, ""))["FailedResourcesMap"]
    assert failed[arn]["ErrorCode"] == "InvalidParameterException"
    assert message in failed[arn]["ErrorMessage"]
    assert len(found_jobs.client("sagemaker").list_tags(ResourceArn=arn)["Tags"]) < 50


def test_tags_change_through_the_tagging_api(found_jobs: Runtime) -> None:
    tagging, sagemaker = found_jobs.client("resourcegroupstaggingapi"), found_jobs.client("sagemaker")
    arn = sagemaker.describe_training_job(TrainingJobName="search-0")["TrainingJobArn"]

    failed = tagging.tag_resources(ResourceARNList=[arn, f"{arn}-gone"], Tags={"stage": "dev"})["FailedResourcesMap"]
    values = tagging.get_tag_values(Key="stage")["TagValues"]
    assert {"Key": "stage", "Value": "dev"} in sagemaker.list_tags(ResourceArn=arn)["Tags"]
    tagging.untag_resources(ResourceARNList=[arn], TagKeys=["stage"])

    assert (failed.keys(), values) == ({f"{arn}-gone"}, ["dev"])
    assert sagemaker.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "search.team", "Value": "b"}]
    assert "search.team" in tagging.get_tag_keys()["TagKeys"]


def test_the_tagging_api_refuses_in_its_own_words(runtime: Runtime) -> None:
    tagging = runtime.client("resourcegroupstaggingapi")
    both = {"ResourceARNList": ["arn:aws:s3:::bucket"], "TagFilters": [{"Key": "a"}]}

    with pytest.raises(tagging.exceptions.InvalidParameterException, match="cannot be used together"):
        tagging.get_resources(**both)
    with pytest.raises(tagging.exceptions.InvalidParameterException, match="PaginationToken is invalid"):
        tagging.get_resources(PaginationToken="scrambled")
    with pytest.raises(ClientError, match="does not support StartReportCreation"):
        tagging.start_report_creation(S3Bucket="bucket")


def test_the_tagging_api_answers_json_too(found_jobs: Runtime) -> None:
    import json
    import urllib.request

    headers = {
        "X-Amz-Target": "ResourceGroupsTaggingAPI_20170126.GetResources",
        "Content-Type": "application/x-amz-json-1.1",
        "Authorization": "AWS4-HMAC-SHA256 Credential=AK/20260101/us-east-1/tagging/aws4_request",
    }
    body = json.dumps({"TagFilters": [{"Key": "search.team", "Values": ["b"]}]}).encode()
    with urllib.request.urlopen(urllib.request.Request(f"{found_jobs.url}/", body, headers), timeout=30) as answer:
        found = json.loads(answer.read())

    assert [one["Tags"] for one in found["ResourceTagMappingList"]] == [[{"Key": "search.team", "Value": "b"}]]
    assert found["PaginationToken"] == ""


values = st.recursive(
    st.booleans() | st.integers(-(2**64), 2**64 - 1) | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(values)
def test_cbor_comes_back_and_botocore_reads_it(value: Any) -> None:
    encoded = cbor.encode(value)

    assert cbor.decode(encoded) == value
    parser = RpcV2CBORParser()
    assert parser.parse_data_item(io.BufferedReader(io.BytesIO(encoded))) == value


@given(st.binary(max_size=40))
def test_any_bytes_are_cbor_or_a_serialization_error(data: bytes) -> None:
    try:
        cbor.decode(data)
    except SerializationError:
        return


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"\xbf\x61a\x9f\x01\x02\xff\xff", {"a": [1, 2]}),
        (b"\x7f\x61a\x61b\xff", "ab"),
        (b"\xf9\x3c\x00", 1.0),
        (b"\xf6", None),
        (b"\xc1\x1a\x00\x00\x00\x05", 5),
    ],
)
def test_indefinite_lengths_half_floats_and_tags_are_read(data: bytes, value: Any) -> None:
    assert cbor.decode(data) == value
