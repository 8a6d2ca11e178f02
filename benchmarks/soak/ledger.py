"""A client that writes down every answer it got, before it goes on: what was acknowledged must be true for ever.

``python -m benchmarks.soak.ledger URL FILE`` works until SIGTERM. Each line of the file is JSON: ``did`` what was
acknowledged, ``tried`` what was sent without an answer (it may have happened), ``saw`` the status of a job.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from airflow_ll.local import boto_session
from benchmarks.soak.inputs import BUCKET, create_endpoint, training_request

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

KEYS = 60
PART = 5 << 20


class Ledger:
    """An append-only file, durable line by line."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", encoding="utf-8")
        self._lock = threading.Lock()

    def write(self, kind: str, **entry: Any) -> None:
        """Append an entry."""
        with self._lock:
            self._file.write(json.dumps({"kind": kind, **entry}) + "\n")
            self._file.flush()
            os.fsync(self._file.fileno())


class Worker:
    """One thread with work of its own: no two of them touch the same key or job."""

    def __init__(self, url: str, ledger: Ledger, number: int, stop: threading.Event) -> None:
        session: Any = boto_session(url)
        config = Config(retries={"max_attempts": 0}, connect_timeout=5, read_timeout=60)
        self._clients: dict[str, Any] = {name: session.client(name, config=config) for name in ("s3", "sagemaker")}
        self._ledger, self._number, self._stop = ledger, number, stop
        self._chance = random.Random(number)
        self._jobs: list[str] = []
        self._count = 0

    def run(self) -> None:
        """Work until it is time to stop; an answer that does not come is no answer."""
        steps = [self._put] * 6 + [self._delete, self._multipart, self._copy] + [self._train, self._look, self._look]
        while not self._stop.is_set():
            self._count += 1
            try:
                self._chance.choice(steps)()
            except (BotoCoreError, ClientError):
                self._stop.wait(0.2)  # the runtime is down, or was killed under this call
            self._stop.wait(0.02)

    def _do(self, what: Mapping[str, Any], call: Callable[[], Any]) -> Any:
        self._ledger.write("tried", **what)
        answer = call()
        self._ledger.write("did", **what)
        return answer

    def _key(self) -> str:
        return f"objects/{self._number}/{self._chance.randrange(KEYS)}"

    def _put(self) -> None:
        body = self._chance.randbytes(self._chance.choice((100, 10_000, 300_000)))
        key = self._key()
        self._do({"put": key, "sha256": hashlib.sha256(body).hexdigest()}, lambda: self._store(key, body))

    def _store(self, key: str, body: bytes) -> None:
        self._clients["s3"].put_object(Bucket=BUCKET, Key=key, Body=body)

    def _copy(self) -> None:
        body, source, target = self._chance.randbytes(5000), f"sources/{self._number}-{self._count}", self._key()
        digest = hashlib.sha256(body).hexdigest()
        self._do({"put": source, "sha256": digest}, lambda: self._store(source, body))
        wanted = {"Bucket": BUCKET, "Key": source}
        self._do(
            {"put": target, "sha256": digest},
            lambda: self._clients["s3"].copy_object(Bucket=BUCKET, Key=target, CopySource=wanted),
        )

    def _delete(self) -> None:
        key = self._key()
        self._do({"delete": key}, lambda: self._clients["s3"].delete_object(Bucket=BUCKET, Key=key))

    def _multipart(self) -> None:
        s3, key = self._clients["s3"], self._key()
        bodies = [self._chance.randbytes(PART), self._chance.randbytes(1000)]
        upload = {"Bucket": BUCKET, "Key": key}
        upload["UploadId"] = s3.create_multipart_upload(**upload)["UploadId"]
        parts = [
            {"ETag": s3.upload_part(**upload, PartNumber=number, Body=body)["ETag"], "PartNumber": number}
            for number, body in enumerate(bodies, 1)
        ]
        digest = hashlib.sha256(b"".join(bodies)).hexdigest()
        self._do(
            {"put": key, "sha256": digest},
            lambda: s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts}),
        )

    def _train(self) -> None:
        if len(self._jobs) > self._count // 25:
            return
        name = f"kill-{self._number}-{self._count}-{int(time.time())}"
        self._do({"job": name}, lambda: self._clients["sagemaker"].create_training_job(**training_request(name)))
        self._jobs.append(name)

    def _look(self) -> None:
        if not self._jobs:
            return
        name = self._chance.choice(self._jobs)
        job = self._clients["sagemaker"].describe_training_job(TrainingJobName=name)
        steps = [one["Status"] for one in job["SecondaryStatusTransitions"]]
        artifact = job["ModelArtifacts"].get("S3ModelArtifacts", "")
        self._ledger.write("saw", job=name, status=job["TrainingJobStatus"], steps=steps, artifact=artifact)
        if artifact and self._chance.random() < 0.2:
            self._deploy(name, artifact)

    def _deploy(self, name: str, artifact: str) -> None:
        endpoints = self._clients["sagemaker"].list_endpoints(MaxResults=100)["Endpoints"]
        if len(endpoints) < 4 and name not in [one["EndpointName"] for one in endpoints]:
            self._do({"endpoint": name}, lambda: create_endpoint(self._clients["sagemaker"], name, artifact))


def main() -> None:
    """Work with four threads until SIGTERM."""
    url, path = sys.argv[1:]
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    ledger = Ledger(Path(path))
    threads = [threading.Thread(target=Worker(url, ledger, number, stop).run) for number in range(4)]
    for thread in threads:
        thread.start()
    while not stop.wait(0.5):
        pass
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
