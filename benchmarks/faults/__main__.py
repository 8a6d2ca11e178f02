"""Run the whole matrix, a bad day and the restarts, and write their page."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_ll.testing import LocalRuntime
    from benchmarks.faults.matrix import Matrix, Outcome
    from benchmarks.faults.restarts import Restarted
    from benchmarks.faults.subjects import World
    from benchmarks.faults.throttling import BadDay

PAGE = Path(__file__).parents[1] / "results" / "faults.md"
AT_LEAST = 150
TASKS = 50
MAPPED = 6


def main() -> int:
    """Return 1 when a cell is wrong, there are too few of them, or a bad day or a restart was not survived."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults", description=__doc__)
    parser.add_argument("--operator", action="append", help="only its cells (repeatable); writes no page")
    parser.add_argument("--one", action="store_true", help="only one cell an operator and mode; writes no page")
    parser.add_argument("--bad-day", type=int, metavar="TASKS", help="only a bad day of so many; writes no page")
    parser.add_argument("--only", choices=["restarts"], help="only this section; writes no page")
    parser.add_argument("--death", action="append", help="only restarts after it (repeatable), as 'triggerer'")
    parser.add_argument("--mapped", type=int, default=MAPPED, help="restarts of so many tasks a mode")
    wanted = parser.parse_args()
    with _world() as (runtime, matrix, world):
        from benchmarks.faults.throttling import bad_day

        if wanted.only or wanted.death:
            restarted = _restarts(runtime, world, wanted.mapped, wanted.death)
            from benchmarks.faults.restarts import section

            print(section(restarted))
            return int(any(one.faults for one in restarted))
        if wanted.bad_day:
            return int(not _told(bad_day(runtime, world, wanted.bad_day)).well)
        outcomes = _run(matrix, wanted.operator, one=wanted.one)
        cells = [outcome for outcome in outcomes if outcome.killed]
        wrong = [outcome for outcome in cells if outcome.faults]
        if wanted.operator or wanted.one:
            return int(bool(wrong) or (wanted.one and len(cells) < len(outcomes)))
        day = _told(bad_day(runtime, world, TASKS))
        restarted = _restarts(runtime, world, MAPPED)
        PAGE.write_text(page(cells, day, restarted), encoding="utf-8")
        well = day.well and not any(one.faults for one in restarted)
        return int(bool(wrong) or len(cells) < AT_LEAST or not well)


@contextmanager
def _world() -> Iterator[tuple[LocalRuntime, Matrix, World]]:
    with TemporaryDirectory(prefix="airflow-ll-faults-") as temporary:
        folder = Path(temporary)
        os.environ |= {"AIRFLOW_HOME": str(folder / "airflow"), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
        from airflow_ll.testing import start_runtime

        runtime = start_runtime(folder / "runtime")
        try:
            os.environ["AIRFLOW_CONN_AWS_DEFAULT"] = runtime.connection
            from benchmarks.faults.matrix import Matrix
            from benchmarks.faults.processes import Lives
            from benchmarks.faults.subjects import prepare

            runtime.client("s3").create_bucket(Bucket="faults")
            lives = Lives(folder)
            world = prepare(lives, folder, "s3://faults/matrix")
            yield runtime, Matrix(runtime, lives, world), world
        finally:
            runtime.stop()


def _run(matrix: Matrix, only: list[str] | None, *, one: bool) -> list[Outcome]:
    from benchmarks.faults.subjects import SUBJECTS

    begun, outcomes = time.monotonic(), []
    for subject in SUBJECTS:
        for mode in subject.modes if only is None or subject.name in only else ():
            for cell in [matrix.typical(subject, mode)] if one else matrix.cells(subject, mode):
                outcome = matrix.run(cell)
                outcomes.append(outcome)
                said = "; ".join(outcome.faults) or (f"{outcome.killed} killed" if outcome.killed else "did not come")
                print(f"{len(outcomes):4d} {cell}: {said}", flush=True)
    cells = sum(bool(outcome.killed) for outcome in outcomes)
    wrong = sum(bool(outcome.faults) for outcome in outcomes)
    print(f"{cells} cells, {wrong} wrong, {time.monotonic() - begun:.0f} s", flush=True)
    return outcomes


def _restarts(runtime: LocalRuntime, world: World, mapped: int, only: list[str] | None = None) -> list[Restarted]:
    from benchmarks.faults.restarts import DEATHS, restarts, told

    deaths = tuple(death for death in DEATHS if only is None or death.name in only)
    runs = restarts(runtime, world, runtime.data_dir.parent / "restarts", mapped, deaths)
    print(*map(told, runs), sep="\n", flush=True)
    return runs


def _told(day: BadDay) -> BadDay:
    print(_sentence(day), *day.failed, *day.duplicated, sep="\n")
    return day


def _sentence(day: BadDay) -> str:
    return (
        f"{day.tasks} training tasks, {len(day.failed)} failed, {len(day.duplicated)} duplicated; "
        f"{day.refused} of {day.calls} calls to SageMaker were answered with an error or not at all"
    )


def page(cells: list[Outcome], day: BadDay, restarted: list[Restarted]) -> str:
    """Return the results as Markdown."""
    from benchmarks.faults.restarts import section
    from benchmarks.faults.throttling import RULES

    wrong = [one for one in cells if one.faults]
    lines = [
        "# Killed at every call, and throttled",
        "",
        "Written by `python -m benchmarks.faults` (`make faults`). A cell is one run of an operator: the process that",
        "makes the k-th call of an operation gets SIGKILL from the embedded runtime, before or after the call is",
        "carried out; then the task is tried again, or another triggerer takes over. In every cell the access log must",
        "show one acknowledged Create a logical resource, the result and the objects in S3 must be those of a run",
        "without a fault, and after the run's teardown no endpoint, endpoint config, model or running job may be left.",
        "Of calls that wait (Describe, List, logs) the first three are killed; calls that AWS refuses have no after.",
        "",
        f"**{len(cells)} cells, {len(wrong)} wrong.**",
        "",
        "| operator | mode | calls | cells | worker killed | triggerer killed | wrong |",
        "| --- | --- | --- | ---: | ---: | ---: | ---: |",
    ]
    groups: dict[tuple[str, str], list[Outcome]] = {}
    for one in cells:
        groups.setdefault((one.cell.subject.name, one.cell.mode), []).append(one)
    for (name, mode), group in groups.items():
        calls = Counter(one.cell.operation for one in group)
        said = ", ".join(f"{operation} {count}" for operation, count in calls.items())
        killed = Counter(one.killed for one in group)
        bad = sum(bool(one.faults) for one in group)
        lines.append(
            f"| {name} | {mode} | {said} | {len(group)} | {killed['worker']} | {killed['triggerer']} | {bad} |"
        )
    rules = ", ".join(f"`{rule}`" for rule in RULES)
    lines += [
        *(f"- {one.cell}: {'; '.join(one.faults)}" for one in wrong),
        "",
        f"A bad day, every other task deferred, under the rules {rules}:",
        "",
        f"**{_sentence(day)}.**",
    ]
    return "\n".join(lines) + "\n" + section(restarted)


if __name__ == "__main__":
    sys.exit(main())
