"""An interrupted job goes on from its checkpoint and ends with the numbers of one that was not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from airflow_ll.learner.checkpoints import CHECKPOINT_NAME, Checkpoints
from airflow_ll.records import read_records

if TYPE_CHECKING:
    from pathlib import Path

    from tests.learner.conftest import Container

BINARY: dict[str, Any] = {
    "predictor_type": "binary_classifier",
    "mini_batch_size": 10,
    "num_models": 4,
    "early_stopping_patience": 50,
}


def _prepare(container: Container, *, validation: bool = False, folder: bool = True, **values: Any) -> Container:
    random = np.random.default_rng(5)
    for name in ("train", "validation")[: 1 + validation]:
        features = random.normal(size=(100, 3)).astype(np.float32)
        container.put_records(name, features, (features @ [1, -1, 0.5] + random.normal(size=100) > 0).astype("f4"))
    container.configure(dict.fromkeys(("train", "validation")[: 1 + validation], ""), **BINARY | values)
    if folder:
        (container.root / "checkpoints").mkdir(parents=True, exist_ok=True)
    return container


def _results(container: Container) -> tuple[bytes, list[dict[str, Any]]]:
    kinds = ("model", "epoch", "score", "result")
    return container.model.to_bytes(), [entry for kind in kinds for entry in container.metrics(kind)]


@pytest.fixture
def uninterrupted(container: Container, tmp_path: Path) -> Container:
    return type(container)(tmp_path / "uninterrupted")


@pytest.mark.parametrize("validation", [False, True])
@pytest.mark.parametrize("optimizer", ["adam", "sgd", "rmsprop"])
def test_training_goes_on_bit_for_bit(
    container: Container, uninterrupted: Container, optimizer: str, validation: bool
) -> None:
    values: dict[str, Any] = {"optimizer": optimizer, "validation": validation}
    if optimizer == "sgd":
        values["momentum"] = 0.5
    assert _prepare(uninterrupted, folder=False, epochs=6, **values).train(seed=1) == 0
    assert _prepare(container, epochs=2, **values).train(seed=1) == 0
    # Another seed: nothing of the second start may come through.
    assert _prepare(container, epochs=6, **values).train(seed=2) == 0
    assert _results(container) == _results(uninterrupted)


def test_a_container_that_was_killed_goes_on(container: Container, uninterrupted: Container) -> None:
    values: dict[str, Any] = {"epochs": 300, "mini_batch_size": 1, "early_stopping_patience": 400}
    assert _prepare(uninterrupted, folder=False, **values).train(seed=1) == 0
    _prepare(container, **values)
    command = [sys.executable, "-m", "airflow_ll", "train", "--root", str(container.root), "--seed", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "epoch=3, criteria" in line:
                os.kill(process.pid, signal.SIGKILL)
                break
    assert process.returncode == -signal.SIGKILL
    assert not (container.root / "model" / "model_algo-1").exists()
    with np.load(container.root / "checkpoints" / CHECKPOINT_NAME) as checkpoint:
        assert 3 <= len(checkpoint["history"]) < 300
    assert container.train(seed=2) == 0
    assert _results(container) == _results(uninterrupted)


def test_a_job_that_had_ended_ends_again_without_training(
    container: Container, capsys: pytest.CaptureFixture[str]
) -> None:
    _prepare(container, epochs=400, early_stopping_patience=2)
    assert container.train(seed=1) == 0
    before = _results(container)
    assert len(container.metrics("epoch")) < 400 * 4
    capsys.readouterr()
    assert container.train(seed=2) == 0
    assert "#progress_metric" not in capsys.readouterr().out
    assert _results(container) == before


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"learning_rate": 0.05}, "of another job or of other data"),
        ({"validation": True}, "of another job or of other data"),
        ({"epochs": 1}, "more epochs than the job"),
    ],
)
def test_a_checkpoint_of_something_else_is_not_used(
    container: Container,
    uninterrupted: Container,
    capsys: pytest.CaptureFixture[str],
    change: dict[str, Any],
    reason: str,
) -> None:
    assert _prepare(container, epochs=3).train() == 0
    values = {"epochs": 3} | change
    assert _prepare(uninterrupted, folder=False, **values).train(seed=7) == 0
    capsys.readouterr()
    assert _prepare(container, **values).train(seed=7) == 0
    assert reason in capsys.readouterr().out
    assert _results(container) == _results(uninterrupted)


def test_other_data_under_the_same_names_starts_anew(container: Container, capsys: pytest.CaptureFixture[str]) -> None:
    assert _prepare(container, epochs=3).train() == 0
    records = read_records(container.root / "input" / "data" / "train" / "matrix_0.pbr")
    assert records.labels is not None
    records.labels[-1] = 1 - records.labels[-1]
    container.put_records("train", records.features, records.labels)
    capsys.readouterr()
    container.train()
    assert "of another job or of other data" in capsys.readouterr().out


@pytest.mark.parametrize("size", [0, 1, 100, -1, -100])
def test_a_damaged_checkpoint_starts_anew(container: Container, capsys: pytest.CaptureFixture[str], size: int) -> None:
    assert _prepare(container, epochs=3).train(seed=1) == 0
    before = _results(container)
    path = container.root / "checkpoints" / CHECKPOINT_NAME
    path.write_bytes(path.read_bytes()[:size])
    capsys.readouterr()
    assert container.train(seed=1) == 0
    assert "The checkpoint is not readable" in capsys.readouterr().out
    assert _results(container) == before


@pytest.mark.parametrize("bit", [0x01, 0x80])
def test_a_damaged_directory_loses_nothing_without_a_word(tmp_path: Path, bit: int) -> None:
    checkpoints = Checkpoints(tmp_path, "job")
    checkpoints.save({"weights": np.arange(4, dtype=np.float32), "best_weights": np.ones(4, np.float32)})
    path = tmp_path / CHECKPOINT_NAME
    whole, (state, _) = path.read_bytes(), checkpoints.load()
    assert state is not None
    assert sorted(state) == ["best_weights", "weights"]
    for place in range(whole.index(b"PK\x01\x02"), len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ bit]) + whole[place + 1 :])
        read, why = checkpoints.load()
        assert read is None or read.keys() == state.keys(), place
        assert read is not None or "not readable" in why, place


@pytest.mark.parametrize("damage", [b"(", b"3", b"\n", b"\xff"])
def test_a_damaged_header_is_not_followed(tmp_path: Path, damage: bytes) -> None:
    checkpoints = Checkpoints(tmp_path, "job")
    checkpoints.save({"weights": np.zeros((3000, 40), np.float32)})
    path = tmp_path / CHECKPOINT_NAME
    whole = path.read_bytes()
    header = whole.index(b"\x93NUMPY", whole.index(b"weights.npy"))
    for place in range(header, header + 128, 3):
        path.write_bytes(whole[:place] + damage + whole[place + 1 :])
        read, why = checkpoints.load()
        assert path.read_bytes() == whole or read is None, place
        assert read is not None or "not readable (weights.npy is damaged)" in why


def test_without_the_folder_there_are_no_checkpoints(container: Container, capsys: pytest.CaptureFixture[str]) -> None:
    assert _prepare(container, epochs=2, folder=False).train() == 0
    assert "Checkpoint loading and saving are disabled." in capsys.readouterr().out
    assert not (container.root / "checkpoints").exists()


def test_a_write_that_fails_leaves_the_checkpoint_before(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, "job")
    checkpoints.save({"weights": np.arange(3.0)})
    with pytest.raises(ValueError, match="pickle"):
        checkpoints.save({"weights": np.zeros(3), "broken": np.array([object()])})
    state, _ = checkpoints.load()
    assert state is not None
    assert state["weights"].tolist() == [0, 1, 2]
