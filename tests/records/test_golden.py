"""The bytes of the SageMaker SDK's own writer, recorded for many arrays."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import scipy.sparse as sp

from airflow_ll.exceptions import DataError
from airflow_ll.records import (
    default_mini_batch_size,
    encode_records,
    manifest_body,
    parse_manifest,
    read_records,
    shard_bounds,
    shard_name,
)

if TYPE_CHECKING:
    from pathlib import Path

#: Cases of which our bytes differ on purpose; each has its own test below.
OURS_DIFFER = {"dense_label_len_equals_ncols_passes_shape_check"}
#: What the SDK refuses and we encode, under ``dtype="preserve"``.
ACCEPTED_BY_US = ["int32", "int16", "uint8", "bool", "float16", ">f4"]


@pytest.fixture(scope="module")
def cases(shared: Path) -> list[dict[str, Any]]:
    return json.loads((shared / "golden/raw_records.json").read_text())  # type: ignore[no-any-return]


def matrix_of(case: dict[str, Any]) -> Any:
    array = np.array(case["array"], case["array_dtype"]).reshape(case["array_shape"])
    if case["name"] == "sparse_csr_explicit_zero":
        return sp.csr_matrix((np.array([0, 1.5], np.float32), np.array([0, 1]), np.array([0, 2])), shape=(1, 5))
    if case["name"].startswith("sparse_") and case["name"] != "sparse_not_sparse":
        layout = case["name"].split("_")[1]
        return getattr(sp, f"{layout}_matrix")(array)
    return array


def labels_of(case: dict[str, Any]) -> Any:
    return None if case["labels"] is None else np.array(case["labels"], case["labels_dtype"])


def test_preserve_writes_the_sdks_bytes(cases: list[dict[str, Any]]) -> None:
    recorded = [case for case in cases if "hex" in case and case["name"] not in OURS_DIFFER]
    assert len(recorded) == 20
    for case in recorded:
        ours = encode_records(matrix_of(case), labels_of(case), dtype="preserve")
        assert ours.hex() == case["hex"], case["name"]


def test_the_sdks_bytes_are_read_back(cases: list[dict[str, Any]]) -> None:
    for case in cases:
        if "hex" not in case or not case["array"]:
            continue
        batch = read_records(bytes.fromhex(case["hex"]))
        features = batch.features.toarray() if sp.issparse(batch.features) else batch.features
        np.testing.assert_array_equal(
            features, np.array(case["array"], float).reshape(case["array_shape"]), case["name"]
        )
        if case["labels"] is None:
            assert batch.labels is None
        else:
            assert batch.labels is not None
            np.testing.assert_array_equal(batch.labels, case["labels"][: len(batch)], case["name"])


def test_a_label_vector_as_long_as_a_row_is_wide_is_refused(cases: list[dict[str, Any]]) -> None:
    (case,) = (case for case in cases if case["name"] in OURS_DIFFER)
    with pytest.raises(DataError, match=r"2 rows need the shape \(2,\) or \(2, k\), but got \(3,\)"):
        encode_records(matrix_of(case), labels_of(case), dtype="preserve")


def test_dtypes_that_the_sdk_refuses_are_encoded_by_value(cases: list[dict[str, Any]]) -> None:
    refused = [case for case in cases if case.get("error", "").startswith("ValueError: Unsupported dtype")]
    for case in refused:
        if "complex64" in case["error"]:
            with pytest.raises(DataError, match="dtype complex64"):
                encode_records(matrix_of(case), dtype="preserve")
            continue
        batch = read_records(encode_records(matrix_of(case), labels_of(case), dtype="preserve"))
        features = batch.features.toarray() if sp.issparse(batch.features) else batch.features
        np.testing.assert_array_equal(features, np.array(case["array"], float))
    assert {case["array_dtype"] for case in refused} >= set(ACCEPTED_BY_US)


@pytest.mark.parametrize("name", ["dense_1d_array", "dense_label_wrong_len", "dense_label_len_equals_ncols_tall"])
def test_wrong_shapes_are_refused_before_a_byte_is_written(cases: list[dict[str, Any]], name: str) -> None:
    (case,) = (case for case in cases if case["name"] == name)
    with pytest.raises(DataError, match="shape"):
        encode_records(matrix_of(case), labels_of(case), dtype="preserve")


@pytest.mark.parametrize(
    "name", ["record_set_12shards_names", "record_set_3shards_encrypt_validation", "record_set_binary_1shard"]
)
def test_shards_names_and_manifest_are_the_sdks(shared: Path, name: str) -> None:
    recorded = json.loads((shared / f"golden/{name}.json").read_text())["extra"]["record_set"]
    folder = shared / f"golden/records/{name}" / recorded["s3_data"].removeprefix("s3://").rpartition("/")[0]
    shards = sorted(path.name for path in folder.glob("*.pbr"))
    whole = read_records(b"".join((folder / shard).read_bytes() for shard in shards))
    bounds = shard_bounds(recorded["num_records"], len(shards))
    for index, (begin, end) in enumerate(bounds):
        labels = None if whole.labels is None else whole.labels[begin:end]
        assert shards[index] == shard_name(index, len(shards))
        assert encode_records(whole.features[begin:end], labels) == (folder / shards[index]).read_bytes()
    body = (folder / ".amazon.manifest").read_bytes()
    prefix = recorded["s3_data"].removesuffix(".amazon.manifest")
    assert manifest_body(prefix, shards) == body
    assert parse_manifest(body) == (prefix, shards)


def test_shard_sizes_are_the_sdks(shared: Path) -> None:
    for key, sizes in json.loads((shared / "golden/build_shards.json").read_text()).items():
        rows, shards = (int(part.split()[0]) for part in key.split(" / "))
        if isinstance(sizes, str):
            with pytest.raises(DataError):
                shard_bounds(rows, shards)
        else:
            assert [end - begin for begin, end in shard_bounds(rows, shards)] == sizes


def test_default_mini_batch_sizes_are_the_sdks(shared: Path) -> None:
    for case in json.loads((shared / "golden/default_mini_batch_size.json").read_text()):
        assert default_mini_batch_size(case["num_records"], case["instance_count"]) == case["mini_batch_size"]
