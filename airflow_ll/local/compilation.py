"""Running compilation jobs: fetch the model, compile it in a subprocess, upload the archive."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import time
from typing import TYPE_CHECKING, Any

from airflow_ll.local import s3_data
from airflow_ll.local.jobs import StopJobError
from airflow_ll.local.learners import Limit, run_learner
from airflow_ll.local.resources import COMPILATION_JOB
from airflow_ll.local.speed import NoCapacityError, hold, provision

if TYPE_CHECKING:
    from pathlib import Path

    from airflow_ll.local.jobs import JobHandle
    from airflow_ll.local.runtime import Runtime

__all__ = ["LOG_GROUP", "RUNNING", "end", "recover", "submit"]

LOG_GROUP = "/aws/sagemaker/CompilationJobs"
RUNNING = ("STARTING", "INPROGRESS")

_log = logging.getLogger(__name__)

_MAX_REASON = 1024
_TIME_OUT = "TimeOut"
_DEFAULT_SECONDS = 86_400


def submit(runtime: Runtime, name: str) -> None:
    """Queue a compilation job."""
    arn = runtime.arn(COMPILATION_JOB.key, name)
    runtime.jobs.submit(arn, lambda handle: _CompilationRun(runtime, name, handle).run())


def recover(runtime: Runtime) -> None:
    """Settle the jobs that an earlier runtime left: they run again, for a compilation begun twice does no harm."""
    shutil.rmtree(runtime.data_dir / "compilations", ignore_errors=True)
    for job in runtime.store.with_status(COMPILATION_JOB.key, *RUNNING):
        submit(runtime, job["CompilationJobName"])
    for job in runtime.store.with_status(COMPILATION_JOB.key, "STOPPING"):
        end(runtime, job["CompilationJobName"], "STOPPED")


def end(runtime: Runtime, name: str, status: str, **members: Any) -> bool:
    """Bring a job to its final status, unless it is there; one that is being stopped does not complete."""
    members |= {"CompilationJobStatus": status, "CompilationEndTime": time.time()}
    states = RUNNING if status == "COMPLETED" else (*RUNNING, "STOPPING")
    return COMPILATION_JOB.move(runtime, name, states, **members)


class _CompilationFailedError(Exception):
    """The text is the job's FailureReason."""


class _CompilationRun:
    """One job from its start to its end."""

    def __init__(self, runtime: Runtime, name: str, handle: JobHandle) -> None:
        self._runtime, self._name, self._handle = runtime, name, handle
        self._job = COMPILATION_JOB.describe(runtime, {"CompilationJobName": name})
        self._root = runtime.data_dir / "compilations" / name

    def run(self) -> None:
        """Run the job; whatever happens, it ends in a final state (unless the runtime itself is closing)."""
        try:
            self._compile()
        except StopJobError:
            self._stopped()
        except (_CompilationFailedError, NoCapacityError) as error:
            self._fail(str(error))
        except s3_data.CustomerDataError as error:
            self._fail(f"ClientError: OutputConfiguration: {error}")
        except InterruptedError:
            return  # the runtime is closing: the next one runs the job again
        except Exception as error:
            _log.exception("compilation job %s", self._name)
            self._fail(f"ServerError: {error}")
        finally:
            shutil.rmtree(self._root, ignore_errors=True)

    def _compile(self) -> None:
        provision(self._runtime, self._handle, COMPILATION_JOB.key, self._name, "STARTING")
        self._handle.check()
        started = {"CompilationJobStatus": "INPROGRESS", "CompilationStartTime": time.time()}
        if not COMPILATION_JOB.move(self._runtime, self._name, RUNNING, **started):
            raise StopJobError
        hold(self._runtime, self._handle, COMPILATION_JOB.key, self._name, "INPROGRESS")
        self._lay_out()
        seconds = self._job["StoppingCondition"].get("MaxRuntimeInSeconds", _DEFAULT_SECONDS)
        command = ["compile", "--root", str(self._root)]
        code = run_learner(self._runtime, self._handle, command, self._write_log, Limit(seconds, _TIME_OUT))
        if code:
            raise _CompilationFailedError(_failure_reason(self._root, code))
        self._upload()

    def _lay_out(self) -> None:
        """Write the compiler's tree: its configuration and the model."""
        shutil.rmtree(self._root, ignore_errors=True)
        for folder in ("input/config", "input/model", "output"):
            (self._root / folder).mkdir(parents=True)
        source = self._job["InputConfig"]
        config = {key: source[key] for key in ("Framework", "DataInputConfig") if key in source}
        config["Target"] = _target(self._job["OutputConfig"])
        (self._root / "input/config/compilation.json").write_text(json.dumps(config), encoding="utf-8")
        bucket, key = s3_data.split(source["S3Uri"])
        name = key.rpartition("/")[2] or "model.tar.gz"
        try:
            s3_data.fetch(self._runtime, s3_data.S3Object(bucket, key, name), self._root / "input/model")
        except s3_data.CustomerDataError as error:
            self._write_log([str(error)])
            reason = f"ClientError: InputConfiguration: S3 object does not exist. Bucket: {bucket}, Key: {key}"
            raise _CompilationFailedError(reason) from error

    def _upload(self) -> None:
        (archive,) = (self._root / "output").glob("*.tar.gz")
        bucket, prefix = s3_data.split(self._job["OutputConfig"]["S3OutputLocation"])
        key = "/".join(part for part in (prefix.strip("/"), archive.name) if part)
        self._handle.check()
        s3_data.upload(self._runtime, archive, bucket, key)
        digest = hashlib.sha256(archive.read_bytes()).hexdigest()
        members = {
            "ModelArtifacts": {"S3ModelArtifacts": f"s3://{bucket}/{key}"},
            "ModelDigests": {"ArtifactDigest": f"sha256:{digest}"},
        }
        if not end(self._runtime, self._name, "COMPLETED", **members):
            raise StopJobError

    def _stopped(self) -> None:
        if self._handle.reason == _TIME_OUT:
            seconds = self._job["StoppingCondition"]["MaxRuntimeInSeconds"]
            self._fail(f"ClientError: TimeOut: the compilation job exceeded MaxRuntimeInSeconds ({seconds}).")
        else:
            end(self._runtime, self._name, "STOPPED")

    def _write_log(self, lines: list[str]) -> None:
        self._runtime.logs.write(LOG_GROUP, self._name, lines)

    def _fail(self, reason: str) -> None:
        if not self._runtime.closing.is_set():
            end(self._runtime, self._name, "FAILED", FailureReason=reason[:_MAX_REASON])


def _target(output: dict[str, Any]) -> str:
    """Return the target as the archive's name has it: ``ml_c5``, or ``LINUX_X86_64_NVIDIA``."""
    platform = output.get("TargetPlatform", {})
    return output.get("TargetDevice") or "_".join(
        platform[part] for part in ("Os", "Arch", "Accelerator") if part in platform
    )


def _failure_reason(root: Path, code: int) -> str:
    file = root / "output" / "failure"
    text = file.read_text(encoding="utf-8", errors="replace").strip() if file.is_file() else ""
    return text or f"ServerError: the compiler ended with the exit code {code}"
