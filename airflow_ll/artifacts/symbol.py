"""``mx-mod-symbol.json``: the network of a linear model, ``output(data . weight + bias)``, in MXNet's notation."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_ll.exceptions import ArtifactError

if TYPE_CHECKING:
    from typing import Any

__all__ = ["OUTPUT_OPERATORS", "Symbol", "output_operator"]

# How the service names the last layer. Only the first two are known from real artifacts.
OUTPUT_OPERATORS = ("LogisticRegressionOutput", "LinearRegressionOutput", "SoftmaxOutput")

_BY_LOSS = {"logistic": "LogisticRegressionOutput", "softmax_loss": "SoftmaxOutput"}

_SHAPE = re.compile(r"\((\d+), (\d+)\)")
_MXNET_VERSION = 10301  # 1.3.1, the version that the service's container writes


def output_operator(loss: str) -> str:
    """Return the MXNet operator whose output is the score of a model trained with ``loss``."""
    return _BY_LOSS.get(loss, "LinearRegressionOutput")


@dataclass(frozen=True)
class Symbol:
    """The network's variable parts.

    Parameters
    ----------
    feature_dim, outputs : int
        Shape of the weights; ``outputs`` is the number of classes, or 1.
    operator : str
        The last layer, one of `OUTPUT_OPERATORS`.
    bias_lr_mult : float
        The learning-rate multiplier that the bias was trained with.
    counter : int
        The suffix of MXNet's automatic names: models built before this one in the same process.
    """

    feature_dim: int
    outputs: int
    operator: str
    bias_lr_mult: float = 10.0
    counter: int = 0

    def to_json(self) -> str:
        """Write the symbol as MXNet does: two spaces, and a space after each comma that ends a line."""
        return _TEMPLATE % {
            "features": self.feature_dim,
            "outputs": self.outputs,
            "lr_mult": float(self.bias_lr_mult),
            "counter": self.counter,
            "operator": self.operator,
            "name": self.operator.lower(),
            "version": _MXNET_VERSION,
        }

    @classmethod
    def from_json(cls, text: str) -> Symbol:
        """Read a symbol, or raise ArtifactError when it is not a linear model."""
        try:
            nodes: dict[str, dict[str, Any]] = {node["name"]: node for node in json.loads(text)["nodes"]}
            shape = _SHAPE.fullmatch(_attributes(nodes["fc0_weight"])["__shape__"])
            last = next(node for node in nodes.values() if node["op"] in OUTPUT_OPERATORS)
            if shape is None:
                raise ValueError("its weights have a shape that is not two-dimensional")
            digits = re.search(r"\d+$", str(last["name"]))
            return cls(
                feature_dim=int(shape[1]),
                outputs=int(shape[2]),
                operator=str(last["op"]),
                bias_lr_mult=float(_attributes(nodes.get("fc0_bias", {})).get("__lr_mult__", "10.0")),
                counter=int(digits[0]) if digits else 0,
            )
        except (ValueError, KeyError, TypeError, AttributeError, StopIteration, RecursionError) as error:
            raise ArtifactError(f"The model's symbol is not that of a linear model: {error!r}.") from error


def _attributes(node: dict[str, Any]) -> dict[str, str]:
    attributes: dict[str, str] = node.get("attrs") or node.get("attr") or {}
    return attributes


_TEMPLATE = """{
  "nodes": [
    {
      "op": "null",\x20
      "name": "data",\x20
      "inputs": []
    },\x20
    {
      "op": "null",\x20
      "name": "fc0_weight",\x20
      "attrs": {"__shape__": "(%(features)d, %(outputs)d)"},\x20
      "inputs": []
    },\x20
    {
      "op": "dot",\x20
      "name": "dot%(counter)d",\x20
      "inputs": [[0, 0, 0], [1, 0, 0]]
    },\x20
    {
      "op": "null",\x20
      "name": "fc0_bias",\x20
      "attrs": {
        "__lr_mult__": "%(lr_mult)r",\x20
        "__shape__": "(1, %(outputs)d)"
      },\x20
      "inputs": []
    },\x20
    {
      "op": "broadcast_add",\x20
      "name": "broadcast_plus%(counter)d",\x20
      "inputs": [[2, 0, 0], [3, 0, 0]]
    },\x20
    {
      "op": "null",\x20
      "name": "out_label",\x20
      "inputs": []
    },\x20
    {
      "op": "%(operator)s",\x20
      "name": "%(name)s%(counter)d",\x20
      "inputs": [[4, 0, 0], [5, 0, 0]]
    }
  ],\x20
  "arg_nodes": [0, 1, 3, 5],\x20
  "node_row_ptr": [0, 1, 2, 3, 4, 5, 6, 7],\x20
  "heads": [[6, 0, 0]],\x20
  "attrs": {"mxnet_version": ["int", %(version)d]}
}"""
