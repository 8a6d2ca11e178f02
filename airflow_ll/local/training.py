"""Running training jobs: download, train in a subprocess, upload.

A job of n instances is one trainer over the union of the shards, with n log streams.
"""

from __future__ import annotations

import contextlib
import functools
import json
import logging
import shutil
import signal
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_ll.artifacts import pack_model
from airflow_ll.local import s3_data
from airflow_ll.local.checkpoints import Checkpoints
from airflow_ll.local.instances import memory_bytes
from airflow_ll.local.jobs import StopJobError
from airflow_ll.local.learners import Limit, run_learner
from airflow_ll.local.metrics import parse_metrics
from airflow_ll.local.resources import TRAINING_JOB
from airflow_ll.local.speed import NoCapacityError, hold, provision
from airflow_ll.local.training_status import end, end_stopped, enter

if TYPE_CHECKING:
    from airflow_ll.local.jobs import JobHandle
    from airflow_ll.local.processes import Child
    from airflow_ll.local.runtime import Runtime

__all__ = ["DEFAULT_SECONDS", "LOG_GROUP", "recover", "submit"]

LOG_GROUP = "/aws/sagemaker/TrainingJobs"
DEFAULT_SECONDS = 86_400
"""MaxRuntimeInSeconds of a job that does not say."""

_log = logging.getLogger(__name__)

_MAX_REASON = 1024
_FAILURE_PREFIXES = (
    ("Customer Error: ", "ClientError: "),
    ("Algorithm Error: ", "AlgorithmError: "),
    ("Platform Error: ", "InternalServerError: "),
)


class _SpotInterruptedError(Exception):
    """A fault rule took the spot instances away."""


class _TrainingFailedError(Exception):
    """The trainer ended badly; the text is the job's FailureReason."""


def submit(runtime: Runtime, name: str, *, interrupted: bool = False) -> None:
    """Queue a training job; one that an earlier runtime left in the middle is ``interrupted``."""
    arn = runtime.arn(TRAINING_JOB.key, name)
    runtime.jobs.submit(arn, lambda handle: _TrainingRun(runtime, name, handle).run(interrupted=interrupted))
    job = TRAINING_JOB.describe(runtime, {"TrainingJobName": name})
    wait = job["StoppingCondition"].get("MaxWaitTimeInSeconds")
    if wait is not None:
        runtime.timers.at(job["CreationTime"] + wait, functools.partial(_give_up, runtime, name))


def _give_up(runtime: Runtime, name: str) -> None:
    """End a job that has waited and run for MaxWaitTimeInSeconds, wherever it is."""
    if not runtime.jobs.stop(runtime.arn(TRAINING_JOB.key, name), "MaxWaitTimeExceeded"):
        end_stopped(runtime, name, "MaxWaitTimeExceeded")


def recover(runtime: Runtime) -> None:
    """Settle the jobs that an earlier runtime left.

    Those that had not begun wait again, those that may go on do; the others ended.
    """
    going_on = set()
    for job in runtime.store.with_status(TRAINING_JOB.key, "InProgress"):
        name = job["TrainingJobName"]
        if job["SecondaryStatus"] == "Starting":
            submit(runtime, name)
        elif "CheckpointConfig" in job or _retries_left(job):
            going_on.add(name)
            submit(runtime, name, interrupted=True)
        else:
            reason = _runtime_ended(job)
            end(runtime, name, "Failed", "Failed", left=_last_sign(runtime, job), FailureReason=reason)
    for job in runtime.store.with_status(TRAINING_JOB.key, "Stopping"):
        end_stopped(runtime, job["TrainingJobName"], "Stopped")
    for tree in (runtime.data_dir / "jobs").glob("*"):
        if tree.name not in going_on:
            shutil.rmtree(tree, ignore_errors=True)


def _last_sign(runtime: Runtime, job: dict[str, Any]) -> float:
    """Return when the phase of a job that an earlier runtime left ended as far as is known: at its last metric."""
    latest = max((at for _, _, at in runtime.store.metrics(job["TrainingJobName"])), default=0.0)
    return max(latest, float(job["SecondaryStatusTransitions"][-1]["StartTime"]))


def _runtime_ended(job: dict[str, Any]) -> str:
    return (
        "InternalServerError: the embedded runtime ended while the job was in its phase "
        f"{job['SecondaryStatus']}. Please try again with a new job."
    )


def _retries_left(job: dict[str, Any]) -> int:
    return int(job.get("RetryStrategy", {}).get("MaximumRetryAttempts", 0)) - int(job.get("_Retries", 0))


class _TrainingRun:
    """One job from its download to its end."""

    def __init__(self, runtime: Runtime, name: str, handle: JobHandle) -> None:
        self._runtime, self._name, self._handle = runtime, name, handle
        self._job = TRAINING_JOB.describe(runtime, {"TrainingJobName": name})
        self._root = runtime.data_dir / "jobs" / name
        self._kept: dict[str, Any] = {}
        self._last_line = ""
        self._started = float(self._job.get("TrainingStartTime") or 0)
        self._trained = float(self._job.get("_Trained", 0))
        self._interrupted = False
        config = self._job.get("CheckpointConfig")
        self._checkpoints = Checkpoints(runtime, config, self._root) if config else None
        self._epoch = int(self._job.get("_LogEpoch") or time.time() * 1000)
        self._instances = int(self._job["ResourceConfig"]["InstanceCount"])
        self._streams = [f"{name}/algo-{number}-{self._epoch}" for number in range(1, self._instances + 1)]

    def run(self, *, interrupted: bool = False) -> None:
        """Run the job; whatever happens, it ends in a final state (unless the runtime itself is closing)."""
        try:
            if interrupted:
                self._go_on()
            self._phases()
        except StopJobError:
            end_stopped(self._runtime, self._name, self._handle.reason or "Stopped", **self._kept)
        except s3_data.CustomerDataError as error:
            self._fail(f"ClientError: {error}")
        except (_TrainingFailedError, NoCapacityError) as error:
            self._fail(str(error))
        except InterruptedError:
            return  # the runtime is closing: the next one settles the job
        except Exception as error:
            _log.exception("training job %s", self._name)
            self._fail(f"InternalServerError: {error}")
        finally:
            if self._checkpoints is None or not self._runtime.closing.is_set():
                shutil.rmtree(self._root, ignore_errors=True)
        if not self._runtime.closing.is_set():
            self._runtime.cloudwatch.job_ended()

    def _go_on(self) -> None:
        """Begin again after a runtime that ended: from checkpoints, or because the job's RetryStrategy wants it."""
        self._handle.check()
        phase, left = self._job["SecondaryStatusTransitions"][-1], _last_sign(self._runtime, self._job)
        if phase["Status"] == "Training":
            self._trained += left - float(phase["StartTime"])
        has_checkpoints = False
        if self._checkpoints is not None:
            self._checkpoints.upload()  # what the earlier runtime did not come to upload
            has_checkpoints = self._checkpoints.exist()
        if not has_checkpoints and not _retries_left(self._job):
            raise _TrainingFailedError(_runtime_ended(self._job))
        spot = has_checkpoints and self._job["EnableManagedSpotTraining"]
        retries = int(self._job.get("_Retries", 0)) + (0 if has_checkpoints else 1)
        self._enter("Interrupted" if spot else "Restarting", left=left, _Retries=retries)
        self._enter("Starting")

    def _phases(self) -> None:
        provision(self._runtime, self._handle, TRAINING_JOB.key, self._name)
        self._started = self._started or time.time()
        self._enter("Downloading", TrainingStartTime=self._started, _LogEpoch=self._epoch)
        self._download()
        self._enter("Training")
        try:
            self._train()
            self._enter("Uploading")
        except _SpotInterruptedError:
            self._enter("Interrupted")
            self._enter("Starting")
            self._phases()
            return
        except StopJobError:
            if any((self._root / "model").iterdir()):
                self._kept = self._upload()  # what a stopped trainer saved
            raise
        self._kept = self._upload()
        self._handle.check()
        end(self._runtime, self._name, "Completed", "Completed", **self._kept)

    def _enter(self, secondary: str, *, left: float | None = None, **members: Any) -> None:
        self._handle.check()
        if not enter(self._runtime, self._name, secondary, left=left, _Trained=self._trained, **members):
            raise StopJobError
        hold(self._runtime, self._handle, TRAINING_JOB.key, self._name, secondary)

    def _fail(self, reason: str) -> None:
        if not self._runtime.closing.is_set():
            end(self._runtime, self._name, "Failed", "Failed", FailureReason=reason[:_MAX_REASON])

    def _download(self) -> None:
        """Lay out the container's tree."""
        shutil.rmtree(self._root, ignore_errors=True)
        for folder in ("input/config", "input/data", "model", "output/data"):
            (self._root / folder).mkdir(parents=True)
        channels = {}
        room = self._job["ResourceConfig"]["VolumeSizeInGB"] << 30
        for channel in self._job["InputDataConfig"]:
            source = channel["DataSource"]["S3DataSource"]
            folder = self._root / "input" / "data" / channel["ChannelName"]
            for item in s3_data.objects(self._runtime, source):
                self._handle.check()
                gzipped = channel.get("CompressionType") == "Gzip"
                room -= s3_data.fetch(self._runtime, item, folder, gzipped=gzipped, room=room).stat().st_size
            channels[channel["ChannelName"]] = {
                **({"ContentType": channel["ContentType"]} if "ContentType" in channel else {}),
                "TrainingInputMode": "File",
                "S3DistributionType": source.get("S3DataDistributionType", "FullyReplicated"),
                "RecordWrapperType": "None",
            }
        if self._checkpoints is not None:
            self._checkpoints.download()
        self._write_config("inputdataconfig", channels)
        self._write_config("hyperparameters", self._job.get("HyperParameters", {}))
        hosts = {"current_host": "algo-1", "hosts": ["algo-1"], "network_interface_name": "eth0"}
        self._write_config("resourceconfig", hosts)

    def _write_config(self, name: str, content: dict[str, Any]) -> None:
        (self._root / "input" / "config" / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")

    def _train(self) -> None:
        """Run the trainer within the job's time limit and read its log as it comes."""
        for number, stream in enumerate(self._streams[1:], 2):
            note = f"One process trains for all instances here: see the stream of algo-1 for the log of algo-{number}."
            self._runtime.logs.write(LOG_GROUP, stream, [note])
        seconds = self._job["StoppingCondition"].get("MaxRuntimeInSeconds", DEFAULT_SECONDS)
        memory = memory_bytes(self._job["ResourceConfig"]["InstanceType"])
        started = time.monotonic()
        with self._checkpoints or contextlib.nullcontext():
            code = run_learner(
                self._runtime,
                self._handle,
                ["train", "--root", str(self._root)],
                self._log,
                Limit(max(0.0, seconds - self._trained), "MaxRuntimeExceeded"),
                self._interruptions,
                memory * self._instances if memory else None,
            )
        self._trained += time.monotonic() - started
        if self._interrupted and code:
            self._interrupted = False
            raise _SpotInterruptedError
        if code:
            raise _TrainingFailedError(_failure_reason(self._root, code, self._last_line))

    def _interruptions(self, child: Child) -> list[threading.Timer]:
        """Return the timers that take the spot instances away, if the fault rules want that."""

        def interrupt() -> None:
            self._interrupted = True
            child.signal_group(signal.SIGKILL)

        if not self._job["EnableManagedSpotTraining"]:
            return []
        rules = self._runtime.faults.take(["spot-interruption"], kind=TRAINING_JOB.key, resource=self._name)
        return [threading.Timer(rule["seconds"], interrupt) for rule in rules]

    def _log(self, lines: list[str]) -> None:
        self._runtime.logs.write(LOG_GROUP, self._streams[0], lines)
        self._last_line = next((line for line in reversed(lines) if line.strip()), self._last_line)
        now = time.time()
        points = [(name, value, now) for line in lines for name, value in parse_metrics(line)]
        if points:
            self._runtime.store.add_metrics(self._name, points)
            self._runtime.tuning.epoch_ended(self._job, [name for name, _, _ in points])

    def _upload(self) -> dict[str, Any]:
        """Upload the model, and what the trainer left in its output folder; return the members that say where."""
        bucket, prefix = s3_data.split(self._job["OutputDataConfig"]["S3OutputPath"])
        key = "/".join(part for part in (prefix.strip("/"), self._name, "output/model.tar.gz") if part)
        archives = {key: self._root / "model", key.replace("model.tar.gz", "output.tar.gz"): self._root / "output/data"}
        for target, folder in archives.items():
            if any(folder.iterdir()):
                archive = self._root / Path(target).name
                pack_model(folder, archive, mtime=int(time.time()))
                s3_data.upload(self._runtime, archive, bucket, target)
        return {"ModelArtifacts": {"S3ModelArtifacts": f"s3://{bucket}/{key}"}}


def _failure_reason(root: Path, code: int, last_line: str) -> str:
    """Return the FailureReason for a trainer that ended with ``code``: its failure file, else its last words."""
    file = root / "output" / "failure"
    text = file.read_text(encoding="utf-8", errors="replace").strip() if file.is_file() else ""
    for mine, theirs in _FAILURE_PREFIXES:
        if text.startswith(mine):
            return theirs + text.removeprefix(mine)
    return f"AlgorithmError: {text or last_line.strip() or 'the trainer left no reason'}, exit code: {code}"
