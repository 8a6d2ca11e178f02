"""``airflow-ll records`` that is interrupted, loses its reader, or misses a shard."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import scipy.sparse as sp

from tests.test_records_cli import folder, records, uploaded, write_shard

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Runtime
    from tests.test_records_cli import Command

__all__ = ["folder", "records", "uploaded"]

# SIGINT stays ignored in what a shell starts in the background, as it may start the tests.
START = (
    "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "from airflow_ll.cli import main; sys.exit(main(sys.argv[1:]))"
)


@pytest.fixture
def slow(tmp_path: Path) -> Path:
    """A small shard that is gigabytes of CSV."""
    zeros: Any = sp.csr_matrix((20_000, 50_000), dtype=np.float32)
    return write_shard(tmp_path / "slow", zeros)


@pytest.mark.parametrize(
    ("number", "code", "errors"),
    [(signal.SIGINT, 130, "airflow-ll records: interrupted\n"), (signal.SIGTERM, 143, "")],
    ids=["SIGINT", "SIGTERM"],
)
def test_a_signal_ends_a_conversion_and_leaves_nothing(slow: Path, number: int, code: int, errors: str) -> None:
    command = [sys.executable, "-c", START, "records", "convert", str(slow), str(slow.with_suffix(".csv"))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        until = time.monotonic() + 60
        while not any(one.stat().st_size for one in slow.parent.glob(".slow.csv-*/*")) and time.monotonic() < until:
            time.sleep(0.01)
        process.send_signal(number)
        output = process.communicate(timeout=60)
    assert (process.returncode, output) == (code, ("", errors))
    assert list(slow.parent.iterdir()) == [slow]


@pytest.mark.parametrize("rows", [1, 2000], ids=["less than a buffer", "more than a buffer"])
def test_a_reader_that_has_seen_enough_gets_no_traceback(folder: Path, rows: int) -> None:
    write_shard(folder / "rows", np.ones((2000, 8)))
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "airflow_ll", "records", "inspect", str(folder / "rows"), "--rows", str(rows)]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, timeout=60)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, "")


def test_a_missing_shard_is_named(records: Command, folder: Path, tmp_path: Path) -> None:
    shard = folder / "matrix_1.pbr"
    shard.unlink()
    named = f"{folder}/.amazon.manifest names it"
    message = f"airflow-ll: {shard}: {named}, but it does not exist: upload the record set again.\n"
    for command in (("inspect", folder), ("convert", folder, tmp_path / "rows.csv")):
        assert records(*command) == (2, "", message)


def test_a_missing_shard_in_s3_is_named(records: Command, uploaded: str, runtime: Runtime, tmp_path: Path) -> None:
    runtime.client("s3").delete_object(Bucket=uploaded.split("/")[2], Key="set/matrix_1.pbr")
    named = f"{uploaded}.amazon.manifest names it"
    message = f"airflow-ll: {uploaded}matrix_1.pbr: {named}, but it does not exist: upload the record set again.\n"
    for command in (("inspect", uploaded), ("convert", uploaded, tmp_path / "rows.csv")):
        assert records(*command) == (2, "", message)
