"""Running transform jobs: split each input object, score the batches, assemble one ``.out`` object."""

from __future__ import annotations

import logging
import shutil
import struct
import time
import uuid
from typing import TYPE_CHECKING, Any, BinaryIO

from airflow_ll.local import s3_data
from airflow_ll.local.jobs import StopJobError
from airflow_ll.local.resources import TRANSFORM_JOB
from airflow_ll.local.serving import ContainerError, ServingProcess, fetch_model

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from airflow_ll.local.jobs import JobHandle
    from airflow_ll.local.runtime import Runtime

__all__ = ["LOG_GROUP", "batches", "end", "mark_stopping", "records", "recover", "submit"]

LOG_GROUP = "/aws/sagemaker/TransformJobs"

_log = logging.getLogger(__name__)

_DEFAULT_PAYLOAD_MB = 6
_MAX_REASON = 1024
_RECORD_IO = struct.Struct("<II")
_RECORD_IO_MAGIC = 0xCED7230A


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


def records(source: BinaryIO, split_type: str) -> Iterator[bytes]:
    """Yield the records of an input object: lines, RecordIO frames, or the whole of it.

    :raises CustomerDataError: it is not RecordIO.
    """
    if split_type == "Line":
        for line in source:
            yield line if line.endswith(b"\n") else line + b"\n"
    elif split_type == "RecordIO":
        while header := source.read(_RECORD_IO.size):
            magic, length = _RECORD_IO.unpack(header) if len(header) == _RECORD_IO.size else (0, 0)
            body = source.read(length + -length % 4)
            if magic != _RECORD_IO_MAGIC or len(body) < length:
                raise s3_data.CustomerDataError(f"the data before offset {source.tell()} is not RecordIO")
            yield header + body
    else:
        yield source.read()


def batches(items: Iterable[bytes], *, single: bool, max_bytes: int) -> Iterator[bytes]:
    """Group records into request bodies of at most ``max_bytes``, or one record each when ``single``.

    :raises CustomerDataError: one record alone is larger.
    """
    waiting: list[bytes] = []
    size = 0
    for item in items:
        if len(item) > max_bytes:
            raise s3_data.CustomerDataError(
                f"a record of {len(item)} bytes is larger than MaxPayloadInMB ({max_bytes >> 20} MB)"
            )
        if waiting and (single or size + len(item) > max_bytes):
            yield b"".join(waiting)
            waiting, size = [], 0
        waiting.append(item)
        size += len(item)
    if waiting:
        yield b"".join(waiting)


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
        self._assemble_lines = output.get("AssembleWith") == "Line"

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
        except Exception as error:
            _log.exception("transform job %s", self._name)
            self._fail(f"InternalServerError: {error}")
        finally:
            shutil.rmtree(self._root, ignore_errors=True)

    def _transform(self) -> None:
        self._handle.check()
        if not _move(self._runtime, self._name, ("InProgress",), TransformStartTime=time.time()):
            raise StopJobError
        shutil.rmtree(self._root, ignore_errors=True)
        fetch_model(self._runtime, self._job["_ModelData"], self._root)
        items = s3_data.objects(self._runtime, self._job["TransformInput"]["DataSource"]["S3DataSource"])
        process = ServingProcess(self._runtime, self._root, self._write_log, self._handle)
        try:
            for item in items:
                self._object(item, process.invoke)
        finally:
            process.stop()
        self._handle.check()
        end(self._runtime, self._name, "Completed")

    def _object(self, item: s3_data.S3Object, invoke: Callable[..., tuple[int, bytes, str]]) -> None:
        """Score one input object into ``<output path>/<its name>.out``."""
        data = self._job["TransformInput"]
        source = s3_data.fetch(
            self._runtime, item, self._root / "input", gzipped=data.get("CompressionType", "None") == "Gzip"
        )
        target = self._root / "part.out"
        max_bytes = self._job.get("MaxPayloadInMB", _DEFAULT_PAYLOAD_MB) << 20
        single = self._job.get("BatchStrategy") == "SingleRecord"
        with source.open("rb") as opened, target.open("wb") as out:
            parts = records(opened, data.get("SplitType", "None"))
            for body in batches(parts, single=single, max_bytes=max_bytes):
                self._handle.check()
                status, answer, _ = invoke(body, self._headers)
                if status != 200:
                    raise self._refused(item, status, answer)
                out.write(answer.rstrip(b"\n") + b"\n" if self._assemble_lines else answer)
        bucket, prefix = s3_data.split(self._job["TransformOutput"]["S3OutputPath"])
        key = "/".join(part for part in (prefix.strip("/"), f"{item.name}.out") if part)
        self._handle.check()
        s3_data.upload(self._runtime, target, bucket, key)
        source.unlink()

    def _refused(self, item: s3_data.S3Object, status: int, answer: bytes) -> s3_data.CustomerDataError:
        """Write the container's refusal into the log as the service does, and return the job's error."""
        text = answer.decode("utf-8", "replace")
        where = f"{item.bucket}/{item.key}"
        kind = "ClientError" if status < 500 else "InternalServerError"
        self._write_log([f"[sagemaker logs]: {where}: {kind}: {status}", f"[sagemaker logs]: {where}: Message: {text}"])
        return s3_data.CustomerDataError(f"See job logs for more information ({where}: {status} {text})")

    def _write_log(self, lines: list[str]) -> None:
        self._runtime.logs.write(LOG_GROUP, self._stream, lines)

    def _fail(self, reason: str) -> None:
        if not self._runtime.closing.is_set():
            end(self._runtime, self._name, "Failed", FailureReason=reason[:_MAX_REASON])
