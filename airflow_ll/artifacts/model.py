"""A trained linear model: its numbers, its files, its scores."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from airflow_ll.artifacts.archive import MODEL_NAME, read_archive, read_members, write_archive, write_members
from airflow_ll.artifacts.params import read_params, write_params
from airflow_ll.artifacts.symbol import Symbol, output_operator
from airflow_ll.exceptions import ArtifactError, DataError

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray

__all__ = ["LinearModel", "Predictions"]

_MANIFEST = b'{"mx-mod": "mxnet_module", "additional-params.json": "json", "version": 1}'
_WEIGHT, _BIAS = "arg:fc0_weight", "arg:fc0_bias"
_ZIP_START = b"PK"
_PREDICTOR_TYPES = ("binary_classifier", "multiclass_classifier", "regressor")


@dataclass(frozen=True)
class Predictions:
    """What a model says about n rows.

    Attributes
    ----------
    scores : ndarray of float32
        (n,) probabilities (binary; raw values under the hinge loss) or predictions (regressor);
        (n, classes) probabilities (multiclass).
    labels : ndarray of int64 or None
        (n,) predicted classes; None for a regressor.
    """

    scores: NDArray[np.float32]
    labels: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.scores)


@dataclass(frozen=True, eq=False)
class LinearModel:
    """A linear model over raw features: normalisation is folded into the numbers.

    Attributes
    ----------
    weights : ndarray of float32
        (feature_dim, outputs); outputs is the number of classes for multiclass, else 1.
    bias : ndarray of float32
        (outputs,).
    predictor_type, loss : str
        As in the hyperparameters, ``auto`` resolved.
    threshold : float
        A binary classifier predicts 1 iff its float32 score is at least this.
    metrics_params : dict
        What the service keeps for evaluating the model again.
    bias_lr_mult, node_counter
        Details of the training that the symbol records.
    """

    weights: NDArray[np.float32]
    bias: NDArray[np.float32]
    predictor_type: str
    loss: str
    threshold: float = 0.5
    metrics_params: dict[str, Any] = field(default_factory=dict)
    bias_lr_mult: float = 10.0
    node_counter: int = 0

    @property
    def feature_dim(self) -> int:
        """Return the number of features of a row."""
        return int(self.weights.shape[0])

    @classmethod
    def load(cls, path: Path | str) -> LinearModel:
        """Open a ``model.tar.gz`` or ``model_algo-1``, by its content.

        Raises
        ------
        ArtifactError
            It is not a LinearLearner model; the message says what is wrong with it.
        """
        path = Path(path)
        with path.open("rb") as stream:
            start = stream.read(2)
        data = path.read_bytes() if start == _ZIP_START else read_archive(path)
        return cls.from_bytes(data)

    @classmethod
    def from_bytes(cls, data: bytes) -> LinearModel:
        """Open a model from the bytes of a ``model_algo-1``."""
        members = read_members(data)
        arrays = read_params(members["mx-mod-0000.params"])
        symbol = Symbol.from_json(members["mx-mod-symbol.json"].decode(errors="replace"))
        weights, bias = cls.arrays(arrays, symbol)
        try:
            parameters = json.loads(members["additional-params.json"])
        except (ValueError, RecursionError) as error:
            why = f"{type(error).__name__}: {error}"  # the repr of a UnicodeDecodeError has the whole file in it
            raise ArtifactError(f"additional-params.json of the model is not readable: {why}.") from error
        model = cls.of_parameters(weights, bias, parameters)
        return dataclasses.replace(model, bias_lr_mult=symbol.bias_lr_mult, node_counter=symbol.counter)

    @staticmethod
    def arrays(arrays: dict[str, NDArray[Any]], symbol: Symbol) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the weights and the bias among a ``.params`` file's arrays.

        Raises
        ------
        ArtifactError
            They do not have the shapes that the symbol names.
        """
        shape = (symbol.feature_dim, symbol.outputs)
        if _WEIGHT not in arrays or arrays[_WEIGHT].shape != shape:
            raise ArtifactError(f"The model's weights must have the shape {shape} that its symbol names.")
        bias = arrays.get(_BIAS, np.zeros((1, symbol.outputs), np.float32))
        if bias.size != symbol.outputs:
            raise ArtifactError(f"The model's bias must have {symbol.outputs} values; it has {bias.size}.")
        return arrays[_WEIGHT].astype(np.float32), bias.reshape(-1).astype(np.float32)

    @classmethod
    def of_parameters(cls, weights: NDArray[np.float32], bias: NDArray[np.float32], parameters: Any) -> LinearModel:
        """Return the model of these numbers and of what `parameters` gave.

        Raises
        ------
        ArtifactError
            The parameters are not such an object.
        """
        try:
            model = cls(
                weights=weights,
                bias=bias,
                predictor_type=str(parameters["predictor_type"]),
                loss=str(parameters["loss_type"]),
                threshold=float(parameters["threshold"]),
                metrics_params=dict(parameters["metrics_params"]),
            )
        except (ValueError, KeyError, TypeError) as error:
            raise ArtifactError(f"additional-params.json of the model is not readable: {error!r}.") from error
        if model.predictor_type not in _PREDICTOR_TYPES:
            raise ArtifactError(
                f"The model's predictor_type must be one of {', '.join(_PREDICTOR_TYPES)}; "
                f"got {model.predictor_type!r}."
            )
        return model

    def to_bytes(self) -> bytes:
        """Write the bytes of a ``model_algo-1``; equal models give equal bytes."""
        return write_members(
            {
                "mx-mod-0000.params": write_params(
                    {_WEIGHT: self.weights, _BIAS: np.reshape(self.bias, (1, self.weights.shape[1]))}
                ),
                "manifest.json": _MANIFEST,
                "additional-params.json": json.dumps(self.parameters()).encode(),
                "mx-mod-symbol.json": self._symbol().to_json().encode(),
            }
        )

    def save(self, path: Path | str, *, mtime: int = 0) -> None:
        """Write the model: as ``model_algo-1`` when the file is named so, else as ``model.tar.gz``.

        Parameters
        ----------
        path : Path or str
            Where to write.
        mtime : int
            The time in the tar, in seconds since 1970.
        """
        path, data = Path(path), self.to_bytes()
        part = path.with_name(f".{path.name}.part")  # so that a reader never finds half a model
        part.write_bytes(data if path.name == MODEL_NAME else write_archive({MODEL_NAME: data}, mtime))
        part.replace(path)

    def margins(self, features: Any) -> NDArray[np.float32]:
        """Return the linear part of the scores, ``features @ weights + bias``, (n, outputs).

        Parameters
        ----------
        features : array_like or scipy CSR
            (n, feature_dim), raw features; a single row may be (feature_dim,).

        Raises
        ------
        DataError
            They are no rows, or have another number of features than the model.
        """
        sparse = hasattr(features, "tocsr")
        rows = features.tocsr() if sparse else np.asarray(features, dtype=np.float32)
        rows = rows[np.newaxis, :] if not sparse and rows.ndim == 1 else rows
        if rows.ndim != 2:
            raise DataError(f"The input must be rows of {self.feature_dim} features, but has the shape {rows.shape}.")
        if rows.shape[1] != self.feature_dim:
            raise DataError(
                f"The feature dimension of the input: {rows.shape[1]} does not match the feature dimension of "
                f"the model: {self.feature_dim}. Please fix the input and try again."
            )
        return np.asarray(rows @ self.weights, dtype=np.float32) + self.bias

    def predict(self, features: Any) -> Predictions:
        """Score rows.

        Parameters
        ----------
        features : array_like or scipy CSR
            (n, feature_dim), raw features.

        Returns
        -------
        Predictions

        Raises
        ------
        DataError
            The rows have another number of features than the model.
        """
        return self.decide(self.margins(features))

    def decide(self, margins: NDArray[np.float32]) -> Predictions:
        """Turn `margins` into scores and labels."""
        if self.predictor_type == "multiclass_classifier":
            scores = _softmax(margins)
            return Predictions(scores, np.argmax(scores, axis=1))
        scores = margins[:, 0]
        if self.predictor_type == "regressor":
            return Predictions(scores)
        if self.loss == "logistic":
            scores = _sigmoid(scores)
        return Predictions(scores, (scores >= np.float32(self.threshold)).astype(np.int64))

    def parameters(self) -> dict[str, Any]:
        """Return the content of ``additional-params.json``: what the weights do not say."""
        return {
            "threshold": self.threshold,
            "loss_type": self.loss,
            "predictor_type": self.predictor_type,
            "metrics_params": self.metrics_params,
        }

    def _symbol(self) -> Symbol:
        features, outputs = self.weights.shape
        return Symbol(features, outputs, output_operator(self.loss), self.bias_lr_mult, self.node_counter)


def _sigmoid(margins: NDArray[np.float32]) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):  # exp(-margin) = inf gives the right limit, 0
        return np.float32(1.0) / (np.float32(1.0) + np.exp(-margins))


def _softmax(margins: NDArray[np.float32]) -> NDArray[np.float32]:
    exponentials = np.exp(margins - margins.max(axis=1, keepdims=True, initial=-np.inf))
    return np.asarray(exponentials / exponentials.sum(axis=1, keepdims=True), dtype=np.float32)
