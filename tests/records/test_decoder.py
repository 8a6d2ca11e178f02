"""Reading what others wrote: any valid protobuf, and any bytes at all."""

from __future__ import annotations

import io
import os
import random
import re
import struct
import time
import tracemalloc
from typing import IO, Any, cast

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from airflow_ll.exceptions import RecordFormatError
from airflow_ll.records import encode_records, iter_records, read_records
from airflow_ll.records.framing import iter_blocks
from airflow_ll.records.messages import decode_messages
from airflow_ll.records.parts import concatenate
from airflow_ll.records.record_pb2 import Record  # type: ignore[attr-defined]
from airflow_ll.records.wire import NAME, field, frame, packed

FUZZ_SECONDS = float(os.environ.get("RECORDS_FUZZ_SECONDS", "2"))
FUZZ_SEED = int(os.environ.get("RECORDS_FUZZ_SEED", "20"))


def record(values: Any = (), label: Any = (), *, kind: str = "float32_tensor", **tensor: Any) -> Any:
    message = Record()
    features = getattr(message.features["values"], kind)
    features.SetInParent()
    features.values.extend(values)
    features.keys.extend(tensor.get("keys", ()))
    features.shape.extend(tensor.get("shape", ()))
    if label:
        message.label["values"].float32_tensor.values.extend(label)
    return message


def framed(*records: Any) -> bytes:
    return b"".join(frame(one.SerializeToString()) for one in records)


def test_uids_and_metadata_are_read() -> None:
    first, second = record([1, 2], [0]), record([3, 4], [1])
    first.uid, second.metadata, second.configuration = "row-1", '{"a": 1}', "x"
    batch = read_records(framed(first, second))
    assert batch.uids == ("row-1", None)
    assert batch.metadata == (None, '{"a": 1}')
    assert batch.features.tolist() == [[1, 2], [3, 4]]
    assert read_records(framed(record([1]))).uids is None


def test_uids_stay_with_their_rows_in_batches() -> None:
    rows = [record([i], [i]) for i in range(5)]
    rows[3].uid = "third"
    batches = list(iter_records(framed(*rows), 2))
    assert [batch.uids for batch in batches] == [(None, None), (None, "third"), (None,)]


def test_unpacked_values_in_another_order_are_read() -> None:
    value = b"".join(b"\x0d" + np.float32(x).tobytes() for x in (1.5, -2))
    label = field(2, field(2, field(2, packed(1, np.float32(7).tobytes()))) + NAME)
    features = field(1, NAME + field(2, field(2, value)))
    batch = read_records(frame(label + features))
    assert batch.features.tolist() == [[1.5, -2]]
    assert batch.labels is not None
    assert batch.labels.tolist() == [7]


def test_kinds_of_tensors_may_be_mixed() -> None:
    batch = read_records(framed(record([1.5], kind="float64_tensor"), record([2], kind="int32_tensor")))
    assert batch.features.tolist() == [[1.5], [2]]
    assert batch.features.dtype == np.float64


def test_sparse_and_dense_rows_may_be_mixed() -> None:
    data = framed(record([1, 2, 3], shape=[3]), record([9], keys=[1], shape=[3]), record(shape=[3]))
    for source in (data, encode_records(np.ones((40_000, 3), np.float32)) + data):
        batch = read_records(source)
        assert sp.issparse(batch.features)
        assert batch.features[-3:].toarray().tolist() == [[1, 2, 3], [0, 9, 0], [0, 0, 0]]


def test_a_shape_of_several_dimensions_counts_their_product() -> None:
    assert read_records(framed(record(range(6), shape=[2, 3]))).features.tolist() == [[0, 1, 2, 3, 4, 5]]


def test_padding_need_not_be_zero() -> None:
    payload = record([1]).SerializeToString() + field(4, b"yes")
    padded = bytearray(frame(payload))
    assert len(payload) % 4
    padded[-1] = 7
    assert read_records(bytes(padded)).features.tolist() == [[1]]


FAULTY = {
    "no values": (Record(), "has no features under the key 'values', but nothing"),
    "sparse without a shape": (record([1], keys=[0]), "does not tell its shape"),
    "fewer keys than values": (record([1, 2], keys=[0], shape=[5]), r"2 value\(s\) for 1 key\(s\)"),
    "a key outside": (record([1], keys=[5], shape=[5]), r"has the key 5, but only 5 column"),
    "values without keys": (record([1, 2], shape=[5]), r"2 value\(s\) for 0 key\(s\) in 5 column"),
    "a lying shape": (record(shape=[2**40, 2**40]), "claims 1208925819614629174706176 columns"),
    "a shape of many dimensions": (record(shape=[2**63] * 9), "shape of 9 dimensions"),
}


@pytest.mark.parametrize("name", FAULTY)
@pytest.mark.parametrize("rows_before", [0, 3])
def test_faulty_tensors_are_refused_with_the_offset(name: str, rows_before: int) -> None:
    faulty, message = FAULTY[name]
    before = framed(*[record([0], keys=[0], shape=[5]) for _ in range(rows_before)])
    with pytest.raises(RecordFormatError, match=rf"record at byte {len(before)} .*{message}"):
        read_records(before + framed(faulty))


def test_other_names_and_kinds_are_named() -> None:
    other = Record()
    other.features["score"].float32_tensor.values.append(1)
    with pytest.raises(RecordFormatError, match="under the key 'values', but 'score'"):
        read_records(framed(other))
    image = Record()
    image.features["values"].bytes.value.append(b"png")
    with pytest.raises(RecordFormatError, match="of the kind bytes"):
        read_records(framed(image))


@pytest.mark.parametrize("block", [1, 50_000])
def test_rows_of_another_width_or_labelling_are_refused(block: int) -> None:
    before = encode_records(np.ones((block, 3), np.float32), np.ones(block))
    for other, message in ((record([1, 2], [1]), "2 features?"), (record([1, 2, 3]), "0 label")):
        with pytest.raises(RecordFormatError, match=message) as caught:
            read_records(before + framed(other))
        assert "byte" in str(caught.value)


DENSE = encode_records(np.arange(12, dtype=np.float32).reshape(4, 3), np.arange(4))
SPARSE = encode_records(sp.csr_matrix(np.eye(4, 300, dtype=np.float32)), np.arange(4))


@pytest.mark.parametrize("data", [DENSE, SPARSE])
def test_every_truncation_is_told_with_its_offset(data: bytes) -> None:
    whole = {0}
    at = 0
    while at < len(data):
        at += 8 + (int.from_bytes(data[at + 4 : at + 8], "little") + 3) // 4 * 4
        whole.add(at)
    for size in range(len(data)):
        if size in whole:
            assert len(read_records(data[:size])) == sorted(whole).index(size)
            continue
        start = max(offset for offset in whole if offset < size)
        with pytest.raises(RecordFormatError, match=rf"record at byte {start} is cut off"):
            read_records(io.BytesIO(data[:size]))


@pytest.mark.parametrize("length", [2**29 - 1, 2**29, 2**32 - 1, 1 << 20])
def test_a_lying_length_allocates_nothing_and_is_refused(length: int) -> None:
    lying = DENSE + DENSE[:4] + length.to_bytes(4, "little") + bytes(64)
    tracemalloc.start()
    try:
        with pytest.raises(RecordFormatError, match=f"record at byte {len(DENSE)} "):
            read_records(io.BytesIO(lying))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 << 20


def test_a_length_that_hides_records_is_refused() -> None:
    lying = bytearray(DENSE)
    lying[4:8] = (int.from_bytes(lying[4:8], "little") + 1).to_bytes(4, "little")
    with pytest.raises(RecordFormatError, match=r"no RecordIO record at byte 60"):
        read_records(bytes(lying))
    lying[4:8] = (8).to_bytes(4, "little")
    with pytest.raises(RecordFormatError, match="no RecordIO record at byte 16"):
        read_records(bytes(lying))


def test_bytes_that_are_something_else_are_refused() -> None:
    for data in (b"1.0,2.0\n3.0,4.0\n", b"\x00" * 100, b"PAR1" * 9):
        with pytest.raises(RecordFormatError, match=r"no RecordIO record at byte 0: expected the magic"):
            read_records(data)


def consistent(data: bytes) -> None:
    """Read ``data``: either the rows that protobuf finds in it, or the one error."""
    try:
        expected = concatenate([decode_messages(block) for block in iter_blocks(data)])
    except RecordFormatError as error:
        with pytest.raises(RecordFormatError, match=rf"^{re.escape(str(error))}$"):
            read_records(data)
        with pytest.raises(RecordFormatError):
            list(iter_records(io.BytesIO(data), 2))
        return
    batch = read_records(data)
    assert sum(map(len, iter_records(io.BytesIO(data), 2))) == len(batch)
    assert len(batch) == len(expected)
    features = expected.features.matrix()
    assert sp.issparse(batch.features) == sp.issparse(features)
    np.testing.assert_array_equal(*(m.data if sp.issparse(m) else m for m in (batch.features, features)))
    assert (batch.labels is None) == (expected.labels is None)
    if batch.labels is not None and expected.labels is not None:
        np.testing.assert_array_equal(batch.labels.ravel(), expected.labels.ravel())


@given(data=st.binary(max_size=300))
def test_random_bytes_in_a_frame_never_crash(data: bytes) -> None:
    consistent(frame(data))
    consistent(data)


LYING_WORDS = [0, 1, 3, 4, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 2**29 - 1, 2**29, 2**20]
INTERESTING_BYTES = [0, 1, 0x7F, 0x80, 0xFF, 10, 18, 26]


def mutated(data: bytearray, rng: random.Random) -> bytes:
    """Return ``data`` with a few bytes changed; perhaps a lying length, something cut out, repeated, or cut off."""
    for _ in range(rng.randint(1, 4)):
        data[rng.randrange(len(data))] = rng.choice(INTERESTING_BYTES) if rng.random() < 0.5 else rng.randrange(256)
    if rng.random() < 0.2:
        struct.pack_into("<I", data, 4 * rng.randrange(len(data) // 4), rng.choice(LYING_WORDS))
    begin = rng.randrange(len(data))
    end = begin + rng.randint(1, 12)
    action = rng.random()
    if action < 0.15:
        del data[begin:end]
    elif action < 0.25:
        data[begin:begin] = data[begin:end]
    elif action < 0.3:
        del data[begin:]
    return bytes(data)


def test_mutated_records_never_crash_hang_or_allocate() -> None:
    rng = random.Random(FUZZ_SEED)
    seeds = [
        DENSE,
        SPARSE,
        encode_records(np.array([[1, -2, 300]]), np.array([4]), dtype="preserve"),
        encode_records(np.array([[1.5, 2], [3, 4]]), np.array([[1, 2], [3, 4]]), dtype="preserve"),
        encode_records(sp.csr_array(np.diag([1, 0, 300, 2**20])), dtype="preserve"),
        framed(record([1, 2], [1], keys=[0, 4], shape=[5])),
    ]
    deadline = time.monotonic() + FUZZ_SECONDS
    tracemalloc.start()
    try:
        rounds = 0
        while time.monotonic() < deadline:
            data = mutated(bytearray(rng.choice(seeds) * rng.randint(1, 3)), rng)
            try:
                consistent(data)
            except BaseException:
                print(f"found with the seed {FUZZ_SEED}: {data.hex()}")
                raise
            rounds += 1
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert rounds > 10
    assert peak < 64 << 20


def test_streams_are_read_in_bounded_memory() -> None:
    chunk = encode_records(np.ones((2000, 100), np.float32))

    class Endless(io.RawIOBase):
        left = 200 * len(chunk)

        def read(self, size: int = -1) -> bytes:
            begin = (200 * len(chunk) - self.left) % len(chunk)
            part = chunk[begin : begin + min(size, self.left)]
            self.left -= len(part)
            return part

    tracemalloc.start()
    try:
        rows = sum(map(len, iter_records(cast("IO[bytes]", Endless()), 1000)))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert rows == 400_000
    assert peak < 16 << 20
