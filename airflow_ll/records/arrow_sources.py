"""Stream CSV, Parquet and Arrow files and datasets with pyarrow, a batch of rows at a time."""

from __future__ import annotations

import io
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from airflow_ll.exceptions import DataError
from airflow_ll.extras import require
from airflow_ll.records.batches import default_batch_rows
from airflow_ll.records.damage import described, told_as_data_errors
from airflow_ll.records.local_copies import is_local, local_ranges, seekable
from airflow_ll.records.tables import Table, as_table, named_columns

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_BLOCK_BYTES = 1 << 20
_HEAD_LINES, _LONGEST_HEAD = 2, 256 << 20  # of a CSV's header and first row
_LONGEST_NUMBER = 32  # of a double and its comma: at most 25
_LEAST_BLOCK_BYTES = 16 << 10
_BLOCKS_BYTES = 16 << 20  # of all columns of a Parquet file together


def parquet_tables(stream: Any, columns: Sequence[str] | None, batch_rows: int | None) -> Iterator[Table]:
    """Yield the rows of a Parquet file; of a row group no more than a block of each column is in memory.

    The columns of a row group that is not local are copied to local disk first, since reading them side by side jumps
    about.
    """
    parquet = require("pyarrow.parquet", extra="arrow", purpose="Reading Parquet")
    with seekable(stream) as file:
        footer = parquet.read_metadata(file)
        names = footer.schema.to_arrow_schema().names
        chosen = _chosen(names, columns)
        rows = batch_rows or default_batch_rows(4 * max(1, len(chosen)))
        block = max(_LEAST_BLOCK_BYTES, min(_BLOCK_BYTES, _BLOCKS_BYTES // max(1, len(chosen))))
        for group in range(footer.num_row_groups):
            ranges = _chunk_ranges(footer.row_group(group), set(chosen))
            with nullcontext(file) if is_local(file) else local_ranges(file, ranges) as near:
                opened = parquet.ParquetFile(near, metadata=footer, buffer_size=block, pre_buffer=False)
                batches = opened.iter_batches(rows, row_groups=[group], columns=chosen, use_threads=False)
                yield from map(as_table, batches)


def _chunk_ranges(row_group: Any, chosen: set[str]) -> Iterator[tuple[int, int]]:
    """Yield where the chosen columns of a row group begin and end in the file."""
    for chunk in map(row_group.column, range(row_group.num_columns)):
        path = chunk.path_in_schema
        if path in chosen or path.split(".")[0] in chosen:
            start = chunk.data_page_offset
            if chunk.has_dictionary_page and chunk.dictionary_page_offset is not None:
                start = min(start, chunk.dictionary_page_offset)
            yield start, start + chunk.total_compressed_size


def ipc_tables(stream: Any, columns: Sequence[str] | None) -> Iterator[Table]:
    """Yield the rows of an Arrow file (Feather 2) or Arrow stream, a record batch at a time."""
    ipc = require("pyarrow.ipc", extra="arrow", purpose="Reading Arrow files")
    with seekable(stream) as file:
        start = file.tell()
        is_file = file.read(6) == b"ARROW1"
        file.seek(start)
        if is_file:
            reader = ipc.open_file(file)
            batches = (reader.get_batch(index) for index in range(reader.num_record_batches))
        else:
            batches = iter(ipc.open_stream(file))
        for batch in batches:
            yield as_table(_project(batch, columns))


def dataset_tables(dataset: Any, columns: Sequence[str] | None, batch_rows: int | None) -> Iterator[Table]:
    """Yield the rows of a ``pyarrow.dataset.Dataset`` in the order of its files."""
    names = dataset.schema.names
    chosen = _chosen(names, columns)
    with told_as_data_errors("Arrow dataset"):
        batches = dataset.to_batches(
            columns=chosen,
            batch_size=batch_rows or default_batch_rows(4 * max(1, len(chosen))),
            batch_readahead=1,
            fragment_readahead=1,
            use_threads=False,
        )
        for batch in batches:
            yield as_table(batch)


def csv_tables(stream: Any, columns: Sequence[str] | None, categorical: Sequence[str]) -> Iterator[Table]:
    """Yield the rows of a CSV (UTF-8) about 1 MiB at a time.

    Its first line has the columns' names unless it is of numbers. Columns that are numbers in the first block are
    numbers throughout; ``categorical`` ones are text.
    """
    csv = require("pyarrow.csv", extra="arrow", purpose="Reading CSV")
    head = _head(stream)
    names = _names(head)
    columns_read = head.split(b"\n", 1)[0].count(b",") + 1 if names is None else len(names)
    read = csv.ReadOptions(block_size=_block_size(head, columns_read), use_threads=False)
    if names is None:
        read.autogenerate_column_names = True
        names = [f"f{index}" for index in range(columns_read)]
        numbered = {name: name[1:] for name in names}
    else:
        numbered = {}
    types = _types(csv, head, read, {name for name in names if numbered.get(name, name) in categorical})
    convert = csv.ConvertOptions(column_types=types)
    if columns is not None:
        convert.include_columns = [name for name in names if numbered.get(name, name) in columns]
    for batch in csv.open_csv(_Prefixed(head, stream), read_options=read, convert_options=convert):
        names = [numbered.get(name, name) for name in batch.schema.names]
        yield Table(named_columns(zip(names, map(_empty_as_null, batch.columns), strict=True)))


def _head(stream: Any) -> bytes:
    """Return the first block of ``stream``; of lines that are longer than one, the first two."""
    head, lines = bytearray(), 0
    while len(head) < _LONGEST_HEAD and (len(head) < _BLOCK_BYTES or lines < _HEAD_LINES):
        part = stream.read(_BLOCK_BYTES)
        if not part:
            head += b"" if head.endswith(b"\n") else b"\n"  # pyarrow takes one line without an end for no line
            break
        head += part
        lines += part.count(b"\n")
    if not head.strip():
        raise DataError(f"The {described('csv', stream)} is empty.")
    return bytes(head)


def _block_size(head: bytes, columns: int) -> int:
    """Return how many bytes pyarrow reads at a time: no line of numbers is longer, even if the first ones are zeros."""
    longest = max(map(len, head.split(b"\n", _HEAD_LINES)[:_HEAD_LINES]))
    return max(_BLOCK_BYTES, 2 * longest, _LONGEST_NUMBER * columns)


def _names(head: bytes) -> list[str] | None:
    """Return the names in the first line, or None when it is of numbers, some of which may be missing.

    The first one may not: pandas writes no name above its index.
    """
    import csv

    line = head.removeprefix(b"\xef\xbb\xbf").split(b"\n", 1)[0].decode()
    names = next(csv.reader([line]))
    of_numbers = all(_is_number(name) for name in names[:1]) and all(_is_number(name or "0") for name in names)
    return None if of_numbers else names


def _types(csv: Any, head: bytes, read: Any, categorical: set[str]) -> dict[str, str]:
    """Return the columns' types, inferred from the first lines: numbers are float64, since whole ones may end."""
    lines = head if len(head) < _BLOCK_BYTES else head[: head.rfind(b"\n") + 1] or head
    convert = csv.ConvertOptions(column_types=dict.fromkeys(categorical, "string"))
    schema = csv.read_csv(io.BytesIO(lines), read_options=read, convert_options=convert).schema
    return {field.name: "float64" if str(field.type) in ("int64", "null") else field.type for field in schema}


def _empty_as_null(column: Any) -> Any:
    """Return a column with null for empty text, which is how a CSV says that there is none."""
    if str(column.type) != "string":
        return column
    compute = require("pyarrow.compute", extra="arrow", purpose="Reading CSV")
    return compute.if_else(compute.equal(column, ""), None, column)


class _Prefixed(io.RawIOBase):
    """The bytes ``head``, then those of ``stream``."""

    def __init__(self, head: bytes, stream: Any) -> None:
        self._head, self._stream = memoryview(head), stream

    def readable(self) -> bool:
        return True

    def readinto(self, target: Any) -> int:
        piece = self._head[: len(target)] or self._stream.read(len(target))
        self._head = self._head[len(piece) :] if self._head else self._head
        target[: len(piece)] = piece
        return len(piece)


def _chosen(names: Sequence[str], columns: Sequence[str] | None) -> Sequence[str]:
    """Return which of ``names`` are wanted; without any, all rows would be lost, since none has a number."""
    chosen = names if columns is None else [name for name in columns if name in names]
    if columns and not chosen:
        shown = ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")
        raise DataError(f"There is no column {columns[0]!r}; the {len(names)} columns are {shown}.")
    return chosen


def _project(batch: Any, columns: Sequence[str] | None) -> Any:
    return batch if columns is None else batch.select(_chosen(batch.schema.names, columns))


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
