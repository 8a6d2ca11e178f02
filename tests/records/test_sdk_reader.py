"""A reader that is not ours: the SageMaker SDK's own, in the environment that ``make bench`` sets up."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from airflow_ll.records import write_records

ROOT = Path(__file__).parents[2]
SDK_PYTHON = ROOT / ".venvs/sdk/bin/python"

pytestmark = pytest.mark.skipif(not SDK_PYTHON.exists(), reason="the SDK's environment (make bench) is not here")

GENERATOR = np.random.default_rng(7)
DENSE = GENERATOR.standard_normal((50, 9), np.float32)
SPARSE: Any = sp.random(60, 40_000, density=0.003, format="csr", dtype=np.float32, rng=3)
LABELS = GENERATOR.integers(0, 3, 60).astype(np.float32)
VECTORS = GENERATOR.standard_normal((50, 4), np.float32)
SHARDS: dict[str, tuple[Any, Any, Any]] = {
    "dense": (DENSE, LABELS[:50], "float32"),
    "unlabelled": (DENSE, None, "float32"),
    "sparse": (SPARSE, LABELS, "float32"),
    "label vectors": (DENSE, VECTORS, "float32"),
    "preserved doubles": (DENSE.astype(np.float64) / 3, LABELS[:50].astype(np.float64), "preserve"),
    "preserved integers": (np.arange(-6, 6).reshape(4, 3), np.arange(4), "preserve"),
}


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Any]]:
    """What the SDK reads from each of the shards, all in one process of its own."""
    folder = tmp_path_factory.mktemp("shards")
    for name, (features, labels, dtype) in SHARDS.items():
        with (folder / name).open("wb") as stream:
            write_records(stream, features, labels, dtype=dtype)
    done = subprocess.run(
        [str(SDK_PYTHON), "-W", "ignore", str(ROOT / "benchmarks/sdk_reader.py"), *(folder / name for name in SHARDS)],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
        env=os.environ | {"SAGEMAKER_SUPPRESS_V2_WARNING": "1"},
    )
    return dict(zip(SHARDS, map(json.loads, done.stdout.splitlines()[-len(SHARDS) :]), strict=True))


def _kind(dtype: np.dtype[Any], rule: str) -> str:
    if rule == "float32":
        return "float32_tensor"
    return {"f4": "float32_tensor", "f8": "float64_tensor", "i8": "int32_tensor"}[dtype.str[1:]]


@pytest.mark.parametrize("name", [name for name in SHARDS if name != "sparse"])
def test_the_sdk_reads_the_same_dense_rows(read: dict[str, list[Any]], name: str) -> None:
    features, _, rule = SHARDS[name]
    tensors = [record["features"] for record in read[name]]
    assert [tensor["values"] for tensor in tensors] == features.tolist()
    assert {tensor["kind"] for tensor in tensors} == {_kind(features.dtype, rule)}
    assert all(tensor["keys"] == tensor["shape"] == [] for tensor in tensors)


@pytest.mark.parametrize("name", SHARDS)
def test_the_sdk_reads_the_same_labels(read: dict[str, list[Any]], name: str) -> None:
    _, labels, rule = SHARDS[name]
    tensors = [record["label"] for record in read[name]]
    if labels is None:
        assert tensors == [None] * len(DENSE)
    else:
        assert [tensor["values"] for tensor in tensors] == labels.reshape(len(labels), -1).tolist()
        assert {tensor["kind"] for tensor in tensors} == {_kind(labels.dtype, rule)}


def test_the_sdk_reads_the_same_sparse_rows(read: dict[str, list[Any]]) -> None:
    tensors = [record["features"] for record in read["sparse"]]
    bounds = np.cumsum([0] + [len(tensor["values"]) for tensor in tensors])
    numbers = [np.concatenate([tensor[part] for tensor in tensors]) for part in ("values", "keys")]
    matrix = sp.csr_matrix((numbers[0], numbers[1].astype(int), bounds), shape=SPARSE.shape)
    np.testing.assert_array_equal(matrix.toarray(), SPARSE.toarray())
    assert {tuple(tensor["shape"]) for tensor in tensors} == {(SPARSE.shape[1],)}
