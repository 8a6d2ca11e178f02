"""Where rows come from: files and folders, objects and prefixes, SQL queries, data in memory.

A source says what it is before it is read, so that the same data need not be read twice, and it can be opened anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from airflow_ll.exceptions import DataError
from airflow_ll.extras import require
from airflow_ll.hooks.linear_learner import split_s3_uri
from airflow_ll.hooks.s3_files import open_object
from airflow_ll.records.damage import described, told_as_data_errors
from airflow_ll.records.matrices import as_array, refuse_lazy
from airflow_ll.records.sources import SUFFIXES, is_hidden

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from airflow_ll.hooks.linear_learner import LinearLearnerHook
    from airflow_ll.records.sources import Format

__all__ = ["Source", "count_rows", "data_source", "sql_source"]


@dataclass(frozen=True)
class Source:
    """Rows that can be read.

    :param identity: JSON that tells this source from others.
    :param identifies: whether the same identity means the same rows.
    :param open: returns what ``read_batches`` takes, anew each time.
    :param format: of the opened data; None when that is in memory.
    :param repeatable: whether it can be opened more than once.
    """

    identity: Any
    identifies: bool
    open: Callable[[], Any]
    format: Format | None = None
    repeatable: bool = True


@dataclass(frozen=True)
class _File:
    """One file or object: its name, what tells this version of it, how to open it."""

    name: str
    version: list[Any]
    open: Callable[[], Any]


def data_source(hook: LinearLearnerHook, data: Any, file_format: Format | None = None) -> Source:
    """Return the source that ``data`` names or is.

    :param data: a path or S3 URI of a file, or of a folder or prefix of files; or arrays, frames, an iterator of them.
    :param file_format: the format, when the name does not tell it: "npy", "npz", "csv", "parquet" or "arrow".
    :raises DataError: there is no such file, its format is none of ours, or a folder has files of several formats.
    """
    if not isinstance(data, (str, Path)):
        return _in_memory(data)
    name = str(data)
    files = _objects(hook, name) if name.startswith("s3://") else _files(name)
    known, files = _of_one_format(hook, name, files, file_format)
    identity = [[file.name, *file.version] for file in files]
    return Source(identity, True, lambda: _opened(files), known)


def _of_one_format(
    hook: LinearLearnerHook, name: str, files: list[_File], given: Format | None
) -> tuple[Format, list[_File]]:
    """Return the format, and the files of it: all when no name tells a format, else those whose names tell it.

    :raises DataError: the format is none of ours, or the names tell several.
    """
    formats = sorted({form for file in files if (form := _format(file.name))})
    if given is None and len(formats) > 1:
        raise DataError(
            f"The files of {name!r} have several formats, {' and '.join(formats)}: give the file_format of those that "
            "are meant, or move the others away."
        )
    known = given or next(iter(formats), None)
    if known is None or known not in SUFFIXES.values():
        raise DataError(f"A file of features must be one of {', '.join(SUFFIXES)}, got {name!r}.")
    if len(files) == 1 or known not in formats:
        return known, files  # the names do not tell it
    others = [file.name for file in files if _format(file.name) != known]
    if others:
        hook.log.warning("Not read, since they are no %s files: %s", known, ", ".join(others[:20]))
    return known, [file for file in files if _format(file.name) == known]


def sql_source(sql: str, conn_id: str | None, parameters: Any = None, *, chunk_rows: int = 50_000) -> Source:
    """Return the rows of a query through the ``DbApiHook`` of an Airflow connection, chunk after chunk.

    :param chunk_rows: rows of one chunk; whether the database sends them so depends on its driver.
    :raises DataError: the connection has no such hook.
    """
    if not conn_id:
        raise DataError("sql needs sql_conn_id, the Airflow connection of the database, got none.")

    def frames() -> Iterator[Any]:
        from airflow.sdk import BaseHook

        database = BaseHook.get_hook(conn_id)
        if not hasattr(database, "get_df_by_chunks"):
            raise DataError(
                f"The connection {conn_id!r} is of {type(database).__name__}, which cannot be queried by SQL."
            )
        return iter(database.get_df_by_chunks(sql, parameters=parameters, chunksize=chunk_rows))

    return Source({"sql": sql, "conn_id": conn_id, "parameters": parameters}, False, frames)


def count_rows(source: Source) -> int | None:
    """Return the number of rows when the source says it unread: in Parquet's footers, at the head of an ``.npy``.

    :raises DataError: a file is damaged.
    """
    count = {"parquet": _parquet_rows, "npy": _npy_rows}.get(source.format or "")
    if count is None:
        return None
    rows = 0
    for stream in source.open():
        with told_as_data_errors(described(str(source.format), stream)):
            rows += count(stream)
    return rows


def _parquet_rows(stream: Any) -> int:
    parquet = require("pyarrow.parquet", extra="arrow", purpose="Reading Parquet")
    return int(parquet.ParquetFile(stream).metadata.num_rows)


def _npy_rows(stream: Any) -> int:
    version = np.lib.format.read_magic(stream)
    header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape = header(stream)[0]
    return int(shape[0]) if shape else 0


def _in_memory(data: Any) -> Source:
    if hasattr(data, "__next__"):
        return Source("iterator", False, lambda: data, repeatable=False)
    refuse_lazy(data)
    rows = as_array(data, "Features") if isinstance(data, (list, tuple)) else data
    return Source("memory", False, lambda: rows)


def _format(name: str) -> Format | None:
    return SUFFIXES.get(PurePosixPath(name).suffix.lower())


def _opened(files: Sequence[_File]) -> Iterator[Any]:
    """Open each file in its turn."""
    for file in files:
        with file.open() as stream:
            yield stream


def _files(name: str) -> list[_File]:
    path = Path(name)
    if not path.exists():
        raise DataError(f"There is no file {name!r}: correct the path, or wait for the task that writes it.")
    found = sorted(one for one in path.rglob("*") if one.is_file()) if path.is_dir() else [path]
    wanted = [one for one in found if one == path or not is_hidden(one.relative_to(path))]
    if not wanted:
        raise DataError(f"The folder {name!r} has no files: correct the path, or wait for the task that writes them.")

    def version(one: Path) -> list[Any]:
        stat = one.stat()
        return [stat.st_size, stat.st_mtime_ns]

    return [_File(str(one), version(one), partial(one.open, "rb")) for one in wanted]


def _objects(hook: LinearLearnerHook, uri: str) -> list[_File]:
    bucket, key = split_s3_uri(uri)
    pages = hook.client("s3").get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=key)
    found = {one["Key"]: one for page in pages for one in page.get("Contents", [])}
    if key in found and not key.endswith("/"):
        found = {key: found[key]}
    else:
        folder = key if not key or key.endswith("/") else f"{key}/"
        found = {name: one for name, one in found.items() if name.startswith(folder) and _is_data(name, folder, one)}
    if not found:
        raise DataError(f"There is no object {uri!r}, and none below it: correct the S3 URI, or wait for its task.")
    return [_object(hook, bucket, found[name]) for name in sorted(found)]


def _is_data(name: str, folder: str, one: Mapping[str, Any]) -> bool:
    return bool(one["Size"]) and not is_hidden(PurePosixPath(name.removeprefix(folder)))


def _object(hook: LinearLearnerHook, bucket: str, one: Mapping[str, Any]) -> _File:
    key, etag, size = one["Key"], one["ETag"], one["Size"]
    return _File(f"s3://{bucket}/{key}", [size, etag], lambda: open_object(hook, bucket, key, etag, size))
