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
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse

from airflow_ll.records import DenseEncoder, check_features, encode_records, iter_records, read_records, write_records

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

HERE = Path(__file__).parent
ROUNDS = 7
#: Source and target together are half of the second-level cache of most machines.
CACHED_BYTES = 1 << 18
LIMITS = """
What limits us:

- Decoding to a matrix of its own ends in new memory, which the kernel fills with zeros first; `out=` reads into memory
  that is there. The rows "for comparison" are that cost with a plain copy of one thread and nothing else. A copy in one
  piece also goes past the caches; copies of one row after another do not, so the target is read before it is written.
- A sparse row of 100 numbers becomes some 650 bytes at places that depend on all lengths before. Every step is
  vectorised over the rows of a chunk: some eight passes over the keys, some seventy over the rows (their lengths and
  the strips between the numbers), where a compiled loop would need one.
"""


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
        line = ""
        while not line.startswith("ready "):
            line = self._answers.readline()
            if self._process.poll() is not None:
                sys.exit(f"the SDK's process ended with {self._process.returncode}: run make bench")
        self.version = line.removeprefix("ready ").strip()

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
    """One row of the table: ours, the limit of the machine, the SDK's task with its size, and the ratio wanted."""

    title: str
    rows: int
    ours: Callable[[], object]
    memcpy: Callable[[], object]
    row_bytes: float
    sdk_task: str
    sdk_rows: int
    columns: int
    wanted: int | None = None


@dataclass
class Rates:
    """Rows a second of every round."""

    ours: list[float] = field(default_factory=list)
    memcpy: list[float] = field(default_factory=list)
    sdk: list[float] = field(default_factory=list)

    @property
    def ratios(self) -> list[float]:
        """Ours to the SDK's, of the same round."""
        return [ours / sdk for ours, sdk in zip(self.ours, self.sdk, strict=True)]


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
    encoded = encode_records(features, labels)
    sdk_rows, wide = (2_000, True) if columns > 100 else (20_000, False)

    def encode() -> None:
        check_features(features)
        write_records(Sink(), features, labels)  # type: ignore[arg-type]

    def copy() -> None:
        np.copyto(target, features)

    def decode() -> None:
        batch = read_records(encoded)
        assert batch.features.shape == features.shape

    def decode_into() -> None:
        batch = read_records(encoded, out=target)
        assert batch.features.base is target or batch.features is target

    def stream() -> None:
        assert sum(len(batch) for batch in iter_records(encoded, batch_rows=4096)) == rows

    size, row = f"{columns} columns", 4.0 * columns
    return [
        Case(f"encode, {size}: source beyond the cache, finite check", rows, encode, copy, row, "encode", sdk_rows,
             columns, 250 if wide else 400),
        _cached_case(features, labels, target, sdk_rows, 500 if wide else 800),
        Case(f"decode to a verified matrix, {size}; SDK: reader and conversion", rows, decode, copy, row, "decode",
             sdk_rows, columns, 80 if wide else 150),
        Case(f"decode to a verified matrix that is there (`out=`), {size}; SDK: reader and conversion", rows,
             decode_into, copy, row, "decode", sdk_rows, columns, 80 if wide else 150),
        Case(f"decode to a verified matrix, {size}; SDK: reader alone", rows, decode, copy, row, "parse",
             sdk_rows, columns),
        Case(f"for comparison: that matrix copied to new memory, {size}; SDK: reader and conversion", rows,
             features.copy, copy, row, "decode", sdk_rows, columns),
        Case(f"decode in verified batches of 4,096 rows, {size}; SDK: reader and conversion", rows, stream, copy, row,
             "decode", sdk_rows, columns),
    ]  # fmt: skip


def _cached_case(features: np.ndarray, labels: np.ndarray, target: np.ndarray, sdk_rows: int, wanted: int) -> Case:
    columns = features.shape[1]
    rows = CACHED_BYTES // (4 * columns)
    repeats = len(features) // rows
    cached, cached_labels, cached_target = features[:rows].copy(), labels[:rows].copy(), target[:rows]
    encoder = DenseEncoder.of_float32(columns, rows=rows)

    def encode() -> None:
        for _ in range(repeats):
            encoder.encode(cached, cached_labels)

    def copy() -> None:
        for _ in range(repeats):
            np.copyto(cached_target, cached)

    title = f"encode, {columns} columns: cached source, reused buffer, no check"
    return Case(title, repeats * rows, encode, copy, 4.0 * columns, "encode", sdk_rows, columns, wanted)


def _sparse_cases(rows: int, columns: int) -> list[Case]:
    matrix = scipy.sparse.random(rows, columns, density=0.01, format="csr", dtype=np.float32, rng=0)
    labels = np.zeros(rows, np.float32)
    values, keys = np.empty_like(matrix.data), np.empty_like(matrix.indices)
    encoded = encode_records(matrix, labels)

    def copy() -> None:
        np.copyto(values, matrix.data)
        np.copyto(keys, matrix.indices)

    def encode() -> None:
        write_records(Sink(), matrix, labels)  # type: ignore[arg-type]

    def decode() -> None:
        assert read_records(encoded).features.shape == matrix.shape

    size, row = f"{columns:,} columns, 1% dense", 8.0 * matrix.nnz / rows
    return [
        Case(f"encode sparse, {size}", rows, encode, copy, row, "encode sparse", 1_000, columns, 100),
        Case(f"decode sparse to CSR, {size}", rows, decode, copy, row, "decode sparse", 1_000, columns),
    ]


def _measure(case: Case, sdk: Sdk, rounds: int) -> Rates:
    rates = Rates()
    for action in (case.ours, case.memcpy):  # warm caches and page tables
        action()
    sdk.rows_per_second(case.sdk_task, case.sdk_rows, case.columns)
    for _ in range(rounds):
        rates.ours.append(_rate(case.rows, case.ours))
        rates.memcpy.append(_rate(case.rows, case.memcpy))
        rates.sdk.append(sdk.rows_per_second(case.sdk_task, case.sdk_rows, case.columns))
    return rates


def _line(case: Case, rates: Rates) -> str:
    ours, memcpy, sdk = (statistics.median(one) for one in (rates.ours, rates.memcpy, rates.sdk))
    ratio = statistics.median(rates.ratios)
    return (
        f"| {case.title} | {ours / 1e3:,.0f} | {ours * case.row_bytes / 1e9:.1f} | {memcpy / 1e3:,.0f} | "
        f"{memcpy * case.row_bytes / 1e9:.1f} | {ours / memcpy:.0%} | {sdk / 1e3:,.1f} | **{ratio:,.0f}x** "
        f"({min(rates.ratios):,.0f}-{max(rates.ratios):,.0f}) | {f'{case.wanted}x' if case.wanted else ''} |"
    )


def _page(lines: Sequence[str], rounds: int, sdk: str) -> str:
    head = f"""# Record sets: airflow-ll against the SageMaker SDK 2.x

Written by `make bench`: {rounds} rounds that alternate airflow-ll, memcpy and the SDK; medians, and of the ratio the
lowest and highest round in brackets. {_processor()}, Python {platform.python_version()},
numpy {version("numpy")}; sagemaker {sdk}, in an environment of its own.

Rates are in 1,000 rows a second. All is done by one thread, but that up to four threads, one a core, read the records
of a whole source of uniform rows here; the SDK cannot be given another thread. `memcpy` copies the numbers of the same
matrix (values and keys of a sparse one) with `numpy.copyto` into memory that is there already: the limit of the
machine. GB/s are those of these numbers, without what the format adds. Both sides write to a sink that only counts, and
read from bytes in memory; reading ends in new memory, which costs about as much again as the copy. The SDK's messages
become numpy arrays in the fastest of four ways tried.

| what | airflow-ll | GB/s | memcpy | GB/s | of memcpy | SDK | ratio to the SDK | wanted |
|---|---:|---:|---:|---:|---:|---:|---:|---:|
"""
    return head + "\n".join(lines) + "\n" + LIMITS


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{os.cpu_count()} cores of {names[0] if names else platform.machine()}"


def main() -> None:
    """Measure every case and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sdk-python", type=Path, default=HERE.parent / ".venvs/sdk/bin/python")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--megabytes", type=int, default=256, help="size of the dense sources")
    parser.add_argument("--output", type=Path, default=HERE / "results/records.md")
    arguments = parser.parse_args()
    sdk = Sdk(arguments.sdk_python)
    lines = []
    for columns in (784, 30, 10_000):
        cases = _sparse_cases(60_000, columns) if columns == 10_000 else _dense_cases(columns, arguments.megabytes)
        for case in cases:
            lines.append(_line(case, _measure(case, sdk, arguments.rounds)))
            print(lines[-1], flush=True)
    sdk.close()
    arguments.output.write_text(_page(lines, arguments.rounds, sdk.version))


if __name__ == "__main__":
    main()
