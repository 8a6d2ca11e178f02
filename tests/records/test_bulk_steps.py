"""The steps that work on all rows at once do what the plain definition does row by row."""

from __future__ import annotations

import io
import os
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from airflow_ll.exceptions import DataError, RecordFormatError
from airflow_ll.records import DenseEncoder, encode_records, iter_records, read_records
from airflow_ll.records.dense import DenseLayout
from airflow_ll.records.matrices import FLOAT32
from airflow_ll.records.record_pb2 import Record  # type: ignore[attr-defined]  # built when it is imported
from airflow_ll.records.runs import copy_runs
from airflow_ll.records.tables import as_table
from airflow_ll.records.uniform import CHUNK_BYTES, read_uniform
from airflow_ll.records.varints import as_unsigned, ascending_varints, packed_varints, widths_of
from airflow_ll.records.wire import frame, varint

if TYPE_CHECKING:
    from pathlib import Path

SIXTY_FOUR_BITS = 2**64


def _integers(low: int, high: int) -> st.SearchStrategy[list[list[int]]]:
    """Rows of numbers of every varint width between ``low`` and ``high``."""
    near_powers = st.integers(0, 63).flatmap(lambda bit: st.integers(-1, 1).map(lambda step: (1 << bit) + step))
    numbers = st.one_of(st.integers(low, high), near_powers.filter(lambda number: low <= number <= high))
    return st.lists(st.lists(numbers, max_size=6), min_size=1, max_size=8)


@given(_integers(-(2**31), 2**31 - 1) | _integers(0, 2**63 - 1) | _integers(0, 2**14) | _integers(0, 127))
def test_varints_of_all_rows_are_those_of_each_number(rows: list[list[int]]) -> None:
    values = np.array([number for row in rows for number in row], np.int64)
    content, sizes = packed_varints(as_unsigned(values), np.array([len(row) for row in rows]))
    expected = [b"".join(varint(number % SIXTY_FOUR_BITS) for number in row) for row in rows]
    assert content.tobytes() == b"".join(expected)
    assert sizes.tolist() == [len(row) for row in expected]
    assert np.sum(widths_of(as_unsigned(values)) + np.zeros(len(values))) == len(content)


@given(_integers(0, 2**63 - 1) | _integers(0, 2**14) | _integers(0, 127), st.data())
def test_varints_that_ascend_in_each_row_are_runs_of_one_width(rows: list[list[int]], data: st.DataObject) -> None:
    rows = [sorted(row, key=lambda number: len(varint(number))) for row in rows]
    counts = np.array([len(row) for row in rows])
    runs = ascending_varints(as_unsigned(np.array([number for row in rows for number in row], np.int64)), counts)
    assert runs is not None
    pieces = [[run.content[a : a + n].tobytes() for a, n in zip(run.starts, run.sizes, strict=True)] for run in runs]
    assert [b"".join(row) for row in zip(*pieces, strict=True)] == [b"".join(map(varint, row)) for row in rows]
    row = data.draw(st.integers(0, len(rows) - 1))
    rows[row] = [300, *rows[row], 1]
    descending = as_unsigned(np.array([number for row in rows for number in row], np.int64))
    assert ascending_varints(descending, np.array([len(row) for row in rows])) is None


@pytest.mark.parametrize("ascending", [True, False])
@pytest.mark.parametrize("labels", [None, "f4", "i4"])
def test_sparse_records_are_those_of_protobuf(labels: str | None, ascending: bool) -> None:
    random = np.random.default_rng(7)
    lengths = np.array([0, 1, 2, 24, 25, 26, 31, 32, 33, 40, 62, 63, 64, 100, 2000, 4090, 4096, 5400, 0, 7000] * 3)
    random.shuffle(lengths)
    keys = [random.choice(3_000_000, length, replace=False) for length in lengths]
    keys = [np.sort(row * row // 3_000_000 if row.size % 2 else row % 100_000) for row in keys]
    keys = [np.unique(row) if ascending else np.unique(row)[::-1] for row in keys]
    bounds = np.cumsum([0, *map(len, keys)])
    values = random.random(bounds[-1], np.float32)
    targets = None if labels is None else random.integers(-300, 300, len(keys)).astype(labels)
    matrix = sp.csr_array((values, np.concatenate(keys), bounds), shape=(len(keys), 3_000_000))
    expected = b""
    for row, columns in enumerate(keys):
        record = Record()
        tensor = record.features["values"].float32_tensor
        tensor.values.extend(values[bounds[row] : bounds[row + 1]])
        tensor.keys.extend(columns)
        tensor.shape.append(3_000_000)
        if targets is not None:
            label = record.label["values"]
            kind = label.float32_tensor if labels == "f4" else label.int32_tensor
            kind.values.append(targets[row])
        expected += frame(record.SerializeToString())
    assert encode_records(matrix, targets, dtype="preserve") == expected


@pytest.mark.parametrize("small", [0, 1, 7, 500, 1000])
def test_few_and_many_short_varints_among_long_ones(small: int) -> None:
    values = np.arange(1000) * 30 + 20_000
    values[np.random.default_rng(small).permutation(1000)[:small]] = np.arange(small) * 3
    content, sizes = packed_varints(as_unsigned(values), np.array([400, 0, 600]))
    expected = [varint(int(value)) for value in values]
    assert content.tobytes() == b"".join(expected)
    assert sizes.tolist() == [len(b"".join(expected[:400])), 0, len(b"".join(expected[400:]))]


@given(st.lists(st.tuples(st.integers(0, 70), st.integers(0, 5)), max_size=20))
def test_runs_are_copied_and_nothing_else(runs: list[tuple[int, int]]) -> None:
    sizes = np.array([size for size, _ in runs], np.int64)
    gaps = np.array([gap for _, gap in runs], np.int64)
    target_starts = np.cumsum(sizes + gaps) - sizes
    source_starts = np.arange(len(sizes), dtype=np.int64) * 3  # they overlap: sources may
    source = (np.arange(200) % 251 + 1).astype(np.uint8)
    target = np.zeros(int((sizes + gaps).sum()), np.uint8)
    copy_runs(target, target_starts, source, source_starts, sizes)
    expected = bytearray(len(target))
    for to, from_, size in zip(target_starts, source_starts, sizes, strict=True):
        expected[to : to + size] = source[from_ : from_ + size].tobytes()
    assert target.tobytes() == bytes(expected)


def test_an_encoder_can_be_used_again_and_writes_the_same_bytes() -> None:
    encoder = DenseEncoder.of_float32(3, rows=4)
    for rows in (4, 1, 3, 0):
        features = np.random.default_rng(rows).random((rows, 3), np.float32)
        labels = np.arange(rows) % 2
        assert encoder.encode(features, labels) == encode_records(features, labels)
    wide = np.asfortranarray(np.arange(12.0).reshape(4, 3))
    assert encoder.encode(wide, np.zeros((4, 1))) == encode_records(wide, np.zeros(4))
    assert DenseEncoder.of_float32(3, 0, rows=4).encode(wide) == encode_records(wide)


def test_an_encoder_refuses_other_shapes() -> None:
    encoder = DenseEncoder.of_float32(3, rows=2)
    one = np.zeros(2, np.float32)
    for features, labels in ((np.zeros((3, 3)), np.zeros(3)), (np.zeros((2, 2)), one), (np.zeros((2, 3)), None)):
        with pytest.raises(DataError, match=r"takes up to 2 rows of 3 feature\(s\) and 1 label\(s\), but got"):
            encoder.encode(features, labels)
    with pytest.raises(DataError, match="row 11, column 2 is 1e\\+39"):
        encoder.encode(np.array([[0, 0, 0], [0, 0, 1e39]]), one, first_row=10)


ROWS = CHUNK_BYTES // 20  # several chunks of any record


@pytest.mark.parametrize("columns", [3, 700])
@pytest.mark.parametrize("in_file", [False, True])
def test_uniform_rows_are_read_at_once(in_file: bool, columns: int, tmp_path: Path) -> None:
    rows = 3 * ROWS // columns
    features, labels = np.random.default_rng(0).random((rows, columns), np.float32), np.arange(rows) % 7
    data = encode_records(features, labels)
    (tmp_path / "rows").write_bytes(data)
    part = read_uniform(tmp_path / "rows" if in_file else data)
    assert part is not None
    np.testing.assert_array_equal(part.features.values, features)
    np.testing.assert_array_equal(part.labels, labels[:, None])
    assert not np.shares_memory(part.features.values, np.frombuffer(data, np.uint8))


@pytest.mark.parametrize("in_file", [False, True])
def test_one_other_row_far_behind_takes_the_general_path(in_file: bool, tmp_path: Path) -> None:
    features = np.random.default_rng(0).random((ROWS, 3), np.float32)
    data = encode_records(features, np.zeros(ROWS))
    unpacked = encode_records(features[-1:].astype(np.float64), [1.0], dtype="preserve")
    path = tmp_path / "rows"
    path.write_bytes(data + unpacked)
    source = path if in_file else data + unpacked
    assert read_uniform(source) is None
    batch = read_records(source)
    np.testing.assert_array_equal(batch.features, np.vstack([features, features[-1:]]))
    assert batch.labels is not None
    assert (batch.labels == 1).nonzero()[0].tolist() == [ROWS]


@pytest.mark.parametrize("labels", [None, np.zeros(3), np.zeros((3, 2))])
def test_every_byte_around_the_numbers_is_compared(labels: Any) -> None:
    layout = DenseLayout(5, FLOAT32, 0 if labels is None else labels[:1].size, FLOAT32)
    data = bytearray(encode_records(np.zeros((3, 5), np.float32), labels))
    assert layout.matches(memoryview(data), 3)
    assert not layout.matches(memoryview(data)[:-4], 3)
    records = np.frombuffer(data, layout.dtype)
    for name in ("features", "labels"):
        records[name].view("u4")[...] = 2**32 - 1
    assert layout.matches(memoryview(data), 3)
    numbers = np.frombuffer(bytes(data), np.uint8) != np.frombuffer(layout.template * 3, np.uint8)
    assert numbers.sum() == 3 * 4 * (5 + layout.label_dim)
    for at, is_number in enumerate(numbers):
        data[at] ^= 64
        assert is_number or not layout.matches(memoryview(data), 3), f"byte {at}"
        data[at] ^= 64


@pytest.mark.parametrize("kind", ["bytes", "file", "stream"])
def test_features_are_read_into_memory_that_is_there(kind: str, tmp_path: Path) -> None:
    features, labels = np.random.default_rng(0).random((ROWS, 3), np.float32), np.arange(ROWS)
    data = encode_records(features, labels)
    (tmp_path / "rows").write_bytes(data)
    sources: dict[str, Any] = {"bytes": data, "file": tmp_path / "rows", "stream": io.BytesIO(data)}
    out = np.zeros((ROWS + 2, 4), np.float32)
    batch = read_records(sources[kind], out=out[:, :3])
    assert np.shares_memory(batch.features, out)
    np.testing.assert_array_equal(batch.features, features)
    np.testing.assert_array_equal(batch.labels, labels)
    assert not out[ROWS:].any()
    assert not out[:, 3].any()


@pytest.mark.parametrize("dtype", ["float32", "preserve"])
@pytest.mark.parametrize(
    ("shape", "out_dtype"), [((2, 3), "f4"), ((3, 4), "f4"), ((3, 2), "f4"), ((9,), "f4"), ((3, 3), "f2")]
)
def test_a_place_that_does_not_fit_is_refused(shape: tuple[int, ...], out_dtype: str, dtype: Any) -> None:
    data = encode_records(np.ones((3, 3), np.int64), dtype=dtype)
    with pytest.raises(DataError, match=r"out must be a matrix of \w+ with 3 column\(s\) and at least 3 row\(s\)"):
        read_records(data, out=np.zeros(shape, out_dtype))


def test_sparse_rows_have_no_place_in_a_matrix() -> None:
    data = encode_records(sp.csr_array(np.eye(3, dtype=np.float32)))
    with pytest.raises(DataError, match="The rows are sparse"):
        read_records(data, out=np.zeros((3, 3), np.float32))


@pytest.mark.parametrize("cut", [1, 19, 55])
def test_a_file_that_ends_within_a_row_is_refused(cut: int, tmp_path: Path) -> None:
    data = encode_records(np.ones((ROWS, 3), np.float32), np.zeros(ROWS))
    (tmp_path / "rows").write_bytes(data[:-cut])
    for source in (tmp_path / "rows", data[:-cut]):
        with pytest.raises(RecordFormatError, match=f"record at byte {len(data) - len(data) // ROWS} is cut off"):
            read_records(source)


def test_a_named_pipe_is_read_once(tmp_path: Path) -> None:
    data = encode_records(np.ones((9, 3), np.float32), np.zeros(9))
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(data,))
    writer.start()
    batch = read_records(tmp_path / "pipe")
    writer.join()
    assert batch.features.shape == (9, 3)


def test_the_paths_agree_about_streams() -> None:
    data = encode_records(np.ones((ROWS, 3), np.float32), np.zeros(ROWS))
    whole, streamed = read_records(data), read_records(io.BytesIO(data))
    np.testing.assert_array_equal(whole.features, streamed.features)
    assert sum(len(batch) for batch in iter_records(io.BytesIO(data), 1000)) == ROWS


@pytest.mark.parametrize("rows", [0, 1, 2048, 5000])
def test_columns_of_all_types_become_the_rows_of_one_matrix(rows: int) -> None:
    numbers = np.arange(rows)
    columns = {"a": numbers, "b": numbers * 0.5, "c": (numbers % 2).astype(bool), "d": np.full(rows, 1e39)}
    matrix = as_table(columns).numbers(["c", "a", "d", "b"])
    assert (matrix.dtype, matrix.flags.c_contiguous) == (np.float32, True)
    np.testing.assert_array_equal(matrix.T, [numbers % 2, numbers, np.full(rows, np.inf), numbers * 0.5])
