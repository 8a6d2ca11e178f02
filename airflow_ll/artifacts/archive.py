"""The two wrappings of a model: ``model_algo-1`` (a stored ZIP of four files) inside ``model.tar.gz`` (ustar, gzip)."""

from __future__ import annotations

import gzip
import io
import shutil
import tarfile
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_ll.exceptions import ArtifactError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import IO

__all__ = [
    "MODEL_NAME",
    "extract_model",
    "pack_model",
    "read_archive",
    "read_members",
    "write_archive",
    "write_members",
]

MODEL_NAME = "model_algo-1"
MEMBERS = ("mx-mod-0000.params", "manifest.json", "additional-params.json", "mx-mod-symbol.json")

# A model of 1,000,000 features by 1,000 classes is 4 GB; a larger member is an attack or a mistake.
MAX_MEMBER_BYTES = 4 * 2**30
_MAX_TAR_MEMBERS = 1000
_MAX_TAR_BYTES = 4 << 30
_ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)  # the same model gives the same bytes
_UNIX = 3
_REGULAR_0644 = 0o100644 << 16


def write_members(files: Mapping[str, bytes]) -> bytes:
    """Write ``model_algo-1``: a ZIP with stored entries in the order of ``files``."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name, _ZIP_EPOCH)
            entry.create_system, entry.external_attr = _UNIX, _REGULAR_0644
            archive.writestr(entry, content)
    return buffer.getvalue()


def read_members(data: bytes) -> dict[str, bytes]:
    """Read the four files of a ``model_algo-1``.

    Raises
    ------
    ArtifactError
        The bytes are not such a ZIP, a file is missing, damaged or too large.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            sizes = {entry.filename: entry.file_size for entry in archive.infolist()}
            missing = sorted(set(MEMBERS) - set(sizes))
            if missing:
                raise ArtifactError(f"{MODEL_NAME} lacks {', '.join(missing)}: it is not a LinearLearner model.")
            size = sum(sizes[name] for name in MEMBERS)
            if size > MAX_MEMBER_BYTES:
                raise ArtifactError(f"{MODEL_NAME} says it holds {size} bytes, more than {MAX_MEMBER_BYTES >> 30} GB.")
            return {name: archive.read(name) for name in MEMBERS}
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, ValueError, EOFError) as error:
        raise ArtifactError(f"{MODEL_NAME} is not a readable ZIP: {error}.") from error


def write_archive(members: Mapping[str, bytes], mtime: int) -> bytes:
    """Write ``model.tar.gz`` from file contents by name; ``mtime`` is in seconds since 1970."""
    buffer = io.BytesIO()
    with _gzip_writer(buffer) as stream, tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in members.items():
            archive.addfile(_entry(name, len(content), mtime), io.BytesIO(content))
    return buffer.getvalue()


def pack_model(model_dir: Path, target: Path, mtime: int) -> None:
    """Pack a container's model directory as the service does.

    Parameters
    ----------
    model_dir : Path
        What the algorithm wrote to ``/opt/ml/model``; all regular files are packed, in the order of their names.
    target : Path
        The ``model.tar.gz`` to write.
    mtime : int
        Modification time of all files, in seconds since 1970.
    """
    with (
        target.open("wb") as raw,
        _gzip_writer(raw) as stream,
        tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as archive,
    ):
        for path in sorted(path for path in model_dir.rglob("*") if path.is_file() and not path.is_symlink()):
            with path.open("rb") as content:
                archive.addfile(_entry(path.relative_to(model_dir).as_posix(), path.stat().st_size, mtime), content)


def _gzip_writer(stream: IO[bytes]) -> gzip.GzipFile:
    # No file name and no time in the header, as in the service's own files.
    return gzip.GzipFile(filename="", mode="wb", fileobj=stream, mtime=0)


def _entry(name: str, size: int, mtime: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mtime, entry.mode = size, mtime, 0o644
    return entry


def read_archive(source: Path | IO[bytes]) -> bytes:
    """Return the bytes of ``model_algo-1`` inside a ``model.tar.gz``; nothing is written to disk.

    Raises
    ------
    ArtifactError
        The archive is unreadable, larger than the limits, or has no such file.
    """
    try:
        with _open_tar(source) as archive:
            for entry in _entries(archive):
                if Path(entry.name).name == MODEL_NAME:
                    return _content(archive, entry).read()
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise ArtifactError(f"The model archive is not a readable tar.gz: {error}.") from error
    raise ArtifactError(f"The model archive has no member {MODEL_NAME}: it is not a LinearLearner model.")


def extract_model(source: Path, model_dir: Path) -> None:
    """Unpack a ``model.tar.gz`` into a container's model directory.

    Only regular files are taken, only below ``model_dir``, and only up to the size limits.

    Raises
    ------
    ArtifactError
        The archive is unreadable or holds links, devices, absolute or climbing paths.
    """
    model_dir.mkdir(parents=True, exist_ok=True)
    try:
        with _open_tar(source) as archive:
            for entry in _entries(archive):
                _extract_entry(archive, entry, model_dir)
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise ArtifactError(f"The model archive cannot be unpacked: {error}.") from error


def _entries(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """Yield an archive's entries up to the limits; what is beyond is refused before it is unpacked, or skipped.

    Raises
    ------
    ArtifactError
        There is more.
    """
    size = 0
    for index, entry in enumerate(archive):
        size += entry.size
        if index >= _MAX_TAR_MEMBERS:
            raise ArtifactError(f"The model archive has more than {_MAX_TAR_MEMBERS} members.")
        if size > _MAX_TAR_BYTES:
            raise ArtifactError(f"The model archive unpacks to more than {_MAX_TAR_BYTES >> 30} GB.")
        yield entry


def _extract_entry(archive: tarfile.TarFile, entry: tarfile.TarInfo, model_dir: Path) -> None:
    target = (model_dir / entry.name).resolve()
    if not target.is_relative_to(model_dir.resolve()):
        raise ArtifactError(f"The model archive has a member outside of its own folder: {entry.name!r}.")
    if entry.isdir():
        target.mkdir(parents=True, exist_ok=True)
        return
    content = _content(archive, entry)
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("wb") as file:
        shutil.copyfileobj(content, file, 1 << 20)


def _open_tar(source: Path | IO[bytes]) -> tarfile.TarFile:
    if isinstance(source, Path):
        return tarfile.open(source, mode="r:gz")
    return tarfile.open(fileobj=source, mode="r:gz")


def _content(archive: tarfile.TarFile, entry: tarfile.TarInfo) -> IO[bytes]:
    stream = archive.extractfile(entry) if entry.isreg() else None
    if stream is None:
        raise ArtifactError(f"The model archive's member {entry.name!r} is not a regular file.")
    if entry.size > MAX_MEMBER_BYTES:
        raise ArtifactError(f"The model archive's member {entry.name!r} says it holds {entry.size} bytes.")
    return stream
