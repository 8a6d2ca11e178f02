"""One learner that serves a model in a process of its own."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING

from airflow_ll.local import s3_data
from airflow_ll.local.container_client import ContainerClient, ContainerError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from airflow_ll.local.jobs import JobHandle
    from airflow_ll.local.runtime import Runtime

__all__ = ["ContainerError", "ServingProcess", "container_environment", "fetch_model"]

_START_SECONDS = 60
_INVOCATION_SECONDS = 60
_GRACE_SECONDS = 2.0


def fetch_model(runtime: Runtime, uri: str, root: Path) -> None:
    """Put the model at ``uri`` into ``root/model``, unless it is there in full."""
    model = root / "model"
    if not model.is_dir():
        part = root / "model.part"
        part.mkdir(parents=True, exist_ok=True)
        s3_data.extract_model(runtime, uri, part)
        part.rename(model)


def container_environment(given: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of a container's Environment that reach the process which stands for the container.

    Those of SageMaker's containers, SAGEMAKER_*, are all that a LinearLearner container could know. Others are kept
    and shown but not set: a PYTHONPATH or LD_PRELOAD would run a client's code outside of any container.
    """
    return {name: value for name, value in given.items() if name.startswith("SAGEMAKER_")}


class ServingProcess:
    """``airflow-ll serve`` over a tree with a model; its output goes to ``on_lines``."""

    def __init__(
        self,
        runtime: Runtime,
        root: Path,
        on_lines: Callable[[list[str]], None],
        handle: JobHandle | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._processes, self._on_lines = runtime.processes, on_lines
        self._ready = threading.Event()
        self._url = ""
        self._client = ContainerClient("")
        self._child = runtime.processes.start(
            ["serve", "--root", str(root), "--port", "0"], root, container_environment(environment or {})
        )
        if handle is not None:
            handle.attach(self._child)
        threading.Thread(target=self._read, name=f"serving-{self._child.pid}", daemon=True).start()
        if not self._ready.wait(_START_SECONDS) or not self._url or self._ping() != 200:
            self.stop()
            raise ContainerError("did not pass the ping health check. Please check CloudWatch logs")

    def _read(self) -> None:
        for lines in self._child.lines():
            for line in lines:
                if not self._url and line.startswith("READY "):  # warnings may come before it
                    self._url = line.split()[1]
                    self._client = ContainerClient(self._url)
                    self._ready.set()
            self._on_lines([line for line in lines if line != f"READY {self._url}"])
        self._ready.set()
        self._child.process.wait()
        self._processes.forget(self._child)

    def _ping(self) -> int:
        try:
            return self._client.ask("GET", "/ping", seconds=_START_SECONDS)[0]
        except ContainerError:
            return 0

    def max_concurrent_transforms(self) -> int:
        """Return how many requests at a time the container wants from a transform job, 1 when it does not say."""
        try:
            _, answer, _ = self._client.ask("GET", "/execution-parameters", seconds=_START_SECONDS)
            return int(json.loads(answer)["MaxConcurrentTransforms"])
        except (ContainerError, ValueError, KeyError, TypeError):
            return 1

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._child.alive()

    def invoke(
        self, body: bytes, headers: Mapping[str, str], seconds: float = _INVOCATION_SECONDS
    ) -> tuple[int, bytes, str]:
        """Return the status, body and content type of ``POST /invocations``.

        :raises ContainerError: the process does not answer.
        """
        return self._client.ask("POST", "/invocations", body, headers, seconds=seconds)

    def stop(self) -> None:
        """End the process."""
        if self._child.alive():
            self._child.end(_GRACE_SECONDS)
        self._client.close()
