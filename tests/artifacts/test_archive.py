from __future__ import annotations

import gzip
import io
import tarfile
from typing import TYPE_CHECKING

import pytest

from airflow_ll.artifacts import LinearModel, archive, pack_model
from airflow_ll.artifacts.archive import extract_model, read_archive, read_members, write_archive
from airflow_ll.exceptions import ArtifactError

if TYPE_CHECKING:
    from pathlib import Path


def _tar(*entries: tuple[tarfile.TarInfo, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as target:
        for entry, content in entries:
            entry.size = len(content)
            target.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def test_a_packed_model_has_the_service_s_layout(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model_algo-1").write_bytes(b"PK model")
    pack_model(tmp_path / "model", tmp_path / "model.tar.gz", mtime=1_700_000_000)
    packed = (tmp_path / "model.tar.gz").read_bytes()
    assert packed[:4] == b"\x1f\x8b\x08\x00"
    assert packed[4:8] == bytes(4)
    assert gzip.decompress(packed)[257:265] == b"ustar\x0000"
    with tarfile.open(tmp_path / "model.tar.gz") as opened:
        (entry,) = opened.getmembers()
    assert (entry.name, entry.mode, entry.uid, entry.gid, entry.uname, entry.mtime) == (
        "model_algo-1",
        0o644,
        0,
        0,
        "",
        1_700_000_000,
    )
    extract_model(tmp_path / "model.tar.gz", tmp_path / "again")
    assert (tmp_path / "again" / "model_algo-1").read_bytes() == b"PK model"


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "a/../../evil"])
def test_members_outside_of_the_folder_are_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "model.tar.gz").write_bytes(_tar((tarfile.TarInfo(name), b"x")))
    with pytest.raises(ArtifactError, match="outside"):
        extract_model(tmp_path / "model.tar.gz", tmp_path / "target")
    assert not list(tmp_path.rglob("evil"))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE])
def test_links_and_devices_are_refused(kind: bytes, tmp_path: Path) -> None:
    entry = tarfile.TarInfo("model_algo-1")
    entry.type, entry.linkname = kind, "/etc/passwd"
    (tmp_path / "model.tar.gz").write_bytes(_tar((entry, b"")))
    with pytest.raises(ArtifactError, match="not a regular file"):
        extract_model(tmp_path / "model.tar.gz", tmp_path / "target")
    with pytest.raises(ArtifactError, match="not a regular file"):
        LinearModel.load(tmp_path / "model.tar.gz")


def test_oversized_members_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(archive, "MAX_MEMBER_BYTES", 10)
    (tmp_path / "model.tar.gz").write_bytes(write_archive({"model_algo-1": bytes(11)}, mtime=0))
    with pytest.raises(ArtifactError, match="11 bytes"):
        read_archive(tmp_path / "model.tar.gz")


def test_a_bomb_is_refused_before_it_is_unpacked_or_skipped(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(archive, "_MAX_TAR_BYTES", 1 << 20)
    path = tmp_path / "model.tar.gz"
    path.write_bytes(write_archive({"padding": bytes((1 << 20) + 1), "model_algo-1": b""}, mtime=0))
    for read in (read_archive, LinearModel.load, lambda path: extract_model(path, tmp_path / "target")):
        with pytest.raises(ArtifactError, match="unpacks to more than"):
            read(path)
    monkeypatch.setattr(archive, "MAX_MEMBER_BYTES", 39)
    with pytest.raises(ArtifactError, match="says it holds 40 bytes"):
        read_members(archive.write_members(dict.fromkeys(archive.MEMBERS, bytes(10))))


@pytest.mark.parametrize(
    "content",
    [b"", b"PK", b"no archive", gzip.compress(b"no tar"), _tar()],
    # gzip writes the time, and the test processes must agree on the names of the tests.
    ids=["empty", "truncated zip", "no archive", "gzip of no tar", "empty tar"],
)
def test_other_files_are_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "model.tar.gz").write_bytes(content)
    with pytest.raises(ArtifactError):
        LinearModel.load(tmp_path / "model.tar.gz")


def test_a_truncated_archive_is_refused(tmp_path: Path) -> None:
    whole = write_archive({"model_algo-1": bytes(range(256)) * 100}, mtime=0)
    (tmp_path / "model.tar.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ArtifactError):
        read_archive(tmp_path / "model.tar.gz")


def test_a_zip_without_the_four_files_is_refused() -> None:
    with pytest.raises(ArtifactError, match=r"lacks additional-params\.json"):
        read_members(archive.write_members({"mx-mod-0000.params": b"", "manifest.json": b""}))
