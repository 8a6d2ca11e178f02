"""Batches set aside on local disk, to be read again: where a rule needs all rows before it can place the first."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Any

import numpy as np

from airflow_ll.extras import require
from airflow_ll.records.batches import Batch
from airflow_ll.records.matrices import is_sparse
from airflow_ll.records.numpy_sources import NpyReader

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

_DENSE, _SPARSE = b"D", b"S"
_LABELLED, _UNLABELLED = b"L", b"U"


class RowFile:
    """Rows and one number a row, in a file that is appended to, then read once and gone.

    Parameters
    ----------
    path
        Where the file is to be; its folder exists.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def append(self, batch: Batch, numbers: NDArray[np.uint64] | None = None) -> None:
        """Write the rows of ``batch`` and their ``numbers`` (n,); keys are left out."""
        features = batch.features
        arrays = [batch.rows, np.zeros(0, np.uint64) if numbers is None else numbers]
        if batch.labels is not None:
            arrays.append(batch.labels)
        if is_sparse(features):
            arrays += [np.array(features.shape), features.indptr, features.indices, features.data]
        else:
            arrays.append(features)
        with self._path.open("ab") as stream:
            stream.write(_SPARSE if is_sparse(features) else _DENSE)
            stream.write(_UNLABELLED if batch.labels is None else _LABELLED)
            for array in arrays:
                np.lib.format.write_array(stream, np.ascontiguousarray(array), allow_pickle=False)

    def read(self) -> Iterator[tuple[Batch, NDArray[np.uint64]]]:
        """Yield what was appended, in order, then remove the file."""
        if not self._path.exists():
            return
        with self._path.open("rb") as stream:
            while kind := stream.read(2):
                rows, numbers = _array(stream), _array(stream)
                labels = _array(stream) if kind[1:] == _LABELLED else None
                features = _sparse(stream) if kind[:1] == _SPARSE else _array(stream)
                yield Batch(features, labels, rows), numbers
        self._path.unlink()


def _array(stream: IO[bytes]) -> NDArray[Any]:
    reader = NpyReader(stream)
    return reader.read(reader.shape[0])


def _sparse(stream: IO[bytes]) -> Any:
    shape, bounds, indices, values = (_array(stream) for _ in range(4))
    matrices = require("scipy.sparse", extra="sparse", purpose="Sparse features")
    return matrices.csr_matrix((values, indices, bounds), shape=tuple(shape.tolist()))
