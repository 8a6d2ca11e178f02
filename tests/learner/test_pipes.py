"""Pipe mode: each pass over a channel reads a pipe of its own, and the job trains what files would have trained."""

from __future__ import annotations

import contextlib
import json
import os
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from scipy import sparse

from airflow_ll.learner.channels import CACHE_VARIABLE
from airflow_ll.records import encode_records

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.learner.conftest import Container

ROWS, FEATURES = 430, 6
VALUES: dict[str, Any] = {"predictor_type": "binary_classifier", "mini_batch_size": 50, "epochs": 3}


class Feeder:
    """SageMaker's side: a pipe for every pass, the next one as soon as one is opened, whole files through each."""

    def __init__(self, folder: Path, channel: str, files: list[bytes]) -> None:
        self._folder, self._channel, self._files = folder, channel, files
        self.opened = 0
        self._ended = threading.Event()
        self._make(0)
        self._thread = threading.Thread(target=self._feed, daemon=True)
        self._thread.start()

    def path(self, number: int) -> Path:
        return self._folder / f"{self._channel}_{number}"

    def _make(self, number: int) -> None:
        os.mkfifo(self.path(number))

    def _feed(self) -> None:
        while not self._ended.is_set():
            with self.path(self.opened).open("wb", buffering=0) as stream:  # waits for the reader
                if self._ended.is_set():
                    return
                self.opened += 1
                self._make(self.opened)
                with contextlib.suppress(BrokenPipeError):  # a reader may leave early
                    for content in self._files:
                        stream.write(content)

    def close(self) -> None:
        """End the thread, which waits for somebody to open the last pipe."""
        if self._ended.is_set():
            return
        self._ended.set()
        descriptor = os.open(self.path(self.opened), os.O_RDONLY | os.O_NONBLOCK)
        self._thread.join(20)
        os.close(descriptor)
        assert not self._thread.is_alive()


@pytest.fixture
def feed(container: Container) -> Iterator[Callable[[str, list[bytes]], Feeder]]:
    feeders: list[Feeder] = []

    def start(channel: str, files: list[bytes]) -> Feeder:
        folder = container.root / "input" / "data"
        folder.mkdir(parents=True, exist_ok=True)
        feeders.append(Feeder(folder, channel, files))
        return feeders[-1]

    yield start
    for feeder in feeders:
        feeder.close()


def _in_pipe_mode(container: Container, channels: dict[str, str], **values: Any) -> None:
    container.configure(channels, **(VALUES | values))
    inputs = {name: {"ContentType": kind, "TrainingInputMode": "Pipe"} for name, kind in channels.items()}
    (container.root / "input" / "config" / "inputdataconfig.json").write_text(json.dumps(inputs))


def _halves(features: Any, labels: np.ndarray, kind: str) -> list[bytes]:
    parts = [(features[part], labels[part]) for part in (slice(0, 200), slice(200, None))]
    if kind == "text/csv":
        return [
            "".join(f"{y:g},{','.join(map(repr, x.tolist()))}\n" for x, y in zip(*part, strict=True)).encode()
            for part in parts
        ]
    return [encode_records(*part) for part in parts]


@pytest.mark.parametrize("budget", [0, 2**30])
@pytest.mark.parametrize("kind", ["", "text/csv", "sparse"])
def test_a_job_trains_from_pipes_what_it_trains_from_files(
    container: Container,
    feed: Callable[[str, list[bytes]], Feeder],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    rng: np.random.Generator,
    kind: str,
    budget: int,
) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(budget))
    features: Any = rng.normal(size=(ROWS, FEATURES)).astype(np.float32)
    labels = (features[:, 0] + rng.normal(size=ROWS) > 0).astype(np.float32)
    if kind == "sparse":
        features, kind = sparse.csr_matrix(np.where(features > 0.8, features, 0)), ""
    halves, channels = _halves(features, labels, kind), {"train": kind, "validation": kind}
    by_files = type(container)(tmp_path / "files")
    for channel in channels:
        for number, half in enumerate(halves):
            by_files.put(channel, f"part-{number}", half)
    by_files.configure(channels, **VALUES)
    assert by_files.train() == 0
    feeders = [feed(channel, halves) for channel in channels]
    _in_pipe_mode(container, channels)
    assert container.train() == 0, container.failure
    model = "model/model_algo-1"
    assert (container.root / model).read_bytes() == (by_files.root / model).read_bytes()
    assert container.metrics("epoch") == by_files.metrics("epoch")
    # Kept rows come through a pipe once. Others come for the scaler, each epoch and the scores again.
    assert feeders[0].opened == (1 if budget else 1 + 1 + 3)
    assert feeders[1].opened == (1 if budget else 1 + 3 + 1)
    assert "The channel 'train' is in pipe input mode under" in capsys.readouterr().out


def test_an_empty_pipe_is_named(container: Container, feed: Callable[[str, list[bytes]], Feeder]) -> None:
    feed("train", [])
    _in_pipe_mode(container, {"train": ""})
    assert container.train() == 2
    assert "'train' is empty: no records came through train_0" in container.failure


def test_a_fault_names_the_pipe_and_the_record(
    container: Container, feed: Callable[[str, list[bytes]], Feeder]
) -> None:
    labels = np.zeros(120, np.float32)
    labels[77] = 5
    feed("train", [encode_records(np.ones((120, 3), np.float32), labels)])
    _in_pipe_mode(container, {"train": ""})
    assert container.train() == 2
    assert "train_0 of channel 'train'" in container.failure
    assert "row 77" in container.failure


def test_without_a_pipe_the_platform_is_to_blame(container: Container, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airflow_ll.learner.files._PIPE_SECONDS", 0)
    (container.root / "input" / "data").mkdir(parents=True)
    _in_pipe_mode(container, {"train": ""})
    assert container.train() == 3
    assert "There is no pipe" in container.failure


def test_a_checkpoint_of_other_rows_from_a_pipe_is_not_used(
    container: Container, feed: Callable[[str, list[bytes]], Feeder], capsys: pytest.CaptureFixture[str]
) -> None:
    (container.root / "checkpoints").mkdir(parents=True)
    _in_pipe_mode(container, {"train": ""})
    features = np.arange(300, dtype=np.float32).reshape(100, 3)
    changed, said = features + (np.arange(3) == 1), []
    for rows, bound in ((features, 100), (features, 100), (features, 200), (changed, 200)):
        feeder = feed("train", [encode_records(rows.astype(np.float32), (features[:, 0] > bound).astype(np.float32))])
        assert container.train() == 0, container.failure
        said.append(capsys.readouterr().out)
        feeder.close()
        for number in range(feeder.opened + 1):
            feeder.path(number).unlink()
    assert "There is no checkpoint yet" in said[0]
    assert "training goes on from it" in said[1]
    assert "of other data" in said[2], "the labels are others"
    assert "of other data" in said[3], "the features are others"
