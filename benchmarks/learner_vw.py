"""Vowpal Wabbit's side of ``learner.py``; runs in the environment .venvs/vw.

Arguments: a text file of rows and a number of passes. Prints the seconds of a run over the binary cache.
"""

from __future__ import annotations

import importlib
import sys
import time
from typing import Any


def _run(rows: str, passes: int) -> float:
    vowpalwabbit: Any = importlib.import_module("vowpalwabbit")
    options = (
        f"-d {rows} --cache_file {rows}.cache --passes {passes} --holdout_off --loss_function logistic -b 18 --quiet"
    )
    started = time.perf_counter()
    vowpalwabbit.Workspace(options).finish()
    return time.perf_counter() - started


if __name__ == "__main__":
    _run(sys.argv[1], 2)  # writes the cache
    print(_run(sys.argv[1], int(sys.argv[2])))
