from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from airflow_ll.artifacts import LinearModel
from airflow_ll.learner.container import train
from airflow_ll.records import encode_records

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray


@dataclass
class Container:
    """A container's tree, as SageMaker prepares it."""

    root: Path

    def configure(self, channels: dict[str, str], **hyperparameters: Any) -> None:
        config = self.root / "input" / "config"
        config.mkdir(parents=True, exist_ok=True)
        values = {name: str(value) for name, value in hyperparameters.items()}
        (config / "hyperparameters.json").write_text(json.dumps(values))
        inputs = {name: {"ContentType": kind, "TrainingInputMode": "File"} for name, kind in channels.items()}
        (config / "inputdataconfig.json").write_text(json.dumps(inputs))
        (config / "resourceconfig.json").write_text(json.dumps({"current_host": "algo-1", "hosts": ["algo-1"]}))

    def put(self, channel: str, name: str, content: bytes) -> None:
        folder = self.root / "input" / "data" / channel
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)

    def put_records(self, channel: str, features: Any, labels: NDArray[Any], name: str = "matrix_0.pbr") -> None:
        self.put(channel, name, encode_records(features, labels))

    def train(self, seed: int = 1) -> int:
        return train(self.root, seed=seed)

    @property
    def failure(self) -> str:
        return (self.root / "output" / "failure").read_text()

    @property
    def model(self) -> LinearModel:
        return LinearModel.load(self.root / "model" / "model_algo-1")

    def metrics(self, kind: str) -> list[dict[str, Any]]:
        lines = (self.root / "output" / "data" / "metrics.jsonl").read_text().splitlines()
        return [entry for entry in map(json.loads, lines) if entry["kind"] == kind]

    def scores(self, split: str) -> dict[str, float]:
        return {entry["name"]: entry["value"] for entry in self.metrics("score") if entry["split"] == split}


@pytest.fixture
def container(tmp_path: Path) -> Container:
    return Container(tmp_path / "ml")


@pytest.fixture
def fit(tmp_path: Path) -> Callable[..., Container]:
    """A function that trains on arrays and returns the container; it must succeed."""
    count = 0

    def run(features: Any, labels: NDArray[Any], *, seed: int = 1, validation: Any = None, **values: Any) -> Container:
        nonlocal count
        count += 1
        container = Container(tmp_path / f"ml-{count}")
        container.put_records("train", features, labels)
        if validation is not None:
            container.put_records("validation", *validation)
        channels = dict.fromkeys(["train"] if validation is None else ["train", "validation"], "")
        container.configure(channels, **values)
        assert container.train(seed) == 0, container.failure
        return container

    return run


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(2024)
