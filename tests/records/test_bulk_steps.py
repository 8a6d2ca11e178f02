"""The steps that work on all rows at once do what the plain definition does row by row."""

from __future__ import annotations

import io
import os
import threading
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_ll.exceptions import DataError, RecordFormatError
from airflow_ll.records import DenseEncoder, encode_records, iter_records, read_records
from airflow_ll.records.runs import copy_runs
from airflow_ll.records.uniform import CHUNK_BYTES, read_uniform
from airflow_ll.records.varints import as_unsigned, packed_varints, varint_widths
from airflow_ll.records.wire import varint

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
    assert varint_widths(as_unsigned(values)).sum() == len(content)


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
