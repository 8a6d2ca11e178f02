"""The SageMaker SDK's side of ``records.py``; runs in the environment .venvs/sdk and answers on standard output.

One request a line on standard input, ``[name, rows, columns]``; one answer a line: the seconds it took.
"""

from __future__ import annotations

import io
import json
import sys
import time
from functools import cache
from importlib.metadata import version
from typing import Any

import numpy as np
import scipy.sparse
from google.protobuf.internal import api_implementation
from sagemaker.amazon import common


class Sink(io.RawIOBase):
    """A stream that only counts, the same as on the other side."""

    size = 0

    def write(self, chunk: Any) -> int:
        """Take ``chunk``."""
        self.size += len(chunk)
        return len(chunk)


@cache
def _dense(rows: int, columns: int) -> tuple[Any, Any]:
    generator = np.random.default_rng(0)
    return generator.random((rows, columns), np.float32), generator.integers(0, 2, rows).astype(np.float32)


@cache
def _sparse(rows: int, columns: int) -> tuple[Any, Any]:
    matrix = scipy.sparse.random(rows, columns, density=0.01, format="csr", dtype=np.float32, random_state=0)
    return scipy.sparse.csr_matrix(matrix), np.zeros(rows, np.float32)


@cache
def _encoded(rows: int, columns: int) -> bytes:
    stream = io.BytesIO()
    common.write_numpy_to_dense_tensor(stream, *_dense(rows, columns))
    return stream.getvalue()


@cache
def _encoded_sparse(rows: int, columns: int) -> bytes:
    stream = io.BytesIO()
    common.write_spmatrix_to_sparse_tensor(stream, *_sparse(rows, columns))
    return stream.getvalue()


def _matrix(records: Any, columns: int) -> tuple[Any, Any]:
    """Convert records to numpy in the fastest of the ways that were tried: four, of which lists are the slowest."""
    matrix = np.empty((len(records), columns), np.float32)
    targets = np.empty(len(records), np.float32)
    for i, record in enumerate(records):
        matrix[i] = np.fromiter(record.features["values"].float32_tensor.values, np.float32, columns)
        targets[i] = record.label["values"].float32_tensor.values[0]
    return matrix, targets


def _csr(records: Any, columns: int) -> tuple[Any, Any]:
    tensors = [record.features["values"].float32_tensor for record in records]
    bounds = np.cumsum([0] + [len(tensor.values) for tensor in tensors])
    values = np.concatenate([np.fromiter(tensor.values, np.float32, len(tensor.values)) for tensor in tensors])
    keys = np.concatenate([np.fromiter(tensor.keys, np.int64, len(tensor.keys)) for tensor in tensors])
    targets = np.array([record.label["values"].float32_tensor.values[0] for record in records], np.float32)
    return scipy.sparse.csr_matrix((values, keys, bounds), shape=(len(tensors), columns)), targets


def _seconds(name: str, rows: int, columns: int) -> float:
    """Do one task and return its time; what it needs is made before."""
    actions: dict[str, Any] = {
        "encode": (_dense, lambda data: common.write_numpy_to_dense_tensor(Sink(), *data)),
        "parse": (_encoded, lambda data: common.read_records(io.BytesIO(data))),
        "decode": (_encoded, lambda data: _matrix(common.read_records(io.BytesIO(data)), columns)),
        "encode sparse": (_sparse, lambda data: common.write_spmatrix_to_sparse_tensor(Sink(), *data)),
        "decode sparse": (_encoded_sparse, lambda data: _csr(common.read_records(io.BytesIO(data)), columns)),
    }
    prepare, action = actions[name]
    data = prepare(rows, columns)
    started = time.perf_counter()
    action(data)
    return time.perf_counter() - started


if __name__ == "__main__":
    print("ready", version("sagemaker"), "protobuf", version("protobuf"), api_implementation.Type(), flush=True)
    for line in sys.stdin:
        print(_seconds(*json.loads(line)), flush=True)
