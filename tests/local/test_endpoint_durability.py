"""What endpoints have promised is kept when the runtime is killed."""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING, Any

from tests.local.support import (
    CSV,
    IMAGE,
    ROLE,
    configure,
    in_service,
    processes,
    serve,
    training_ended,
    training_request,
    upload_training_data,
    variant,
    wait_for,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Runtime

CANARY = {"Type": "CANARY", "WaitIntervalInSeconds": 1000, "CanarySize": {"Type": "CAPACITY_PERCENT", "Value": 50}}


def prepare(runtime: Runtime) -> None:
    """Train the model ``scorer``."""
    upload_training_data(runtime)
    sagemaker = runtime.client("sagemaker")
    sagemaker.create_training_job(**training_request("trained"))
    container = {
        "Image": IMAGE,
        "ModelDataUrl": training_ended(runtime, "trained")["ModelArtifacts"]["S3ModelArtifacts"],
    }
    sagemaker.create_model(ModelName="scorer", ExecutionRoleArn=ROLE, PrimaryContainer=container)


def kill(runtime: Runtime) -> None:
    os.kill(runtime.process.pid, signal.SIGKILL)
    runtime.process.wait()


def answering(runtime: Runtime, endpoint: str) -> str:
    answer = runtime.client("sagemaker-runtime").invoke_endpoint(
        EndpointName=endpoint, Body=CSV, ContentType="text/csv"
    )
    return str(answer["InvokedProductionVariant"])


def test_weights_instances_and_updates_go_on_after_a_kill(fresh_runtime: Callable[[], Runtime]) -> None:
    runtime = fresh_runtime()
    prepare(runtime)
    sagemaker = runtime.client("sagemaker")
    serve(runtime, "scaled", variant(VariantName="a"), variant(VariantName="b"))
    wanted = [
        {"VariantName": "a", "DesiredWeight": 0.0},
        {"VariantName": "b", "DesiredWeight": 3.0, "DesiredInstanceCount": 2},
    ]
    sagemaker.update_endpoint_weights_and_capacities(EndpointName="scaled", DesiredWeightsAndCapacities=wanted)
    in_service(runtime, "scaled")
    serve(runtime, "updated", variant(VariantName="old"))
    configure(runtime, "update", variant(VariantName="new"))
    policy = {"BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": CANARY}}
    sagemaker.update_endpoint(EndpointName="updated", EndpointConfigName="update", DeploymentConfig=policy)
    wait_for(
        lambda: sagemaker.describe_endpoint(EndpointName="updated"),
        lambda endpoint: "PendingDeploymentSummary" in endpoint,
    )

    kill(runtime)
    runtime = fresh_runtime()
    after_kill = runtime.client("sagemaker").describe_endpoint(EndpointName="updated")["EndpointStatus"]
    answers = {answering(runtime, "scaled") for _ in range(10)}
    scaled = runtime.client("sagemaker").describe_endpoint(EndpointName="scaled")
    updated = in_service(runtime, "updated")

    assert answers == {"b"}
    assert [(one["CurrentWeight"], one["CurrentInstanceCount"]) for one in scaled["ProductionVariants"]] == [
        (0.0, 1),
        (3.0, 2),
    ]
    assert len(processes(runtime, "scaled")) == 3
    assert after_kill == "Updating"
    assert (updated["EndpointStatus"], updated["EndpointConfigName"]) == ("InService", "update")
    assert answering(runtime, "updated") == "new"
    assert (runtime.data_dir / "runtime.log").read_text() == ""


def test_asynchronous_requests_that_were_accepted_are_answered_after_a_kill(
    fresh_runtime: Callable[[], Runtime],
) -> None:
    runtime = fresh_runtime()
    prepare(runtime)
    serve(runtime, "later", AsyncInferenceConfig={"OutputConfig": {"S3OutputPath": "s3://data/later"}})
    for process in processes(runtime, "later"):
        os.kill(process, signal.SIGSTOP)  # nothing is answered before the kill
    client = runtime.client("sagemaker-runtime")
    accepted = [
        client.invoke_endpoint_async(EndpointName="later", Body=CSV, ContentType="text/csv")["OutputLocation"]
        for _ in range(6)
    ]

    kill(runtime)
    runtime = fresh_runtime()
    s3 = runtime.client("s3")

    def arrived() -> dict[str, Any]:
        found = s3.list_objects_v2(Bucket="data", Prefix="later/").get("Contents", [])
        return {f"s3://data/{one['Key']}": one["Key"] for one in found}

    results = wait_for(arrived, lambda found: len(found) == len(accepted))

    assert sorted(results) == sorted(accepted)
    for key in results.values():
        body = s3.get_object(Bucket="data", Key=key)["Body"].read()
        assert len(json.loads(body)["predictions"]) == 2
