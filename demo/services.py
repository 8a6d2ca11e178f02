"""Long-running programs in sessions of their own: they outlive this process only if it is killed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from demo.errors import DemoError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["Service", "free_port", "is_port_free", "start"]


@dataclass
class Service:
    """A program that runs as the leader of its process group."""

    name: str
    pid: int
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def is_alive(self) -> bool:
        """Tell whether the leader still runs."""
        if self.process is not None:
            return self.process.poll() is None
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:  # somebody else's process got the number
            return False
        return True

    def stop(self, *, whole_group: bool, patience: float) -> None:
        """End it as a user would, and by force what is left after ``patience`` seconds."""
        if self.is_alive():
            (os.killpg if whole_group else os.kill)(self.pid, signal.SIGTERM)
        deadline = time.monotonic() + patience
        while self.is_alive() and time.monotonic() < deadline:
            time.sleep(0.05)
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            return  # nothing of the group is left
        if self.process is not None:
            self.process.wait()


def start(name: str, arguments: list[str], *, output: Path, errors: Path, env: Mapping[str, str]) -> Service:
    """Start ``python ARGUMENTS`` in a session of its own; its output goes to files, not to a pipe that could break."""
    with output.open("wb") as stdout, errors.open("ab") as stderr:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            env=dict(env),
            start_new_session=True,
        )
    return Service(name, process.pid, process)


def is_port_free(port: int) -> bool:
    """Tell whether a server can bind the port on the loopback interface."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def last_words(errors: Path) -> str:
    """Return the last line that a program wrote on stderr."""
    lines = [line for line in errors.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1].strip() if lines else "it said nothing"


def died(service: Service, errors: Path) -> DemoError:
    """Say that a program ended by itself."""
    return DemoError(f"The {service.name} ended: {last_words(errors)} (all of it is in {errors}).")
