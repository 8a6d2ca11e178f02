"""Encode matrices as RecordIO-protobuf: ``write_records`` and ``encode_records``."""

from __future__ import annotations

import io
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from airflow_ll.records.dense import DenseLayout
from airflow_ll.records.dense_encoder import DenseEncoder, fill
from airflow_ll.records.matrices import Dtype, as_labels, as_matrix, assign, is_sparse, misfit, tensor_dtype
from airflow_ll.records.ragged_encoder import FloatRows, PackedRows, TensorRows, encode_rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

#: A chunk fits the second-level cache, so that encoding costs little more than copying.
CHUNK_BYTES = 1 << 20
#: Ragged rows take some hundred steps a chunk: larger ones spread their cost.
CHUNK_ELEMENTS = 1 << 18


def write_records(stream: IO[bytes], features: Any, labels: Any = None, *, dtype: Dtype = "float32") -> int:
    """Write one record a row to ``stream`` in the format LinearLearner trains on.

    Parameters
    ----------
    stream
        A binary stream. Each chunk handed to its ``write`` is only valid during that call.
    features
        (n, d): an ndarray or array-like of any real dtype, byte order and memory layout, a scipy sparse array or
        matrix (one sparse record a row), a pandas or polars data frame, or an Arrow table.
    labels
        (n,) one label a row, (n, k) a label vector a row, or None for unlabelled records.
    dtype
        ``"float32"`` writes Float32 tensors, the only ones LinearLearner accepts; ``"preserve"`` keeps float64 as
        Float64 and integers as Int32.

    Returns
    -------
    int
        The number of bytes written.

    Raises
    ------
    DataError
        Features or labels have the wrong shape or dtype, or a number does not fit the tensor's dtype. Chunks before
        the offender have been written by then. NaN and infinities are written: see ``check_features``.
    """
    written = 0
    for chunk in record_chunks(features, labels, dtype=dtype):
        _write_all(stream, chunk)
        written += len(chunk)
    return written


def record_chunks(features: Any, labels: Any = None, *, dtype: Dtype = "float32") -> Iterator[memoryview]:
    """Return an iterator of what ``write_records`` writes: chunks of whole records, each valid until the next one.

    Raises
    ------
    DataError
        At once, when features or labels have the wrong shape or dtype; later, when a number does not fit.
    """
    matrix = as_matrix(features)
    label_rows = None if labels is None else as_labels(labels, matrix.shape[0])
    feature_dtype = tensor_dtype(matrix.dtype, dtype)
    label_dtype = feature_dtype if label_rows is None else tensor_dtype(label_rows.dtype, dtype)
    if is_sparse(matrix) or "i" in (feature_dtype.kind, label_dtype.kind):
        return _ragged_chunks(matrix, label_rows, feature_dtype, label_dtype)
    label_dim = 0 if label_rows is None else label_rows.shape[1]
    layout = DenseLayout(matrix.shape[1], feature_dtype, label_dim, label_dtype)
    return _dense_chunks(matrix, label_rows, layout)


def encode_records(features: Any, labels: Any = None, *, dtype: Dtype = "float32") -> bytes:
    """Return what ``write_records`` writes."""
    stream = io.BytesIO()
    write_records(stream, features, labels, dtype=dtype)
    return stream.getvalue()


def _dense_chunks(matrix: NDArray[Any], labels: NDArray[Any] | None, layout: DenseLayout) -> Iterator[memoryview]:
    """Yield the framed rows, chunk after chunk in one buffer."""
    rows = max(1, min(len(matrix), CHUNK_BYTES // len(layout.template)))
    encoder = DenseEncoder(layout, rows)
    for first in range(0, len(matrix), rows):
        chunk = slice(first, first + rows)
        yield encoder.encode(matrix[chunk], None if labels is None else labels[chunk], first_row=first)


def _ragged_chunks(
    matrix: Any, labels: NDArray[Any] | None, feature_dtype: np.dtype[Any], label_dtype: np.dtype[Any]
) -> Iterator[memoryview]:
    first = 0
    while first < matrix.shape[0]:
        last = _chunk_end(matrix, first)
        features = (_sparse_rows if is_sparse(matrix) else _dense_rows)(matrix, first, last, feature_dtype)
        label = None if labels is None else _dense_rows(labels, first, last, label_dtype, "The label")
        yield encode_rows(features, label).data
        first = last


def _chunk_end(matrix: Any, first: int) -> int:
    """Return where the chunk from row ``first`` ends: at least one row, about CHUNK_ELEMENTS numbers."""
    width = 1 if is_sparse(matrix) else matrix.shape[1]
    last = min(int(matrix.shape[0]), first + 1 + CHUNK_ELEMENTS // max(16, width))
    if is_sparse(matrix):
        by_elements = int(np.searchsorted(matrix.indptr, matrix.indptr[first] + CHUNK_ELEMENTS, side="right")) - 1
        last = min(last, max(first + 1, by_elements))
    return last


def _dense_rows(
    matrix: NDArray[Any], first: int, last: int, dtype: np.dtype[Any], what: str = "The feature"
) -> TensorRows | FloatRows:
    chunk = np.empty((last - first, matrix.shape[1]), dtype)
    fill(chunk, matrix[first:last], what, first)
    if dtype.kind == "f":
        return FloatRows(chunk)
    return TensorRows(PackedRows(chunk.ravel(), np.full(len(chunk), matrix.shape[1], np.int64)))


def _sparse_rows(matrix: Any, first: int, last: int, dtype: np.dtype[Any]) -> TensorRows:
    bounds = matrix.indptr[first : last + 1].astype(np.int64)
    source = matrix.data[bounds[0] : bounds[-1]]
    keys = matrix.indices[bounds[0] : bounds[-1]]
    if source.dtype == dtype and source.flags.c_contiguous:
        return TensorRows(PackedRows(source, np.diff(bounds)), PackedRows(keys, np.diff(bounds)), matrix.shape[1])
    values = np.empty(source.shape, dtype)
    if (bad := assign(values, source)) is not None:
        row = first + int(np.searchsorted(bounds - bounds[0], bad[0], side="right")) - 1
        raise misfit("The feature", source[bad], dtype, row, int(keys[bad]))
    counts = np.diff(bounds)
    return TensorRows(PackedRows(values, counts), PackedRows(keys, counts), matrix.shape[1])


def _write_all(stream: IO[bytes], chunk: memoryview) -> None:
    """Write the whole of ``chunk``: an unbuffered stream may take it in parts."""
    while len(chunk):
        taken = stream.write(chunk)
        chunk = chunk[len(chunk) if taken is None else taken :]
