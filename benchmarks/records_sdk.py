"""The SageMaker SDK's side of ``records.py``; runs in the environment .venvs/sdk and answers on standard output.

One request a line on standard input, ``[name, rows, columns]``; one answer a line: the seconds it took.
"""

from __future__ import annotations

import io
import json
import sys
import time
from typing import Any

import numpy as np
import scipy.sparse
from sagemaker.amazon import common


def _encode(rows: int, columns: int) -> float:
    features, labels = _dense(rows, columns)
    stream = io.BytesIO()
    started = time.perf_counter()
    common.write_numpy_to_dense_tensor(stream, features, labels)
    return time.perf_counter() - started


def _decode(rows: int, columns: int, *, to_numpy: bool = True) -> float:
    features, labels = _dense(rows, columns)
    stream = io.BytesIO()
    common.write_numpy_to_dense_tensor(stream, features, labels)
    stream.seek(0)
    started = time.perf_counter()
    records = common.read_records(stream)
    if to_numpy:
        matrix = np.array([record.features["values"].float32_tensor.values for record in records], np.float32)
        targets = np.array([record.label["values"].float32_tensor.values[0] for record in records], np.float32)
        assert matrix.shape == (rows, columns)
        assert len(targets) == rows
    return time.perf_counter() - started


def _sparse(rows: int, columns: int) -> float:
    matrix = scipy.sparse.random(rows, columns, density=0.01, format="csr", dtype=np.float32, random_state=0)
    stream = io.BytesIO()
    started = time.perf_counter()
    common.write_spmatrix_to_sparse_tensor(stream, scipy.sparse.csr_matrix(matrix), np.zeros(rows, np.float32))
    return time.perf_counter() - started


def _dense(rows: int, columns: int) -> tuple[Any, Any]:
    generator = np.random.default_rng(0)
    return generator.random((rows, columns), np.float32), generator.integers(0, 2, rows).astype(np.float32)


TASKS = {
    "encode": _encode,
    "decode": _decode,
    "parse": lambda rows, columns: _decode(rows, columns, to_numpy=False),
    "sparse": _sparse,
}

if __name__ == "__main__":
    print("ready", flush=True)
    for line in sys.stdin:
        name, task_rows, task_columns = json.loads(line)
        print(TASKS[name](task_rows, task_columns), flush=True)
