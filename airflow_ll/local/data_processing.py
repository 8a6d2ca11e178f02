"""DataProcessing of transform jobs: filter the input, join it with the predictions, filter what is stored.

It works on documents: a row of CSV is an array of its texts, a JSON Lines body has a document a line, a JSON body is
one document.
"""

from __future__ import annotations

import csv
import io
import json
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_ll.local.errors import ValidationError
from airflow_ll.local.jsonpath import JsonPath, JsonPathError
from airflow_ll.local.s3_data import CustomerDataError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["DataProcessing", "check"]

_CSV, _JSON, _JSON_LINES = "text/csv", "application/json", "application/jsonlines"
_FORMATS = (_CSV, _JSON, _JSON_LINES)


def check(request: dict[str, Any]) -> None:
    """Refuse a CreateTransformJob whose data cannot be processed as it asks.

    :raises ValidationError: a filter is no JSONPath, or the formats do not allow it.
    """
    processing = request.get("DataProcessing", {})
    for member in ("InputFilter", "OutputFilter"):
        try:
            JsonPath(processing.get(member, "$"))
        except JsonPathError as error:
            raise ValidationError(f"DataProcessing.{member} is not a supported JSONPath: {error}.") from error
    if _nothing_to_do(request):
        return
    data, output = request["TransformInput"], request["TransformOutput"]
    kinds = {
        "TransformInput.ContentType": _media_type(data.get("ContentType")),
        "TransformOutput.Accept": _media_type(output.get("Accept")),
    }
    for member, kind in kinds.items():
        if kind not in _FORMATS:
            raise ValidationError(
                f"{member} must be one of {', '.join(_FORMATS)} to filter or join data, got {kind or 'none'}."
            )
    if processing.get("JoinSource") == "Input" and len(set(kinds.values())) > 1:
        raise ValidationError(
            "TransformInput.ContentType and TransformOutput.Accept must be the same to join data, got "
            f"{' and '.join(kinds.values())}."
        )
    if _CSV in kinds.values() and (data.get("SplitType"), output.get("AssembleWith")) != ("Line", "Line"):
        raise ValidationError("SplitType and AssembleWith must be Line to filter or join data in text/csv.")


def _nothing_to_do(request: dict[str, Any]) -> bool:
    processing = request.get("DataProcessing", {})
    return (
        JsonPath(processing.get("InputFilter", "$")).is_root
        and JsonPath(processing.get("OutputFilter", "$")).is_root
        and processing.get("JoinSource", "None") == "None"
        and not request.get("DataCaptureConfig", {}).get("GenerateInferenceId")
    )


@dataclass(frozen=True)
class DataProcessing:
    """What a transform job does with the bodies of its requests and answers.

    ``inference_time`` is the job's start in ISO 8601 when each record gets an inference id, else empty.
    """

    input_kind: str
    output_kind: str
    input_filter: JsonPath
    output_filter: JsonPath
    join: bool
    inference_time: str

    @classmethod
    def of(cls, job: dict[str, Any], started: str) -> DataProcessing | None:
        """Return the processing of a job that :func:`check` accepted, ``None`` when bodies pass as they are."""
        if _nothing_to_do(job):
            return None
        processing = job.get("DataProcessing", {})
        return cls(
            _media_type(job["TransformInput"].get("ContentType")),
            _media_type(job["TransformOutput"].get("Accept")),
            JsonPath(processing.get("InputFilter", "$")),
            JsonPath(processing.get("OutputFilter", "$")),
            processing.get("JoinSource") == "Input",
            started if job.get("DataCaptureConfig", {}).get("GenerateInferenceId") else "",
        )

    def request_body(self, body: bytes) -> bytes:
        """Return what the model sees of a batch of input.

        :raises CustomerDataError: the batch is not of its content type, or the filter does not fit it.
        """
        if self.input_filter.is_root:
            return body
        documents = _decode(self.input_kind, body, "input")
        return _encode(self.input_kind, [_filtered(self.input_filter, one) for one in documents])

    def stored_body(self, body: bytes, answer: bytes) -> bytes:
        """Return what is stored for a batch of input and the model's answer to it.

        :raises CustomerDataError: they do not fit each other, or the filter does not fit them.
        """
        answers = _decode(self.output_kind, answer, "output from the algorithm")
        if self.join:
            inputs = _decode(self.input_kind, body, "input")
            if len(inputs) != len(answers):
                raise CustomerDataError("Fail to join data: mismatched line count between the input and the output")
            answers = [_joined(one, predicted) for one, predicted in zip(inputs, answers, strict=True)]
        stored = [_filtered(self.output_filter, one) for one in answers]
        if self.inference_time:
            stored = [_identified(one, self.inference_time) for one in stored]
        return _encode(self.output_kind, stored)


def _media_type(header: str | None) -> str:
    return (header or "").partition(";")[0].strip().lower()


def _filtered(path: JsonPath, document: Any) -> Any:
    try:
        return path.select(document)
    except JsonPathError as error:
        raise CustomerDataError(str(error)) from error


def _joined(document: Any, predicted: Any) -> Any:
    if isinstance(document, _Row):
        return _Row([*document, *predicted])
    if isinstance(document, dict):
        return {**document, "SageMakerOutput": predicted}
    return {"SageMakerInput": document, "SageMakerOutput": predicted}


def _identified(document: Any, time: str) -> Any:
    """Append a new inference id and the job's start to a record."""
    number = str(uuid.uuid4())
    if isinstance(document, dict):
        return {**document, "SageMakerInferenceId": number, "SageMakerInferenceTime": time}
    if isinstance(document, list):
        return [*document, number, time]
    return [document, number, time]


class _Row(list[str]):
    """A row of CSV."""


def _decode(kind: str, body: bytes, what: str) -> list[Any]:
    try:
        return _DECODERS[kind](body.decode())
    except (ValueError, csv.Error) as error:
        name = kind.rpartition("/")[2].upper()
        raise CustomerDataError(f"Failed to parse {what} as {name}: {error}") from error


def _decode_csv(text: str) -> list[Any]:
    return [_Row(row) for row in csv.reader(io.StringIO(text, newline=""), strict=True) if row]


def _decode_json_lines(text: str) -> list[Any]:
    return [json.loads(line) for line in text.splitlines() if line.strip()]


_DECODERS: dict[str, Callable[[str], list[Any]]] = {
    _CSV: _decode_csv,
    _JSON: lambda text: [json.loads(text)],
    _JSON_LINES: _decode_json_lines,
}


def _encode(kind: str, documents: list[Any]) -> bytes:
    if kind == _CSV:
        text = io.StringIO(newline="")
        rows = [one if isinstance(one, list) else [one] for one in documents]
        csv.writer(text, lineterminator="\n").writerows(rows)
        return text.getvalue().encode()
    if kind == _JSON_LINES:
        return "".join(json.dumps(one) + "\n" for one in documents).encode()
    return json.dumps(documents[0]).encode()
