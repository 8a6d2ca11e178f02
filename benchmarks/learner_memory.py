"""The memory of a training job on data many times larger than what it may keep.

``python -m benchmarks.learner_memory [--quick]`` writes ``benchmarks/results/learner_memory.md`` (quick: prints it
only). The peak is the whole process's resident set, as the kernel counts it (``VmHWM``: what ``getrusage`` says of a
child has the memory of its parent in it).
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse

from airflow_ll.learner.channels import CACHE_VARIABLE
from airflow_ll.learner.kernels import JIT_VARIABLE
from airflow_ll.records import write_records
from benchmarks.jobs import configure

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent
EPOCHS, SHARD = 2, 100_000
MEGABYTE = 1_000_000
NOTHING_KEPT, ALL_KEPT = 0, 8 << 30
RUN = """
import pathlib, re, sys
from airflow_ll.cli import main
code = main(["train", "--root", sys.argv[1]])
print(re.search(r"VmHWM:\\s+(\\d+) kB", pathlib.Path("/proc/self/status").read_text())[1], file=sys.stderr)
sys.exit(code)
"""


@dataclass(frozen=True)
class Peak:
    """Of one job: megabytes and seconds."""

    memory: float
    seconds: float


def dense(rows: int) -> Iterator[tuple[Any, Any]]:
    for seed in range(rows // SHARD):
        features = np.random.default_rng(seed).standard_normal((SHARD, 100), dtype=np.float32)
        yield features, (features[:, 0] > 0).astype(np.float32)


def sparse(rows: int) -> Iterator[tuple[Any, Any]]:
    for seed in range(rows // SHARD):
        random = np.random.default_rng(seed)
        places = random.integers(0, 200, (SHARD, 50), dtype=np.int32) + 200 * np.arange(50, dtype=np.int32)
        values = random.standard_normal(places.size, dtype=np.float32)
        ends = np.arange(0, places.size + 1, 50, dtype=np.int32)
        features = scipy.sparse.csr_matrix((values, places.reshape(-1), ends), shape=(SHARD, 10_000))
        yield features, (values[::50] > 0).astype(np.float32)


def put(root: Path, shards: Iterator[tuple[Any, Any]]) -> int:
    """Write the train channel's files and return their size."""
    folder = root / "input" / "data" / "train"
    folder.mkdir(parents=True)
    for number, (features, labels) in enumerate(shards):
        with (folder / f"matrix_{number}.pbr").open("wb") as stream:
            write_records(stream, features, labels)
    return sum(path.stat().st_size for path in folder.iterdir())


def train(root: Path, budget: int) -> Peak:
    values = {"predictor_type": "binary_classifier", "epochs": EPOCHS}
    configure(root, {"train": ""}, values)
    environment = os.environ | {CACHE_VARIABLE: str(budget), "OPENBLAS_NUM_THREADS": "1", JIT_VARIABLE: "never"}
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(root)], env=environment, capture_output=True, text=True, check=True
    )
    return Peak(int(done.stderr.split()[-1]) * 1024 / MEGABYTE, time.perf_counter() - started)


def measure(name: str, shards: Iterator[tuple[Any, Any]]) -> str:
    with TemporaryDirectory(prefix="airflow-ll-benchmark-") as folder:
        root = Path(folder)
        size = put(root, shards)
        streamed = train(root, NOTHING_KEPT)
        model = (root / "model" / "model_algo-1").read_bytes()
        kept = train(root, ALL_KEPT)
        same = "yes" if model == (root / "model" / "model_algo-1").read_bytes() else "NO"
    return (
        f"| {name} | {size / MEGABYTE:,.0f} | {streamed.memory:,.0f} | {streamed.seconds:.1f} "
        f"| {kept.memory:,.0f} | {kept.seconds:.1f} | {same} |"
    )


def page(lines: list[str]) -> str:
    return f"""# Memory of a training job

Written by `python -m benchmarks.learner_memory`. {EPOCHS} epochs of the default 32 models on the train channel, read
from RecordIO: once with nothing kept in memory (`{CACHE_VARIABLE}=0`, every pass reads the files again), once with
everything. Megabytes are the peak of the whole process, interpreter and libraries included; in plain numpy, for numba
would add its own. Beyond batches, a job keeps labels, and the margins and scores that its final metrics need: some
bytes a row.

| rows | files, MB | nothing kept, MB | s | all kept, MB | s | the same model, byte for byte |
| --- | ---: | ---: | ---: | ---: | ---: | --- |
""" + "\n".join(lines) + "\n"  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="little data, nothing written")
    arguments = parser.parse_args()
    sizes = (SHARD, 2 * SHARD) if arguments.quick else (2 * SHARD, 10 * SHARD, 20 * SHARD)
    lines = [measure(f"{rows:,} x 100, dense", dense(rows)) for rows in sizes]
    lines += [measure(f"{rows:,} x 10,000, 0.5% not zero", sparse(rows)) for rows in sizes]
    print(text := page(lines))
    if not arguments.quick:
        (HERE / "results" / "learner_memory.md").write_text(text)


if __name__ == "__main__":
    main()
