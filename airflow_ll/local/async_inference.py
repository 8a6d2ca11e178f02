"""Asynchronous inference: requests wait in the store until their results are in S3."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections import deque
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from airflow_ll.local.errors import AwsError, RuntimeValidationError
from airflow_ll.local.invocations import score
from airflow_ll.local.s3_data import split

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_ll.local.runtime import Runtime

__all__ = ["AsyncInvocations"]

_log = logging.getLogger(__name__)

_KIND = "async-invocation"
_PASSED_ON = ("EndpointName", "ContentType", "Accept", "CustomAttributes", "InferenceId")
_CONCURRENT = 4
_TTL_SECONDS = 21_600
_TIMEOUT_SECONDS = 900


class AsyncInvocations:
    """The requests of InvokeEndpointAsync that wait or run, by endpoint; they outlive the runtime."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._lock = threading.Lock()
        self._backlogs: dict[str, _Backlog] = {}

    def recover(self) -> None:
        """Go on with what an earlier runtime had accepted."""
        for job in self._runtime.store.with_status(_KIND, "Accepted"):
            self._backlog(job["EndpointName"]).add(job["Id"])

    def invoke(self, request: dict[str, Any]) -> dict[str, Any]:
        """Answer InvokeEndpointAsync.

        :raises RuntimeValidationError: the endpoint does not exist or is not asynchronous, or there is no input.
        """
        name, number = request["EndpointName"], str(uuid.uuid4())
        config = self._runtime.hosting.route(name).asynchronous
        if config is None:
            raise RuntimeValidationError(f"Endpoint {name} has no AsyncInferenceConfig: call InvokeEndpoint instead.")
        body = request.pop("Body", b"")
        if ("InputLocation" in request) == bool(body):
            raise RuntimeValidationError("Give one of InputLocation and Body to InvokeEndpointAsync.")
        output = config["OutputConfig"]
        file = request.get("Filename", f"{number}.out")
        folder = request.get("S3OutputPathExtension", "")
        job = {
            **request,
            "Id": number,
            "InferenceId": request.get("InferenceId", number),
            "OutputLocation": _below(output["S3OutputPath"], folder, file),
            "FailureLocation": _below(output["S3FailurePath"], folder, f"{number}-error.out")
            if "S3FailurePath" in output
            else None,
            "_Body": body.decode("latin-1"),
            "_Accepted": time.time(),
        }
        self._runtime.store.create(_KIND, number, self._runtime.arn(_KIND, number), "Accepted", job)
        self._backlog(name).add(number)
        return job

    def _backlog(self, name: str) -> _Backlog:
        def limit() -> int:
            try:
                route = self._runtime.hosting.route(name)
            except RuntimeValidationError:
                return 1
            client = (route.asynchronous or {}).get("ClientConfig", {})
            return int(client.get("MaxConcurrentInvocationsPerInstance", _CONCURRENT)) * max(1, route.instances)

        with self._lock:
            if name not in self._backlogs:
                self._backlogs[name] = _Backlog(limit, self._run)
            return self._backlogs[name]

    def _run(self, number: str) -> None:
        """Score one request and put the result, or what went wrong, into S3; only then forget the request."""
        job = self._runtime.store.get(_KIND, number)
        if job is None or self._runtime.closing.is_set():
            return
        try:
            result, location = self._scored(job), job["OutputLocation"]
        except (AwsError, ClientError, BotoCoreError) as error:
            result, location = str(error).encode(), job["FailureLocation"]
        if self._runtime.closing.is_set():
            return  # the next runtime scores it
        try:
            if location is not None:
                bucket, key = split(location)
                self._runtime.s3.put_object(Bucket=bucket, Key=key, Body=result)
        except (ClientError, BotoCoreError) as error:
            _log.warning("the result of %s cannot be written to %s: %s", number, location, error)
        self._runtime.store.delete(_KIND, number)

    def _scored(self, job: dict[str, Any]) -> bytes:
        if time.time() > job["_Accepted"] + job.get("RequestTTLSeconds", _TTL_SECONDS):
            raise RuntimeValidationError("The request was not processed within its RequestTTLSeconds.")
        body = job["_Body"].encode("latin-1")
        if "InputLocation" in job:
            bucket, key = split(job["InputLocation"])
            body = self._runtime.s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        request = {"Body": body, "InferenceId": job["InferenceId"]}
        request |= {
            name: job[name] for name in ("EndpointName", "ContentType", "Accept", "CustomAttributes") if name in job
        }
        answer = score(self._runtime, request, job.get("InvocationTimeoutSeconds", _TIMEOUT_SECONDS))
        return bytes(answer["Body"])


class _Backlog:
    """What waits for one endpoint; a few threads work on it while there is something."""

    def __init__(self, limit: Callable[[], int], run: Callable[[str], None]) -> None:
        self._find_limit, self._run = limit, run
        self._lock = threading.Lock()
        self._waiting: deque[str] = deque()
        self._running, self._limit = 0, 1

    def add(self, item: str) -> None:
        """Queue an item."""
        with self._lock:
            self._waiting.append(item)
            self._hire()

    def _hire(self) -> None:
        if self._waiting and self._running < self._limit:
            self._running += 1
            threading.Thread(target=self._work, daemon=True).start()

    def _work(self) -> None:
        limit = self._find_limit()  # right after a restart this waits until the endpoint is served again
        while True:
            with self._lock:
                self._limit = limit
                if not self._waiting:
                    self._running -= 1
                    return
                item = self._waiting.popleft()
                self._hire()
            try:
                self._run(item)
            except Exception:
                _log.exception("asynchronous invocation %s", item)


def _below(path: str, folder: str, file: str) -> str:
    return "/".join(part for part in (path.rstrip("/"), folder.strip("/"), file) if part)
