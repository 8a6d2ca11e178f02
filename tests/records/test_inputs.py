"""What users hand over as rows: Arrow's arrays, objects among numbers, polars, and what must be refused."""

from __future__ import annotations

import io
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest
import scipy.sparse as sp

from airflow_ll.exceptions import DataError
from airflow_ll.records import (
    FeatureSchema,
    arrow_sources,
    read_batches,
    read_records,
    read_tables,
    shuffle_rows,
    write_records,
)
from airflow_ll.records.schema import Column

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LATE = [True, False, True]


def written(features: Any, labels: Any = None) -> Any:
    stream = io.BytesIO()
    write_records(stream, features, labels)
    return read_records(stream.getvalue())


READS = [
    written,
    lambda features, labels: list(read_batches(features, labels=labels)),
    lambda features, labels: list(read_batches((features, labels))),
]


@pytest.mark.parametrize(
    "column",
    [[1.5, None, 3.0], [True, None, False], [Decimal("1.5"), None, Decimal(3)], [1, None, 3]],
    ids=["numbers", "booleans", "decimals", "integers"],
)
@pytest.mark.parametrize(
    "frame",
    [
        lambda column: pa.table({"a": column, "b": [1, 2, 3]}),
        lambda column: pa.record_batch({"a": pa.array(column), "b": pa.array([1, 2, 3])}),
        lambda column: pl.DataFrame({"a": column, "b": [1, 2, 3]}),
    ],
    ids=["table", "record batch", "polars"],
)
def test_null_among_numbers_is_nan_whatever_the_frame(frame: Any, column: list[Any]) -> None:
    wanted = [np.nan if value is None else float(value) for value in column]
    np.testing.assert_array_equal(written(frame(column)).features, np.column_stack([wanted, [1, 2, 3]]))


@pytest.mark.parametrize("labels", [pa.array(LATE), pa.chunked_array([LATE]), pl.Series(LATE), pa.array([1, 0, 1])])
def test_labels_of_arrow_and_polars(labels: Any) -> None:
    assert written(np.ones((3, 2)), labels).labels.tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    "labels",
    [
        [True, None, 0],
        pa.array([True, None, False]),
        pa.array([Decimal(1), None, Decimal(0)]),
        pa.table({"late": [True, None, False]}),
        pd.array([1, None, 0], dtype="Int64"),
        pd.Series([True, None, False], dtype="boolean"),
        pd.DataFrame({"late": pd.array([True, None, False], dtype="boolean")}),
        pl.Series([True, None, False]),
        pl.Series([Decimal(1), None, Decimal(0)]),
    ],
    ids=lambda labels: f"{type(labels).__module__}.{type(labels).__name__}",
)
def test_null_among_labels_is_nan_wherever_they_are_given(labels: Any) -> None:
    ones = np.ones((3, 2))
    for found in (
        written(ones, labels).labels,
        next(read_batches(ones, labels=labels)).labels,
        next(read_batches((ones, labels))).labels,
    ):
        np.testing.assert_array_equal(np.asarray(found, np.float64).reshape(-1), [1, np.nan, 0])


def test_none_in_a_list_is_nan_and_text_is_refused() -> None:
    np.testing.assert_array_equal(written([[1, None], [2, 3]]).features, [[1, np.nan], [2, 3]])
    with pytest.raises(DataError, match="must be real numbers"):
        written(np.array([["1", 2]], object))


@pytest.mark.parametrize("use", READS)
def test_rows_of_several_lengths_are_refused_in_one_sentence(use: Any) -> None:
    with pytest.raises(
        DataError, match="Features must have as many numbers in each row, but row 0 has 2 and row 1 has 1"
    ):
        use([[1, 2], [3]], None)
    with pytest.raises(
        DataError, match="Labels must have as many numbers in each row, but row 1 has 1 and row 2 has 2"
    ):
        use(np.ones((3, 2)), [[1], [0], [1, 0]])
    with pytest.raises(DataError, match="in each row, but their values have several lengths"):
        use([[1, [2, 3]], [4, 5]], None)
    with pytest.raises(DataError, match="Labels must be one a row, but are 5"):
        use(np.ones((3, 2)), 5)


@pytest.mark.parametrize("use", READS)
@pytest.mark.filterwarnings("error")
def test_a_lazy_frame_must_be_collected(use: Any) -> None:
    frame = pl.DataFrame({"a": [1.0]})
    for features, labels in ((frame.lazy(), None), (frame, frame.lazy())):
        with pytest.raises(DataError, match=r"give the frame that its collect\(\) returns"):
            use(features, labels)
    assert written(frame.lazy().collect()).features.tolist() == [[1]]
    assert written(pd.DataFrame({"collect": [1.0]})).features.tolist() == [[1]]


@pytest.mark.parametrize("read", [read_tables, read_batches, lambda frame: FeatureSchema.fit([frame])])
def test_a_lazy_frame_has_no_tables(read: Any) -> None:
    with pytest.raises(DataError, match="A polars LazyFrame has no rows yet"):
        list(read(pl.DataFrame({"a": [1.0]}).lazy()))


NAMED = pa.table({"a": [1.0, 2.0], "late": [1, 0]})
MATRIX = np.array([[1.0, 1.0], [2.0, 0.0]])
LEAKS: dict[str, tuple[Callable[[Path], Any], bool]] = {  # what is read, and whether its columns have names
    "npy": (lambda folder: _file(folder / "rows.npy", lambda path: np.save(path, MATRIX)), False),
    "npz": (lambda folder: _file(folder / "rows.npz", lambda path: np.savez(path, features=MATRIX)), False),
    "sparse npz": (
        lambda folder: _file(folder / "rows.npz", lambda path: sp.save_npz(path, sp.csr_array(MATRIX))),
        False,
    ),
    "bare csv": (lambda folder: _file(folder / "rows.csv", lambda path: path.write_text("1,1\n2,0\n")), False),
    "csv": (lambda folder: _file(folder / "rows.csv", lambda path: path.write_text("a,late\n1,1\n2,0\n")), True),
    "parquet": (lambda folder: _file(folder / "rows.parquet", lambda path: pq.write_table(NAMED, path)), True),
    "arrow": (lambda folder: _file(folder / "rows.arrow", lambda path: feather.write_feather(NAMED, str(path))), True),
    "dataset": (lambda folder: ds.dataset(NAMED), True),
    "table": (lambda folder: NAMED, True),
    "pandas": (lambda folder: NAMED.to_pandas(), True),
    "polars": (lambda folder: pl.from_arrow(NAMED), True),
    "dict": (lambda folder: {"a": [1.0, 2.0], "late": [1, 0]}, True),
    "matrix": (lambda folder: MATRIX, False),
    "iterator of matrices": (lambda folder: iter([MATRIX]), False),
    "iterator of frames": (lambda folder: iter([NAMED.to_pandas()]), True),  # as SQL comes
}


def _file(path: Path, write: Callable[[Path], object]) -> Path:
    write(path)
    return path


@pytest.mark.parametrize("kind", LEAKS)
def test_a_label_is_no_feature(tmp_path: Path, kind: str) -> None:
    make, named = LEAKS[kind]
    names = ["a", "late"] if named else ["0", "1"]
    schema = FeatureSchema(tuple(Column(name, "number") for name in names))
    for label in (1, -1, names[1]):
        chosen: list[list[Any]] = [[0, 1], [*names], [names[0], 1]]
        for columns in chosen:
            with pytest.raises(
                DataError, match=rf"The label column '{names[1]}' must be no feature, but columns has it"
            ):
                list(read_batches(make(tmp_path), columns=columns, label_column=label))
        with pytest.raises(
            DataError, match=rf"The label column '{names[1]}' must be no feature, but the schema has it"
        ):
            list(read_batches(make(tmp_path), schema=schema, label_column=label))
    (batch,) = read_batches(make(tmp_path), columns=[0], label_column=1)
    assert batch.labels is not None
    assert batch.labels.tolist() == [1, 0]


def test_a_shuffle_needs_a_seed_that_its_hash_can_take() -> None:
    with pytest.raises(DataError, match="seed must be an integer from 0"):
        list(shuffle_rows(read_batches(np.ones((3, 2))), seed=-1))


@pytest.mark.parametrize("header", [True, False])
def test_a_csv_may_have_lines_longer_than_a_block(tmp_path: Path, header: bool) -> None:
    width = 60_000
    rows = np.arange(3 * width).reshape(3, width) % 1000 + 1_000_000_000_000_000_000
    names = ",".join(f"a column with a long name {index}" for index in range(width)) if header else ""
    lines = [names] * header + [",".join(map(str, row)) for row in rows.tolist()]
    (tmp_path / "wide.csv").write_text("\n".join(lines) + "\n")
    batches = list(read_batches(tmp_path / "wide.csv"))
    np.testing.assert_array_equal(np.concatenate([one.features for one in batches]), rows.astype(np.float32))


@pytest.mark.parametrize("header", [True, False])
@pytest.mark.parametrize("zeros", [0, 1, 3])
def test_lines_of_a_csv_may_grow_beyond_a_block(monkeypatch: pytest.MonkeyPatch, header: bool, zeros: int) -> None:
    monkeypatch.setattr(arrow_sources, "_BLOCK_BYTES", 1 << 10)
    rows = np.full((8, 600), -1.2345678901234567e-300)  # 25 bytes each with its comma
    rows[:zeros] = 0
    lines = [",".join(f"c{index}" for index in range(600))] if header else []
    lines += [",".join("0" if value == 0 else repr(value) for value in row) for row in rows.tolist()]
    batches = read_batches(io.BytesIO("\n".join(lines).encode()), format="csv")
    assert sum(map(len, batches)) == 8


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_a_csv_may_be_one_line(end: str) -> None:
    (batch,) = read_batches(io.BytesIO(f"1.5,2{end}".encode()), format="csv")
    assert batch.features.tolist() == [[1.5, 2]]
    assert list(read_batches(io.BytesIO(f"a,b{end}".encode()), format="csv")) == []


@pytest.mark.parametrize("content", [b"1" * (1 << 18), b"a,b\r1,2\r"], ids=["one cell", "no line feeds"])
def test_what_is_no_csv_is_told(content: bytes) -> None:
    with pytest.raises(DataError, match="The csv source is damaged"):
        list(read_batches(io.BytesIO(content), format="csv"))


@pytest.mark.parametrize("label", ["y", 0, -3])
@pytest.mark.parametrize("columns", [None, [1, 2]])
def test_files_may_have_their_columns_in_another_order(tmp_path: Path, label: Any, columns: Any) -> None:
    (tmp_path / "1.csv").write_text("y,a,b\n1,2,3\n")
    (tmp_path / "2.csv").write_text("b,y,a\n6,4,5\n")
    first, second = read_batches(tmp_path, label_column=label, columns=columns)
    assert (first.features.tolist(), np.asarray(first.labels).tolist()) == ([[2, 3]], [1])
    assert (second.features.tolist(), np.asarray(second.labels).tolist()) == ([[5, 6]], [4])


def test_tables_with_other_columns_are_refused() -> None:
    tables = iter([pa.table({"a": [1], "b": [2]}), pa.table({"c": [1], "b": [2]})])
    with pytest.raises(DataError, match="columns of the first, but those from row 1 on lack 'a' and add 'c': correct"):
        list(read_batches(tables))
    named = iter([pa.table({"a": [1], "b": [2]}), pa.table({"c": [1], "b": [4]})])
    assert [batch.features.tolist() for batch in read_batches(named, columns=["b"])] == [[[2]], [[4]]]


@pytest.mark.parametrize("kind", ["parquet", "arrow", "dataset"])
def test_rows_without_any_of_the_columns_are_refused_and_not_lost(tmp_path: Path, kind: str) -> None:
    tables = [pa.table({"a": [1, 2]}), pa.table({"A": [3, 4]})]
    sources: list[Any] = [ds.dataset(table) for table in tables]
    if kind != "dataset":
        write = pq.write_table if kind == "parquet" else feather.write_feather
        for index, table in enumerate(tables):
            write(table, tmp_path / f"{index}.{kind}")
        sources = [tmp_path]
    with pytest.raises(DataError, match="no column 'a'; the 1 columns are A"):
        list(read_batches(iter(sources), columns=["a"]))


@pytest.mark.parametrize(("text", "rows"), [("1,,3\n4,5,6\n", 2), (",0,1\n0,5,6\n", 1), ("a,,1\n4,5,6\n", 1)])
def test_a_first_line_of_numbers_is_a_row_though_one_is_missing(text: str, rows: int) -> None:
    (batch,) = read_batches(io.BytesIO(text.encode()), format="csv")
    assert batch.features.shape == (rows, 3)


def test_chunks_that_pandas_reads_are_frames() -> None:
    with pd.read_csv(io.StringIO("a,y\n1,2\n3,4\n"), chunksize=1) as chunks:
        batches = list(read_batches(chunks, label_column="y"))
    assert [(batch.features.tolist(), np.asarray(batch.labels).tolist()) for batch in batches] == [
        ([[1]], [2]),
        ([[3]], [4]),
    ]


def test_labels_are_given_once(tmp_path: Path) -> None:
    np.savez(tmp_path / "rows.npz", features=np.eye(2), labels=np.zeros(2))
    for source in (tmp_path / "rows.npz", iter([(np.eye(2), np.zeros(2))])):
        with pytest.raises(DataError, match="Labels must be given once, but the source has them itself, too"):
            list(read_batches(source, labels=[1, 0]))
