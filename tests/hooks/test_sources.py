"""Features and labels come from arrays and files, local or in S3."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from airflow_ll.exceptions import DataError
from airflow_ll.hooks.linear_learner import split_s3_uri
from airflow_ll.hooks.row_sources import data_source
from airflow_ll.hooks.sources import load, load_labels

if TYPE_CHECKING:
    from pathlib import Path

    from airflow_ll.hooks import LinearLearnerHook

FEATURES, LABELS = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([0.0, 1.0])
CSV = "late,wind,rain\n0,1,2\n1,3,4\n"


def test_npy_and_npz(hook: LinearLearnerHook, tmp_path: Path) -> None:
    np.save(tmp_path / "features.npy", FEATURES)
    np.save(tmp_path / "labels.npy", LABELS)
    np.savez(tmp_path / "both.npz", features=FEATURES, labels=LABELS)

    for given in ((str(tmp_path / "features.npy"), str(tmp_path / "labels.npy")), (str(tmp_path / "both.npz"), None)):
        features, labels = load(hook, *given)
        np.testing.assert_array_equal(features, FEATURES)
        np.testing.assert_array_equal(labels, LABELS)


def test_csv_with_and_without_a_header_from_s3(hook: LinearLearnerHook, location: str) -> None:
    hook.write(f"{location}/named.csv", CSV.encode())
    hook.write(f"{location}/bare.csv", CSV.split("\n", 1)[1].encode())

    for name, column in (("named", "late"), ("named", 0), ("bare", 0)):
        features, labels = load(hook, f"{location}/{name}.csv", label_column=column)
        np.testing.assert_array_equal(features, FEATURES)
        np.testing.assert_array_equal(labels, LABELS)


def test_parquet(hook: LinearLearnerHook, tmp_path: Path) -> None:
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pa.table({"late": LABELS, "wind": [1.0, 3.0], "rain": [2.0, 4.0]}), tmp_path / "rows.parquet")

    features, labels = load(hook, str(tmp_path / "rows.parquet"), label_column="late")
    np.testing.assert_array_equal(features, FEATURES)
    np.testing.assert_array_equal(labels, LABELS)


def test_faults_are_sentences(hook: LinearLearnerHook, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text(CSV)
    (tmp_path / "words.csv").write_text("a,b\n1,x\n")
    rows = str(tmp_path / "rows.csv")

    with pytest.raises(DataError, match=r"must be one of \.npy"):
        load(hook, "rows.xlsx")
    with pytest.raises(DataError, match="There is no file"):
        load(hook, str(tmp_path / "gone.npy"))
    with pytest.raises(DataError, match="there are late, wind, rain"):
        load(hook, rows, label_column="later")
    with pytest.raises(DataError, match="below the 3 columns"):
        load(hook, rows, label_column=3)
    with pytest.raises(DataError, match="Labels must be given once"):
        load(hook, rows, LABELS, "late")
    with pytest.raises(DataError, match="numbers only"):
        load(hook, str(tmp_path / "words.csv"))


@pytest.mark.parametrize("content", ["", "\n", "late\n"])
def test_a_csv_without_rows_is_named(hook: LinearLearnerHook, tmp_path: Path, content: str) -> None:
    path = tmp_path / "labels.csv"
    path.write_text(content)
    with pytest.raises(DataError, match=f"The csv file {path} has no rows"):
        load_labels(hook, str(path))


@pytest.mark.parametrize("where", ["local", "s3"])
def test_a_folder_has_files_of_one_format_and_what_tools_keep_beside_them_is_no_data(
    hook: LinearLearnerHook, tmp_path: Path, location: str, where: str
) -> None:
    names = ("a.csv", "_temporary/0/a.csv", ".ipynb_checkpoints/a.csv", "deep/b.CSV", "notes.txt", "c.pq")
    folder = str(tmp_path)
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("a,late\n1,0\n")
    if where == "s3":
        folder = f"{location}/in"
        bucket, key = split_s3_uri(folder)
        for name in names:
            hook.client("s3").upload_file(str(tmp_path / name), bucket, f"{key}/{name}")
    with pytest.raises(DataError, match="several formats, csv and parquet: give the file_format of those"):
        data_source(hook, folder)
    for form, found in (("csv", ["a.csv", "deep/b.CSV"]), ("parquet", ["c.pq"])):
        source = data_source(hook, folder, form)  # type: ignore[arg-type]
        assert [name.removeprefix(f"{folder}/") for name, *_ in source.identity] == found
