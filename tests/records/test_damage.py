"""Files that are damaged, empty or missing are told by name, whatever the library says that reads them."""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from airflow_ll.exceptions import DataError
from airflow_ll.records import read_batches
from tests.records.test_sources import FEATURES, LABELS, Forward

if TYPE_CHECKING:
    from pathlib import Path


def _saved(array: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


@pytest.mark.parametrize("kind", ["npy", "npz", "csv", "parquet", "arrow"])
def test_a_file_that_is_empty_or_junk_is_named(tmp_path: Path, kind: Any) -> None:
    for name, content in (("empty", b""), ("junk", b"\x93 junk\n" * 9)):
        path = tmp_path / f"{name}.{kind}"
        path.write_bytes(content)
        with pytest.raises(DataError, match=f"The {kind} file {path} is "):
            list(read_batches(path))


@pytest.mark.parametrize("name", ["features", "labels"])
def test_an_array_of_an_archive_is_named_with_its_file(tmp_path: Path, name: str) -> None:
    path, whole = tmp_path / "arrays.npz", {"features": _saved(FEATURES), "labels": _saved(LABELS)}
    for content, message in ((whole[name][:-5], "ends 5 bytes too early"), (b"junk" * 9, "is no NumPy array")):
        with zipfile.ZipFile(path, "w") as archive:
            for member, body in {**whole, name: content}.items():
                archive.writestr(f"{member}.npy", body)
        copied = Forward(path.read_bytes())
        copied.name = str(path)
        for source in (path, copied):
            with pytest.raises(DataError, match=f"The array {name} of the npz file {path} {message}"):
                list(read_batches(source, format="npz"))


@pytest.mark.parametrize("content", [None, b"", b"junk" * 9, _saved(LABELS)[:-5]], ids=["none", "empty", "junk", "cut"])
def test_a_damaged_file_of_labels_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "labels.npy"
    if content is not None:
        path.write_bytes(content)
    message = "There is no file '{}'" if content is None else "The npy file {} is damaged"
    with pytest.raises(DataError, match=message.format(path)):
        list(read_batches(FEATURES, labels=path))
