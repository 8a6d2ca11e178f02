"""Decode RecordIO-protobuf into matrices: ``read_records`` and ``iter_records``."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from airflow_ll.exceptions import DataError, RecordFormatError
from airflow_ll.records.dense import copy_rows
from airflow_ll.records.framing import Block, iter_blocks
from airflow_ll.records.messages import decode_messages, dense_layout
from airflow_ll.records.parts import Part, Tensors, concatenate, take
from airflow_ll.records.ragged_decoder import decode_ragged
from airflow_ll.records.uniform import place_for, read_uniform

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from numpy.typing import NDArray

    from airflow_ll.records.dense import DenseLayout

Source = bytes | bytearray | memoryview | str | Path | IO[bytes]


@dataclass(frozen=True, eq=False)
class RecordBatch:
    """Rows read from records.

    Attributes
    ----------
    features
        ndarray (n, d) or, when a row is sparse, scipy CSR (n, d), of the tensors' dtype: float32 in what LinearLearner
        accepts, else float64 or int32.
    labels
        ndarray (n,), or (n, k) when records have label vectors, or None when they are unlabelled.
    uids, metadata
        One string or None a record, or None when no record has one.
    """

    features: Any
    labels: NDArray[Any] | None = None
    uids: tuple[str | None, ...] | None = None
    metadata: tuple[str | None, ...] | None = None

    def __len__(self) -> int:
        """Return the number of rows."""
        return int(self.features.shape[0])


def read_records(source: Source, *, out: NDArray[Any] | None = None) -> RecordBatch:
    """Read all records of ``source``: their bytes, a path, or a binary stream.

    Parameters
    ----------
    source
        Its bytes, a path, or a binary stream.
    out
        A matrix with at least as many rows, and the columns and the dtype of dense records: the features are read into
        its first rows, of which ``features`` is a view then. Memory that is there already takes half the time of new
        one; after an error, what it holds is undefined.

    Raises
    ------
    RecordFormatError
        The bytes are not RecordIO-protobuf, or rows differ in width or in having labels; the message names the offset.
    DataError
        ``out`` has too few rows, or another shape or dtype, or the rows are sparse.
    MissingExtraError
        Rows are sparse and scipy is not installed.
    """
    if isinstance(source, str):
        source = Path(source)
    known_size = source.is_file() if isinstance(source, Path) else isinstance(source, (bytes, bytearray, memoryview))
    whole = read_uniform(source, out) if known_size else None  # type: ignore[arg-type]  # no stream has a known size
    if whole:
        return _batch(whole)
    rows = concatenate(list(_parts(source)))
    return _batch(rows if out is None else _into(out, rows))


def iter_records(source: Source, batch_rows: int | None = 10_000) -> Iterator[RecordBatch]:
    """Yield the records of ``source`` in batches of ``batch_rows`` rows, the last one may have fewer.

    Memory is bounded by a batch and a block of one MiB (or the largest record), whatever the size of ``source``;
    ``batch_rows`` None makes every block a batch. A batch is sparse when one of its rows is.

    Raises
    ------
    RecordFormatError, MissingExtraError
        As ``read_records``, when the batch in question is reached.
    """
    if batch_rows is None:
        for part in _parts(source):
            yield _batch(concatenate([part]))
        return
    if batch_rows < 1:
        raise ValueError(f"batch_rows must be at least 1, but is {batch_rows}.")
    waiting: list[Part] = []
    rows = 0
    for part in _parts(source):
        waiting.append(part)
        rows += len(part)
        while rows >= batch_rows:
            batch, waiting = take(waiting, batch_rows)
            rows -= batch_rows
            yield _batch(concatenate(batch))
    if rows:
        yield _batch(concatenate(waiting))


def _parts(source: Source) -> Iterator[Part]:
    """Decode block after block, by the last rows' layout as long as it fits."""
    layout: DenseLayout | None = None
    first: Part | None = None
    with _opened(source) as stream:
        for block in iter_blocks(stream):
            layout = _layout(block, layout)
            part = _decode_dense(block, layout) if layout else decode_ragged(block) or decode_messages(block)
            first = first or part
            _check_like(part, first, block.offset)
            yield part


def _opened(source: Source) -> AbstractContextManager[bytes | bytearray | memoryview | IO[bytes]]:
    return Path(source).open("rb") if isinstance(source, (str, Path)) else nullcontext(source)


def _layout(block: Block, last: DenseLayout | None) -> DenseLayout | None:
    """Return the dense layout of all rows of ``block``, which is most often the ``last`` block's, or None."""
    if last and last.matches(block.data, len(block)):
        return last
    layout = dense_layout(block)
    return layout if layout and layout.matches(block.data, len(block)) else None


def _decode_dense(block: Block, layout: DenseLayout) -> Part:
    rows = np.frombuffer(block.data, layout.dtype)
    return Part(Tensors(rows["features"]), rows["labels"] if layout.label_dim else None)


def _check_like(part: Part, first: Part, offset: int) -> None:
    """Refuse a block whose rows differ from the first rows'."""
    if part.features.feature_dim != first.features.feature_dim:
        raise RecordFormatError(
            f"The records from byte {offset} on have {part.features.feature_dim} features, but the ones before have "
            f"{first.features.feature_dim}."
        )
    if part.label_dim != first.label_dim:
        raise RecordFormatError(
            f"The records from byte {offset} on have {part.label_dim} label(s), but the ones before have "
            f"{first.label_dim}."
        )


def _into(out: NDArray[Any], rows: Part) -> Part:
    """Return ``rows`` with their features in ``out``."""
    if rows.features.bounds is not None:
        raise DataError("The rows are sparse, which a matrix has no place for: read them without out.")
    features = place_for(len(rows), rows.features.feature_dim, rows.features.values.dtype, out)
    copy_rows(features, rows.features.values)
    return replace(rows, features=Tensors(features))


def _batch(rows: Part) -> RecordBatch:
    labels = rows.labels
    if labels is not None and labels.shape[1] == 1:
        labels = labels[:, 0]
    return RecordBatch(rows.features.matrix(), labels, rows.uids, rows.metadata)
