"""Scores models with the real MXNet: runs in the environment .venvs/mxnet, for test_mxnet.py.

Each folder in the one given has ``model_algo-1`` and ``features.npy``, and gets ``scores.npy``.
"""

from __future__ import annotations

import importlib
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


if __name__ == "__main__":
    for one in sorted(Path(sys.argv[1]).iterdir()):
        _score(one)
