"""Small real inputs for the embedded runtime."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil  # type: ignore[import-untyped]

from airflow_ll.records import encode_records

if TYPE_CHECKING:
    from tests.conftest import Runtime

IMAGE = "382416733822.dkr.ecr.us-east-1.amazonaws.com/linear-learner:1"
ROLE = "arn:aws:iam::123456789012:role/service-role/sagemaker"
FEATURES = 5
CSV = b"1,2,3,4,5\n-1,-2,0,0,0\n"


def rows(count: int = 400, seed: int = 7) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return separable features and labels."""
    features = np.random.default_rng(seed).normal(size=(count, FEATURES)).astype(np.float32)
    return features, (features[:, 0] + 0.5 * features[:, 1] > 0).astype(np.float32)


def training_request(name: str, **changes: Any) -> dict[str, Any]:
    """Return a small training job that the service accepts, with top-level ``changes``; ``None`` removes."""
    request = {
        "TrainingJobName": name,
        "AlgorithmSpecification": {"TrainingImage": IMAGE, "TrainingInputMode": "File"},
        "RoleArn": ROLE,
        "OutputDataConfig": {"S3OutputPath": "s3://data/models/"},
        "ResourceConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 30},
        "StoppingCondition": {"MaxRuntimeInSeconds": 600},
        "InputDataConfig": [channel("train", "s3://data/train/")],
        "HyperParameters": {
            "predictor_type": "binary_classifier",
            "feature_dim": str(FEATURES),
            "mini_batch_size": "50",
            "epochs": "2",
            "num_models": "2",
        },
        "Tags": [{"Key": "owner", "Value": "tests"}],
    }
    request |= changes
    return {key: value for key, value in request.items() if value is not None}


def long_training_request(name: str, **changes: Any) -> dict[str, Any]:
    """Return a training job that goes on until somebody stops it."""
    parameters = training_request(name)["HyperParameters"] | {
        "epochs": "1000000",
        "early_stopping_patience": "1000000",
        "mini_batch_size": "1",
    }
    return training_request(name, HyperParameters=parameters, **changes)


def channel(name: str, uri: str, data_type: str = "S3Prefix") -> dict[str, Any]:
    """Return a channel."""
    return {"ChannelName": name, "DataSource": {"S3DataSource": {"S3DataType": data_type, "S3Uri": uri}}}


def upload_training_data(runtime: Runtime) -> None:
    """Create the bucket and the records that :func:`training_request` names."""
    s3 = runtime.client("s3")
    s3.create_bucket(Bucket="data")
    s3.put_object(Bucket="data", Key="train/part-0.pbr", Body=encode_records(*rows()))


def wait_for(probe: Any, wanted: Any, seconds: float = 120) -> Any:
    """Call ``probe`` until ``wanted`` accepts its answer, which is returned."""
    deadline = time.monotonic() + seconds
    while True:
        answer = probe()
        if wanted(answer):
            return answer
        assert time.monotonic() < deadline, answer
        time.sleep(0.05)


def training_ended(runtime: Runtime, name: str) -> dict[str, Any]:
    """Wait for the end of a training job and return its description."""
    sagemaker = runtime.client("sagemaker")
    description: dict[str, Any] = wait_for(
        lambda: sagemaker.describe_training_job(TrainingJobName=name),
        lambda job: job["TrainingJobStatus"] in ("Completed", "Failed", "Stopped"),
    )
    return description


def variant(model: str = "scorer", **changes: Any) -> dict[str, Any]:
    """Return a production variant with ``changes``; ``None`` removes."""
    given = {"VariantName": "AllTraffic", "ModelName": model, "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}
    return {key: value for key, value in (given | changes).items() if value is not None}


def in_service(runtime: Runtime, name: str) -> dict[str, Any]:
    """Wait until an endpoint is neither created nor updated any more and return its description."""
    sagemaker = runtime.client("sagemaker")
    description: dict[str, Any] = wait_for(
        lambda: sagemaker.describe_endpoint(EndpointName=name),
        lambda endpoint: endpoint["EndpointStatus"] not in ("Creating", "Updating"),
        seconds=120,
    )
    return description


def configure(runtime: Runtime, name: str, *variants: dict[str, Any], **members: Any) -> str:
    """Create an endpoint configuration of that name."""
    request = {"EndpointConfigName": name, "ProductionVariants": list(variants or (variant(),)), **members}
    runtime.client("sagemaker").create_endpoint_config(**request)
    return name


def serve(runtime: Runtime, name: str, *variants: dict[str, Any], **members: Any) -> dict[str, Any]:
    """Create an endpoint and its configuration and return the endpoint's description when it is in service."""
    configure(runtime, name, *variants, **members)
    runtime.client("sagemaker").create_endpoint(EndpointName=name, EndpointConfigName=name)
    description = in_service(runtime, name)
    assert description["EndpointStatus"] == "InService", description.get("FailureReason")
    return description


def processes(runtime: Runtime, endpoint: str) -> list[int]:
    """Return the ids of the processes that serve an endpoint, by its configuration's folder."""
    root = f"{runtime.data_dir.resolve()}/endpoints/{endpoint}/"
    found = psutil.process_iter(["cmdline"])
    return sorted(one.pid for one in found if any(word.startswith(root) for word in one.info["cmdline"] or []))
