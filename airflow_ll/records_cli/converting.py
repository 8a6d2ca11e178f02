"""``airflow-ll records convert``: rows as CSV, Parquet or npz, in bounded memory, moved into place at the end."""

from __future__ import annotations

import tempfile
import zipfile
from contextlib import closing
from pathlib import Path
from shutil import copyfileobj
from typing import IO, TYPE_CHECKING, Any, Protocol

import numpy as np

from airflow_ll.exceptions import DataError
from airflow_ll.extras import require
from airflow_ll.records_cli.kinds import Kind
from airflow_ll.records_cli.tables import CsvWriter, ParquetWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from airflow_ll.records import RecordBatch

__all__ = ["convert"]

_COPY_BYTES = 1 << 20


class Writer(Protocol):
    """Writes one file."""

    def write(self, batch: RecordBatch) -> None:
        """Append rows."""

    def finish(self) -> None:
        """Write what is left when all rows are there."""

    def close(self) -> None:
        """Close the files, whatever has happened."""


def convert(batches: Iterable[RecordBatch], target: Path, *, header: bool = False, force: bool = False) -> int:
    """Write the rows of ``batches`` to ``target`` in the format of its suffix, and return how many they are.

    Raises
    ------
    DataError
        Another suffix, a target that exists, no rows, rows of different kinds, or sparse rows too wide for a table.
    """
    writers: dict[str, Callable[[Path], Writer]] = {
        ".csv": lambda path: CsvWriter(path, header),
        ".parquet": ParquetWriter,
        ".npz": _Npz,
    }
    if target.suffix not in writers:
        raise DataError(f"TARGET must end with {', '.join(writers)}, but is {str(target)!r}.")
    if target.exists() and not force:
        raise DataError(f"{target} exists already: choose another name, or replace it with --force.")
    with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as folder:
        path = Path(folder) / target.name
        rows = _write(batches, writers[target.suffix](path))
        path.replace(target)
    return rows


def _write(batches: Iterable[RecordBatch], writer: Writer) -> int:
    rows = 0
    first: Kind | None = None
    with closing(writer):
        for batch in batches:
            kind = Kind.of(batch)
            first = first or kind
            if kind != first:
                raise DataError(
                    f"Row {rows} has {kind}, but the rows before have {first}: convert the shards one by one."
                )
            writer.write(batch)
            rows += len(batch)
        if not rows:
            raise DataError("There are no records to convert.")
        writer.finish()
    return rows


class _Npz:
    """``features`` (n, d) and ``labels``; sparse rows as ``scipy.sparse.save_npz`` has them, with ``labels`` beside.

    Numbers go to files of their own first, since an array begins with its length.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._parts: dict[str, _Array] = {}
        self._sparse: bool | None = None
        self._shape = [0, 0]
        self._entries = 0

    def write(self, batch: RecordBatch) -> None:
        sparse = hasattr(batch.features, "indptr")
        self._sparse = sparse if self._sparse is None else self._sparse
        features = batch.features
        if sparse and not self._sparse:
            features = features.toarray()
        elif self._sparse and not sparse:
            features = require("scipy.sparse", extra="sparse", purpose="Sparse rows").csr_matrix(features)
        self._shape = [self._shape[0] + len(batch), int(features.shape[1])]
        if self._sparse:
            self._append("data", features.data)
            self._append("indices", features.indices.astype(np.int64))
            self._append("indptr", features.indptr[:-1].astype(np.int64) + self._entries)
            self._entries += len(features.data)
        else:
            self._append("features", features)
        if batch.labels is not None:
            self._append("labels", batch.labels)

    def _append(self, name: str, rows: Any) -> None:
        if name not in self._parts:
            self._parts[name] = _Array(self._path.with_suffix(f".{name}"), rows)
        self._parts[name].append(rows)

    def close(self) -> None:
        for part in self._parts.values():
            part.close()

    def finish(self) -> None:
        if self._sparse:
            self._append("indptr", np.array([self._entries], np.int64))
        with zipfile.ZipFile(self._path, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
            for name, part in self._parts.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                    part.copy_to(member)
            if self._sparse:
                for name, value in (("format", np.array(b"csr")), ("shape", np.array(self._shape, np.int64))):
                    with archive.open(f"{name}.npy", "w") as member:
                        np.lib.format.write_array(member, value)


class _Array:
    """An array that grows by rows in a file."""

    def __init__(self, path: Path, like: Any) -> None:
        self._path, self._dtype, self._width = path, like.dtype, like.shape[1:]
        self._rows = 0
        self._file = path.open("w+b")

    def append(self, rows: Any) -> None:
        """Append ``rows`` (n, ...) in the dtype of the first."""
        self._file.write(np.ascontiguousarray(rows, self._dtype).data.cast("B"))
        self._rows += len(rows)

    def copy_to(self, member: IO[bytes]) -> None:
        """Write the array in numpy's own format."""
        header = {
            "descr": np.lib.format.dtype_to_descr(self._dtype),
            "fortran_order": False,
            "shape": (self._rows, *self._width),
        }
        np.lib.format.write_array_header_2_0(member, header)
        self._file.seek(0)
        copyfileobj(self._file, member, _COPY_BYTES)

    def close(self) -> None:
        """Close and remove the file."""
        self._file.close()
        self._path.unlink(missing_ok=True)
