"""Stream a Parquet dataset to the embedded S3 as a record set: peak memory of both sides, and throughput.

``make bench`` runs it in full, 10 GB, which takes about ten minutes and 25 GB of disk, and writes the page
``benchmarks/results/streaming.md``; ``make stress`` streams 1 GB and fails when memory is above the limits.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from airflow_ll.testing import LocalRuntime, start_runtime

if TYPE_CHECKING:
    from collections.abc import Sequence

HERE = Path(__file__).parent
COLUMNS = 100
FILE_ROWS, GROUP_ROWS = 640_000, 64_000  # files of 256 MB with row groups of 26 MB
BUCKET = "streaming"
#: In MB.
TASK_LIMIT, RUNTIME_LIMIT = 600, 300
WANTED_RATIO = 1.5


@dataclass(frozen=True)
class Outcome:
    """What one run showed."""

    rows: int
    gigabytes: float
    shards: int
    verdict: str
    task: dict[str, float]
    boto3: dict[str, float]
    runtime_mb: float

    @property
    def ratio(self) -> float:
        """The task's time to that of boto3."""
        return self.task["seconds"] / self.boto3["seconds"]

    @property
    def failures(self) -> list[str]:
        """What must not be, whatever the machine's other work."""
        found = [] if self.verdict.startswith(f"ok: {self.rows:,} rows") else [self.verdict]
        if self.task["peak_mb"] > TASK_LIMIT:
            found.append(f"the task took {self.task['peak_mb']:.0f} MB, more than {TASK_LIMIT}")
        if self.runtime_mb > RUNTIME_LIMIT:
            found.append(f"the runtime took {self.runtime_mb:.0f} MB, more than {RUNTIME_LIMIT}")
        return found


def generate(folder: Path, gigabytes: float) -> int:
    """Write Parquet files of COLUMNS float32 numbers a row and a label, uncompressed; return their rows."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    generator = np.random.default_rng(0)
    names = [f"x{number}" for number in range(COLUMNS)]
    total = int(gigabytes * 1e9) // (4 * COLUMNS + 4)
    for first in range(0, total, FILE_ROWS):
        rows = min(FILE_ROWS, total - first)
        path = folder / f"part-{first // FILE_ROWS:05d}.parquet"
        schema = pa.schema([*((name, pa.float32()) for name in names), ("label", pa.float32())])
        with pq.ParquetWriter(path, schema, compression="none", use_dictionary=False) as writer:
            for begin in range(0, rows, GROUP_ROWS):
                count = min(GROUP_ROWS, rows - begin)
                columns = generator.random((COLUMNS + 1, count), np.float32)
                columns[-1] = columns[-1] > 0.5
                writer.write_table(pa.Table.from_arrays([pa.array(column) for column in columns], schema=schema))
    return total


def run_task(source: str, location: str) -> dict[str, Any]:
    """Do what the task of a DAG does, in this process."""
    from airflow_ll.operators import LinearLearnerRecordSetOperator
    from airflow_ll.requests.names import TaskIdentity

    task = LinearLearnerRecordSetOperator(
        task_id="rows",
        features=source,
        file_format="parquet",
        label_column="label",
        predictor_type="binary_classifier",
        data_location=location,
    )
    started, cpu = time.perf_counter(), time.process_time()
    result = task.execute({"ti": TaskIdentity("streaming", "run", "rows")})
    return _cost(started, cpu) | result


def run_boto3(source: str, url: str) -> dict[str, Any]:
    """Upload the finished files with boto3 as it comes."""
    from airflow_ll.local import boto_session

    client = boto_session(url).client("s3")
    started, cpu = time.perf_counter(), time.process_time()
    for path in sorted(Path(source).iterdir()):
        client.upload_file(str(path), BUCKET, f"copy/{path.name}")
    return _cost(started, cpu)


def _cost(started: float, cpu: float) -> dict[str, float]:
    return {
        "seconds": time.perf_counter() - started,
        "cpu": time.process_time() - cpu,
        "peak_mb": peak_megabytes(),
    }


def child(runtime: LocalRuntime, *arguments: str) -> dict[str, Any]:
    """Run one side in a process of its own and return what it says."""
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.streaming", *arguments]
    done = subprocess.run(command, env=environment(runtime), stdout=subprocess.PIPE, text=True, check=True)
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def environment(runtime: LocalRuntime) -> dict[str, str]:
    """Return the environment of a process whose connection ``aws_default`` is the runtime."""
    return os.environ | {"AIRFLOW_CONN_AWS_DEFAULT": runtime.connection, "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR"}


def peak_megabytes(pid: int | str = "self") -> float:
    """Return the most memory that a process has had at once (``VmHWM``); Linux only.

    Not ``ru_maxrss``, which begins with that of the process which forked this one.
    """
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmHWM"))) / 1024


def verify(runtime: LocalRuntime, manifest: str) -> str:
    """Return what ``airflow-ll records verify`` says about a record set."""
    command = [sys.executable, "-W", "ignore", "-m", "airflow_ll", "records", "verify", manifest]
    done = subprocess.run(command, env=environment(runtime), capture_output=True, text=True, check=False)
    return (done.stdout or done.stderr).strip()


def download(runtime: LocalRuntime, manifest: str, folder: Path) -> None:
    """Bring the shards of a record set to local disk, and remove them from S3 to free theirs."""
    client = runtime.client("s3")
    prefix = manifest.removeprefix(f"s3://{BUCKET}/").rpartition("/")[0]
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=f"{prefix}/"):
        for one in page["Contents"]:
            if one["Key"].endswith(".pbr"):
                client.download_file(BUCKET, one["Key"], str(folder / one["Key"].rpartition("/")[2]))
            client.delete_object(Bucket=BUCKET, Key=one["Key"])


def measure(folder: Path, gigabytes: float) -> Outcome:
    """Generate, convert, verify, and upload the same bytes again with boto3."""
    (folder / "rows").mkdir()
    (folder / "shards").mkdir()
    rows = generate(folder / "rows", gigabytes)
    runtime = start_runtime(folder / "runtime")
    try:
        runtime.client("s3").create_bucket(Bucket=BUCKET)
        task = child(runtime, "--task", str(folder / "rows"), f"s3://{BUCKET}/record-sets")
        runtime_mb = peak_megabytes(runtime.process.pid)
        verdict = verify(runtime, task["s3_data"])
        shutil.rmtree(folder / "rows")
        download(runtime, task["s3_data"], folder / "shards")
        boto3 = child(runtime, "--boto3", str(folder / "shards"), runtime.url)
    finally:
        runtime.stop()
    return Outcome(rows, task["bytes"] / 1e9, task["shards"], verdict, task, boto3, runtime_mb)


def page(outcome: Outcome) -> str:
    """Return the result page."""
    lines = [
        _line("the task: read, check, encode, hash, upload", outcome.task, outcome.gigabytes, f"<= {TASK_LIMIT} MB"),
        _line("boto3: upload the same bytes", outcome.boto3, outcome.gigabytes, ""),
        f"| the runtime, while the task uploads | | | | {outcome.runtime_mb:.0f} | <= {RUNTIME_LIMIT} MB |",
    ]
    return f"""# Streaming a Parquet dataset to S3

Written by `make bench`. {outcome.rows:,} rows of {COLUMNS} float32 columns and a label, in uncompressed Parquet files
of 256 MB on local disk, become {outcome.gigabytes:.1f} GB of records in {outcome.shards} shards on the S3 of
`airflow-ll local`: by the record set operator in a process of its own, then the finished shards again with `boto3`'s
`upload_file`, one after another. {os.cpu_count()} cores of {platform.machine()} for client and server together,
Python {platform.python_version()}, boto3 {version("boto3")}, pyarrow {version("pyarrow")}.

| | seconds | CPU seconds | MB/s of records | peak memory, MB | wanted |
|---|---:|---:|---:|---:|---|
{chr(10).join(lines)}

The task takes **{outcome.ratio:.2f}** times as long as boto3 (wanted: at most {WANTED_RATIO}). Memory is the most that
the process has had at once, the interpreter, Airflow and pyarrow included. `airflow-ll records verify` of the result:
{outcome.verdict}.
"""


def _line(what: str, side: dict[str, float], gigabytes: float, wanted: str) -> str:
    rate = gigabytes * 1e3 / side["seconds"]
    return f"| {what} | {side['seconds']:.1f} | {side['cpu']:.1f} | {rate:.0f} | {side['peak_mb']:.0f} | {wanted} |"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, write the page, and fail on too much memory or a wrong record set."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=10)
    parser.add_argument("--output", type=Path, default=HERE / "results/streaming.md", help="the page; - prints it")
    parser.add_argument("--task", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--boto3", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.task or options.boto3:
        print(json.dumps(run_task(*options.task) if options.task else run_boto3(*options.boto3)))
        return
    with tempfile.TemporaryDirectory(prefix="airflow-ll-streaming-") as folder:
        outcome = measure(Path(folder), options.gigabytes)
    text = page(outcome)
    print(text) if str(options.output) == "-" else options.output.write_text(text)
    if outcome.failures:
        sys.exit("streaming: " + "; ".join(outcome.failures))


if __name__ == "__main__":
    main()
