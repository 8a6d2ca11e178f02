"""kill -9 in the middle of a mixed load, again and again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_ll.testing import LocalRuntime, start_runtime
from benchmarks.soak.inputs import upload_rows
from benchmarks.soak.verify import read_ledger, verify

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["KillsResult", "kill_and_verify"]


@dataclass
class KillsResult:
    """What was acknowledged between the kills, and what of it is not true any more."""

    kills: int
    acknowledged: int = 0
    unanswered: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)


def kill_and_verify(folder: Path, *, kills: int, seconds: float) -> KillsResult:
    """Kill the runtime every ``seconds`` seconds, as often as asked, and then hold it to the client's ledger."""
    runtime = start_runtime(folder / "killed")
    upload_rows(runtime.client("s3"))
    port = runtime.url.rpartition(":")[2]
    ledger = folder / "ledger.jsonl"
    client = subprocess.Popen([sys.executable, "-m", "benchmarks.soak.ledger", runtime.url, str(ledger)])
    try:
        for _ in range(kills):
            time.sleep(seconds)
            runtime = _kill_and_restart(runtime, port)
        time.sleep(seconds)
    finally:
        client.terminate()
        client.wait()
    try:
        entries = read_ledger(ledger)
        counts, faults = verify(runtime, entries)
    finally:
        runtime.stop()
    did = sum(entry["kind"] == "did" for entry in entries)
    tried = sum(entry["kind"] == "tried" for entry in entries)
    return KillsResult(kills, did, tried - did, counts, faults)


def _kill_and_restart(runtime: LocalRuntime, port: str) -> LocalRuntime:
    os.kill(runtime.process.pid, signal.SIGKILL)
    runtime.process.communicate()
    return start_runtime(runtime.data_dir, "--port", port)
