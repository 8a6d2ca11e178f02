"""A compiled model: one fused layer with packed weights, laid out as Neo lays out what it compiled.

Neo's archive holds ``compiled_model.json`` (the graph), ``compiled.params`` (the weights) and ``compiled.meta``
(inputs, outputs, target). Ours holds the same, plus ``additional-params.json`` of the source, from which the labels
come, and no shared library: the kernel is this package's. What changes against ``model_algo-1``:

- ``dot``, ``broadcast_add`` and the output are one operator. The normaliser is in the weights already: the algorithm
  folds it in when it saves the model.
- Weights and bias are one matrix, (feature_dim + 1, outputs) float32, C order, aligned to 64 bytes, which is mapped
  into memory instead of parsed and copied: the workers of an endpoint share its pages. The order of the weights is
  kept, because another one would change the last bits of the scores.
"""

from __future__ import annotations

import io
import json
import tokenize
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from airflow_ll.artifacts.model import LinearModel
from airflow_ll.exceptions import ArtifactError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["COMPILED_META", "CompiledModel"]

COMPILED_META = "compiled.meta"
_GRAPH, _PARAMS, _ADDITIONAL = "compiled_model.json", "compiled.params", "additional-params.json"
_VERSION = 1

# The last three are what JSON without an end and numpy's reading of a damaged header raise besides.
_UNREADABLE = (
    OSError, EOFError, ValueError, KeyError, TypeError, IndexError, RecursionError, SyntaxError, tokenize.TokenError
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class CompiledModel:
    """A model and what it was compiled for.

    Attributes
    ----------
    model : LinearModel
        The numbers; in a loaded one they are views of the mapped file.
    input_shape : Sequence[int]
        (rows, feature_dim) of the input ``data``, as the compilation job gave it.
    target : str
        The device, such as ``ml_c5``, or ``LINUX_X86_64``.
    """

    model: LinearModel
    input_shape: Sequence[int]
    target: str

    def files(self) -> dict[str, bytes]:
        """Return the archive's files by name; equal models give equal bytes."""
        return {
            _GRAPH: _dump(self._graph()),
            _PARAMS: _pack(self.model),
            COMPILED_META: _dump(self._meta()),
            _ADDITIONAL: json.dumps(self.model.parameters()).encode(),
        }

    @classmethod
    def load(cls, folder: Path) -> CompiledModel:
        """Open an unpacked archive; its weights are mapped, not read.

        Raises
        ------
        ArtifactError
            A file is missing or is not what `files` writes.
        """
        try:
            meta = json.loads((folder / COMPILED_META).read_bytes())
            parameters = json.loads((folder / _ADDITIONAL).read_bytes())
            if meta["Version"] != _VERSION:
                raise ArtifactError(f"The compiled model has the version {meta['Version']}, not {_VERSION}.")
            packed = np.load(folder / _PARAMS, mmap_mode="r", allow_pickle=False)
            shape, target = meta["Model"]["Inputs"][0]["shape"], str(meta["Requirements"]["TargetDevice"])
            if packed.dtype != np.float32 or packed.ndim != 2 or len(packed) != shape[1] + 1:
                raise ArtifactError(f"The packed weights do not have the {shape[1]} features of the input.")
            # A plain view: numpy's own kernels are slower on the subclass that maps the file.
            plain = np.asarray(packed).view(np.ndarray)
            return cls(LinearModel.of_parameters(plain[:-1], plain[-1], parameters), shape, target)
        except ArtifactError:
            raise
        except _UNREADABLE as error:
            raise ArtifactError(f"The compiled model is not readable: {type(error).__name__}: {error}.") from error

    def _graph(self) -> dict[str, object]:
        """Return the graph in the notation of TVM's graph runtime."""
        names = ("data", "p0")
        nodes: list[dict[str, object]] = [{"op": "null", "name": name, "inputs": []} for name in names]
        attributes = {"func_name": f"fused_dense_bias_{self.model.loss}", "num_inputs": "2", "num_outputs": "1"}
        nodes.append(
            {"op": "tvm_op", "name": "fused_dense_bias", "attrs": attributes, "inputs": [[0, 0, 0], [1, 0, 0]]}
        )
        shapes = [list(self.input_shape), [self.model.feature_dim + 1, self._outputs], self._output_shape]
        return {
            "nodes": nodes,
            "arg_nodes": [0, 1],
            "heads": [[2, 0, 0]],
            "node_row_ptr": [0, 1, 2, 3],
            "attrs": {"dltype": ["list_str", ["float32"] * 3], "shape": ["list_shape", shapes]},
        }

    def _meta(self) -> dict[str, object]:
        return {
            "Version": _VERSION,
            "Requirements": {"TargetDevice": self.target},
            "Compilation": {"Compiler": "airflow-ll"},
            "Model": {
                "Inputs": [{"name": "data", "dtype": "float32", "shape": list(self.input_shape)}],
                "Outputs": [{"name": "output", "dtype": "float32", "shape": self._output_shape}],
            },
        }

    @property
    def _outputs(self) -> int:
        return int(self.model.weights.shape[1])

    @property
    def _output_shape(self) -> list[int]:
        return [int(self.input_shape[0]), self._outputs]


def _pack(model: LinearModel) -> bytes:
    buffer = io.BytesIO()
    packed: NDArray[np.float32] = np.vstack([model.weights, model.bias[np.newaxis, :]]).astype("<f4", order="C")
    np.save(buffer, packed, allow_pickle=False)  # its format pads the header so that the data begin at 64 bytes
    return buffer.getvalue()


def _dump(document: object) -> bytes:
    return json.dumps(document, indent=2).encode()
