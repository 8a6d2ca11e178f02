"""Memory follows the size of a batch, not that of the source."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

COLUMNS = 24
SMALL, LARGE = 100_000, 1_500_000  # rows of 96 bytes: 10 and 144 MB
ROOM_MB = 48

PROGRAM = """
import os, sys
from airflow_ll.records import FeatureSchema, ShardPlan, read_batches, read_tables, shuffle_rows, write_records

path, plan, folder = sys.argv[1:]
schema = None
if path.endswith((".parquet", ".csv")):
    schema = FeatureSchema.fit(read_tables(path), label_column="y")
batches = read_batches(path, schema=schema, batch_rows=8192)
if plan == "shuffle":
    batches = shuffle_rows(batches, seed=1, memory_bytes=16 << 20, directory=folder, batch_rows=8192)
assigned = ShardPlan(count=3).assign(batches, directory=folder) if plan == "count" else ShardPlan().assign(batches)
with open(os.devnull, "wb") as sink:
    for _, batch in assigned:
        write_records(sink, batch.features, batch.labels)
# Not ru_maxrss, which begins with that of the process which forked this one.
with open("/proc/self/status") as status:
    print(next(line.split()[1] for line in status if line.startswith("VmHWM")))
"""


def _parquet(path: Path, rows: int) -> None:
    """Write one row group, so that reading it whole would show."""
    numbers = np.random.default_rng(0).random(rows, np.float32)
    columns = {f"x{index}": numbers for index in range(COLUMNS - 1)}
    labels = pa.array(np.arange(rows) % 2)
    table = pa.table({**columns, "carrier": pa.array(["AA", "UA"] * (rows // 2)), "y": labels})
    pq.write_table(table, path, row_group_size=rows, compression="none", use_dictionary=["carrier"])


def _npy(path: Path, rows: int) -> None:
    array = np.lib.format.open_memmap(path, "w+", np.float32, (rows, COLUMNS), fortran_order="columns" in path.name)
    array[:] = 1


def _peak(path: Path, plan: str) -> int:
    """Return the most MB that a process took which read ``path`` to its end."""
    program = [sys.executable, "-c", PROGRAM, str(path), plan, str(path.parent)]
    return int(subprocess.run(program, check=True, capture_output=True, text=True, timeout=120).stdout) // 1024


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak is read from Linux's /proc")
@pytest.mark.parametrize(
    ("name", "plan"),
    [("rows.parquet", "size"), ("rows.parquet", "shuffle"), ("rows.npy", "count"), ("columns.npy", "size")],
)
def test_fifteen_times_the_rows_take_no_more_memory(tmp_path: Path, name: str, plan: str) -> None:
    peaks = []
    for rows in (SMALL, LARGE):
        path = tmp_path / f"{rows}.{name}"
        (_parquet if name.endswith("parquet") else _npy)(path, rows)
        peaks.append(_peak(path, plan))
        path.unlink()
    assert peaks[1] - peaks[0] < ROOM_MB, peaks
