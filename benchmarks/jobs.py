"""Training jobs of the learner for the benchmarks: a container's tree in, the model and its metrics out."""

from __future__ import annotations

import contextlib
import io
import json
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from airflow_ll.artifacts import LinearModel
from airflow_ll.learner.container import train
from airflow_ll.records import write_records

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Rows = tuple[Any, NDArray[Any]]  # features and labels

__all__ = ["Trained", "configure", "put", "run_job", "train_on"]


@dataclass(frozen=True)
class Trained:
    """A job that ended well: its model, and its ``metrics.jsonl`` line by line."""

    model: LinearModel
    metrics: list[dict[str, Any]]

    def entries(self, kind: str) -> list[dict[str, Any]]:
        return [entry for entry in self.metrics if entry["kind"] == kind]

    def scores(self, split: str) -> dict[str, float]:
        return {entry["name"]: entry["value"] for entry in self.entries("score") if entry["split"] == split}


def run_job(root: Path, channels: Mapping[str, str], hyperparameters: Mapping[str, object], seed: int) -> Trained:
    """Train on the files that are below ``root/input/data``; ``channels`` are their content types."""
    configure(root, channels, hyperparameters)
    with contextlib.redirect_stdout(io.StringIO()):
        code = train(root, seed)
    if code:
        raise RuntimeError((root / "output" / "failure").read_text())
    lines = (root / "output" / "data" / "metrics.jsonl").read_text().splitlines()
    return Trained(LinearModel.load(root / "model" / "model_algo-1"), [json.loads(line) for line in lines])


def configure(root: Path, channels: Mapping[str, str], hyperparameters: Mapping[str, object]) -> None:
    """Write the configuration of a job below ``root``."""
    config = root / "input" / "config"
    config.mkdir(parents=True, exist_ok=True)
    values = {name: str(value) for name, value in hyperparameters.items()}
    (config / "hyperparameters.json").write_text(json.dumps(values))
    (config / "inputdataconfig.json").write_text(json.dumps({n: {"ContentType": c} for n, c in channels.items()}))


def train_on(channels: Mapping[str, Rows], hyperparameters: Mapping[str, object], seed: int) -> Trained:
    """Write the rows of every channel as records and train on them."""
    with TemporaryDirectory(prefix="airflow-ll-benchmark-") as folder:
        put(Path(folder), channels)
        return run_job(Path(folder), dict.fromkeys(channels, ""), hyperparameters, seed)


def put(root: Path, channels: Mapping[str, Rows]) -> None:
    """Write the rows of every channel as records below ``root``."""
    for name, (features, labels) in channels.items():
        data = root / "input" / "data" / name
        data.mkdir(parents=True, exist_ok=True)
        with (data / "matrix_0.pbr").open("wb") as stream:
            write_records(stream, features, labels)
