"""Write rows to a file, batch by batch: CSV, Arrow, Parquet."""

from __future__ import annotations

import csv
import io
import json
from typing import IO, TYPE_CHECKING, Any, Final

from airflow_ll.extras import require

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType
    from typing import Self

__all__ = ["TABLE_FORMATS", "ArrowTable", "CsvTable", "ParquetTable", "Table"]


class Table:
    """A file of rows that all have the columns of the first.

    :param file: opened for writing bytes.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def write(self, rows: list[dict[str, Any]]) -> None:
        """Append rows."""
        raise NotImplementedError

    def close(self) -> None:
        """Write what is still to be written; the file stays open."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class CsvTable(Table):
    """CSV with a header; lists are JSON."""

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__(file)
        self._writer: csv.DictWriter[str] | None = None
        self._text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)

    def write(self, rows: list[dict[str, Any]]) -> None:
        """Append rows."""
        if self._writer is None:
            self._writer = csv.DictWriter(self._text, list(rows[0]), lineterminator="\n")
            self._writer.writeheader()
        self._writer.writerows(
            {name: json.dumps(value) if isinstance(value, list) else value for name, value in row.items()}
            for row in rows
        )

    def close(self) -> None:
        """Write the rest."""
        self._text.flush()
        self._text.detach()


class ArrowTable(Table):
    """An Arrow IPC file."""

    _sink: Any = None
    _schema: Any = None

    def write(self, rows: list[dict[str, Any]]) -> None:
        """Append rows."""
        arrow = require("pyarrow", extra="arrow", purpose="Writing Arrow")
        table = arrow.Table.from_pylist(rows, schema=self._schema)
        if self._sink is None:
            self._schema = table.schema
            self._sink = self._open(self._schema)
        self._sink.write_table(table)

    def _open(self, schema: Any) -> Any:
        return require("pyarrow", extra="arrow", purpose="Writing Arrow").ipc.new_file(self._file, schema)

    def close(self) -> None:
        """Write the end of the file."""
        if self._sink is not None:
            self._sink.close()


class ParquetTable(ArrowTable):
    """A Parquet file."""

    def _open(self, schema: Any) -> Any:
        parquet = require("pyarrow.parquet", extra="arrow", purpose="Writing Parquet")
        return parquet.ParquetWriter(self._file, schema)


TABLE_FORMATS: Final[Mapping[str, type[Table]]] = {".csv": CsvTable, ".arrow": ArrowTable, ".parquet": ParquetTable}
"""How to write a file, by the ending of its name."""
