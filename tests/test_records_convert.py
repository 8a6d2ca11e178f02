"""``airflow-ll records convert`` and ``verify``: rows that do not go together, and files of many rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.test_records_cli import records, write_shard

if TYPE_CHECKING:
    from pathlib import Path

    from tests.test_records_cli import Command

__all__ = ["records"]


@pytest.fixture
def label_dtypes(tmp_path: Path) -> Path:
    """A folder whose shards have labels of Int32 and of Float32."""
    folder = tmp_path / "set"
    folder.mkdir()
    features = np.ones((3, 2), np.float32)
    write_shard(folder / "matrix_0.pbr", features, np.array([0, 1, 0]), "preserve")
    write_shard(folder / "matrix_1.pbr", features, np.array([0.5, 1.5, 0.25], np.float32), "preserve")
    return folder


@pytest.mark.parametrize("suffix", ["csv", "npz", "parquet"])
def test_labels_of_another_dtype_are_refused(records: Command, label_dtypes: Path, tmp_path: Path, suffix: str) -> None:
    code, output, errors = records("convert", label_dtypes, tmp_path / f"rows.{suffix}")
    assert (code, output) == (2, "")
    assert errors == (
        "airflow-ll: Row 3 has 2 feature(s) of float32 and 1 label(s) of float32, but the rows before have 2 "
        "feature(s) of float32 and 1 label(s) of int32: convert the shards one by one.\n"
    )
    assert list(tmp_path.iterdir()) == [label_dtypes]


def test_verify_tells_labels_of_another_dtype(records: Command, label_dtypes: Path) -> None:
    code, output, _ = records("verify", label_dtypes)
    assert code == 1
    assert output.splitlines()[0] == (
        f"{label_dtypes}/matrix_1.pbr: has rows with 2 feature(s) of float32 and 1 label(s) of float32, but the rows "
        "before have 2 feature(s) of float32 and 1 label(s) of int32."
    )


def test_verify_tells_rows_of_two_kinds_in_one_shard(records: Command, tmp_path: Path) -> None:
    features = np.ones((5_000, 100), np.float32)  # two blocks, so that a later block differs from the first
    shard = write_shard(tmp_path / "rows", features)
    write_shard(tmp_path / "doubles", features.astype(np.float64), None, "preserve")
    shard.write_bytes(shard.read_bytes() + (tmp_path / "doubles").read_bytes())
    code, output, _ = records("verify", shard)
    assert code == 1
    assert output.splitlines()[0] == (
        f"{shard}: has rows with 100 feature(s) of float64 and no label, but the rows before have 100 feature(s) of "
        "float32 and no label."
    )
