"""The bodies of inference requests and responses, both directions, in LinearLearner's content types.

A request body holds rows of features: ``application/json``, ``application/jsonlines``, ``text/csv`` or
``application/x-recordio-protobuf``. A response body holds scores in the same four. What the service answers in CSV is
not documented anywhere; here it is the score (all classes' scores) and then the predicted label.
"""

from __future__ import annotations

import io
import json
import operator
import struct
from typing import TYPE_CHECKING

import numpy as np

from airflow_ll.artifacts.model import Predictions
from airflow_ll.exceptions import DataError
from airflow_ll.learner.csv_lines import parse_csv
from airflow_ll.learner.finite import check_finite

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any

    from numpy.typing import NDArray

__all__ = [
    "CSV",
    "JSON",
    "JSON_LINES",
    "RECORDIO",
    "decode_request",
    "decode_response",
    "encode_request",
    "encode_response",
    "media_type",
]

JSON = "application/json"
JSON_LINES = "application/jsonlines"
CSV = "text/csv"
RECORDIO = "application/x-recordio-protobuf"

_ALIASES = {"application/x-jsonlines": JSON_LINES, "application/jsonl": JSON_LINES, "csv": CSV, "json": JSON}
_RECORDIO_MAGIC = 0xCED7230A


def media_type(header: str | None, default: str = JSON) -> str:
    """Return the first media type of a Content-Type or Accept header that we can read or write.

    Raises
    ------
    DataError
        The header names only types that LinearLearner does not know.
    """
    for part in (header or default).split(","):
        kind = part.split(";")[0].strip().lower()
        kind = default if kind in {"", "*/*", "application/*"} else _ALIASES.get(kind, kind)
        if kind in _REQUEST_DECODERS:
            return kind
    raise DataError(
        f"Content type {header!r} is not supported. "
        f"Use one of {', '.join(sorted(_REQUEST_DECODERS))} for Content-Type and Accept."
    )


def decode_request(body: bytes, content_type: str, feature_dim: int | None = None) -> Any:
    """Read the rows of an inference request.

    Parameters
    ----------
    body : bytes
        The request's body.
    content_type : str
        Its Content-Type header.
    feature_dim : int, optional
        The number of features that every row must have.

    Returns
    -------
    ndarray of float32 or scipy CSR
        (n, features); sparse when a row of the request is.

    Raises
    ------
    DataError
        The body does not hold rows of that many finite numbers.
    """
    if not body.strip():
        raise DataError("The request has no rows.")
    with np.errstate(over="ignore"):  # a number beyond float32 is refused as infinite
        features = _REQUEST_DECODERS[media_type(content_type)](body)
    if feature_dim is not None and features.shape[1] != feature_dim:
        raise DataError(
            f"The feature dimension of the input: {features.shape[1]} does not match the feature dimension of "
            f"the model: {feature_dim}. Please fix the input and try again."
        )
    check_finite(features, "the request")
    return features


def encode_request(features: Any, content_type: str) -> bytes:
    """Write rows as the body of an inference request.

    Parameters
    ----------
    features : array_like or scipy sparse matrix
        (n, features). Sparse rows stay sparse in JSON, JSON Lines and RecordIO.
    content_type : str
        The Content-Type to write for.

    Returns
    -------
    bytes
    """
    kind = media_type(content_type)
    rows = features.tocsr() if hasattr(features, "tocsr") else np.atleast_2d(np.asarray(features))
    if kind == RECORDIO:
        from airflow_ll.records import encode_records

        return bytes(encode_records(rows))
    if kind == CSV:
        dense = rows if isinstance(rows, np.ndarray) else rows.toarray()
        return "\n".join(",".join(map(repr, row)) for row in dense.tolist()).encode() + b"\n"
    instances = list(_instances(rows))
    if kind == JSON:
        return json.dumps({"instances": instances}).encode()
    return "".join(json.dumps(instance) + "\n" for instance in instances).encode()


def encode_response(predictions: Predictions, accept: str | None = None) -> tuple[bytes, str]:
    """Write predictions as the body of a response.

    Parameters
    ----------
    predictions : Predictions
        What the model said.
    accept : str, optional
        The request's Accept header; JSON without one.

    Returns
    -------
    tuple[bytes, str]
        The body and its Content-Type.
    """
    kind = media_type(accept)
    return _RESPONSE_ENCODERS[kind](predictions), kind


def decode_response(body: bytes, content_type: str) -> Predictions:
    """Read the predictions of a response, also of a batch transform's output file.

    Raises
    ------
    DataError
        The body does not hold LinearLearner's predictions.
    """
    kind = media_type(content_type)
    try:
        return _RESPONSE_DECODERS[kind](body)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"The response is not LinearLearner's {kind}: {error!r}.") from error


# Requests.


def _decode_csv(body: bytes) -> NDArray[np.float32]:
    try:
        text = body.decode("utf-8-sig")
        rows = parse_csv(io.StringIO(text)) if text.strip() else None
    except ValueError as error:
        raise DataError(f"Unable to read the request as text/csv without a header: {error}.") from error
    if rows is None:
        raise DataError("The request has no rows.")  # but a byte order mark
    return rows


def _decode_json(body: bytes) -> Any:
    document = _parse(body)
    if not isinstance(document, dict) or not isinstance(document.get("instances"), list):
        raise DataError('The JSON request must be {"instances": [{"features": [...]}, ...]}.')
    return _matrix(document["instances"])


def _decode_json_lines(body: bytes) -> Any:
    return _matrix([_parse(line) for line in body.splitlines() if line.strip()])


def _decode_recordio(body: bytes) -> Any:
    from airflow_ll.records import read_records

    features = read_records(body).features
    return features.astype(np.float32, copy=False)


def _parse(text: bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"Unable to read the request as JSON: {error}.") from error


def _matrix(instances: Sequence[Any]) -> Any:
    """Stack JSON instances; one sparse instance makes the whole matrix sparse."""
    if not instances:
        raise DataError("The request has no rows.")
    tensors = [_tensor(index, instance) for index, instance in enumerate(instances)]
    try:
        if any(isinstance(tensor, dict) and "keys" in tensor for tensor in tensors):
            return _sparse_matrix(tensors)
        matrix = _numbers([tensor["values"] if isinstance(tensor, dict) else tensor for tensor in tensors])
    except (ValueError, TypeError, KeyError, IndexError, OverflowError) as error:
        raise DataError(f"The rows of the request are not equally long lists of numbers: {error}.") from error
    if matrix.ndim != 2:
        raise DataError("The rows of the request are not equally long lists of numbers.")
    return matrix


def _numbers(values: list[Any]) -> NDArray[np.float32]:
    """Return JSON numbers as an array, with NaN for null; numpy would make numbers of texts, too."""
    array = np.array(values)
    mixed = array.dtype.kind == "O" and any(isinstance(value, str | bool) for value in array.flat)
    if mixed or array.dtype.kind not in "iufO":
        raise ValueError("a text or a boolean is no number")
    return array.astype(np.float32)


def _tensor(index: int, instance: Any) -> Any:
    """Find an instance's features: under ``features`` or under ``data`` and then ``features``."""
    data = instance.get("data", instance) if isinstance(instance, dict) else None
    found = data.get("features") if isinstance(data, dict) else None
    if not isinstance(found, list | dict):
        raise DataError(f'Instance {index} of the request has no "features".')
    return found


def _sparse_matrix(tensors: Iterable[Any]) -> Any:
    from airflow_ll.extras import require

    sparse = require("scipy.sparse", extra="sparse", purpose="A sparse request")
    indptr, indices, values, width = [0], list[int](), list[float](), 0
    for tensor in tensors:
        row = tensor["values"] if isinstance(tensor, dict) else tensor
        is_sparse = isinstance(tensor, dict) and "keys" in tensor
        indices += [operator.index(key) for key in tensor["keys"]] if is_sparse else range(len(row))
        values += row
        indptr.append(len(values))
        width = max(width, int(tensor["shape"][0]) if is_sparse else len(row))
    if len(indices) != len(values) or max(indices, default=0) >= width or min(indices, default=0) < 0:
        raise ValueError("keys must be one for each value and below the shape")
    return sparse.csr_matrix((_numbers(values), indices, indptr), shape=(len(indptr) - 1, width))


def _instances(rows: Any) -> Iterable[dict[str, Any]]:
    if isinstance(rows, np.ndarray):
        yield from ({"features": row} for row in rows.tolist())
        return
    for start, end in zip(rows.indptr[:-1], rows.indptr[1:], strict=True):
        tensor = {
            "keys": rows.indices[start:end].tolist(),
            "shape": [int(rows.shape[1])],
            "values": rows.data[start:end].tolist(),
        }
        yield {"data": {"features": tensor}}


# Responses.


def _answers(predictions: Predictions) -> list[dict[str, Any]]:
    scores = predictions.scores.astype(np.float64).tolist()  # float32 scores are printed as doubles
    if predictions.labels is None:
        return [{"score": score} for score in scores]
    labels = predictions.labels.tolist()
    return [{"score": score, "predicted_label": label} for score, label in zip(scores, labels, strict=True)]


def _predictions(answers: Sequence[dict[str, Any]]) -> Predictions:
    scores = np.array([answer["score"] for answer in answers], dtype=np.float32)
    labelled = bool(answers) and "predicted_label" in answers[0]
    labels = np.array([int(answer["predicted_label"]) for answer in answers], np.int64) if labelled else None
    return Predictions(scores, labels)


def _encode_json(predictions: Predictions) -> bytes:
    return json.dumps({"predictions": _answers(predictions)}).encode()


def _encode_json_lines(predictions: Predictions) -> bytes:
    return "".join(json.dumps(answer) + "\n" for answer in _answers(predictions)).encode()


def _encode_csv(predictions: Predictions) -> bytes:
    columns = predictions.scores.reshape(len(predictions), -1).astype(np.float64).tolist()
    if predictions.labels is not None:
        columns = [[*row, label] for row, label in zip(columns, predictions.labels.tolist(), strict=True)]
    return "".join(",".join(map(repr, row)) + "\n" for row in columns).encode()


def _encode_recordio(predictions: Predictions) -> bytes:
    from airflow_ll.records import record_pb2

    parts: list[bytes] = []
    for answer in _answers(predictions):
        record = record_pb2.Record()  # type: ignore[attr-defined]  # protobuf makes it at run time
        for name, value in answer.items():
            record.label[name].float32_tensor.values.extend(np.atleast_1d(value).tolist())
        payload = record.SerializeToString(deterministic=True)
        parts += [struct.pack("<II", _RECORDIO_MAGIC, len(payload)), payload, bytes(-len(payload) % 4)]
    return b"".join(parts)


def _decode_recordio_answers(body: bytes) -> Predictions:
    from airflow_ll.records import record_pb2

    answers: list[dict[str, Any]] = []
    offset = 0
    while offset < len(body):
        magic, size = struct.unpack_from("<II", body, offset) if len(body) - offset >= 8 else (0, 0)
        payload = body[offset + 8 : offset + 8 + size]
        if magic != _RECORDIO_MAGIC or len(payload) != size:
            raise ValueError(f"no RecordIO record at offset {offset}")
        label = record_pb2.Record.FromString(payload).label  # type: ignore[attr-defined]  # as above
        scores = list(label["score"].float32_tensor.values)
        answers.append({"score": scores[0] if len(scores) == 1 else scores})
        if "predicted_label" in label:
            answers[-1]["predicted_label"] = label["predicted_label"].float32_tensor.values[0]
        offset += 8 + size + -size % 4
    return _predictions(answers)


def _decode_csv_answers(body: bytes) -> Predictions:
    columns = np.loadtxt(io.StringIO(body.decode()), delimiter=",", dtype=np.float64, ndmin=2)
    if columns.shape[1] == 1:
        return Predictions(columns[:, 0].astype(np.float32))
    scores = columns[:, 0] if columns.shape[1] == 2 else columns[:, :-1]
    return Predictions(scores.astype(np.float32), columns[:, -1].astype(np.int64))


_REQUEST_DECODERS: dict[str, Callable[[bytes], Any]] = {
    JSON: _decode_json,
    JSON_LINES: _decode_json_lines,
    CSV: _decode_csv,
    RECORDIO: _decode_recordio,
}
_RESPONSE_ENCODERS: dict[str, Callable[[Predictions], bytes]] = {
    JSON: _encode_json,
    JSON_LINES: _encode_json_lines,
    CSV: _encode_csv,
    RECORDIO: _encode_recordio,
}
_RESPONSE_DECODERS: dict[str, Callable[[bytes], Predictions]] = {
    JSON: lambda body: _predictions(json.loads(body)["predictions"]),
    JSON_LINES: lambda body: _predictions([json.loads(line) for line in body.splitlines() if line.strip()]),
    CSV: _decode_csv_answers,
    RECORDIO: _decode_recordio_answers,
}
