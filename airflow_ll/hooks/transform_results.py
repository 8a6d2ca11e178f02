"""The outputs of a batch transform job as one table: a row for each input row, with its keys."""

from __future__ import annotations

import csv
import gzip
import io
import itertools
import json
from dataclasses import dataclass
from pathlib import PurePosixPath
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING, Any

from airflow_ll.exceptions import DataError, RequestError
from airflow_ll.hooks.linear_learner import split_s3_uri
from airflow_ll.hooks.tables import TABLE_FORMATS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from airflow_ll.hooks.linear_learner import LinearLearnerHook

__all__ = ["Predicted", "write_predictions"]

_BATCH = 10_000
_RECORDIO = "application/x-recordio-protobuf"


@dataclass(frozen=True)
class Predicted:
    """What a transform job read and wrote.

    :param inputs: S3 URIs of the inputs, in order.
    :param outputs: S3 URIs of their outputs, in the same order.
    :param accept: content type of the outputs.
    :param compressed: whether the inputs are gzip files.
    """

    inputs: Sequence[str]
    outputs: Sequence[str]
    accept: str | None
    compressed: bool = False


def write_predictions(
    hook: LinearLearnerHook,
    predicted: Predicted,
    uri: str,
    *,
    key_columns: Sequence[int] = (),
    keys: str | None = None,
) -> int:
    """Write ``row``, the keys, ``predicted_label`` and ``score`` of every row to ``uri``; return the number of rows.

    Batch by batch: memory does not grow with the number of rows. The scores of several classes are a list; JSON in CSV.

    :param uri: S3 URI of a ``.csv``, ``.arrow`` or ``.parquet`` file.
    :param key_columns: numbers of the columns of CSV inputs that are keys; they become ``key_0``, ``key_1``, ...
    :param keys: S3 URI of a CSV file with a header, or of a Parquet file: its rows are the keys of the inputs' rows.
    :raises DataError: inputs and outputs do not have the same number of rows, or outputs are not LinearLearner's.
    """
    if keys and key_columns:
        raise RequestError("Keys come from key_columns of the inputs or from the file keys, got both.")
    kind = PurePosixPath(uri).suffix
    if kind not in TABLE_FORMATS:
        raise RequestError(f"Predictions are written as {', '.join(TABLE_FORMATS)}, got {uri!r}.")
    rows = _numbered(_with_keys(hook, predicted, key_columns, keys))
    with NamedTemporaryFile(prefix="airflow-ll-", suffix=kind) as file:
        count = 0
        with TABLE_FORMATS[kind](file) as table:
            while batch := list(itertools.islice(rows, _BATCH)):
                table.write(batch)
                count += len(batch)
        file.flush()
        bucket, key = split_s3_uri(uri)
        hook.client("s3").upload_file(file.name, bucket, key)
    return count


def _numbered(rows: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for number, row in enumerate(rows):
        yield {"row": number, **row}


def _with_keys(
    hook: LinearLearnerHook, predicted: Predicted, key_columns: Sequence[int], keys: str | None
) -> Iterator[dict[str, Any]]:
    if keys:
        answers = (answer for uri in predicted.outputs for answer in _answers(hook, uri, predicted.accept))
        yield from _paired(_key_rows(hook, keys), answers, keys)
        return
    for source, output in zip(predicted.inputs, predicted.outputs, strict=True):
        found = _answers(hook, output, predicted.accept)
        if key_columns:
            yield from _paired(_csv_keys(hook, source, key_columns, compressed=predicted.compressed), found, source)
        else:
            yield from found


def _paired(keys: Iterator[dict[str, Any]], answers: Iterator[dict[str, Any]], source: str) -> Iterator[dict[str, Any]]:
    for number, (key, answer) in enumerate(itertools.zip_longest(keys, answers)):
        if key is None or answer is None:
            more, less = ("predictions", "rows") if key is None else ("rows", "predictions")
            raise DataError(f"{source!r} must have as many rows as predictions, got more {more} than {number} {less}.")
        yield key | answer


def _answers(hook: LinearLearnerHook, uri: str, accept: str | None) -> Iterator[dict[str, Any]]:
    """Yield ``predicted_label`` (of classifiers) and ``score`` of each row of an output."""
    if accept == _RECORDIO:
        from airflow_ll.hooks.predicting import as_rows
        from airflow_ll.learner.payloads import decode_response

        yield from (_ordered(one) for one in as_rows(decode_response(hook.read(uri), accept)))
        return
    for line in _lines(hook, uri):
        if line.strip():
            yield from _parsed(line, uri)


def _parsed(line: str, uri: str) -> Iterator[dict[str, Any]]:
    """Yield what a line of JSON holds: one answer, an answer joined to its record, or a document with several."""
    try:
        document = json.loads(line)
        found = document.get("SageMakerOutput", document)
        yield from (_ordered(one) for one in found.get("predictions", [found]))
    except (ValueError, AttributeError, KeyError, TypeError):
        raise DataError(f"{uri!r} must have LinearLearner's predictions as JSON, got {line[:100]!r}.") from None


def _ordered(answer: dict[str, Any]) -> dict[str, Any]:
    label = answer.get("predicted_label")
    return ({} if label is None else {"predicted_label": int(label)}) | {"score": answer["score"]}


def _csv_keys(
    hook: LinearLearnerHook, uri: str, columns: Sequence[int], *, compressed: bool
) -> Iterator[dict[str, Any]]:
    for number, cells in enumerate(csv.reader(_lines(hook, uri, compressed=compressed))):
        if not cells:
            continue
        try:
            yield {f"key_{index}": cells[column] for index, column in enumerate(columns)}
        except IndexError:
            raise DataError(
                f"key_columns must be columns of {uri!r}, got {list(columns)}, and row {number} has {len(cells)}."
            ) from None


def _key_rows(hook: LinearLearnerHook, uri: str) -> Iterator[dict[str, Any]]:
    if uri.endswith(".csv"):
        yield from csv.DictReader(_lines(hook, uri))
        return
    if not uri.endswith(".parquet"):
        raise RequestError(f"keys must be a .csv file with a header or a .parquet file, got {uri!r}.")
    from airflow_ll.extras import require

    parquet = require("pyarrow.parquet", extra="arrow", purpose="Reading Parquet")
    bucket, key = split_s3_uri(uri)
    with NamedTemporaryFile(prefix="airflow-ll-", suffix=".parquet") as file:
        hook.client("s3").download_fileobj(bucket, key, file)
        file.flush()
        for batch in parquet.ParquetFile(file.name).iter_batches(_BATCH):
            yield from batch.to_pylist()


def _lines(hook: LinearLearnerHook, uri: str, *, compressed: bool = False) -> Iterator[str]:
    """Yield the lines of an object while it is being read."""
    bucket, key = split_s3_uri(uri)
    body: Any = hook.client("s3").get_object(Bucket=bucket, Key=key)["Body"]
    if compressed:
        yield from io.TextIOWrapper(gzip.GzipFile(fileobj=body), encoding="utf-8", newline="")
        return
    for line in body.iter_lines(chunk_size=1 << 20):
        yield line.decode() + "\n"
