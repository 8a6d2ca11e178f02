"""Every kind of source gives the same rows, whatever the size of the batches."""

from __future__ import annotations

import contextlib
import io
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_ll.exceptions import DataError
from airflow_ll.records import Batch, read_batches, read_tables
from airflow_ll.records.columns import numbers

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

ROWS = 257
FEATURES = np.random.default_rng(7).normal(size=(ROWS, 3)).astype(np.float32)
LABELS = np.arange(ROWS) % 2
FRAME = pd.DataFrame({"a": FEATURES[:, 0], "b": FEATURES[:, 1], "c": FEATURES[:, 2], "y": LABELS})


class Forward(io.RawIOBase):
    """A stream that only reads forward, a little at a time, as a socket does."""

    name: str

    def __init__(self, content: bytes) -> None:
        self._inner = io.BytesIO(content)

    def readable(self) -> bool:
        return True

    def readinto(self, target: Any) -> int:
        return self._inner.readinto(memoryview(target)[:1000])


def gathered(batches: Any) -> tuple[NDArray[Any], Any, list[int]]:
    """Return all features, all labels and the sizes of the batches; row numbers must count up."""
    parts: list[Batch] = list(batches)
    assert np.concatenate([part.rows for part in parts]).tolist() == list(range(sum(map(len, parts))))
    dense = [part.features.toarray() if sp.issparse(part.features) else part.features for part in parts]
    labels = [part.labels for part in parts if part.labels is not None]
    return np.concatenate(dense), np.concatenate(labels) if labels else None, [len(part) for part in parts]


def _arrow_file(path: Path) -> None:
    feather.write_feather(FRAME, str(path), compression="lz4", chunksize=50)


def _arrow_stream(path: Path) -> None:
    table = pa.Table.from_pandas(FRAME)
    with pa.ipc.new_stream(str(path), table.schema) as writer:
        writer.write_table(table, max_chunksize=50)


MATRIX_FILES: dict[str, Callable[[Path], object]] = {
    "rows.npy": lambda path: np.save(path, FEATURES),
    "columns.npy": lambda path: np.save(path, np.asfortranarray(FEATURES)),
    "big_endian.npy": lambda path: np.save(path, FEATURES.astype(">f8")),
    "stored.npz": lambda path: np.savez(path, features=FEATURES, labels=LABELS),
    "packed.npz": lambda path: np.savez_compressed(path, features=np.asfortranarray(FEATURES), labels=LABELS),
    "csr.npz": lambda path: sp.save_npz(path, sp.csr_array(FEATURES)),
    "csc.npz": lambda path: sp.save_npz(path, sp.csc_matrix(FEATURES)),
}
TABLE_FILES: dict[str, Callable[[Path], object]] = {
    "rows.csv": lambda path: FRAME.to_csv(path, index=False),
    "rows.parquet": lambda path: FRAME.to_parquet(path, row_group_size=100),
    "rows.feather": _arrow_file,
    "stream.arrow": _arrow_stream,
}
IN_MEMORY: dict[str, Callable[[], object]] = {
    "frame": lambda: FRAME,
    "frame with a float index": lambda: FRAME.set_index(np.arange(ROWS)[::-1] / 2),
    "nullable frame": lambda: FRAME.convert_dtypes(),
    "table": lambda: pa.Table.from_pandas(FRAME),
    "dataset": lambda: ds.dataset(pa.Table.from_pandas(FRAME)),
    "columns": lambda: {name: FRAME[name].to_numpy() for name in FRAME},
    "chunks": lambda: (FRAME.iloc[first : first + 31] for first in range(0, ROWS, 31)),
    "record batches": lambda: iter(pa.Table.from_pandas(FRAME).to_batches(max_chunksize=17)),
    "reader": lambda: pa.Table.from_pandas(FRAME).to_reader(17),
}


@pytest.mark.parametrize("batch_rows", [1, 100, None])
@pytest.mark.parametrize("name", MATRIX_FILES)
def test_matrix_files_are_read_batch_after_batch(tmp_path: Path, name: str, batch_rows: int | None) -> None:
    MATRIX_FILES[name](tmp_path / name)
    features, labels, sizes = gathered(read_batches(tmp_path / name, batch_rows=batch_rows))
    assert np.array_equal(features, FEATURES)
    assert labels is None or np.array_equal(labels, LABELS)
    assert (labels is not None) == (name in ("stored.npz", "packed.npz"))
    assert max(sizes) == min(ROWS, batch_rows or ROWS)


@pytest.mark.parametrize("batch_rows", [1, 100, None])
@pytest.mark.parametrize("name", TABLE_FILES)
def test_table_files_are_read_batch_after_batch(tmp_path: Path, name: str, batch_rows: int | None) -> None:
    TABLE_FILES[name](tmp_path / name)
    features, labels, sizes = gathered(read_batches(tmp_path / name, label_column="y", batch_rows=batch_rows))
    assert np.allclose(features, FEATURES, rtol=1e-6)
    assert np.array_equal(features, FEATURES) or name == "rows.csv"
    assert np.array_equal(labels, LABELS)
    assert max(sizes) <= (batch_rows or ROWS)


@pytest.mark.parametrize("name", [*MATRIX_FILES, *TABLE_FILES])
@pytest.mark.parametrize("stream", [io.BytesIO, Forward])
def test_opened_streams_give_what_their_files_give(tmp_path: Path, name: str, stream: Any) -> None:
    path = tmp_path / name
    (MATRIX_FILES | TABLE_FILES)[name](path)
    kind: Any = {"feather": "arrow"}.get(path.suffix[1:], path.suffix[1:])
    label = "y" if name in TABLE_FILES else None
    expected = gathered(read_batches(path, label_column=label))
    opened = stream(path.read_bytes())
    got = gathered(read_batches(opened, format=kind, label_column=label, batch_rows=60))
    assert np.array_equal(got[0], expected[0])
    assert np.array_equal(got[1], expected[1]) if label else True


@pytest.mark.parametrize("name", IN_MEMORY)
def test_data_in_memory_and_iterators_of_it_give_the_same_rows(name: str) -> None:
    features, labels, sizes = gathered(read_batches(IN_MEMORY[name](), label_column="y", batch_rows=40))
    assert np.array_equal(features, FEATURES)
    assert np.array_equal(labels, LABELS)
    assert max(sizes) <= 40


def test_pairs_and_labels_apart_are_labelled_rows(tmp_path: Path) -> None:
    pairs = ((FEATURES[first : first + 9], LABELS[first : first + 9]) for first in range(0, ROWS, 9))
    np.save(tmp_path / "labels.npy", LABELS)
    for batches in (
        read_batches(pairs),
        read_batches((FEATURES, LABELS), batch_rows=50),
        read_batches(FEATURES, labels=pd.Series(LABELS), batch_rows=50),
        read_batches(sp.csr_matrix(FEATURES), labels=tmp_path / "labels.npy"),
    ):
        features, labels, _ = gathered(batches)
        assert np.array_equal(features, FEATURES)
        assert np.array_equal(labels, LABELS)


def test_a_folder_and_an_iterator_of_streams_are_one_source(tmp_path: Path) -> None:
    (tmp_path / "month=2").mkdir()
    pq.write_table(pa.Table.from_pandas(FRAME[:100]), tmp_path / "a.parquet")
    pq.write_table(pa.Table.from_pandas(FRAME[100:]), tmp_path / "month=2" / "b.parquet")
    (tmp_path / "_SUCCESS").touch()
    whole = gathered(read_batches(tmp_path, label_column="y"))
    streams = (path.open("rb") for path in sorted(tmp_path.rglob("*.parquet")))
    parts = gathered(read_batches(_closing(streams), format="parquet", label_column="y"))
    assert np.array_equal(whole[0], FEATURES)
    assert np.array_equal(parts[0], FEATURES)


def _closing(streams: Any) -> Any:
    for stream in streams:
        with stream:
            yield stream


def test_columns_are_chosen_by_name_or_number_in_the_order_given(tmp_path: Path) -> None:
    FRAME.to_parquet(tmp_path / "rows.parquet")
    by_name = gathered(read_batches(tmp_path / "rows.parquet", columns=["c", "a"], label_column="y"))
    by_number = gathered(read_batches(tmp_path / "rows.parquet", columns=[2, 0], label_column=-1))
    assert np.array_equal(by_name[0], FEATURES[:, [2, 0]])
    assert np.array_equal(by_number[0], by_name[0])
    assert np.array_equal(by_number[1], LABELS)
    (batch,) = read_batches(sp.csr_matrix(FEATURES), columns=[2], label_column=0)
    assert np.array_equal(batch.features.toarray(), FEATURES[:, [2]])
    assert batch.labels is not None
    assert np.array_equal(batch.labels, FEATURES[:, 0])


def test_keys_are_kept_beside_the_features_and_follow_a_selection() -> None:
    frame = FRAME.assign(id=[f"r{row}" for row in range(ROWS)])
    (batch,) = read_batches(frame, label_column="y", key_columns=["id"])
    assert batch.feature_dim == 3
    part = batch.take([5, 3])
    assert [part.keys["id"].texts[code] for code in part.keys["id"].codes] == ["r5", "r3"]
    assert part.rows.tolist() == [5, 3]


def test_null_is_nan() -> None:
    for column in (
        pd.array([1, None], "Int64"),
        pd.array([True, None], "boolean"),
        np.array([1, None], object),
        pa.array([1, None]),
        pa.array([True, None]),
        pa.array([None, None], pa.null()),
    ):
        source = pa.table({"x": column}) if isinstance(column, pa.Array) else pd.DataFrame({"x": column})
        (batch,) = read_batches(source)
        assert np.isnan(batch.features[-1, 0])


class TestCsv:
    """What a file without types needs to be told or to guess."""

    @staticmethod
    def _read(text: str, **options: Any) -> tuple[NDArray[Any], Any, list[int]]:
        return gathered(read_batches(io.BytesIO(text.encode()), format="csv", **options))

    def test_without_a_header_columns_have_numbers(self) -> None:
        features, labels, _ = self._read("1,2,3\n4,5,6\n", label_column=0)
        assert features.tolist() == [[2, 3], [5, 6]]
        assert np.array_equal(labels, [1, 4])
        assert self._read("1,2\n", columns=["1"])[0].tolist() == [[2]]

    def test_a_byte_order_mark_quotes_and_other_line_ends_are_understood(self) -> None:
        features, labels, _ = self._read('\ufeff"a, b",y\r\n1,2\r\n', label_column="y")
        assert features.tolist() == [[1]]
        assert labels.tolist() == [2]

    def test_missing_numbers_are_nan(self) -> None:
        assert np.isnan(self._read("a,b\n1,\n")[0][0, 1])

    def test_whole_numbers_may_become_broken_ones_after_the_first_block(self) -> None:
        text = "a,b\n" + "1,2\n" * 400_000 + "1.5,2\n"
        assert self._read(text)[0][-1].tolist() == [1.5, 2]

    def test_text_among_numbers_is_told_with_its_column(self) -> None:
        text = "a,b\n" + "1,2\n" * 400_000 + "1,x\n"
        with pytest.raises(
            DataError,
            match=r"csv source is damaged, or has another format than it should: In CSV column #1: .*invalid value 'x'",
        ):
            self._read(text)

    def test_keys_keep_their_leading_zeros(self) -> None:
        (batch,) = read_batches(io.BytesIO(b"id,x\n007,1\n"), format="csv", key_columns=["id"])
        assert batch.keys["id"].texts == ("007",)

    def test_two_columns_of_one_name_are_refused(self) -> None:
        with pytest.raises(DataError, match="more than one is 'a'"):
            self._read("a,a\n1,2\n")

    @pytest.mark.parametrize("text", ["", "\n\n"])
    def test_an_empty_file_is_refused(self, text: str) -> None:
        with pytest.raises(DataError, match="empty"):
            self._read(text)


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        ("/nowhere/x.csv", {}, "no file '/nowhere/x.csv'"),
        (FRAME, {"label_column": "z"}, "no column 'z'; the 4 columns are a, b, c, y"),
        (FRAME, {"label_column": 4}, "no column 4"),
        (FRAME, {"columns": ["a", "q"]}, "no column 'q'"),
        (FRAME.assign(d="text"), {}, "column 'd' must have numbers, but has (str|text)"),
        (FRAME.assign(d=pd.Timestamp("2013-01-01")), {}, "column 'd' must have numbers"),
        (pa.table({"d": [["x"]]}), {}, "column 'd' must have numbers, but has list"),
        (pa.table([[1], [2]], ["d", "d"]), {}, "more than one is 'd'"),
        ({"a": [1, 2], "b": [1]}, {}, "same length"),
        (FEATURES, {"labels": LABELS[:-1]}, "256 for more than 256 rows"),
        (FEATURES, {"labels": [*LABELS, 1]}, "258 for 257 rows"),
        ((FEATURES, LABELS[:5]), {}, "5 for 257 rows"),
        (io.BytesIO(b""), {}, "format of '' is not known"),
        (io.BytesIO(b""), {"format": "xml"}, "format must be one of"),
        (io.BytesIO(b"x" * 99), {"format": "npy"}, "The npy source is no NumPy array"),
        (io.BytesIO(b"x" * 99), {"format": "npz"}, "npz source is damaged"),
        (io.BytesIO(b"x" * 99), {"format": "parquet"}, "parquet source is damaged"),
        (io.BytesIO(b"x" * 99), {"format": "arrow"}, "arrow source is damaged"),
        (5, {}, "but is int"),
        (FEATURES, {"batch_rows": 0}, "at least 1"),
        (np.zeros(3), {}, r"shape \(3,\)"),
    ],
)
def test_what_cannot_be_read_is_told_in_a_sentence(source: Any, options: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        list(read_batches(source, **options))


def _saved(array: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Return the bytes of every kind of file."""
    folder = tmp_path_factory.mktemp("files")
    for name, write in (MATRIX_FILES | TABLE_FILES).items():
        write(folder / name)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("name", [*MATRIX_FILES, *TABLE_FILES])
@settings(max_examples=40, deadline=None)
@given(
    place=st.floats(-1, 1, exclude_max=True),
    change=st.one_of(st.none(), st.binary(min_size=1, max_size=4), st.sampled_from([b"\xff" * 4, b"\0" * 8])),
)
def test_a_damaged_file_gives_rows_or_a_data_error(
    files: dict[str, bytes], name: str, place: float, change: bytes | None
) -> None:
    """Headers are at the beginning of some files and at the end of others: both are hit more often than the rest."""
    content, suffix = files[name], name.rpartition(".")[2]
    position = int(abs(place) ** 3 * len(content))
    position = len(content) - position if place < 0 else position
    damaged = content[:position] + (b"" if change is None else change + content[position + len(change) :])
    kind: Any = {"feather": "arrow"}.get(suffix, suffix)
    with contextlib.suppress(DataError):
        for batch in read_batches(io.BytesIO(damaged), format=kind, label_column="y" if name in TABLE_FILES else None):
            assert batch.features.shape[0] == len(batch)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (_saved(FEATURES)[:-5], "ends 5 bytes too early"),
        (_saved(np.asfortranarray(FEATURES))[:-5], "ends 5 bytes too early"),
        (_saved(np.array([{}])), "Python objects"),
        (_saved(np.zeros((2, 2, 2))), r"shape \(2, 2, 2\)"),
        (_saved(np.zeros((2, 2), complex)), "complex128"),
    ],
)
def test_npy_files_are_not_trusted(content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        list(read_batches(io.BytesIO(content), format="npy"))


@pytest.mark.parametrize(
    ("part", "value", "message"),
    [
        ("indptr", [0, 2, 1, 3], "go backwards"),
        ("indptr", [0, 1, 2, 9], "beyond its numbers"),
        ("indices", [0, 9, 1], "outside its 4 columns"),
        ("data", [1.0, 2.0], "do not fit its shape"),
        ("shape", [2, 4], "do not fit its shape"),
    ],
)
def test_sparse_files_are_not_trusted(part: str, value: Any, message: str) -> None:
    parts: dict[str, Any] = {"indptr": [0, 1, 2, 3], "indices": [0, 3, 1], "data": [1.0, 2.0, 3.0], "shape": [3, 4]}
    stream = io.BytesIO()
    arrays: dict[str, Any] = {name: np.array(one) for name, one in {**parts, part: value}.items()}
    np.savez(stream, format=np.array(b"csr"), **arrays)
    with pytest.raises(DataError, match=message):
        list(read_batches(io.BytesIO(stream.getvalue()), format="npz"))


def test_tables_keep_the_types_of_their_columns() -> None:
    (table,) = read_tables(io.BytesIO(b"c,x\nAA,1\n,2\n"), format="csv", categorical=["x"])
    assert table.names == ("c", "x")
    assert [str(table.column(name).type) for name in table.names] == ["string", "string"]
    assert table.column("c").null_count == 1


ARROW_NUMBERS = ["bool", *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)), *("f2", "f4", "f8")]


@pytest.mark.parametrize("dtype", ARROW_NUMBERS)
def test_arrow_numbers_of_every_type_are_read_with_and_without_null(dtype: str) -> None:
    values = np.array([1, 0, 1, 1], dtype)
    whole, gaps = pa.array(values), pa.array(values, mask=np.array([False, True, False, False]))
    for column in (whole, whole[1:3], whole[:0], pa.chunked_array([whole, whole[2:]]), gaps, gaps[1:]):
        expected = [np.nan if value is None else float(value) for value in column.to_pylist()]
        assert numbers(column, "a").dtype.kind in "iuf"
        np.testing.assert_array_equal(numbers(column, "a"), np.array(expected))


def test_parquet_is_read_without_pandas(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": [1.5, None], "b": [1, 2]}), tmp_path / "rows.parquet")
    program = f"""
import sys
from airflow_ll.records import read_batches
assert sum(len(batch) for batch in read_batches({str(tmp_path / "rows.parquet")!r})) == 2
assert "pandas" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)
