"""Memory follows the size of a batch, not that of the source; what is far away is fetched once."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_ll.records import read_batches

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


class Remote(io.RawIOBase):
    """A file that counts the bytes taken from it, as S3 would bill them."""

    def __init__(self, path: Path) -> None:
        self._content = memoryview(path.read_bytes())
        self._place = self.taken = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._place = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: len(self._content)}[whence]
        return self._place

    def readinto(self, target: Any) -> int:
        piece = self._content[self._place : self._place + len(target)]
        target[: len(piece)] = piece
        self._place += len(piece)
        self.taken += len(piece)
        return len(piece)


def _npy(path: Path, rows: int) -> None:
    array = np.lib.format.open_memmap(path, "w+", np.float32, (rows, COLUMNS), fortran_order="columns" in path.name)
    array[:] = 1


def _peak(path: Path, plan: str) -> int:
    """Return the most MB that a process took which read ``path`` to its end."""
    program = [sys.executable, "-c", PROGRAM, str(path), plan, str(path.parent)]
    return int(subprocess.run(program, check=True, capture_output=True, text=True, timeout=120).stdout) // 1024


@pytest.mark.parametrize(
    ("name", "columns", "share"),
    [
        ("rows.parquet", None, 1.1),
        ("rows.parquet", ["x3", "y"], 0.25),
        ("rows.npy", None, 1.1),
        ("columns.npy", None, 1.1),
    ],
)
def test_what_is_far_away_is_fetched_once(tmp_path: Path, name: str, columns: list[str] | None, share: float) -> None:
    path = tmp_path / name
    (_parquet if name.endswith("parquet") else _npy)(path, SMALL)
    remote = Remote(path)
    source = io.BufferedReader(remote, 256 << 10)
    wanted = columns or (None if name.endswith("npy") else [f"x{index}" for index in range(COLUMNS - 1)])
    got = np.concatenate([batch.features for batch in _read(source, name, wanted)])
    assert np.array_equal(got, np.concatenate([batch.features for batch in _read(path, name, wanted)]))
    assert remote.taken < share * path.stat().st_size + (1 << 20)


@pytest.mark.parametrize("columns", [["a.b"], ["a", "a.b"]])
def test_columns_with_dots_in_their_names_are_fetched(tmp_path: Path, columns: list[str]) -> None:
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"a.b": [1, 2], "a": [3, 4], "c": [["x"], []]}), path)
    (far,) = _read(io.BufferedReader(Remote(path)), path.name, columns)
    assert far.features.tolist() == [[{"a.b": row, "a": row + 2}[name] for name in columns] for row in (1, 2)]


def _read(source: Any, name: str, columns: list[str] | None) -> Any:
    kind: Any = name.rpartition(".")[2]
    return read_batches(source, format=kind, columns=columns, batch_rows=5000)


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
