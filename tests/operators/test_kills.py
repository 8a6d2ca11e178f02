"""kill -9 of a record set task wherever it talks to S3: nothing half there is a record set, the retry completes one."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import uuid
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from airflow_ll.records import parse_manifest, read_records
from airflow_ll.requests.names import TaskIdentity, resource_name
from tests.operators.conftest import BUCKET, connection

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tests.conftest import Runtime

ROOT = Path(__file__).parents[2]
MANIFEST = "/.amazon.manifest"


class Bucket:
    """What S3 has below one prefix, as any reader sees it."""

    def __init__(self, runtime: Runtime, prefix: str) -> None:
        self.s3, self.prefix = runtime.client("s3"), prefix

    def keys(self, run: int) -> list[str]:
        name = resource_name(TaskIdentity("killed", f"run-{run}", "rows"), "record-set")
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=f"{self.prefix}/{name}/")
        return [one["Key"] for page in pages for one in page.get("Contents", [])]

    def read(self, key: str) -> bytes:
        body: bytes = self.s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        return body

    def record_set(self, manifest: str) -> tuple[set[str], NDArray[Any]]:
        """Return the keys of a record set and its rows, after checking each digest."""
        folder = manifest.removesuffix(MANIFEST)
        facts = json.loads(self.read(f"{folder}.meta/record_set.json"))
        prefix, names = parse_manifest(self.read(manifest))
        assert prefix == f"s3://{BUCKET}/{folder}/"
        assert names == [shard["name"] for shard in facts["shards"]]
        bodies = [self.read(f"{folder}/{name}") for name in names]
        assert [hashlib.sha256(body).hexdigest() for body in bodies] == [shard["sha256"] for shard in facts["shards"]]
        rows = [read_records(body) for body in bodies]
        keys = {manifest, f"{folder}.meta/record_set.json", *(f"{folder}/{name}" for name in names)}
        return keys, np.concatenate([np.column_stack([np.asarray(part.labels), part.features]) for part in rows])


def program(runtime: Runtime, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "tests.operators.killed_task", *arguments],
        env=os.environ | {"AIRFLOW_CONN_AWS_DEFAULT": connection(runtime.url)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.splitlines()[-1] if done.stdout else ""


@pytest.fixture
def matrices(tmp_path: Path) -> list[tuple[str, NDArray[np.float32]]]:
    """Two files of the same shape with other numbers."""
    random = np.random.default_rng(5)
    matrices = [random.normal(size=(4200, 400)).astype(np.float32) for _ in range(2)]
    for number, matrix in enumerate(matrices):
        np.save(tmp_path / f"{number}.npy", matrix)
    return [(str(tmp_path / f"{number}.npy"), matrix) for number, matrix in enumerate(matrices)]


def in_order(rows: NDArray[Any]) -> NDArray[Any]:
    return rows[np.argsort(rows[:, 0])]


def test_every_kill_leaves_no_half_record_set_and_the_next_attempt_completes_one(
    runtime: Runtime, matrices: list[tuple[str, NDArray[np.float32]]]
) -> None:
    runtime.client("s3").create_bucket(Bucket=BUCKET)
    bucket = Bucket(runtime, uuid.uuid4().hex[:8])
    location = f"s3://{BUCKET}/{bucket.prefix}"
    boundaries = int(program(runtime, "kill", matrices[0][0], location))

    seen: Counter[str] = Counter()
    for run in range(1, boundaries + 1):
        keys = bucket.keys(run)
        manifests = [key for key in keys if key.endswith(MANIFEST)]
        for manifest in manifests:
            bucket.record_set(manifest)
        seen["with a manifest" if manifests else "with shards" if keys else "with nothing"] += 1
    uploads = bucket.s3.list_multipart_uploads(Bucket=BUCKET, Prefix=bucket.prefix).get("Uploads", [])
    assert all(seen[what] for what in ("with nothing", "with shards", "with a manifest")), "kills came everywhere"
    assert uploads, "kills came within a multipart upload, too"

    # Two boundaries that follow one another leave the same behind: one is retried with the same data, one with other.
    program(runtime, "retry", str(boundaries), location, *(source for source, _ in matrices))
    for run in range(1, boundaries + 1):
        _, wanted = matrices[run % 2 == 0]
        keys = bucket.keys(run)
        sets = [bucket.record_set(key) for key in keys if key.endswith(MANIFEST)]
        assert {key for own, _ in sets for key in own} == set(keys), f"orphans after the retry of kill {run}"
        of_wanted = [rows for _, rows in sets if np.isin(rows[:, 0], wanted[:, 0]).all()]
        np.testing.assert_array_equal(in_order(np.concatenate(of_wanted)), in_order(wanted))
    assert not bucket.s3.list_multipart_uploads(Bucket=BUCKET, Prefix=bucket.prefix).get("Uploads", [])
