"""Record sets against the SageMaker SDK 2.x: rows a second side by side, alternating, in one run.

``make bench`` writes the table to ``benchmarks/results/records.md``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse

from airflow_ll.records import check_features, encode_records, iter_records, read_records, write_records

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

HERE = Path(__file__).parent
ROUNDS = 5


class Sink:
    """A stream that only counts, so that encoding is measured and not a disk."""

    def __init__(self) -> None:
        self.size = 0

    def write(self, chunk: memoryview) -> int:
        """Take ``chunk``."""
        self.size += len(chunk)
        return len(chunk)


class Sdk:
    """The other side: a process of its own interpreter that does one task at a time."""

    def __init__(self, python: Path) -> None:
        self._process = subprocess.Popen(
            [str(python), "-W", "ignore", str(HERE / "records_sdk.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=os.environ | {"SAGEMAKER_SUPPRESS_V2_WARNING": "1"},
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._requests, self._answers = self._process.stdin, self._process.stdout
        while self._answers.readline().strip() != "ready":
            if self._process.poll() is not None:
                sys.exit(f"the SDK's process ended with {self._process.returncode}: run make bench")

    def rows_per_second(self, task: str, rows: int, columns: int) -> float:
        """Return the rate at which the SDK does ``task``."""
        self._requests.write(json.dumps([task, rows, columns]) + "\n")
        self._requests.flush()
        return rows / float(self._answers.readline())

    def close(self) -> None:
        """End the process."""
        self._requests.close()
        self._process.wait(timeout=30)
        self._answers.close()


@dataclass(frozen=True)
class Case:
    """One row of the table: ours, the limit of the machine, and the SDK's task with its size."""

    title: str
    rows: int
    ours: Callable[[], object]
    memcpy: Callable[[], object]
    sdk_task: str
    sdk_rows: int
    columns: int


def _rate(rows: int, action: Callable[[], object]) -> float:
    started = time.perf_counter()
    action()
    return rows / (time.perf_counter() - started)


def _dense_cases(columns: int, megabytes: int) -> list[Case]:
    rows = megabytes * 1_000_000 // (4 * columns)
    generator = np.random.default_rng(0)
    features = generator.random((rows, columns), np.float32)
    labels = generator.integers(0, 2, rows).astype(np.float32)
    target = np.empty_like(features)
    cached_rows = max(1, 131_072 // (4 * columns))
    repeats = rows // cached_rows
    cached, cached_labels = features[:cached_rows].copy(), labels[:cached_rows].copy()
    encoded = encode_records(features, labels)
    sdk_rows = 2_000 if columns > 100 else 20_000

    def encode() -> None:
        check_features(features)
        write_records(Sink(), features, labels)  # type: ignore[arg-type]

    def encode_cached() -> None:
        for _ in range(repeats):
            write_records(Sink(), cached, cached_labels)  # type: ignore[arg-type]

    def copy_cached() -> None:
        for _ in range(repeats):
            np.copyto(target[:cached_rows], cached)

    def copy() -> None:
        np.copyto(target, features)

    def decode() -> None:
        batch = read_records(encoded)
        assert batch.features.shape == features.shape

    def parse() -> None:
        assert sum(len(batch.features) for batch in iter_records(encoded, batch_rows=4096)) == rows

    size = f"{columns} columns"
    return [
        Case(f"encode, {size}, source beyond cache, finite check", rows, encode, copy, "encode", sdk_rows, columns),
        Case(f"encode, {size}, cached source, no check", repeats * cached_rows, encode_cached, copy_cached,
             "encode", sdk_rows, columns),
        Case(f"decode to a matrix, {size}", rows, decode, copy, "decode", sdk_rows, columns),
        Case(f"read in batches, {size} (SDK: parse only)", rows, parse, copy, "parse", sdk_rows, columns),
    ]  # fmt: skip


def _sparse_case(rows: int, columns: int = 10_000) -> Case:
    matrix = scipy.sparse.random(rows, columns, density=0.01, format="csr", dtype=np.float32, rng=0)
    labels = np.zeros(rows, np.float32)
    values, keys = np.empty_like(matrix.data), np.empty_like(matrix.indices)

    def copy() -> None:
        np.copyto(values, matrix.data)
        np.copyto(keys, matrix.indices)

    return Case(
        f"encode sparse, {columns:,} columns, 1% dense", rows,
        lambda: write_records(Sink(), matrix, labels),  # type: ignore[arg-type]
        copy, "sparse", 1_000, columns,
    )  # fmt: skip


def _measure(case: Case, sdk: Sdk, rounds: int) -> dict[str, Any]:
    case.ours()  # warm caches and page tables
    ours, limit, theirs, ratios = [], [], [], []
    for _ in range(rounds):
        ours.append(_rate(case.rows, case.ours))
        limit.append(_rate(case.rows, case.memcpy))
        theirs.append(sdk.rows_per_second(case.sdk_task, case.sdk_rows, case.columns))
        ratios.append(ours[-1] / theirs[-1])
    return {
        "title": case.title,
        "ours": statistics.median(ours),
        "memcpy": statistics.median(limit),
        "sdk": statistics.median(theirs),
        "ratio": statistics.median(ratios),
        "low": min(ratios),
        "high": max(ratios),
    }


def _page(results: Sequence[dict[str, Any]], rounds: int) -> str:
    lines = [
        "# Record sets: airflow-ll against the SageMaker SDK 2.x",
        "",
        f"Written by `make bench`: {rounds} alternating rounds, medians; the ratio's lowest and highest in brackets.",
        f"{os.cpu_count()} cores, Python {platform.python_version()}, numpy {version('numpy')}; SDK 2.257.7 apart.",
        "Thousand rows a second; memcpy copies the same numbers with `numpy.copyto`: the limit of the machine.",
        "",
        "| what | airflow-ll | memcpy | SDK | ratio to the SDK |",
        "|---|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {one['title']} | {one['ours'] / 1e3:,.0f} | {one['memcpy'] / 1e3:,.0f} | {one['sdk'] / 1e3:,.1f} | "
        f"**{one['ratio']:,.0f}x** ({one['low']:,.0f}-{one['high']:,.0f}) |"
        for one in results
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure every case and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sdk-python", type=Path, default=HERE.parent / ".venvs/sdk/bin/python")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--megabytes", type=int, default=256, help="size of the dense sources")
    parser.add_argument("--output", type=Path, default=HERE / "results/records.md")
    arguments = parser.parse_args()
    sdk = Sdk(arguments.sdk_python)
    results = []
    for columns in (784, 30):
        results += [_measure(case, sdk, arguments.rounds) for case in _dense_cases(columns, arguments.megabytes)]
    results.append(_measure(_sparse_case(20_000), sdk, arguments.rounds))
    sdk.close()
    page = _page(results, arguments.rounds)
    arguments.output.write_text(page)
    print(page)


if __name__ == "__main__":
    main()
