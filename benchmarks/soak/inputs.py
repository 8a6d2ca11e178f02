"""Small inputs, and the requests of the soak."""

from __future__ import annotations

from typing import Any

import numpy as np

from airflow_ll.records import encode_records

__all__ = ["BUCKET", "CSV_ROW", "create_endpoint", "training_request", "upload_rows"]

BUCKET = "soak"
FEATURES = 5
CSV_ROW = b"0.5,-1,0.25,2,0\n"
IMAGE = "382416733822.dkr.ecr.us-east-1.amazonaws.com/linear-learner:1"
ROLE = "arn:aws:iam::123456789012:role/soak"


def upload_rows(s3: Any) -> None:
    """Create the bucket and 200 separable rows in it."""
    features = np.random.default_rng(7).normal(size=(200, FEATURES)).astype(np.float32)
    labels = (features[:, 0] > 0).astype(np.float32)
    s3.create_bucket(Bucket=BUCKET)
    s3.put_object(Bucket=BUCKET, Key="train/rows.pbr", Body=encode_records(features, labels))


def training_request(name: str) -> dict[str, Any]:
    """Return a training job of a second."""
    source = {"S3DataType": "S3Prefix", "S3Uri": f"s3://{BUCKET}/train/"}
    return {
        "TrainingJobName": name,
        "AlgorithmSpecification": {"TrainingImage": IMAGE, "TrainingInputMode": "File"},
        "RoleArn": ROLE,
        "OutputDataConfig": {"S3OutputPath": f"s3://{BUCKET}/models/"},
        "ResourceConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 30},
        "StoppingCondition": {"MaxRuntimeInSeconds": 600},
        "InputDataConfig": [{"ChannelName": "train", "DataSource": {"S3DataSource": source}}],
        "HyperParameters": {
            "predictor_type": "binary_classifier",
            "feature_dim": str(FEATURES),
            "mini_batch_size": "50",
            "epochs": "1",
            "num_models": "1",
        },
        "Tags": [{"Key": "soak", "Value": name}],
    }


def create_endpoint(sagemaker: Any, name: str, model_data: str) -> None:
    """Create a model, a configuration and an endpoint of one name."""
    container = {"Image": IMAGE, "ModelDataUrl": model_data}
    sagemaker.create_model(ModelName=name, ExecutionRoleArn=ROLE, PrimaryContainer=container)
    variant = {"VariantName": "v", "ModelName": name, "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}
    sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
