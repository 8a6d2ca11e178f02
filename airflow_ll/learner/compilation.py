"""The compiler behind compilation jobs: ``model.tar.gz`` in, an archive for one target out.

Its tree follows the training container's: ``input/config/compilation.json`` and ``input/model/<archive>`` are read,
``output/<name>-<target>.tar.gz`` or ``output/failure`` is written. The texts of failures are Neo's where AWS's guide
to compilation errors has them.
"""

from __future__ import annotations

import ast
import json
import shutil
import sys
import traceback
from typing import TYPE_CHECKING, Any

from airflow_ll.artifacts.archive import MODEL_NAME, extract_model, write_archive
from airflow_ll.artifacts.compiled import CompiledModel
from airflow_ll.artifacts.model import LinearModel
from airflow_ll.artifacts.params import read_params
from airflow_ll.artifacts.symbol import Symbol
from airflow_ll.exceptions import ArtifactError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["compile_model"]

SUCCESS, CUSTOMER_ERROR, PLATFORM_ERROR = 0, 2, 3
_RIGHT_FRAMEWORK = "Please make sure the framework you select is correct."
_FRAMEWORKS = {
    "TENSORFLOW": "TensorFlow",
    "KERAS": "Keras",
    "ONNX": "ONNX",
    "PYTORCH": "PyTorch",
    "XGBOOST": "XGBoost",
    "TFLITE": "TFLite",
    "DARKNET": "Darknet",
    "SKLEARN": "Sklearn",
}
# What a bare network says of the task; the algorithm's own archive says it in additional-params.json.
_TASKS = {
    "LogisticRegressionOutput": ("binary_classifier", "logistic"),
    "LinearRegressionOutput": ("regressor", "squared_loss"),
    "SoftmaxOutput": ("multiclass_classifier", "softmax_loss"),
}


class _InputError(Exception):
    """The customer's input cannot be compiled; the text is Neo's."""


def compile_model(root: Path) -> int:
    """Compile one model.

    Parameters
    ----------
    root : Path
        The tree. ``compilation.json`` has the members ``Framework``, ``DataInputConfig`` and ``Target``.

    Returns
    -------
    int
        0, or 2 or 3 when the fault is the customer's or the platform's.
    """
    try:
        job = json.loads((root / "input/config/compilation.json").read_text(encoding="utf-8"))
        source = next(iter(sorted((root / "input/model").iterdir())))
        model = _read_model(source, root / "input/unpacked", str(job["Framework"]))
        compiled = CompiledModel(model, _input_shape(job.get("DataInputConfig"), model), str(job["Target"]))
        _say(f"{model.predictor_type}, loss {model.loss}: {model.feature_dim} features, {len(model.bias)} outputs")
        _say("dot, broadcast_add and the output are fused; weights and bias are packed")
        name = f"{source.name.removesuffix('.gz').removesuffix('.tar')}-{compiled.target}.tar.gz"
        archive = write_archive(compiled.files(), mtime=0)
        (root / "output" / name).write_bytes(archive)
        _say(f"{name}: {len(archive)} bytes")
    except _InputError as error:
        return _fail(root, CUSTOMER_ERROR, f"ClientError: InputConfiguration: {error}")
    except Exception as error:  # the process's edge: whatever it is, the service must be told
        traceback.print_exc()
        return _fail(root, PLATFORM_ERROR, f"ServerError: {type(error).__name__}: {error}")
    return SUCCESS


def _read_model(source: Path, folder: Path, framework: str) -> LinearModel:
    """Unpack and open the model: the algorithm's archive, or its network alone."""
    try:
        extract_model(source, folder)
    except ArtifactError as error:
        _say(str(error))
        raise _InputError("Unable to untar input model. Please confirm the model is a tar.gz file") from error
    if framework != "MXNET":
        raise _InputError(f"No valid {_FRAMEWORKS[framework]} model found in input files. {_RIGHT_FRAMEWORK}")
    try:
        if (folder / MODEL_NAME).is_file():
            return LinearModel.load(folder / MODEL_NAME)
        return _read_network(folder)
    except ArtifactError as error:
        raise _InputError(f"Framework cannot load MXNet model: {error}") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _read_network(folder: Path) -> LinearModel:
    """Open MXNet's own files, which is what Neo takes: one ``-symbol.json`` and one ``.params`` at the root."""
    symbols, params = sorted(folder.glob("*-symbol.json")), sorted(folder.glob("*.params"))
    if not symbols:
        raise _InputError(f"No valid Mxnet model file -symbol.json found. {_RIGHT_FRAMEWORK}")
    if len(params) != 1:
        only = "Only one parameter file is allowed for MXNet model."
        raise _InputError(f"{only if params else 'No valid Mxnet model file .params found.'} {_RIGHT_FRAMEWORK}")
    symbol = Symbol.from_json(symbols[0].read_text(encoding="utf-8", errors="replace"))
    weights, bias = LinearModel.arrays(read_params(params[0].read_bytes()), symbol)
    additional = folder / "additional-params.json"
    if additional.is_file():
        return LinearModel.of_parameters(weights, bias, json.loads(additional.read_bytes()))
    predictor_type, loss = _TASKS[symbol.operator]
    return LinearModel(weights, bias, predictor_type, loss)


def _input_shape(text: str | None, model: LinearModel) -> tuple[int, int]:
    """Return the shape of the input ``data``: JSON, or the notation of Python that AWS's examples use."""
    mismatch = (
        "TVM cannot convert the MXNet model. Invalid model or input-shape mismatch. Make sure that inputs are "
        "lexically ordered and of the correct dimensionality."
    )
    expected = f'The model takes {{"data": [rows, {model.feature_dim}]}}, got {text or "no DataInputConfig"}.'
    match _parse(text or ""):
        case {"data": [int() as rows, int() as features], **others} if not others:
            if rows > 0 and features == model.feature_dim:
                return rows, features
    raise _InputError(f"{mismatch} {expected}")


def _parse(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        try:
            return ast.literal_eval(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            return None


def _fail(root: Path, code: int, reason: str) -> int:
    _say(reason)
    (root / "output").mkdir(parents=True, exist_ok=True)
    (root / "output" / "failure").write_text(reason, encoding="utf-8")
    return code


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
