"""``airflow-ll records`` on files and on the embedded S3, through the command line's own entry."""

from __future__ import annotations

import csv
import hashlib
import json
import re
import subprocess
import sys
import tracemalloc
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import scipy.sparse as sp

from airflow_ll.cli import main
from airflow_ll.records import encode_records, manifest_body
from airflow_ll.records.record_sets import MANIFEST_NAME

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Runtime

    Command = Callable[..., tuple[int, str, str]]

GENERATOR = np.random.default_rng(0)
FEATURES = GENERATOR.standard_normal((30, 4), np.float32)
LABELS = np.arange(30) % 3
SPARSE: Any = sp.random(40, 300, density=0.05, format="csr", dtype=np.float32, rng=0)


@pytest.fixture
def records(capsys: pytest.CaptureFixture[str]) -> Command:
    """Run ``airflow-ll records`` and return its exit code, output and errors."""

    def run(*arguments: object) -> tuple[int, str, str]:
        code = main(["records", *map(str, arguments)])
        output = capsys.readouterr()
        return code, output.out, output.err

    return run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A record set of three shards, as a copy of it lies on a disk."""
    folder = tmp_path / "set"
    folder.mkdir()
    for i in range(3):
        rows = slice(10 * i, 10 * i + 10)
        (folder / f"matrix_{i}.pbr").write_bytes(encode_records(FEATURES[rows], LABELS[rows]))
    names = [f"matrix_{i}.pbr" for i in range(3)]
    (folder / MANIFEST_NAME).write_bytes(manifest_body("s3://bucket/set/", names))
    return folder


def write_shard(path: Path, features: Any, labels: Any = None, dtype: Any = "float32") -> Path:
    """Write rows to ``path`` and return it."""
    path.write_bytes(encode_records(features, labels, dtype=dtype))
    return path


def test_inspect_tells_what_the_rows_are(records: Command, folder: Path) -> None:
    FEATURES[0, 1:3] = 0
    write_shard(folder / "matrix_0.pbr", FEATURES[:10], LABELS[:10])
    for source in (folder, folder / MANIFEST_NAME):
        code, output, _ = records("inspect", source, "--json", "--rows", 2)
        facts = json.loads(output)
        assert code == 0
        assert (facts["rows"], facts["columns"], facts["shards"], facts["dtype"]) == (30, 4, 3, "float32")
        assert facts["labels"] == {"0": 10, "1": 10, "2": 10}
        assert facts["sparsity"] == pytest.approx(2 / 120, abs=1e-6)
        assert facts["bytes"] == sum((folder / f"matrix_{i}.pbr").stat().st_size for i in range(3))
        assert [row["label"] for row in facts["first_rows"]] == ["0", "1"]
        assert facts["first_rows"][0]["features"] == " ".join(f"{number:g}" for number in FEATURES[0])


def test_inspect_prints_sparse_rows_for_people(records: Command, tmp_path: Path) -> None:
    labels = np.linspace(0, 100, 40)
    _, output, _ = records("inspect", write_shard(tmp_path / "rows", SPARSE, labels), "--rows", 1)
    assert "rows               40\n" in output
    assert "layout             sparse\n" in output
    assert f"nonzeros           {SPARSE.nnz}\n" in output
    assert " 10 .. 20 " in output
    assert f"row 0  label 0  features {SPARSE.indices[0]}:{SPARSE.data[0]:g} " in output


def test_many_labels_are_counted_in_bins_and_none_is_lost(records: Command, tmp_path: Path) -> None:
    labels = np.concatenate([np.linspace(0, 1, 60_000), [-50.0, 50.0]])
    _, output, _ = records("inspect", write_shard(tmp_path / "rows", labels[:, None], labels), "--json")
    counts = json.loads(output)["labels"]
    assert len(counts) == 10
    assert sum(counts.values()) == len(labels)
    assert next(iter(counts)).startswith("-50 .. ")
    assert list(counts)[-1].endswith(" .. 50")


def test_numbers_that_are_not_finite_are_counted(records: Command, tmp_path: Path) -> None:
    path = write_shard(tmp_path / "rows", np.array([[np.nan, 1], [np.inf, 2]]))
    facts = json.loads(records("inspect", path, "--json")[1])
    assert facts["not_finite"] == 2
    assert facts["labels"] == {}
    assert facts["first_rows"][0] == {"label": "-", "features": "nan 1"}


def test_verify_passes_what_is_whole(records: Command, folder: Path) -> None:
    size = sum(path.stat().st_size for path in folder.glob("*.pbr"))
    assert records("verify", folder) == (0, f"ok: 30 rows in 3 shard(s), {size:,} bytes, 0 digest(s)\n", "")


def test_verify_tells_every_fault(records: Command, folder: Path) -> None:
    first = folder / "matrix_0.pbr"
    first.write_bytes(first.read_bytes()[:-5])
    write_shard(folder / "matrix_1.pbr", FEATURES[:, :3], LABELS)
    (folder / "matrix_2.pbr").unlink()
    (folder / "matrix_3.pbr").write_bytes(b"")
    code, output, _ = records("verify", folder)
    assert code == 1
    stride = len(encode_records(FEATURES[:1], LABELS[:1]))
    faults = [line.removeprefix(f"{folder}/") for line in output.splitlines()]
    assert faults[0] == (
        f"matrix_0.pbr: The record at byte {9 * stride} is cut off: it needs {stride} bytes, but only {stride - 5} are "
        "left."
    )
    assert faults[1] == (
        "matrix_1.pbr: has rows with 3 feature(s) of float32 and 1 label(s) of float32, but the rows before have 4 "
        "feature(s) of float32 and 1 label(s) of float32."
    )
    assert faults[2] == "matrix_2.pbr: the manifest names it, but it does not exist."
    assert faults[3] == "matrix_3.pbr: is beside the shards, but not in the manifest."
    assert faults[4].startswith("4 fault(s): 39 rows in 2 shard(s)")


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_npz_has_the_same_numbers(records: Command, tmp_path: Path, dtype: Any) -> None:
    features = (FEATURES * 100).astype(dtype)
    source = write_shard(tmp_path / "rows", features, LABELS, "preserve")
    code, output, _ = records("convert", source, tmp_path / "rows.npz")
    assert (code, output.startswith(f"{tmp_path}/rows.npz: 30 rows, ")) == (0, True)
    with np.load(tmp_path / "rows.npz") as arrays:
        np.testing.assert_array_equal(arrays["features"], features)
        np.testing.assert_array_equal(arrays["labels"], LABELS)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["rows", "rows.npz"]


def test_sparse_npz_is_what_scipy_reads(records: Command, tmp_path: Path) -> None:
    big = sp.vstack([SPARSE] * 200, format="csr")  # several batches
    assert records("convert", write_shard(tmp_path / "rows", big, np.ones(8000)), tmp_path / "rows.npz")[0] == 0
    assert (sp.load_npz(tmp_path / "rows.npz") != big).nnz == 0
    with np.load(tmp_path / "rows.npz") as arrays:
        assert arrays["labels"].tolist() == [1] * 8000


def test_csv_has_the_label_first_and_reads_back_the_same(records: Command, folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "rows.csv"
    assert records("convert", folder, target)[0] == 0
    table = np.loadtxt(target, delimiter=",", dtype=np.float32)
    np.testing.assert_array_equal(table[:, 0], LABELS)
    np.testing.assert_array_equal(table[:, 1:], FEATURES)
    assert records("convert", folder, target, "--header", "--force")[0] == 0
    with target.open(encoding="ascii") as lines:
        assert next(csv.reader(lines)) == ["label", "feature_0", "feature_1", "feature_2", "feature_3"]


def test_parquet_has_a_column_a_feature(records: Command, tmp_path: Path) -> None:
    import pyarrow.parquet

    assert records("convert", write_shard(tmp_path / "rows", SPARSE), tmp_path / "rows.parquet")[0] == 0
    table = pyarrow.parquet.read_table(tmp_path / "rows.parquet")
    assert table.column_names == [f"feature_{i}" for i in range(300)]
    np.testing.assert_array_equal(np.column_stack(table.columns), SPARSE.toarray())


def test_what_cannot_be_done_is_said_and_leaves_nothing(records: Command, folder: Path, tmp_path: Path) -> None:
    shard = folder / "matrix_0.pbr"
    cases = {
        ("inspect", tmp_path / "nowhere"): "There are no records at",
        ("inspect", __file__): f"{__file__}: There is no RecordIO record at byte 0",
        ("convert", shard, tmp_path / "rows.txt"): "TARGET must end with .csv, .parquet, .npz",
        ("convert", shard, shard.with_suffix(".npz"), "--aws-conn-id", "x"): None,
        (
            "convert",
            shard,
            shard.with_suffix(".npz"),
        ): "exists already: choose another name, or replace it",
    }
    for arguments, message in cases.items():
        code, output, errors = records(*arguments)
        assert (code == 0) == (message is None)
        if message:
            assert message in errors
            assert (output, errors.count("\n")) == ("", 1)
    shard.write_bytes(shard.read_bytes()[:-1])
    before = sorted(tmp_path.rglob("*"))
    for target in ("rows.csv", "rows.parquet", "rows.npz"):
        assert records("convert", shard, tmp_path / target)[0] == 2
    assert sorted(tmp_path.rglob("*")) == before


def test_rows_of_other_kinds_and_rows_too_wide_are_refused(records: Command, folder: Path, tmp_path: Path) -> None:
    write_shard(folder / "matrix_1.pbr", FEATURES.astype(np.float64), LABELS, "preserve")
    assert "Row 10 has 4 feature(s) of float64" in records("convert", folder, tmp_path / "rows.npz")[2]
    wide = write_shard(tmp_path / "wide", sp.csr_matrix(([1.0], ([0], [99_999])), shape=(1, 100_000)))
    assert "too wide for a table: convert them to .npz" in records("convert", wide, tmp_path / "rows.csv")[2]


def test_memory_is_bounded_by_a_batch(records: Command, tmp_path: Path) -> None:
    source = write_shard(tmp_path / "rows", np.ones((200_000, 30), np.float32), np.ones(200_000))
    for command in (("inspect", source), ("verify", source), ("convert", source, tmp_path / "rows.npz")):
        tracemalloc.start()
        assert records(*command)[0] == 0
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < source.stat().st_size / 3


def test_looking_at_files_imports_neither_airflow_nor_boto3(folder: Path) -> None:
    code = (
        "import sys; from airflow_ll.cli import main\n"
        f"assert main(['records', 'verify', {str(folder)!r}]) == 0\n"
        "assert not {'airflow', 'boto3', 'botocore', 'scipy', 'pyarrow'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=60)


@pytest.fixture
def uploaded(runtime: Runtime, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URI of a record set in the embedded S3, behind the connection ``aws_default``."""
    extra = {"endpoint_url": runtime.url, "region_name": "us-east-1"}
    connection = {"conn_type": "aws", "login": "test", "password": "test", "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", json.dumps(connection))
    s3 = runtime.client("s3")
    bucket = f"records-{tmp_path.name.replace('_', '-')[-40:].lower()}"
    s3.create_bucket(Bucket=bucket)
    for path in folder.glob("*.pbr"):
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        s3.put_object(Bucket=bucket, Key=f"set/{path.name}", Body=path.read_bytes(), Metadata={"sha256": digest})
    manifest = manifest_body(f"s3://{bucket}/set/", [f"matrix_{i}.pbr" for i in range(3)])
    s3.put_object(Bucket=bucket, Key=f"set/{MANIFEST_NAME}", Body=manifest)
    return f"s3://{bucket}/set/"


def test_record_sets_in_s3(records: Command, uploaded: str, runtime: Runtime, tmp_path: Path) -> None:
    for source in (uploaded, uploaded + MANIFEST_NAME):
        facts = json.loads(records("inspect", source, "--json")[1])
        assert (facts["rows"], facts["manifest"]) == (30, uploaded + MANIFEST_NAME)
    assert json.loads(records("inspect", f"{uploaded}matrix_1.pbr", "--json")[1])["rows"] == 10
    assert "3 digest(s)" in records("verify", uploaded)[1]
    assert records("convert", uploaded, tmp_path / "rows.npz")[0] == 0

    s3, bucket = runtime.client("s3"), uploaded.split("/")[2]
    damaged = bytearray((tmp_path / "set/matrix_1.pbr").read_bytes())
    damaged[40] ^= 1  # within a number, where the format itself has no check
    s3.put_object(Bucket=bucket, Key="set/matrix_1.pbr", Body=bytes(damaged), Metadata={"sha256": "0" * 64})
    s3.delete_object(Bucket=bucket, Key="set/matrix_2.pbr")
    s3.put_object(Bucket=bucket, Key="set/stray", Body=b"")
    code, output, _ = records("verify", uploaded)
    assert code == 1
    assert f"{uploaded}matrix_1.pbr: has the SHA-256 " in output
    assert f"{uploaded}matrix_2.pbr: the manifest names it, but it does not exist." in output
    assert f"{uploaded}stray: is beside the shards, but not in the manifest." in output


def test_the_facts_of_a_record_set_are_compared(records: Command, uploaded: str, runtime: Runtime) -> None:
    bucket = uploaded.split("/")[2]
    facts = {"num_records": 31, "shards": [{"name": "matrix_0.pbr", "bytes": 1, "sha256": "f" * 64}]}
    put = runtime.client("s3").put_object
    put(Bucket=bucket, Key="set.meta/record_set.json", Body=json.dumps(facts).encode())
    output = records("verify", uploaded)[1]
    assert "but was uploaded with 1." in output
    assert f"but the facts of the record set say {'f' * 64}." in output
    put(Bucket=bucket, Key="set.meta/record_set.json", Body=json.dumps({"num_records": 31}).encode())
    assert "has 30 rows, but was uploaded with 31." in records("verify", uploaded)[1]


def test_what_the_hook_uploads_passes(records: Command, uploaded: str) -> None:
    from airflow_ll.hooks import LinearLearnerHook

    location = uploaded.removesuffix("set/") + "by-the-hook"
    upload = LinearLearnerHook().upload_record_set(FEATURES, LABELS, data_location=location, instance_count=2)
    code, output, _ = records("verify", upload.record_set.s3_data)
    assert code == 0
    assert re.search(r"^ok: 30 rows in 2 shard\(s\), [0-9,]+ bytes, 2 digest\(s\)$", output, re.MULTILINE)


def test_what_s3_refuses_is_one_sentence(records: Command, uploaded: str) -> None:
    command = [sys.executable, "-m", "airflow_ll", "records", "inspect", "s3://no-such-bucket-here/x"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "airflow-ll: S3 could not be read by the Airflow connection 'aws_default': An error occurred (NoSuchBucket) "
        "when calling the ListObjectsV2 operation: The specified bucket does not exist\n"
    )
    assert records("verify", uploaded + "nothing")[2].startswith("airflow-ll: There are no records at s3://")
