"""``python -m benchmarks.soak``: exit code 1 when something was lost or wrong."""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import tempfile
import time
from pathlib import Path

from airflow_ll.testing import start_runtime
from benchmarks.soak.kills import KillsResult, kill_and_verify
from benchmarks.soak.load import Load, LoadResult

MOST_GROWTH = 0.10


def main() -> int:
    """Run both parts and write the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600, help="of load at least (default: %(default)s)")
    parser.add_argument("--jobs", type=int, default=200, help="queued at once (default: %(default)s)")
    parser.add_argument("--endpoints", type=int, default=20, help="under load (default: %(default)s)")
    parser.add_argument("--kills", type=int, default=20, help="of the runtime (default: %(default)s)")
    parser.add_argument("--every", type=float, default=20, help="seconds between kills (default: %(default)s)")
    parser.add_argument("--page", type=Path, help="where the results are written (default: nowhere)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="airflow-ll-soak-") as name:
        folder = Path(name)
        runtime = start_runtime(folder / "loaded")
        try:
            load = Load(runtime, jobs=arguments.jobs, endpoints=arguments.endpoints, seconds=arguments.seconds).run()
        finally:
            runtime.stop()
        kills = kill_and_verify(folder, kills=arguments.kills, seconds=arguments.every)
    text = page(load, kills, arguments.every)
    sys.stdout.write(text)
    if arguments.page:
        arguments.page.write_text(text, encoding="utf-8")
    wrong = [*load.errors, *load.lost, *kills.faults]
    if load.growth > MOST_GROWTH:
        wrong.append(f"the memory of the runtime grew by {load.growth:.1%}")
    for one in wrong[:20]:
        sys.stderr.write(f"{one}\n")
    return 1 if wrong else 0


def percentile(values: list[float], share: float) -> float:
    """Return a percentile, 0 of no values."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


def latencies(values: list[float]) -> str:
    """Return the median and the 99th percentile of latencies."""
    return f"median {percentile(values, 0.5):.1f} ms, p99 {percentile(values, 0.99):.1f} ms"


def page(load: LoadResult, kills: KillsResult, every: float) -> str:
    """Return the results as Markdown."""
    memory = [sample / 2**20 for sample in load.memory] or [0.0]
    grown = f"median {statistics.median(memory):.0f} MB, most {max(memory):.0f} MB, growth {load.growth:+.1%}"
    calls = ", ".join(f"{number} {kind}" for kind, number in load.calls.items())
    verified = ", ".join(f"{number} {kind}" for kind, number in sorted(kills.counts.items()))
    return f"""# Soak

Written by `make soak` on {time.strftime("%Y-%m-%d")}: {os.cpu_count()} CPUs, Python {platform.python_version()}; load
average {os.getloadavg()[1]:.1f} over the last five minutes, its own included.

## Load

{load.jobs} training jobs queued at once, 8 clients polling, {load.endpoints} endpoints called by 4 more, for
{load.seconds:.0f} s. The clients share the machine, and one Python process, with what they measure.

| what | result |
|---|---|
| errors | {len(load.errors)} |
| lost or failed jobs | {len(load.lost)} of {load.jobs} |
| calls | {calls} |
| DescribeTrainingJob, in the runtime | {latencies(load.served)} |
| DescribeTrainingJob, as boto3 sees it | {latencies(load.seen)} |
| resident memory of the runtime | {grown} |

## kill -9

Killed every {every:.0f} s, {kills.kills} times, while a client of another process put, copied, deleted and uploaded
objects in parts, trained and deployed. It wrote down each answer before it went on. Afterwards everything was verified
through boto3: the digest of every object, lists against heads, that no job's status or history went back, that every
endpoint answers. A job that was running when the runtime died is Failed and says so; nothing else fails.

| what | result |
|---|---|
| answers that were acknowledged | {kills.acknowledged} |
| calls without an answer (may or may not have happened) | {kills.unanswered} |
| verified | {verified} |
| not as it was acknowledged | {len(kills.faults)} |
"""


if __name__ == "__main__":
    sys.exit(main())
