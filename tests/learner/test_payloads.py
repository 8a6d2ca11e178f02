from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import sparse

from airflow_ll.artifacts import Predictions
from airflow_ll.exceptions import DataError
from airflow_ll.learner.payloads import decode_request, decode_response, encode_request, encode_response

TYPES = ["application/json", "application/jsonlines", "text/csv", "application/x-recordio-protobuf"]

MATRICES = arrays.arrays(
    np.float32,
    st.tuples(st.integers(1, 6), st.integers(1, 5)),
    elements=st.floats(-(2.0**99), 2.0**99, width=32),
)


@pytest.mark.parametrize("content_type", TYPES)
@given(features=MATRICES)
def test_rows_survive_a_request(content_type: str, features: np.ndarray) -> None:
    decoded = decode_request(encode_request(features, content_type), content_type, features.shape[1])
    assert decoded.dtype == np.float32
    np.testing.assert_array_equal(decoded, features)


@pytest.mark.parametrize("content_type", [kind for kind in TYPES if kind != "text/csv"])
def test_sparse_rows_stay_sparse(content_type: str) -> None:
    features = sparse.random(6, 9, density=0.3, format="csr", random_state=1, dtype=np.float32)
    decoded = decode_request(encode_request(features, content_type), content_type, 9)
    assert sparse.issparse(decoded)
    np.testing.assert_array_equal(decoded.toarray(), features.toarray())


@pytest.mark.parametrize("accept", TYPES)
@pytest.mark.parametrize(
    "predictions",
    [
        Predictions(np.array([0.25, 0.1], np.float32), np.array([1, 0])),
        Predictions(np.array([28.711287, -1.5], np.float32)),
        Predictions(np.array([[0.1, 0.2, 0.7], [0.5, 0.3, 0.2]], np.float32), np.array([2, 0])),
    ],
    ids=["binary", "regressor", "multiclass"],
)
def test_predictions_survive_a_response(accept: str, predictions: Predictions) -> None:
    body, content_type = encode_response(predictions, accept)
    decoded = decode_response(body, content_type)
    np.testing.assert_array_equal(decoded.scores, predictions.scores)
    np.testing.assert_equal(decoded.labels, predictions.labels)


def test_responses_have_the_service_s_form() -> None:
    assert encode_response(Predictions(np.array([28.711287], np.float32))) == (
        b'{"predictions": [{"score": 28.711286544799805}]}',
        "application/json",
    )
    binary = Predictions(np.array([0.5], np.float32), np.array([0]))
    assert encode_response(binary, "application/jsonlines")[0] == b'{"score": 0.5, "predicted_label": 0}\n'


@pytest.mark.parametrize(
    "instance",
    [
        {"features": [1, 0, 2]},
        {"data": {"features": {"values": [1, 0, 2]}}},
        {"data": {"features": {"keys": [0, 2], "shape": [3], "values": [1, 2]}}},
    ],
)
def test_every_documented_json_instance_is_read(instance: dict[str, Any]) -> None:
    for body, kind in [
        (json.dumps({"instances": [instance]}), "application/json"),
        (json.dumps(instance) + "\n", "application/jsonlines; charset=utf-8"),
    ]:
        decoded = decode_request(body.encode(), kind, 3)
        dense = decoded.toarray() if sparse.issparse(decoded) else decoded
        assert dense.tolist() == [[1, 0, 2]]


@pytest.mark.parametrize(
    ("body", "kind", "match"),
    [
        (b"1,2,3\n", "text/csv", "The feature dimension of the input: 3 does not match"),
        (b"a,b\n", "text/csv", "without a header: record 0 has 'a' in column 0, which is no number"),
        (b"1,2\n1\n", "text/csv", "without a header: record 1 has 1 columns, but those before have 2"),
        (b"", "text/csv", "no rows"),
        (b"\xef\xbb\xbf\r\n", "text/csv", "^The request has no rows"),
        (b"", "application/jsonlines", "no rows"),
        (b"{", "application/json", "as JSON"),
        (b"[]", "application/json", "must be"),
        (b'{"instances": []}', "application/json", "no rows"),
        (b'{"instances": [{"x": 1}]}', "application/json", 'Instance 0 of the request has no "features"'),
        (b'{"instances": [{"features": [1, 2]}, {"features": [1]}]}', "application/json", "equally long"),
        (b'{"instances": [{"features": [[1, 2]]}]}', "application/json", "equally long"),
        (b'{"features": {"keys": [5], "shape": [2], "values": [1]}}', "application/jsonlines", "below the shape"),
        (b"garbage!", "application/x-recordio-protobuf", "."),
        (b"<x/>", "application/xml", "is not supported"),
    ],
)
def test_a_bad_request_is_one_clear_error(body: bytes, kind: str, match: str) -> None:
    with pytest.raises(DataError, match=match):
        decode_request(body, kind, 2)


@pytest.mark.parametrize("kind", TYPES)
def test_a_response_that_is_not_ours_is_refused(kind: str) -> None:
    with pytest.raises(DataError):
        decode_response(b'{"error": ', kind)
