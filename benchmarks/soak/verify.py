"""Hold a runtime to a ledger, through boto3 alone."""

from __future__ import annotations

import hashlib
import json
import time
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from benchmarks.soak.inputs import BUCKET, CSV_ROW

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from airflow_ll.testing import LocalRuntime

__all__ = ["read_ledger", "verify"]

ENDED = ("Completed", "Failed", "Stopped")
Entry = dict[str, Any]


def read_ledger(path: Path) -> list[Entry]:
    """Return the entries of a ledger."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def verify(runtime: LocalRuntime, entries: list[Entry]) -> tuple[dict[str, int], list[str]]:
    """Return how much of each kind was verified, and what is not as it was acknowledged."""
    counts: dict[str, int] = defaultdict(int)
    faults = [
        *_objects(runtime.client("s3"), entries, counts),
        *_jobs(runtime.client("sagemaker"), entries, counts),
        *_endpoints(runtime, entries, counts),
    ]
    return dict(counts), faults


def _allowed(entries: list[Entry]) -> dict[str, set[str | None]]:
    """Return the digests that each key may have: that of the last answer, or of what was tried after it."""
    allowed: dict[str, set[str | None]] = {}
    for entry in entries:
        key = entry.get("put") or entry.get("delete")
        if key:
            digest = entry.get("sha256")
            allowed[key] = {digest} if entry["kind"] == "did" else allowed.get(key, {None}) | {digest}
    return allowed


def _objects(s3: Any, entries: list[Entry], counts: dict[str, int]) -> Iterator[str]:
    allowed = _allowed(entries)
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
    listed = {one["Key"]: one for page in pages for one in page.get("Contents", [])}
    for key, digests in allowed.items():
        counts["objects"] += 1
        try:
            body = s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()
            found: str | None = hashlib.sha256(body).hexdigest()
        except ClientError:
            found = None
        if found not in digests:
            yield f"{key} is {found}, not one of {digests}"
        if (found is None) != (key not in listed):
            yield f"{key} is listed otherwise than it is read"
    for key, one in listed.items():
        head = s3.head_object(Bucket=BUCKET, Key=key)
        if (head["ContentLength"], head["ETag"]) != (one["Size"], one["ETag"]):
            yield f"{key} is listed with another size or tag than its head has"


def _jobs(sagemaker: Any, entries: list[Entry], counts: dict[str, int]) -> Iterator[str]:
    last: dict[str, Entry] = {}
    for entry in [one for one in entries if one["kind"] == "saw"]:
        counts["observations"] += 1
        before = last.get(entry["job"])
        if before and _backwards(before, entry):
            yield f"{entry['job']} went from {before} to {entry}"
        last[entry["job"]] = entry
    for name in [one["job"] for one in entries if one["kind"] == "did" and "job" in one]:
        counts["jobs"] += 1
        try:
            job = _ended(sagemaker, name)
        except ClientError as error:
            yield f"{name} was acknowledged and is gone: {error}"
            continue
        steps = [one["Status"] for one in job["SecondaryStatusTransitions"]]
        now = {"status": job["TrainingJobStatus"], "steps": steps}
        if name in last and _backwards(last[name], now):
            yield f"{name} went from {last[name]} to {now}"
        if job["TrainingJobStatus"] == "Failed" and "the embedded runtime ended" not in job["FailureReason"]:
            yield f"{name} failed: {job['FailureReason']}"
        counts[job["TrainingJobStatus"]] += 1


def _backwards(before: Entry, after: Entry) -> bool:
    """Tell whether a job took a step back: an end that changed, or a history that was rewritten."""
    if before["status"] in ENDED and after["status"] != before["status"]:
        return True
    if before["status"] == "Stopping" and after["status"] == "InProgress":
        return True
    return bool(after["steps"][: len(before["steps"])] != before["steps"])


def _ended(sagemaker: Any, name: str) -> Any:
    deadline = time.monotonic() + 600
    while True:
        job = sagemaker.describe_training_job(TrainingJobName=name)
        if job["TrainingJobStatus"] in ENDED or time.monotonic() > deadline:
            return job
        time.sleep(0.5)


def _endpoints(runtime: LocalRuntime, entries: list[Entry], counts: dict[str, int]) -> Iterator[str]:
    sagemaker, invocations = runtime.client("sagemaker"), runtime.client("sagemaker-runtime")
    for name in [one["endpoint"] for one in entries if one["kind"] == "did" and "endpoint" in one]:
        counts["endpoints"] += 1
        deadline = time.monotonic() + 300
        try:
            while sagemaker.describe_endpoint(EndpointName=name)["EndpointStatus"] != "InService":
                if time.monotonic() > deadline:
                    break
                time.sleep(0.5)
            answer = invocations.invoke_endpoint(EndpointName=name, Body=CSV_ROW, ContentType="text/csv")
            if b"predictions" not in answer["Body"].read():
                yield f"the endpoint {name} gives no predictions"
        except ClientError as error:
            yield f"the endpoint {name} does not answer: {error}"
