"""Programs in sessions of their own."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from demo import services

if TYPE_CHECKING:
    from pathlib import Path

FAMILY = """
import subprocess, sys, time
stubborn = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
child = subprocess.Popen([sys.executable, "-c", stubborn])
print(child.pid, flush=True)
time.sleep(600)
"""


def start(tmp_path: Path, code: str) -> services.Service:
    return services.start("program", ["-c", code], output=tmp_path / "out", errors=tmp_path / "err", env=os.environ)


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        status = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
        return bool(status.stdout) and not status.stdout.startswith("Z")
    except ProcessLookupError:
        return False


def test_stopping_ends_a_program_and_its_stubborn_children(tmp_path: Path) -> None:
    service = start(tmp_path, FAMILY)
    while not (said := (tmp_path / "out").read_text()).endswith("\n"):
        time.sleep(0.01)
    service.stop(whole_group=True, patience=5)
    assert not service.is_alive()
    deadline = time.monotonic() + 60
    while is_running(int(said)):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_stopping_twice_is_as_good_as_once(tmp_path: Path) -> None:
    service = start(tmp_path, "import time; time.sleep(60)")
    service.stop(whole_group=False, patience=5)
    service.stop(whole_group=False, patience=5)
    assert not service.is_alive()


def test_a_program_that_another_process_started_is_known_by_its_id(tmp_path: Path) -> None:
    started = start(tmp_path, "import time; time.sleep(60)")
    found = services.Service("program", started.pid)
    assert found.is_alive()
    started.stop(whole_group=False, patience=5)
    assert not found.is_alive()


def test_the_last_words_of_a_program_are_told(tmp_path: Path) -> None:
    service = start(tmp_path, "raise SystemExit('The disk is full.')")
    assert service.process is not None
    service.process.wait()
    assert "The program ended: The disk is full." in str(services.died(service, tmp_path / "err"))


def test_a_port_in_use_is_not_free() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        assert not services.is_port_free(port)
    assert services.is_port_free(services.free_port())


def test_up_refuses_a_port_in_use(tmp_path: Path) -> None:
    from demo.errors import DemoError
    from demo.up import _choose_port

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        with pytest.raises(DemoError, match="is in use"):
            _choose_port(listener.getsockname()[1])
