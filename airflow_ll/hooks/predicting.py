"""Ask an endpoint for predictions, in calls that stay below its payload limit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from airflow_ll.artifacts import Predictions
from airflow_ll.learner.payloads import decode_response, encode_request
from airflow_ll.records import check_features

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import ArrayLike

__all__ = ["as_rows", "predict"]

_PAYLOAD_BYTES = 5_000_000
_TEXT_BYTES = 25  # the longest decimal form of a number, with its separator
_ROW_BYTES = 128


def predict(client: Any, endpoint_name: str, features: ArrayLike, content_type: str) -> Predictions:
    """Return the predictions of features (rows, feature_dim), in order."""
    matrix = check_features(features).features
    parts = [_invoke(client, endpoint_name, part, content_type) for part in _parts(matrix)]
    labels = [part.labels for part in parts if part.labels is not None]
    return Predictions(
        scores=np.concatenate([part.scores for part in parts]),
        labels=np.concatenate(labels) if labels else None,
    )


def as_rows(predictions: Predictions) -> Iterator[dict[str, Any]]:
    """Yield each prediction as the endpoint's JSON spells it: ``score`` and, for classifiers, ``predicted_label``."""
    scores = predictions.scores.tolist()
    if predictions.labels is None:
        yield from ({"score": score} for score in scores)
        return
    for score, label in zip(scores, predictions.labels.tolist(), strict=True):
        yield {"score": score, "predicted_label": label}


def _parts(matrix: Any) -> Iterator[Any]:
    rows, columns = matrix.shape
    step = max(1, _PAYLOAD_BYTES // (columns * _TEXT_BYTES + _ROW_BYTES))
    for first in range(0, rows, step):
        yield matrix[first : first + step]


def _invoke(client: Any, endpoint_name: str, part: Any, content_type: str) -> Predictions:
    answer = client.invoke_endpoint(
        EndpointName=endpoint_name,
        Body=encode_request(part, content_type),
        ContentType=content_type,
        Accept="application/json",
    )
    return decode_response(answer["Body"].read(), answer["ContentType"])
