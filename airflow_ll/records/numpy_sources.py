"""Stream NumPy's files: .npy and .npz, dense or as scipy saves sparse matrices, a batch of rows at a time."""

from __future__ import annotations

import math
import zipfile
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from airflow_ll.exceptions import DataError
from airflow_ll.extras import require
from airflow_ll.records.batches import default_batch_rows
from airflow_ll.records.damage import described
from airflow_ll.records.local_copies import local
from airflow_ll.records.tables import Table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

_COPY_BYTES = 1 << 20


class NpyReader:
    """The array of one .npy stream, read in order.

    Parameters
    ----------
    stream
        Its bytes.
    what
        What messages call it; None: the stream's file.

    Attributes
    ----------
    shape, dtype
        As the file says.

    Raises
    ------
    DataError
        It is no .npy file, has Python objects, or ends too early.
    """

    def __init__(self, stream: Any, what: str | None = None) -> None:
        self._stream = stream
        self._what = described("npy", stream) if what is None else what
        try:
            version = np.lib.format.read_magic(stream)
            read_header = {
                (1, 0): np.lib.format.read_array_header_1_0,
                (2, 0): np.lib.format.read_array_header_2_0,
            }[version]
            self.shape, self._fortran, self.dtype = read_header(stream)
        except (KeyError, ValueError, EOFError) as error:
            raise DataError(f"The {self._what} is no NumPy array in the format .npy 1.0 or 2.0 ({error}).") from error
        if self.dtype.hasobject:
            raise DataError(f"The {self._what} has Python objects, which are not read from files: save it as numbers.")

    @property
    def by_columns(self) -> bool:
        """Whether a row is not in one piece (Fortran order)."""
        return self._fortran and len(self.shape) > 1 and min(self.shape) > 1

    def read(self, count: int) -> NDArray[Any]:
        """Return the next ``count`` entries of the first axis."""
        part = np.empty((count, *self.shape[1:]), self.dtype)
        fill_from(self._stream, part, self._what)
        return part

    def batches(self, rows: int) -> Iterator[NDArray[Any]]:
        """Yield the array in parts of at most ``rows`` entries of the first axis."""
        if self.by_columns:
            with local(self._stream) as stream:
                yield from self._strips(stream, rows)
            return
        for first in range(0, self.shape[0], rows):
            yield self.read(min(rows, self.shape[0] - first))

    def _strips(self, stream: Any, rows: int) -> Iterator[NDArray[Any]]:
        """Yield the rows of a matrix in Fortran order: for each batch a piece of every column."""
        start, (total, columns) = stream.tell(), self.shape
        for first in range(0, total, rows):
            part = np.empty((columns, min(rows, total - first)), self.dtype)
            for column in range(columns):
                stream.seek(start + (column * total + first) * self.dtype.itemsize)
                fill_from(stream, part[column], self._what)
            yield part.T


def npy_tables(stream: Any, batch_rows: int | None) -> Iterator[Table]:
    """Yield the rows of a .npy matrix."""
    for part in _matrices(NpyReader(stream), batch_rows):
        yield Table(matrix=part)


def npz_tables(stream: Any, batch_rows: int | None) -> Iterator[Table]:
    """Yield the rows of a .npz: the arrays ``features`` and perhaps ``labels``, or scipy's sparse matrix."""
    with local(stream) as file, zipfile.ZipFile(file) as opened:
        archive = _Archive(opened, described("npz", stream))  # of a copy, the name would be that of the copy
        names = {name.removesuffix(".npy") for name in opened.namelist()}
        if {"format", "shape", "data"} <= names:
            yield from _sparse_tables(archive, file, batch_rows)
        elif "features" in names:
            yield from _dense_tables(archive, "labels" in names, batch_rows)
        else:
            found = ", ".join(sorted(names)) or "none"
            raise DataError(
                f"The {archive.what} must have an array named features (and perhaps labels), but has {found}."
            )


@dataclass(frozen=True)
class _Archive:
    """An opened .npz, and what messages call it."""

    zip: zipfile.ZipFile
    what: str

    @contextmanager
    def array(self, name: str) -> Iterator[NpyReader]:
        """Open the array ``name``."""
        with self.zip.open(f"{name}.npy") as stream:
            yield NpyReader(stream, f"array {name} of the {self.what}")


def _dense_tables(archive: _Archive, labelled: bool, batch_rows: int | None) -> Iterator[Table]:
    with archive.array("features") as features:
        if not labelled:
            yield from (Table(matrix=part) for part in _matrices(features, batch_rows))
            return
        with archive.array("labels") as labels:
            if labels.shape[:1] != features.shape[:1] or math.prod(labels.shape[1:]) != 1:
                raise DataError(
                    f"Labels must be one a row: features have the shape {features.shape}, labels {labels.shape}."
                )
            for part in _matrices(features, batch_rows):
                yield Table(matrix=part, labels=labels.read(len(part)).reshape(-1))


def _matrices(reader: NpyReader, batch_rows: int | None) -> Iterator[NDArray[Any]]:
    if len(reader.shape) != 2:
        raise DataError(f"Features must be a matrix with one row an example, but have the shape {reader.shape}.")
    if reader.dtype.kind not in "biuf":
        raise DataError(f"Features must be real numbers, but have the dtype {reader.dtype}: convert or encode them.")
    yield from reader.batches(batch_rows or default_batch_rows(max(1, reader.shape[1]) * reader.dtype.itemsize))


def _sparse_tables(archive: _Archive, file: Any, batch_rows: int | None) -> Iterator[Table]:
    sparse = require("scipy.sparse", extra="sparse", purpose="Reading sparse features")
    kind = _load(archive, "format").item()
    if (kind.decode() if isinstance(kind, bytes) else kind) != "csr":
        file.seek(0)
        yield Table(matrix=sparse.load_npz(file).tocsr())  # its rows are not in one piece: all of it is read
        return
    rows, columns = (int(size) for size in _load(archive, "shape"))
    with (
        archive.array("indptr") as bounds,
        archive.array("indices") as indices,
        archive.array("data") as data,
    ):
        _check_sparse(rows, columns, bounds, indices, data)
        step = batch_rows or default_batch_rows(8 * max(1, data.shape[0] // max(1, rows)))
        last = bounds.read(1)
        for first in range(0, rows, step):
            ends = np.concatenate([last, bounds.read(min(step, rows - first))]).astype(np.int64)
            if (np.diff(ends) < 0).any() or ends[0] < 0 or ends[-1] > data.shape[0]:
                raise DataError("The sparse matrix has row bounds that go backwards or beyond its numbers.")
            count = int(ends[-1] - ends[0])
            keys, values = indices.read(count), data.read(count)
            if count and not 0 <= int(keys.min()) <= int(keys.max()) < columns:
                raise DataError(f"The sparse matrix has column indices outside its {columns} columns.")
            yield Table(matrix=sparse.csr_matrix((values, keys, ends - ends[0]), shape=(len(ends) - 1, columns)))
            last = ends[-1:]


def _check_sparse(rows: int, columns: int, bounds: NpyReader, indices: NpyReader, data: NpyReader) -> None:
    fits = bounds.shape == (rows + 1,) and indices.shape == data.shape and len(data.shape) == 1 and columns >= 0
    if not fits or bounds.dtype.kind not in "iu" or indices.dtype.kind not in "iu" or data.dtype.kind not in "biuf":
        raise DataError("The .npz is no sparse matrix of numbers: its parts do not fit its shape.")


def _load(archive: _Archive, name: str) -> NDArray[Any]:
    with archive.array(name) as reader:
        if math.prod(reader.shape) > 2:
            raise DataError("The .npz is no sparse matrix of numbers: its parts do not fit its shape.")
        return reader.read(reader.shape[0] if reader.shape else 1)


def fill_from(stream: Any, target: NDArray[Any], what: str) -> None:
    """Fill ``target`` with the next bytes of ``stream``, which messages call ``what``.

    Raises
    ------
    DataError
        It ends too early.
    """
    view = target.reshape(-1).view(np.uint8).data if target.size and target.dtype.itemsize else memoryview(b"")
    read_into = getattr(stream, "readinto", None)
    done = 0
    while done < len(view):
        if read_into is not None:
            count = read_into(view[done:])
        else:
            piece = stream.read(min(len(view) - done, _COPY_BYTES))
            count = len(piece)
            view[done : done + count] = piece
        if not count:
            missing = len(view) - done
            raise DataError(f"The {what} ends {missing} bytes too early: it is not complete.")
        done += count
