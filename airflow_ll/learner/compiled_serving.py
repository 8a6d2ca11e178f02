"""Serving a compiled model: the general codecs specialised to its shape, behind a bare ASGI application.

What is specialised gives the general path's bytes, and leaves to it whatever it does not recognise: sparse rows,
other layouts of a Record, NaN in JSON, faulty bodies.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from airflow_ll.artifacts.model import LinearModel, Predictions
from airflow_ll.exceptions import DataError
from airflow_ll.learner.invocations import INLINE_BYTES, create_app, invoke
from airflow_ll.learner.payloads import JSON, RECORDIO, decode_request, encode_request, encode_response, media_type

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping
    from typing import Any

    from numpy.typing import NDArray

    from airflow_ll.artifacts.compiled import CompiledModel

    Message = MutableMapping[str, Any]

__all__ = ["CompiledScorer", "create_compiled_app"]

_LABEL_MARK = 77_777


class CompiledScorer:
    """Scores request bodies as :func:`~airflow_ll.learner.invocations.invoke` does with its model, byte for byte."""

    def __init__(self, compiled: CompiledModel) -> None:
        self._model = compiled.model
        self._weights, self._bias = compiled.model.weights, compiled.model.bias
        self._request = _DenseRecords(compiled.model.feature_dim)
        self._answer = _AnswerRecords(compiled.model)
        self._kinds: dict[str | None, str] = {}

    def invoke(self, body: bytes, content_type: str | None, accept: str | None) -> tuple[int, bytes, str]:
        """Score one request body and return the HTTP status, the response body and its content type."""
        try:
            kind, answer_kind = self._media_type(content_type), self._media_type(accept)
            features = self._decode(body, kind)
            if not isinstance(features, np.ndarray):
                return invoke(self._model, body, content_type, accept)
            with np.errstate(over="ignore", invalid="ignore"):  # of large features
                margins = features @ self._weights
                margins += self._bias
                predictions = self._model.decide(margins)
            if not np.isfinite(predictions.scores).all():
                return invoke(self._model, body, content_type, accept)
            return 200, self._encode(predictions, answer_kind), answer_kind
        except DataError:
            return invoke(self._model, body, content_type, accept)  # its sentence for the fault

    def _media_type(self, header: str | None) -> str:
        kind = self._kinds.get(header)
        if kind is None:
            kind = media_type(header)
            if len(self._kinds) < 64:  # a client may send any number of spellings
                self._kinds[header] = kind
        return kind

    def _decode(self, body: bytes, kind: str) -> Any:
        features = self._request.decode(body) if kind == RECORDIO else None
        return decode_request(body, kind, self._model.feature_dim) if features is None else features

    def _encode(self, predictions: Predictions, kind: str) -> bytes:
        if kind == RECORDIO:
            return self._answer.encode(predictions)
        if kind == JSON and predictions.scores.ndim == 1:
            return _flat_json(predictions)
        return encode_response(predictions, kind)[0]


class _DenseRecords:
    """RecordIO requests whose records are dense float32 rows of one width: every frame has the same bytes around."""

    def __init__(self, feature_dim: int) -> None:
        marks = np.arange(1, feature_dim + 1, dtype=np.float32)
        frame = encode_request(marks[np.newaxis, :], RECORDIO)
        start = frame.index(marks.astype("<f4").tobytes())
        self._values = slice(start, start + 4 * feature_dim)
        self._frame = np.frombuffer(frame, np.uint8)

    def decode(self, body: bytes) -> NDArray[np.float32] | None:
        """Return the rows, (n, feature_dim), or None when the body is anything else."""
        size, (start, stop) = len(self._frame), (self._values.start, self._values.stop)
        if not body or len(body) % size:
            return None
        frames = np.frombuffer(body, np.uint8).reshape(-1, size)
        around = (frames[:, :start] == self._frame[:start]).all() and (frames[:, stop:] == self._frame[stop:]).all()
        rows = np.ascontiguousarray(frames[:, self._values]).view("<f4")
        return rows if around and np.isfinite(rows).all() else None


class _AnswerRecords:
    """RecordIO answers, made from one that the general encoder wrote with marks for the numbers."""

    def __init__(self, model: LinearModel) -> None:
        outputs = model.weights.shape[1]
        marks = np.arange(outputs, dtype=np.float32) + np.float32(0.5)
        multiclass, regressor = model.predictor_type == "multiclass_classifier", model.predictor_type == "regressor"
        labels = None if regressor else np.array([_LABEL_MARK])
        frame = encode_response(Predictions(marks[np.newaxis, :] if multiclass else marks, labels), RECORDIO)[0]
        self._frame = np.frombuffer(frame, np.uint8)
        self._scores = self._place(frame, marks)
        self._label = None if regressor else self._place(frame, np.array([_LABEL_MARK], np.float32))

    @staticmethod
    def _place(frame: bytes, marks: NDArray[np.float32]) -> slice:
        start = frame.index(marks.astype("<f4").tobytes())
        return slice(start, start + 4 * len(marks))

    def encode(self, predictions: Predictions) -> bytes:
        """Write one record a prediction."""
        frames = np.tile(self._frame, (len(predictions), 1))
        frames[:, self._scores] = _float_bytes(predictions.scores)
        if self._label is not None and predictions.labels is not None:
            frames[:, self._label] = _float_bytes(predictions.labels)
        return frames.tobytes()


def _float_bytes(values: NDArray[Any]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(values.reshape(len(values), -1), "<f4").view(np.uint8)


def _flat_json(predictions: Predictions) -> bytes:
    """Write the JSON of one finite score a row, in the words of ``json.dumps``."""
    scores = predictions.scores.tolist()
    if predictions.labels is None:
        rows = [f'{{"score": {score!r}}}' for score in scores]
    else:
        labels = predictions.labels.tolist()
        rows = [f'{{"score": {score!r}, "predicted_label": {label}}}' for score, label in zip(scores, labels)]  # noqa: B905
    return f'{{"predictions": [{", ".join(rows)}]}}'.encode()


def create_compiled_app(compiled: CompiledModel) -> Any:
    """Return the ASGI application that answers with ``compiled``; all but invocations is the general one's."""
    from anyio.to_thread import run_sync

    general, scorer = create_app(compiled.model), CompiledScorer(compiled)

    async def app(
        scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
    ) -> None:
        if scope["type"] != "http" or scope["path"] != "/invocations" or scope["method"] != "POST":
            await general(scope, receive, send)
            return
        parts: list[bytes] = []  # adding to a body of many parts would copy it for each of them
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            parts.append(message.get("body", b""))
            more = message.get("more_body", False)
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        body = b"".join(parts)
        arguments = (body, headers.get(b"content-type"), headers.get(b"accept"))
        inline = len(body) <= INLINE_BYTES
        status, content, kind = scorer.invoke(*arguments) if inline else await run_sync(scorer.invoke, *arguments)
        if kind.startswith("text/"):
            kind += "; charset=utf-8"  # as Starlette says it of the general answers
        head = [(b"content-length", str(len(content)).encode()), (b"content-type", kind.encode())]
        await send({"type": "http.response.start", "status": status, "headers": head})
        await send({"type": "http.response.body", "body": content})

    return app
