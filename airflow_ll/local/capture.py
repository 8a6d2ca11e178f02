"""What model monitoring reads: the data that endpoints and transform jobs capture into S3."""

from __future__ import annotations

import base64
import datetime as dt
import json
import logging
import random
import threading
import uuid
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from airflow_ll.local.s3_data import CustomerDataError, S3Object, split

if TYPE_CHECKING:
    from airflow_ll.local.runtime import Runtime

__all__ = ["EndpointCaptures", "capture_transform"]

_log = logging.getLogger(__name__)

_FLUSH_SECONDS = 1.0
_MAX_RECORDS = 500


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


class EndpointCaptures:
    """What endpoints capture, on its way into JSON Lines files in S3.

    They are ``<destination>/<endpoint>/<variant>/yyyy/mm/dd/hh/<MM-SS-mmm>-<id>.jsonl``, as SageMaker writes them.
    Records wait in memory for a second or until a file is full: a runtime that is killed loses those.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._lock = threading.Lock()
        self._waiting: dict[str, list[bytes]] = {}
        self._timer: threading.Timer | None = None

    def add(
        self, config: dict[str, Any], endpoint: str, variant: str, request: dict[str, Any], answer: tuple[bytes, str]
    ) -> None:
        """Capture one invocation, if the sampling chooses it."""
        if random.random() * 100 >= config["InitialSamplingPercentage"]:  # noqa: S311
            return
        now = dt.datetime.now(dt.UTC)
        record = json.dumps(_record(config, request, answer, now)).encode() + b"\n"
        folder = f"{config['DestinationS3Uri'].rstrip('/')}/{endpoint}/{variant}/{now:%Y/%m/%d/%H}"
        with self._lock:
            records = self._waiting.setdefault(folder, [])
            records.append(record)
            full = len(records) >= _MAX_RECORDS
            if full or self._timer is None:
                self._schedule(0 if full else _FLUSH_SECONDS)

    def _schedule(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = threading.Timer(seconds, self._flush)
        self._timer.daemon = True
        self._timer.start()

    def _flush(self) -> None:
        with self._lock:
            waiting, self._waiting, self._timer = self._waiting, {}, None
        for folder, records in waiting.items():
            now = dt.datetime.now(dt.UTC)
            name = f"{now:%M-%S}-{now.microsecond // 1000:03d}-{uuid.uuid4()}.jsonl"
            bucket, key = split(f"{folder}/{name}")
            try:
                self._runtime.s3.put_object(Bucket=bucket, Key=key, Body=b"".join(records))
            except (ClientError, BotoCoreError) as error:
                _log.warning("%d captured records cannot be written to %s: %s", len(records), folder, error)


def _record(
    config: dict[str, Any], request: dict[str, Any], answer: tuple[bytes, str], now: dt.datetime
) -> dict[str, Any]:
    """Return the line of one invocation."""
    modes = {one["CaptureMode"] for one in config["CaptureOptions"]}
    headers = config.get("CaptureContentTypeHeader", {})
    data = {}
    if modes & {"Input", "InputAndOutput"}:
        data["endpointInput"] = _side("INPUT", request.get("Body", b""), request.get("ContentType", ""), headers)
    if modes & {"Output", "InputAndOutput"}:
        data["endpointOutput"] = _side("OUTPUT", *answer, headers)
    metadata: dict[str, Any] = {"eventId": str(uuid.uuid4()), "inferenceTime": now.strftime("%Y-%m-%dT%H:%M:%SZ")}
    if "InferenceId" in request:
        metadata["inferenceId"] = request["InferenceId"]
    if "CustomAttributes" in request:
        metadata["customAttributes"] = [request["CustomAttributes"]]
    return {"captureData": data, "eventMetadata": metadata, "eventVersion": "0"}


def _side(mode: str, body: bytes, content_type: str, headers: dict[str, list[str]]) -> dict[str, str]:
    """Return the input or the output of an invocation; what is not said to be CSV or JSON is in base64."""
    kind = content_type.partition(";")[0].strip().lower()
    encoding = next(
        (name for name in ("Csv", "Json") if kind in headers.get(f"{name}ContentTypes", [])), "BASE64"
    ).upper()
    data = base64.b64encode(body).decode() if encoding == "BASE64" else body.decode("utf-8", "replace")
    return {"observedContentType": content_type, "mode": mode, "data": data, "encoding": encoding}
