"""Ask an endpoint for predictions, in calls that stay below its payload limit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from airflow_ll.artifacts import Predictions
from airflow_ll.exceptions import RequestError
from airflow_ll.learner.payloads import CSV, decode_response, encode_request, media_type
from airflow_ll.records import check_features

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["as_rows", "invocation", "predict"]

_PAYLOAD_LIMIT = 6 * 1024 * 1024  # SageMaker's own
_PAYLOAD_BYTES = 5_000_000
_TEXT_BYTES = 25  # the longest decimal form of a number, with its separator
_ROW_BYTES = 128


def predict(
    client: Any,
    endpoint_name: str,
    features: Any,
    content_type: str,
    accept: str = "application/json",
    target_variant: str | None = None,
) -> Predictions:
    """Return the predictions of features (rows, feature_dim), in order."""
    matrix = check_features(features).features
    settings = (endpoint_name, content_type, accept, target_variant)
    parts = [_invoke(client, part, *settings) for part in _parts(matrix, content_type)]
    labels = [part.labels for part in parts if part.labels is not None]
    return Predictions(
        scores=np.concatenate([part.scores for part in parts]),
        labels=np.concatenate(labels) if labels else None,
    )


def invocation(
    rows: Any, endpoint_name: str, content_type: str, accept: str, target_variant: str | None = None
) -> dict[str, Any]:
    """Return the request of InvokeEndpoint for rows that fit into one."""
    request = {
        "EndpointName": endpoint_name,
        "Body": encode_request(rows, content_type),
        "ContentType": content_type,
        "Accept": accept,
    }
    return request | ({"TargetVariant": target_variant} if target_variant else {})


def as_rows(predictions: Predictions) -> Iterator[dict[str, Any]]:
    """Yield each prediction as the endpoint's JSON spells it: ``score`` and, for classifiers, ``predicted_label``."""
    scores = predictions.scores.tolist()
    if predictions.labels is None:
        yield from ({"score": score} for score in scores)
        return
    for score, label in zip(scores, predictions.labels.tolist(), strict=True):
        yield {"score": score, "predicted_label": label}


def _parts(matrix: Any, content_type: str) -> Iterator[Any]:
    """Yield as many rows at a time as one request takes, by the longest form that numbers can have."""
    numbers = matrix.shape[1]
    if hasattr(matrix, "tocsr") and media_type(content_type) != CSV:  # only CSV spells the zeros
        matrix = matrix.tocsr()
        numbers = 2 * int(np.diff(matrix.indptr).max(initial=0))  # each value has a key
    size = numbers * _TEXT_BYTES + _ROW_BYTES
    if size > _PAYLOAD_LIMIT:
        raise RequestError(
            f"A row of {numbers} numbers can be {size} bytes as {content_type}, and SageMaker takes "
            f"{_PAYLOAD_LIMIT} a request: send sparse rows as application/x-recordio-protobuf, or use a transform job."
        )
    step = max(1, _PAYLOAD_BYTES // size)
    for first in range(0, matrix.shape[0], step):
        yield matrix[first : first + step]


def _invoke(client: Any, part: Any, *settings: Any) -> Predictions:
    answer = client.invoke_endpoint(**invocation(part, *settings))
    return decode_response(answer["Body"].read(), answer["ContentType"])
