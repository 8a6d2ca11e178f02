"""What is written is what is read, for every dtype, layout and container; and protobuf agrees with our bytes."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from airflow_ll.exceptions import DataError
from airflow_ll.records import encode_records, iter_records, read_records, write_records
from airflow_ll.records.framing import iter_blocks
from airflow_ll.records.record_pb2 import Record  # type: ignore[attr-defined]

if TYPE_CHECKING:
    from pathlib import Path

INTEGERS = ["i1", "i2", "<i4", ">i4", "<i8", ">i8", "u1", "u2", "u4", "u8", "?"]
FLOATS = ["<f2", ">f2", "<f4", ">f4", "<f8", ">f8"]
SPARSE = ["csr", "csc", "coo", "lil", "dok", "bsr", "dia"]


def dense(matrix: Any) -> Any:
    return matrix.toarray() if sp.issparse(matrix) else matrix


def by_protobuf(data: bytes) -> list[Any]:
    return [Record.FromString(bytes(block.payload(i))) for block in iter_blocks(data) for i in range(len(block))]


@st.composite
def matrices(draw: st.DrawFn) -> Any:
    dtype = np.dtype(draw(st.sampled_from(INTEGERS + FLOATS)))
    shape = draw(hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=40))
    if dtype.kind == "f":
        elements: Any = st.floats(-65504, 65504, width=16) | st.just(-0.0)
    elif dtype.kind == "b":
        elements = st.booleans()
    else:
        info: Any = np.iinfo(cast("Any", dtype))
        elements = st.integers(max(int(info.min), -(2**31)), min(int(info.max), 2**31 - 1))
    array = draw(hnp.arrays(dtype, shape, elements=elements, fill=st.just(dtype.type(0))))
    return draw(
        st.sampled_from([array, np.asfortranarray(array), np.repeat(array, 2, axis=1)[:, ::2], array[::-1], array.T])
    )


@given(matrix=matrices(), labelled=st.booleans(), dtype=st.sampled_from(["float32", "preserve"]))
def test_dense_arrays_of_every_dtype_and_layout(matrix: Any, labelled: bool, dtype: Any) -> None:
    labels = matrix[:, 0] if labelled else None
    data = encode_records(matrix, labels, dtype=dtype)
    batch = read_records(data)
    kept = matrix.astype(batch.features.dtype) if dtype == "float32" else matrix
    np.testing.assert_array_equal(batch.features, kept)
    assert (batch.labels is not None) == labelled
    if labelled:
        np.testing.assert_array_equal(batch.labels, kept[:, 0])
    kind = {"f4": "float32_tensor", "f8": "float64_tensor", "i4": "int32_tensor"}[batch.features.dtype.str[1:]]
    records = by_protobuf(data)
    assert [list(getattr(record.features["values"], kind).values) for record in records] == batch.features.tolist()


@given(
    matrix=matrices(),
    layout=st.sampled_from(SPARSE),
    array=st.booleans(),
    dtype=st.sampled_from(["float32", "preserve"]),
)
def test_sparse_matrices_of_every_layout(matrix: Any, layout: str, array: bool, dtype: Any) -> None:
    if matrix.dtype == np.float16 or not matrix.dtype.isnative:  # scipy has no sparse matrices of these
        matrix = matrix.astype(np.float32)
    sparse = getattr(sp, f"{layout}_{'array' if array else 'matrix'}")(np.ascontiguousarray(matrix))
    data = encode_records(sparse, matrix[:, 0], dtype=dtype)
    batch = read_records(data)
    kept = matrix.astype(np.float32) if dtype == "float32" else matrix
    assert batch.features.shape == matrix.shape
    np.testing.assert_array_equal(dense(batch.features), kept)
    np.testing.assert_array_equal(batch.labels, kept[:, 0])
    csr = sparse.tocsr()
    for row, record in enumerate(by_protobuf(data)):
        value = record.features["values"]
        tensor = getattr(value, value.WhichOneof("value"))
        assert list(tensor.shape) == [matrix.shape[1]]
        assert list(tensor.keys) == csr.indices[csr.indptr[row] : csr.indptr[row + 1]].tolist()


@given(matrix=matrices(), batch_rows=st.integers(1, 50), sparse=st.booleans())
def test_batches_are_the_whole_in_order(matrix: Any, batch_rows: int, sparse: bool) -> None:
    matrix = matrix.astype(np.float32)
    source = sp.csr_matrix(matrix) if sparse else matrix
    batches = list(iter_records(io.BytesIO(encode_records(source, np.arange(len(matrix)))), batch_rows))
    assert {len(batch) for batch in batches[:-1]} <= {batch_rows}
    assert 0 < len(batches[-1]) <= batch_rows
    np.testing.assert_array_equal(np.concatenate([dense(batch.features) for batch in batches]), matrix)
    np.testing.assert_array_equal(np.concatenate([batch.labels for batch in batches]), np.arange(len(matrix)))


@settings(max_examples=20)
@given(widths=st.integers(1, 400), labels=st.integers(1, 4), rows=st.integers(1, 30))
def test_label_vectors(widths: int, labels: int, rows: int) -> None:
    features = np.arange(rows * widths, dtype=np.float32).reshape(rows, widths)
    vectors = np.arange(rows * labels, dtype=np.float32).reshape(rows, labels)
    batch = read_records(encode_records(features, vectors))
    np.testing.assert_array_equal(batch.features, features)
    np.testing.assert_array_equal(batch.labels, vectors[:, 0] if labels == 1 else vectors)


def test_keys_of_every_varint_width() -> None:
    columns = [0, 127, 128, 2**14 - 1, 2**14, 2**21, 2**28, 2**31 - 2]
    matrix = sp.csr_array((np.arange(8, dtype=np.float32), np.array(columns), np.array([0, 0, 3, 8])), (3, 2**31 - 1))
    batch = read_records(encode_records(matrix))
    assert batch.features.indices.tolist() == columns
    assert batch.features.shape == matrix.shape


def test_many_rows_cross_chunks_and_blocks() -> None:
    rng = np.random.default_rng(7)
    features = rng.standard_normal((30_000, 23), np.float32)
    labels = rng.integers(0, 5, 30_000)
    batch = read_records(encode_records(features, labels))
    np.testing.assert_array_equal(batch.features, features)
    np.testing.assert_array_equal(batch.labels, labels)
    sparse = sp.csr_matrix(rng.random((20_000, 300), np.float32) // 0.95)
    assert (read_records(encode_records(sparse)).features != sparse).nnz == 0


def test_a_row_longer_than_a_block() -> None:
    features = np.arange(3 * 400_000, dtype=np.float32).reshape(3, 400_000)
    np.testing.assert_array_equal(read_records(io.BytesIO(encode_records(features))).features, features)


def test_a_payload_that_contains_the_magic_number_is_one_record() -> None:
    magic = np.frombuffer((0xCED7230A).to_bytes(4, "little") * 6, "<f4").reshape(2, 3)
    data = encode_records(np.concatenate([magic, np.ones((1, 3), np.float32)]), np.array([1, 2, 3]))
    assert read_records(data).features.tobytes() == magic.tobytes() + np.ones(3, "<f4").tobytes()
    ragged = encode_records(sp.csr_matrix(np.vstack([magic, np.zeros((1, 3), "<f4")])))
    assert read_records(ragged).features.shape == (3, 3)


def test_nan_infinities_and_negative_zero_keep_their_bits() -> None:
    odd = np.array([[np.nan, np.inf, -np.inf, -0.0, 1e-45]], np.float32)
    assert read_records(encode_records(odd)).features.tobytes() == odd.tobytes()


def test_no_rows_are_no_bytes() -> None:
    assert encode_records(np.empty((0, 3))) == b""
    assert encode_records(sp.csr_matrix((0, 3)), np.empty(0)) == b""
    assert len(read_records(b"")) == 0


@pytest.mark.parametrize("value", [1e39, -1e300])
def test_a_number_beyond_float32_is_refused_where_it_stands(value: float) -> None:
    features = np.zeros((5000, 3))
    features[4321, 2] = value
    with pytest.raises(DataError, match=r"row 4321, column 2 is .* does not fit float32"):
        encode_records(features)
    with pytest.raises(DataError, match="The label at row 4321"):
        encode_records(np.zeros((5000, 3)), features[:, 2])
    with pytest.raises(DataError, match=r"The feature at row 4321, column 2 is .* does not fit float32"):
        encode_records(sp.csr_matrix(features))


def test_infinity_is_not_an_overflow() -> None:
    assert read_records(encode_records(np.array([[np.inf, -np.inf]]))).features.tolist() == [[np.inf, -np.inf]]


@pytest.mark.parametrize("value", [2**31, -(2**31) - 1])
def test_preserve_refuses_integers_beyond_int32(value: int) -> None:
    with pytest.raises(DataError, match=r"row 1, column 0 is -?\d+, which does not fit int32"):
        encode_records(np.array([[2**31 - 1], [value]]), dtype="preserve")


def test_masked_numbers_are_nan() -> None:
    masked = np.ma.masked_array([[1, 2], [3, 4]], [[False, True], [False, False]])
    np.testing.assert_array_equal(read_records(encode_records(masked)).features, [[1, np.nan], [3, 4]])


def test_an_unknown_dtype_is_refused() -> None:
    with pytest.raises(DataError, match="dtype must be 'float32' or 'preserve', but is 'float64'"):
        encode_records(np.ones((1, 1)), dtype="float64")  # type: ignore[arg-type]


@pytest.mark.parametrize("bad", [np.array([["a"]]), np.array([[1j]]), np.array([[{}]]), np.array([["2026"]], "M8")])
def test_what_is_no_number_is_refused(bad: Any) -> None:
    with pytest.raises(DataError, match="Features must be real numbers"):
        encode_records(bad)


def test_data_frames_and_tables() -> None:
    frame = pd.DataFrame({"a": [1, 2], "b": [0.5, 1.5], "c": [True, False]})
    expected = [[1, 0.5, 1], [2, 1.5, 0]]
    assert read_records(encode_records(frame, frame["a"])).features.tolist() == expected
    table = pa.table({"a": [1, 2], "b": [0.5, 1.5], "c": pa.array([1, 0], pa.int8())})
    assert read_records(encode_records(table, table.column("a"))).features.tolist() == expected
    assert read_records(encode_records(table.to_batches()[0])).features.tolist() == expected
    with pytest.raises(DataError, match="The column 'b' must have numbers"):
        encode_records(pd.DataFrame({"a": [1], "b": ["x"]}))


def test_duplicate_sparse_entries_are_summed_and_unsorted_ones_kept() -> None:
    duplicate = sp.csr_matrix((np.ones(3, np.float32), np.array([4, 1, 1]), np.array([0, 3])), shape=(1, 5))
    (record,) = by_protobuf(encode_records(duplicate))
    assert list(record.features["values"].float32_tensor.keys) == [1, 4]
    assert list(record.features["values"].float32_tensor.values) == [2, 1]
    unsorted = sp.csr_matrix((np.array([1, 2], np.float32), np.array([4, 1]), np.array([0, 2])), shape=(1, 5))
    (record,) = by_protobuf(encode_records(unsorted))
    assert list(record.features["values"].float32_tensor.keys) == [4, 1]
    assert duplicate.nnz == 3, "the caller's matrix is left alone"


def test_paths_streams_and_short_reads(tmp_path: Path) -> None:
    features = np.arange(600, dtype=np.float32).reshape(100, 6)
    path = tmp_path / "matrix_0.pbr"
    with path.open("wb", buffering=0) as stream:
        written = write_records(stream, features)
    assert written == path.stat().st_size

    class Trickle(io.RawIOBase):
        def __init__(self) -> None:
            self.inner = path.open("rb")

        def read(self, size: int = -1) -> bytes:
            return self.inner.read(min(size, 7))

        def close(self) -> None:
            self.inner.close()

    for source in (path, str(path), path.read_bytes(), bytearray(path.read_bytes()), memoryview(path.read_bytes())):
        np.testing.assert_array_equal(read_records(source).features, features)
    with Trickle() as trickle:
        np.testing.assert_array_equal(read_records(trickle).features, features)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="batch_rows"):
        next(iter_records(path, 0))


def test_what_was_read_does_not_share_memory_with_the_source() -> None:
    source = bytearray(encode_records(np.ones((2, 2), np.float32), np.ones(2)))
    batch = read_records(source)
    source[:] = bytes(len(source))
    assert batch.features.tolist() == [[1, 1], [1, 1]]
    assert batch.features.flags.aligned
    assert batch.features.flags.c_contiguous
