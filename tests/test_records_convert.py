"""``airflow-ll records convert`` and ``verify``: rows that do not go together, and files of many rows."""

from __future__ import annotations

import tracemalloc
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import scipy.sparse as sp

from airflow_ll.records_cli import tables
from tests.test_records_cli import SPARSE, records, write_shard

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


@pytest.fixture
def wide(tmp_path: Path) -> Path:
    """Sparse rows that are a hundred times as large when they are dense: ten million cells in a third of a MiB."""
    matrix: Any = sp.random(1000, 10_000, density=0.002, format="csr", dtype=np.float32, rng=0)
    return write_shard(tmp_path / "wide", matrix, np.ones(1000))


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_sparse_rows_are_not_made_dense_a_block_at_a_time(
    records: Command, wide: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = write_shard(wide.with_name("few"), SPARSE, np.ones(len(SPARSE.indptr) - 1))
    records("convert", few, few.with_suffix(f".{suffix}"))  # imports, whose code is no memory of ours
    monkeypatch.setattr(tables, "_GROUP_BYTES", 8 << 20)
    tracemalloc.start()
    code, output, _ = records("convert", wide, wide.with_suffix(f".{suffix}"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (code, output.split()[1]) == (0, "1,000")
    assert peak < 24 << 20


def test_sparse_numbers_are_the_same_in_csv(records: Command, tmp_path: Path) -> None:
    labels = np.arange(40) / 8
    assert records("convert", write_shard(tmp_path / "rows", SPARSE, labels), tmp_path / "rows.csv")[0] == 0
    table = np.loadtxt(tmp_path / "rows.csv", delimiter=",", dtype=np.float32)
    np.testing.assert_array_equal(table, np.column_stack([labels, SPARSE.toarray()]))


def test_a_row_group_has_many_batches(records: Command, tmp_path: Path) -> None:
    import pyarrow.parquet

    shard = write_shard(tmp_path / "rows", np.ones((40_000, 100), np.float32), np.arange(40_000))  # sixteen batches
    assert records("convert", shard, tmp_path / "rows.parquet")[0] == 0
    file = pyarrow.parquet.ParquetFile(tmp_path / "rows.parquet")
    assert file.num_row_groups == 1
    np.testing.assert_array_equal(file.read(["label"])["label"], np.arange(40_000))


@pytest.mark.parametrize("features", [SPARSE, SPARSE.toarray()], ids=["sparse", "dense"])
def test_rows_are_cut_into_row_groups_wherever_batches_end(
    records: Command, tmp_path: Path, features: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pyarrow.parquet

    monkeypatch.setattr(tables, "_GROUP_BYTES", 7 * 4 * 302)  # of rows of 2 labels and 300 features
    monkeypatch.setattr(tables, "_DENSE_CELLS", 3 * 300)
    labels = np.arange(80).reshape(40, 2)
    assert records("convert", write_shard(tmp_path / "rows", features, labels), tmp_path / "rows.parquet")[0] == 0
    file = pyarrow.parquet.ParquetFile(tmp_path / "rows.parquet")
    assert [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)] == [7, 7, 7, 7, 7, 5]
    table = file.read()
    assert table.column_names[:3] == ["label_0", "label_1", "feature_0"]
    np.testing.assert_array_equal(np.column_stack(table.columns), np.hstack([labels, SPARSE.toarray()]))
