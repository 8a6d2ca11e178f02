"""The runtime's child processes: each in a process group of its own, none outlives the runtime."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_ll.local import watchdog

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["Child", "Processes", "kill_leftovers"]

_LEARNER = (sys.executable, "-m", "airflow_ll")


class Child:
    """A running learner; its output is one stream of lines."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        assert process.stdout is not None
        self._output = process.stdout

    @property
    def pid(self) -> int:
        """Its process id, which is also its process group."""
        return self.process.pid

    def lines(self) -> Iterator[list[str]]:
        """Yield the lines of its output in batches, as they come; ends when it closes its output."""
        rest = b""
        while chunk := os.read(self._output.fileno(), 1 << 16):
            *whole, rest = (rest + chunk).split(b"\n")
            if whole:
                yield [line.decode("utf-8", "replace") for line in whole]
        if rest:
            yield [rest.decode("utf-8", "replace")]

    def alive(self) -> bool:
        """Return whether it still runs."""
        return self.process.poll() is None

    def signal_group(self, number: signal.Signals) -> None:
        """Send a signal to it and all it started."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    def end(self, grace: float) -> int:
        """Ask it to end, kill it after ``grace`` seconds, and return its exit code."""
        self.signal_group(signal.SIGTERM)
        try:
            self.process.wait(grace)
        except subprocess.TimeoutExpired:
            self.signal_group(signal.SIGKILL)
        return self.process.wait()

    def close(self) -> None:
        """Release the pipe of an ended child."""
        self._output.close()


class Processes:
    """Starts children, remembers the living ones, ends them all."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._children: dict[int, Child] = {}
        self._closed = False
        self._watchdog = subprocess.Popen(
            [sys.executable, "-I", "-S", str(Path(watchdog.__file__))],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def start(
        self,
        arguments: Sequence[str],
        cwd: Path,
        environment: Mapping[str, str] | None = None,
        memory: int | None = None,
    ) -> Child:
        """Start ``airflow-ll ARGUMENTS`` with ``environment`` over ours; its errors go the way of its output.

        :param memory: the bytes of data that it may hold, on Linux; what asks for more gets a ``MemoryError``.
        """
        with self._lock:
            if self._closed:
                raise InterruptedError("the runtime is shutting down")
            process = subprocess.Popen(
                [*_LEARNER, *arguments],
                cwd=cwd,
                # One BLAS thread a process: jobs run side by side, and waiting threads cost more than they bring.
                env={"OPENBLAS_NUM_THREADS": "1", **os.environ, "PYTHONUNBUFFERED": "1", **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            if memory is not None and hasattr(resource, "prlimit"):
                with contextlib.suppress(ProcessLookupError):  # it has ended already
                    resource.prlimit(process.pid, resource.RLIMIT_DATA, (memory, memory))
            child = Child(process)
            self._children[child.pid] = child
            self._tell(f"+{child.pid}\n")
        return child

    def forget(self, child: Child) -> None:
        """Note that ``child`` has ended."""
        with self._lock:
            if self._children.pop(child.pid, None):
                self._tell(f"-{child.pid}\n")
        child.close()

    def end_all(self, grace: float) -> None:
        """End every child, those that do not obey within ``grace`` seconds by force, and start no more."""
        with self._lock:
            self._closed = True
            children = list(self._children.values())
        for child in children:
            child.signal_group(signal.SIGTERM)
        deadline = time.monotonic() + grace
        while time.monotonic() < deadline and any(child.alive() for child in children):
            time.sleep(0.02)
        for child in children:
            child.signal_group(signal.SIGKILL)
            child.process.wait()
        assert self._watchdog.stdin is not None
        with self._lock, contextlib.suppress(BrokenPipeError):
            self._watchdog.stdin.close()
        self._watchdog.wait()

    def _tell(self, line: str) -> None:
        assert self._watchdog.stdin is not None
        if self._watchdog.stdin.closed:
            return  # all children were ended, and some thread notes it late
        with contextlib.suppress(BrokenPipeError):
            self._watchdog.stdin.write(line.encode())
            self._watchdog.stdin.flush()


def kill_leftovers(data_dir: Path) -> None:
    """Kill learners of an earlier runtime on ``data_dir``, should its watchdog have died with it (Linux only)."""
    root = os.fsencode(data_dir.resolve()) + b"/"
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError, ValueError):
            command = entry.read_bytes().split(b"\0")
            if command[1:3] == [b"-m", b"airflow_ll"] and _is_learner(command[3:], root):
                os.kill(int(entry.parent.name), signal.SIGKILL)


def _is_learner(arguments: list[bytes], root: bytes) -> bool:
    return (
        arguments[0] in (b"train", b"compile", b"serve") and arguments[1] == b"--root" and arguments[2].startswith(root)
    )
