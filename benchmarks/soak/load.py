"""Many jobs at once, clients that poll them, endpoints under load: errors, lost jobs, memory, latencies."""

from __future__ import annotations

import itertools
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import psutil  # type: ignore[import-untyped]
from botocore.exceptions import BotoCoreError, ClientError

from benchmarks.soak.inputs import BUCKET, CSV_ROW, create_endpoint, training_request, upload_rows

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_ll.testing import LocalRuntime

__all__ = ["Load", "LoadResult"]

POLLERS = 8
CALLERS = 4
WARM_UP = 0.2  # of the samples of memory


@dataclass
class LoadResult:
    """What a run under load has shown; latencies in milliseconds, memory in bytes."""

    seconds: float = 0
    jobs: int = 0
    endpoints: int = 0
    calls: dict[str, int] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    memory: list[int] = field(default_factory=list)
    seen: list[float] = field(default_factory=list)
    served: list[float] = field(default_factory=list)

    @property
    def growth(self) -> float:
        """The growth of the resident memory from the first to the last quarter after the warm-up."""
        samples = self.memory[int(len(self.memory) * WARM_UP) :]
        quarter = max(1, len(samples) // 4)
        first, last = sorted(samples[:quarter]), sorted(samples[-quarter:])
        return last[len(last) // 2] / first[len(first) // 2] - 1


class Load:
    """One run."""

    def __init__(self, runtime: LocalRuntime, *, jobs: int, endpoints: int, seconds: float) -> None:
        self._runtime, self._seconds = runtime, seconds
        self._jobs = [f"job-{number:03d}" for number in range(jobs)]
        self._endpoints = [f"endpoint-{number:02d}" for number in range(endpoints)]
        self._result = LoadResult(jobs=jobs, endpoints=endpoints)
        self._stop = threading.Event()
        self._counts = {kind: itertools.count() for kind in ("describe", "list", "invoke")}

    def run(self) -> LoadResult:
        """Prepare, load for at least the given time and until every job has ended, and look at what is there."""
        sagemaker = self._runtime.client("sagemaker", max_pool_connections=50)
        upload_rows(self._runtime.client("s3"))
        self._deploy(sagemaker)
        started = time.monotonic()
        with ThreadPoolExecutor(POLLERS + CALLERS + 1) as threads:
            running = [threads.submit(self._loop, self._poll) for _ in range(POLLERS)]
            running += [threads.submit(self._loop, self._invoke) for _ in range(CALLERS)]
            running.append(threads.submit(self._watch_memory))
            try:
                with ThreadPoolExecutor(16) as creators:  # all at once
                    list(creators.map(lambda name: sagemaker.create_training_job(**training_request(name)), self._jobs))
                self._wait(sagemaker, started)
            finally:
                self._stop.set()
            for one in running:
                one.result()
        self._result.seconds = time.monotonic() - started
        self._check(sagemaker)
        self._result.calls = {kind: next(count) for kind, count in self._counts.items()}
        self._result.served = self._latencies()
        return self._result

    def _deploy(self, sagemaker: Any) -> None:
        sagemaker.create_training_job(**training_request("first"))
        job = self._until(lambda: sagemaker.describe_training_job(TrainingJobName="first"), "TrainingJobStatus")
        for name in self._endpoints:
            create_endpoint(sagemaker, name, job["ModelArtifacts"]["S3ModelArtifacts"])
        for name in self._endpoints:
            self._until(lambda: sagemaker.describe_endpoint(EndpointName=name), "EndpointStatus")  # noqa: B023

    def _until(self, describe: Callable[[], Any], member: str) -> Any:
        while True:
            described = describe()
            if described[member] in ("Completed", "InService"):
                return described
            if described[member] in ("Failed", "Stopped"):
                raise RuntimeError(f"the soak cannot start: {described}")
            time.sleep(0.2)

    def _loop(self, step: Callable[[Any, random.Random], None]) -> None:
        sagemaker, runtime = self._runtime.client("sagemaker"), self._runtime.client("sagemaker-runtime")
        chance = random.Random()
        while not self._stop.is_set():
            try:
                step((sagemaker, runtime), chance)
            except (ClientError, BotoCoreError) as error:
                if "Requested resource not found" not in str(error):  # polled before it was created
                    self._result.errors.append(str(error))
            self._stop.wait(0.05)

    def _poll(self, clients: Any, chance: random.Random) -> None:
        started = time.perf_counter()
        clients[0].describe_training_job(TrainingJobName=chance.choice(self._jobs))
        self._result.seen.append((time.perf_counter() - started) * 1000)
        next(self._counts["describe"])
        if chance.random() < 0.1:
            clients[0].list_training_jobs(MaxResults=100, NameContains="job-")
            next(self._counts["list"])

    def _invoke(self, clients: Any, chance: random.Random) -> None:
        name = chance.choice(self._endpoints)
        answer = clients[1].invoke_endpoint(EndpointName=name, Body=CSV_ROW, ContentType="text/csv")
        if not answer["Body"].read():
            self._result.errors.append(f"{name} gave an empty answer")
        next(self._counts["invoke"])

    def _watch_memory(self) -> None:
        process = psutil.Process(self._runtime.process.pid)
        while not self._stop.wait(0.5):
            self._result.memory.append(process.memory_info().rss)

    def _wait(self, sagemaker: Any, started: float) -> None:
        pages = sagemaker.get_paginator("list_training_jobs")
        while True:
            jobs = [job for page in pages.paginate(MaxResults=100) for job in page["TrainingJobSummaries"]]
            running = [job for job in jobs if job["TrainingJobStatus"] == "InProgress"]
            if not running and time.monotonic() - started >= self._seconds:
                return
            time.sleep(1)

    def _check(self, sagemaker: Any) -> None:
        s3 = self._runtime.client("s3")
        for name in self._jobs:
            try:
                job = sagemaker.describe_training_job(TrainingJobName=name)
                uri = job["ModelArtifacts"]["S3ModelArtifacts"]
                s3.head_object(Bucket=BUCKET, Key=uri.removeprefix(f"s3://{BUCKET}/"))
            except (ClientError, KeyError) as error:
                self._result.lost.append(f"{name}: {error}")
                continue
            if job["TrainingJobStatus"] != "Completed":
                self._result.lost.append(f"{name}: {job['TrainingJobStatus']} {job.get('FailureReason', '')}")

    def _latencies(self) -> list[float]:
        """Return how long the runtime took for each DescribeTrainingJob, by its access log."""
        lines = (self._runtime.data_dir / "access.log").read_text().splitlines()
        return [float(line.rpartition(" ")[2]) for line in lines if " sagemaker DescribeTrainingJob " in line]
