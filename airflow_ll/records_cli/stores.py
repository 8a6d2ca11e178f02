"""Where records are: files of this machine, or objects in S3."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

__all__ = ["LocalFiles", "Store", "store_of"]


class Store(Protocol):
    """What the commands need of a place with files; a path is a path of the file system or an S3 URI."""

    def size(self, path: str) -> int | None:
        """Return the bytes of a file, None when there is none."""

    def sizes(self, folder: str) -> dict[str, int]:
        """Return the bytes of every file below ``folder``, which ends with a slash, by its path."""

    def digest(self, path: str) -> str | None:
        """Return the SHA-256 that was stored with the file, in hexadecimal, or None."""

    def open(self, path: str) -> BinaryIO:
        """Open a file for reading from its beginning; FileNotFoundError when there is none."""

    def failures(self) -> AbstractContextManager[object]:
        """Return a context in which failures of the place become errors of ours."""


class LocalFiles:
    """The file system."""

    def size(self, path: str) -> int | None:
        """Return the bytes of a file, None when there is none."""
        file = Path(path)
        return file.stat().st_size if file.is_file() else None

    def sizes(self, folder: str) -> dict[str, int]:
        """Return the bytes of every file below ``folder``."""
        root = Path(folder)
        return {folder + str(one.relative_to(root)): one.stat().st_size for one in root.rglob("*") if one.is_file()}

    def digest(self, path: str) -> str | None:
        """Return None: a file has no digest stored with it."""
        return None

    def open(self, path: str) -> BinaryIO:
        """Open a file for reading."""
        return Path(path).open("rb")

    def failures(self) -> AbstractContextManager[object]:
        """Return an empty context: an OSError is a sentence already."""
        return nullcontext()


def store_of(source: str, aws_conn_id: str) -> Store:
    """Return the store of ``source``; only S3 imports Airflow and boto3."""
    if not source.startswith("s3://"):
        return LocalFiles()
    from airflow_ll.hooks.objects import S3Objects

    return S3Objects(aws_conn_id)
