"""Scores models with the real MXNet, and draws weights: runs in the environment .venvs/mxnet, for test_mxnet.py.

Each folder in the one given has ``model_algo-1`` and ``features.npy``, and gets ``scores.npy``; or has ``draw.json``,
and gets the first weights of its models, ``weights.npy``.
"""

from __future__ import annotations

import importlib
import json
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np


def _score(folder: Path) -> None:
    mx: Any = importlib.import_module("mxnet")
    features = np.load(folder / "features.npy")
    zipfile.ZipFile(folder / "model_algo-1").extractall(folder)
    module = mx.mod.Module.load(str(folder / "mx-mod"), 0, data_names=["data"], label_names=["out_label"])
    module.bind(data_shapes=[("data", features.shape)], for_training=False)
    np.save(folder / "scores.npy", module.predict(mx.io.NDArrayIter(features, batch_size=len(features))).asnumpy())


def _draw(folder: Path) -> None:
    mx: Any = importlib.import_module("mxnet")
    asked = json.loads((folder / "draw.json").read_text())
    mx.random.seed(asked["seed"])
    method = mx.init.Uniform(asked["scale"]) if asked["method"] == "uniform" else mx.init.Normal(asked["scale"])
    drawn = []
    for _ in range(asked["models"]):
        weight = mx.nd.empty(tuple(asked["shape"]))
        method(mx.init.InitDesc("fc0_weight"), weight)
        drawn.append(weight.asnumpy())
    np.save(folder / "weights.npy", np.stack(drawn))


if __name__ == "__main__":
    for one in sorted(Path(sys.argv[1]).iterdir()):
        (_draw if (one / "draw.json").exists() else _score)(one)
