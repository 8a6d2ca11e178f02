"""Weights, instances and concurrency of production variants, and what an update retains of them."""

from __future__ import annotations

import os
import signal
import uuid
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from airflow_ll.local.faults import write_rules
from tests.local.support import CSV, configure, in_service, processes, serve, variant, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Runtime

SERVERLESS = {"MemorySizeInMB": 2048, "MaxConcurrency": 1}


def serverless(**changes: Any) -> dict[str, Any]:
    return variant(InstanceType=None, InitialInstanceCount=None, ServerlessConfig=SERVERLESS | changes)


@pytest.fixture
def endpoint(data_runtime: Runtime, model: str) -> Iterator[str]:
    """A name for the endpoint of a test, which is deleted at its end."""
    name = f"capacity-{uuid.uuid4().hex[:12]}"
    yield name
    in_service(data_runtime, name)
    data_runtime.client("sagemaker").delete_endpoint(EndpointName=name)


def invoked(runtime: Runtime, endpoint: str, times: int = 1, **arguments: Any) -> list[str]:
    """Invoke an endpoint and return the variants that answered."""
    client = runtime.client("sagemaker-runtime")
    request = {"EndpointName": endpoint, "Body": CSV, "ContentType": "text/csv", **arguments}
    return [client.invoke_endpoint(**request)["InvokedProductionVariant"] for _ in range(times)]


def test_traffic_is_split_by_weight_and_weights_can_change(data_runtime: Runtime, endpoint: str) -> None:
    sagemaker = data_runtime.client("sagemaker")
    serve(data_runtime, endpoint, variant(VariantName="a"), variant(VariantName="b", InitialVariantWeight=1.0))
    before = invoked(data_runtime, endpoint, 64)

    weights = [{"VariantName": "a", "DesiredWeight": 0.0}, {"VariantName": "b", "DesiredWeight": 2.5}]
    sagemaker.update_endpoint_weights_and_capacities(EndpointName=endpoint, DesiredWeightsAndCapacities=weights)
    described = in_service(data_runtime, endpoint)["ProductionVariants"]

    assert set(before) == {"a", "b"}  # by chance alone once in 2^63 runs
    assert [(one["CurrentWeight"], one["DesiredWeight"]) for one in described] == [(0.0, 0.0), (2.5, 2.5)]
    assert set(invoked(data_runtime, endpoint, 20)) == {"b"}
    assert invoked(data_runtime, endpoint, TargetVariant="a") == ["a"]
    with pytest.raises(ClientError, match="Could not find variant c"):
        invoked(data_runtime, endpoint, TargetVariant="c")
    with pytest.raises(ClientError, match="has no production variant c: it has a, b"):
        sagemaker.update_endpoint_weights_and_capacities(
            EndpointName=endpoint, DesiredWeightsAndCapacities=[{"VariantName": "c", "DesiredWeight": 1.0}]
        )


def test_each_instance_is_a_process_and_a_dead_one_comes_back(data_runtime: Runtime, endpoint: str) -> None:
    sagemaker = data_runtime.client("sagemaker")
    serve(data_runtime, endpoint, variant(InitialInstanceCount=2))
    two = processes(data_runtime, endpoint)

    capacity = [{"VariantName": "AllTraffic", "DesiredInstanceCount": 3}]
    sagemaker.update_endpoint_weights_and_capacities(EndpointName=endpoint, DesiredWeightsAndCapacities=capacity)
    described = in_service(data_runtime, endpoint)["ProductionVariants"][0]
    three = processes(data_runtime, endpoint)
    capacity = [{"VariantName": "AllTraffic", "DesiredInstanceCount": 1}]
    sagemaker.update_endpoint_weights_and_capacities(EndpointName=endpoint, DesiredWeightsAndCapacities=capacity)
    in_service(data_runtime, endpoint)
    one = processes(data_runtime, endpoint)
    os.kill(one[0], signal.SIGKILL)
    wait_for(lambda: processes(data_runtime, endpoint), lambda left: left != one)

    assert (len(two), len(three), len(one)) == (2, 3, 1)
    assert set(two) < set(three)
    assert (described["CurrentInstanceCount"], described["DesiredInstanceCount"]) == (3, 3)
    assert invoked(data_runtime, endpoint) == ["AllTraffic"]
    assert len(processes(data_runtime, endpoint)) == 1


@pytest.mark.parametrize(
    ("retain", "exclude", "expected"),
    [(False, [], (1.0, 1)), (True, [], (4.0, 2)), (True, ["DesiredInstanceCount"], (4.0, 1))],
    ids=["new", "retained", "excluded"],
)
def test_an_update_retains_variant_properties(
    data_runtime: Runtime, endpoint: str, retain: bool, exclude: list[str], expected: tuple[float, int]
) -> None:
    sagemaker = data_runtime.client("sagemaker")
    serve(data_runtime, endpoint, variant(InitialVariantWeight=4.0, InitialInstanceCount=2))
    fresh = configure(data_runtime, f"new-{len(exclude)}{retain}", variant(), variant(VariantName="added"))

    sagemaker.update_endpoint(
        EndpointName=endpoint,
        EndpointConfigName=fresh,
        RetainAllVariantProperties=retain,
        ExcludeRetainedVariantProperties=[{"VariantPropertyType": one} for one in exclude],
    )
    kept, added = in_service(data_runtime, endpoint)["ProductionVariants"]

    assert (kept["CurrentWeight"], kept["CurrentInstanceCount"]) == expected
    assert (added["VariantName"], added["CurrentWeight"], added["CurrentInstanceCount"]) == ("added", 1.0, 1)


def test_a_serverless_endpoint_throttles_over_its_concurrency(data_runtime: Runtime, endpoint: str) -> None:
    described = serve(data_runtime, endpoint, serverless())["ProductionVariants"][0]
    (process,) = processes(data_runtime, endpoint)
    client = data_runtime.client("sagemaker-runtime")

    def call() -> str:
        try:
            answer = client.invoke_endpoint(EndpointName=endpoint, Body=CSV, ContentType="text/csv")
            return str(answer["InvokedProductionVariant"])
        except ClientError as error:
            status = error.response["ResponseMetadata"]["HTTPStatusCode"]
            return f"{error.response['Error']['Code']} {status} {error.response['Error']['Message']}"

    os.kill(process, signal.SIGSTOP)  # the request that gets it waits until the other one was refused
    try:
        with ThreadPoolExecutor(2) as clients:
            calls = [clients.submit(call) for _ in range(2)]
            first, _ = wait(calls, return_when=FIRST_COMPLETED)
            os.kill(process, signal.SIGCONT)
            answers = sorted(one.result() for one in calls)
    finally:
        os.kill(process, signal.SIGCONT)

    assert [one.result() for one in first] == ["ThrottlingException 429 Rate exceeded"]
    assert answers == ["AllTraffic", "ThrottlingException 429 Rate exceeded"]
    assert described["CurrentServerlessConfig"] == SERVERLESS
    assert described["CurrentInstanceCount"] == 0
    with pytest.raises(ClientError, match="The variant AllTraffic is serverless"):
        data_runtime.client("sagemaker").update_endpoint_weights_and_capacities(
            EndpointName=endpoint,
            DesiredWeightsAndCapacities=[{"VariantName": "AllTraffic", "DesiredInstanceCount": 2}],
        )
    wider = [{"VariantName": "AllTraffic", "ServerlessUpdateConfig": {"MaxConcurrency": 5}}]
    data_runtime.client("sagemaker").update_endpoint_weights_and_capacities(
        EndpointName=endpoint, DesiredWeightsAndCapacities=wider
    )
    updated = in_service(data_runtime, endpoint)["ProductionVariants"][0]
    assert updated["CurrentServerlessConfig"] == SERVERLESS | {"MaxConcurrency": 5}


@pytest.mark.usefixtures("model")
def test_an_endpoint_whose_deletion_takes_time_is_deleting(data_runtime: Runtime) -> None:
    sagemaker, name = data_runtime.client("sagemaker"), f"leaving-{uuid.uuid4().hex[:12]}"
    serve(data_runtime, name)
    write_rules(data_runtime.data_dir, [f"slow phase=Deleting seconds=8 resource={name}"])
    try:
        sagemaker.delete_endpoint(EndpointName=name)
    finally:
        write_rules(data_runtime.data_dir, [])

    assert sagemaker.describe_endpoint(EndpointName=name)["EndpointStatus"] == "Deleting"
    with pytest.raises(ClientError, match=f"Endpoint {name} of account 123456789012 not found"):
        invoked(data_runtime, name)
    sagemaker.get_waiter("endpoint_deleted").wait(EndpointName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 60})


@pytest.mark.usefixtures("model")
@pytest.mark.parametrize(
    ("variants", "members", "text"),
    [
        ([serverless(), variant(VariantName="b")], {}, "A serverless endpoint has one production variant"),
        ([serverless() | {"InitialInstanceCount": 1}], {}, "has a ServerlessConfig, so no InitialInstanceCount"),
        ([serverless(MemorySizeInMB=1025)], {}, "must be one of 1024, 2048, 3072, 4096, 5120, 6144, got 1025"),
        ([serverless(ProvisionedConcurrency=2)], {}, "ProvisionedConcurrency must be less than or equal to MaxConc"),
        ([variant(InitialInstanceCount=None)], {}, "Value null at 'productionVariants.1.member.initialInstanceCount'"),
        ([variant(), variant()], {}, "variant names must be unique"),
        ([variant(ManagedInstanceScaling={"Status": "ENABLED"})], {}, "does not support ManagedInstanceScaling yet"),
        ([variant("nothing")], {}, "Could not find model"),
    ],
)
def test_configurations_that_cannot_be_served_are_refused(
    data_runtime: Runtime, variants: list[dict[str, Any]], members: dict[str, Any], text: str
) -> None:
    with pytest.raises(ClientError, match=text):
        configure(data_runtime, "refused", *variants, **members)
