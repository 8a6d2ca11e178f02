"""What model monitoring reads: the data that endpoints and transform jobs capture into S3."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from airflow_ll.local.s3_data import CustomerDataError, S3Object, split

if TYPE_CHECKING:
    import datetime as dt

    from airflow_ll.local.runtime import Runtime

__all__ = ["capture_transform"]


def capture_transform(runtime: Runtime, job: dict[str, Any], items: list[S3Object], started: dt.datetime) -> None:
    """Write the manifests of a transform job's inputs and outputs, when it has a DataCaptureConfig.

    They are ``<destination>/input/yyyy/mm/dd/hh/<id>.jsonl`` and the same under ``output``.

    :raises CustomerDataError: the destination does not take them.
    """
    config = job.get("DataCaptureConfig")
    if config is None:
        return
    output = job["TransformOutput"]["S3OutputPath"].rstrip("/") + "/"
    first = items[0]
    manifests = {
        "input": [
            {"prefix": f"s3://{first.bucket}/{first.key.removesuffix(first.name)}"},
            *(one.name for one in items),
        ],
        "output": [{"prefix": output}, *(f"{one.name}.out" for one in items)],
    }
    bucket, prefix = split(config["DestinationS3Uri"])
    for side, manifest in manifests.items():
        parts = (prefix.strip("/"), side, started.strftime("%Y/%m/%d/%H"), f"{uuid.uuid4()}.jsonl")
        key = "/".join(part for part in parts if part)
        try:
            runtime.s3.put_object(Bucket=bucket, Key=key, Body=json.dumps(manifest).encode() + b"\n")
        except (ClientError, BotoCoreError) as error:
            raise CustomerDataError(f"Data capture into {config['DestinationS3Uri']} failed: {error}") from error
