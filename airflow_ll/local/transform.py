"""Running transform jobs: split each input object, score the batches, assemble one ``.out`` object."""

from __future__ import annotations

import datetime as dt
import logging
import os
import shutil
import time
import uuid
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

from airflow_ll.local import s3_data
from airflow_ll.local.capture import capture_transform
from airflow_ll.local.data_processing import DataProcessing
from airflow_ll.local.jobs import StopJobError
from airflow_ll.local.resources import TRANSFORM_JOB
from airflow_ll.local.serving import ContainerError, ServingProcess, fetch_model
from airflow_ll.local.speed import NoCapacityError, hold, provision
from airflow_ll.local.transform_records import batches, records

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future
    from pathlib import Path

    from airflow_ll.local.jobs import JobHandle
    from airflow_ll.local.runtime import Runtime

__all__ = ["LOG_GROUP", "end", "mark_stopping", "recover", "submit"]

LOG_GROUP = "/aws/sagemaker/TransformJobs"

_log = logging.getLogger(__name__)

_DEFAULT_PAYLOAD_MB = 6
_MAX_REASON = 1024
_INVOCATION_SECONDS = 600
_RETRIES = 3


def submit(runtime: Runtime, name: str) -> None:
    """Queue a transform job."""
    arn = runtime.arn(TRANSFORM_JOB.key, name)
    runtime.jobs.submit(arn, lambda handle: _TransformRun(runtime, name, handle).run())


def recover(runtime: Runtime) -> None:
    """Settle the jobs that an earlier runtime left: those that had not begun wait again, the others ended."""
    shutil.rmtree(runtime.data_dir / "transforms", ignore_errors=True)
    for job in runtime.store.with_status(TRANSFORM_JOB.key, "InProgress"):
        if "TransformStartTime" not in job:
            submit(runtime, job["TransformJobName"])
            continue
        reason = "InternalServerError: the embedded runtime ended while the job ran. Please try again with a new job."
        end(runtime, job["TransformJobName"], "Failed", FailureReason=reason)
    for job in runtime.store.with_status(TRANSFORM_JOB.key, "Stopping"):
        end(runtime, job["TransformJobName"], "Stopped")


def mark_stopping(runtime: Runtime, name: str) -> bool:
    """Move a job from InProgress to Stopping; ``False`` when it is not InProgress."""
    return _move(runtime, name, ("InProgress",), TransformJobStatus="Stopping")


def end(runtime: Runtime, name: str, status: str, **members: Any) -> None:
    """Bring a job to its final status, unless it is there."""
    members |= {"TransformJobStatus": status, "TransformEndTime": time.time()}
    _move(runtime, name, ("InProgress", "Stopping"), **members)


def _move(runtime: Runtime, name: str, states: tuple[str, ...], **members: Any) -> bool:
    def change(job: dict[str, Any]) -> bool:
        if job["TransformJobStatus"] not in states:
            return False
        job |= members
        return True

    return runtime.store.update(TRANSFORM_JOB.key, name, TRANSFORM_JOB.status_member, change) is not None


@dataclass(frozen=True)
class _Instance:
    """One instance of a job: its serving process, and the threads that send requests to it."""

    process: ServingProcess
    senders: ThreadPoolExecutor
    concurrency: int
    folder: Path


class _TransformRun:
    """One job from its start to its end."""

    def __init__(self, runtime: Runtime, name: str, handle: JobHandle) -> None:
        self._runtime, self._name, self._handle = runtime, name, handle
        self._job = TRANSFORM_JOB.describe(runtime, {"TransformJobName": name})
        self._root = runtime.data_dir / "transforms" / name
        self._stream = f"{name}/i-{uuid.uuid4().hex[:17]}"
        data, output = self._job["TransformInput"], self._job["TransformOutput"]
        headers = {"Content-Type": data.get("ContentType"), "Accept": output.get("Accept")}
        self._headers = {key: value for key, value in headers.items() if value}

    def run(self) -> None:
        """Run the job; whatever happens, it ends in a final state (unless the runtime itself is closing)."""
        try:
            self._transform()
        except StopJobError:
            end(self._runtime, self._name, "Stopped")
        except (s3_data.CustomerDataError, ContainerError) as error:
            if self._handle.reason is not None:
                end(self._runtime, self._name, "Stopped")
            else:
                self._fail(f"ClientError: {error}")
        except NoCapacityError as error:
            self._fail(str(error))
        except InterruptedError:
            return  # the runtime is closing: the next one settles the job
        except Exception as error:
            _log.exception("transform job %s", self._name)
            self._fail(f"InternalServerError: {error}")
        finally:
            shutil.rmtree(self._root, ignore_errors=True)

    def _transform(self) -> None:
        provision(self._runtime, self._handle, TRANSFORM_JOB.key, self._name)
        self._started = dt.datetime.now(dt.UTC)
        self._processing = DataProcessing.of(self._job, self._started.strftime("%Y-%m-%dT%H:%M:%SZ"))
        if not _move(self._runtime, self._name, ("InProgress",), TransformStartTime=self._started.timestamp()):
            raise StopJobError
        hold(self._runtime, self._handle, TRANSFORM_JOB.key, self._name, "InProgress")
        shutil.rmtree(self._root, ignore_errors=True)
        fetch_model(self._runtime, self._job["_ModelData"], self._root)
        items = s3_data.objects(self._runtime, self._job["TransformInput"]["DataSource"]["S3DataSource"])
        count = min(self._job["TransformResources"]["InstanceCount"], len(items), os.cpu_count() or 1)
        with ThreadPoolExecutor(count, "transform") as instances:
            shares = [instances.submit(self._instance, number, items[number::count]) for number in range(count)]
        failures = [failure for share in shares for failure in share.result()]
        self._handle.check()
        if failures:
            raise failures[0]
        capture_transform(self._runtime, self._job, items, self._started)
        end(self._runtime, self._name, "Completed")

    def _instance(self, number: int, items: list[s3_data.S3Object]) -> list[s3_data.CustomerDataError]:
        """Score the objects of one instance and return what those that cannot be scored failed with."""
        failures = []
        process = ServingProcess(self._runtime, self._root, self._write_log, self._handle, self._environment())
        try:
            concurrency = self._job.get("MaxConcurrentTransforms") or process.max_concurrent_transforms()
            with ThreadPoolExecutor(concurrency, "transform") as senders:
                instance = _Instance(process, senders, concurrency, self._root / str(number))
                for item in items:
                    try:
                        self._object(item, instance)
                    except s3_data.CustomerDataError as error:
                        failures.append(error)
        finally:
            process.stop()
        return failures

    def _environment(self) -> dict[str, str]:
        """Return what the service tells a container of a transform job about it, and what the request adds."""
        settings = {
            "SAGEMAKER_BATCH": "true",
            "SAGEMAKER_MAX_PAYLOAD_IN_MB": str(self._job.get("MaxPayloadInMB", _DEFAULT_PAYLOAD_MB)),
            "SAGEMAKER_BATCH_STRATEGY": self._job.get("BatchStrategy", "MultiRecord"),
        }
        return {**settings, **self._job.get("_Environment", {}), **self._job.get("Environment", {})}

    def _object(self, item: s3_data.S3Object, instance: _Instance) -> None:
        """Score one input object into ``<output path>/<its name>.out``."""
        self._handle.check()
        data = self._job["TransformInput"]
        gzipped = data.get("CompressionType", "None") == "Gzip"
        source = s3_data.fetch(self._runtime, item, instance.folder / "input", gzipped=gzipped)
        target = instance.folder / "part.out"
        lines = self._job["TransformOutput"].get("AssembleWith") == "Line"
        with source.open("rb") as opened, target.open("wb") as out:
            for stored in self._scored(item, self._bodies(opened), instance):
                out.write(stored.rstrip(b"\n") + b"\n" if lines else stored)
        bucket, prefix = s3_data.split(self._job["TransformOutput"]["S3OutputPath"])
        key = "/".join(part for part in (prefix.strip("/"), f"{item.name}.out") if part)
        self._handle.check()
        s3_data.upload(self._runtime, target, bucket, key)
        source.unlink()

    def _bodies(self, opened: BinaryIO) -> Iterator[bytes]:
        """Yield the batches of an input object."""
        single = self._job.get("BatchStrategy") == "SingleRecord"
        max_bytes = self._job.get("MaxPayloadInMB", _DEFAULT_PAYLOAD_MB) << 20
        split_type = self._job["TransformInput"].get("SplitType", "None")
        return batches(records(opened, split_type, single=single), single=single, max_bytes=max_bytes)

    def _scored(self, item: s3_data.S3Object, bodies: Iterator[bytes], instance: _Instance) -> Iterator[bytes]:
        """Yield what is stored for each batch, in order, with MaxConcurrentTransforms requests under way."""
        waiting: deque[Future[bytes]] = deque()
        try:
            for body in bodies:
                waiting.append(instance.senders.submit(self._batch, item, body, instance.process))
                if len(waiting) >= instance.concurrency:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for one in waiting:
                one.cancel()

    def _batch(self, item: s3_data.S3Object, body: bytes, process: ServingProcess) -> bytes:
        """Return what is stored for one batch."""
        self._handle.check()
        try:
            sent = self._processing.request_body(body) if self._processing else body
            status, answer, _ = self._invoke(process, sent)
            if status == 200:
                return self._processing.stored_body(body, answer) if self._processing else answer
        except s3_data.CustomerDataError as error:
            raise self._refused(item, "ClientError", str(error), str(error)) from error
        text = answer.decode("utf-8", "replace")
        kind = "ClientError" if status < 500 else "InternalServerError"
        raise self._refused(item, f"{kind}: {status}", text, f"{status} {text}")

    def _refused(self, item: s3_data.S3Object, kind: str, text: str, reason: str) -> s3_data.CustomerDataError:
        """Write a batch that cannot be scored into the log as the service does, and return the job's error."""
        where = f"{item.bucket}/{item.key}"
        self._write_log([f"[sagemaker logs]: {where}: {kind}", f"[sagemaker logs]: {where}: Message: {text}"])
        return s3_data.CustomerDataError(f"See job logs for more information ({where}: {reason})")

    def _invoke(self, process: ServingProcess, body: bytes) -> tuple[int, bytes, str]:
        """Send one request; what the container does not answer well is tried again, as ModelClientConfig says."""
        client = self._job.get("ModelClientConfig", {})
        timeout = client.get("InvocationsTimeoutInSeconds", _INVOCATION_SECONDS)
        for last in (*(False,) * client.get("InvocationsMaxRetries", _RETRIES), True):
            try:
                answered = process.invoke(body, self._headers, timeout)
            except ContainerError:
                if last:
                    raise
            else:
                if last or answered[0] < 500:
                    return answered
            self._handle.check()
        raise AssertionError("the last attempt returns or raises")

    def _write_log(self, lines: list[str]) -> None:
        self._runtime.logs.write(LOG_GROUP, self._stream, lines)

    def _fail(self, reason: str) -> None:
        if not self._runtime.closing.is_set():
            end(self._runtime, self._name, "Failed", FailureReason=reason[:_MAX_REASON])
