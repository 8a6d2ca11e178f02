from __future__ import annotations

import io
import itertools
import sys
import threading
import tracemalloc
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from scipy import sparse

from airflow_ll.exceptions import DataError
from airflow_ll.hyperparameters import LinearLearnerHyperparameters
from airflow_ll.learner.blocks import Block, is_sparse, regroup
from airflow_ll.learner.channels import CACHE_VARIABLE, Channel, Memory
from airflow_ll.learner.files import ChannelFiles, channel_files
from airflow_ll.learner.job import TrainingJob
from airflow_ll.learner.job_log import JobLog
from airflow_ll.learner.settings import resolve
from airflow_ll.learner.threads import taking_turns
from airflow_ll.records import encode_records, write_records
from airflow_ll.records.threads import prefetch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.learner.conftest import Container


def _blocks(rows: int, size: int, thin: bool = False) -> list[Block]:
    features = np.arange(rows * 2, dtype=np.float32).reshape(rows, 2)
    matrix = sparse.csr_matrix(features) if thin else features
    return [Block(matrix[at : at + size], features[at : at + size, 0]) for at in range(0, rows, size)]


@pytest.mark.parametrize("thin", [False, True])
@pytest.mark.parametrize(("size", "wanted"), [(3, 4), (4, 4), (10, 4), (4, 10), (1, 3)])
def test_regrouping_keeps_every_row_in_its_place(thin: bool, size: int, wanted: int) -> None:
    grouped = list(regroup(_blocks(23, size, thin), wanted))
    assert [len(block) for block in grouped] == [wanted] * (23 // wanted) + [23 % wanted]
    assert all(is_sparse(block.features) == thin for block in grouped)
    rows = [block.features.toarray() if thin else block.features for block in grouped]
    np.testing.assert_array_equal(np.concatenate(rows), np.arange(46).reshape(23, 2))
    np.testing.assert_array_equal(np.concatenate([block.labels for block in grouped]), np.arange(0, 46, 2))


def test_one_sparse_row_makes_its_block_sparse_and_no_other() -> None:
    grouped = list(regroup([*_blocks(4, 4), *_blocks(2, 2, thin=True), *_blocks(6, 6)], 4))
    assert [is_sparse(block.features) for block in grouped] == [False, True, False]


@pytest.mark.parametrize(("budget", "reads"), [(10**6, 1), (100, 3)])
def test_a_channel_that_fits_is_read_once_and_another_each_time(budget: int, reads: int) -> None:
    read = 0

    class Source:
        def __iter__(self) -> Iterator[Block]:
            nonlocal read
            read += 1
            return iter(_blocks(20, 5))

    memory = Memory(budget)
    channel = Channel("train", Source(), memory)
    for _ in range(2):
        assert sum(len(block) for block in channel.blocks()) == 20
    assert (read, channel.nbytes, channel.feature_dim, len(channel)) == (reads, 160, 2, 20)
    assert memory.reserve(budget - (160 if reads == 1 else 0))  # what is not kept is given back
    assert not memory.reserve(1)


def test_a_wrong_budget_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, "2GB")
    with pytest.raises(DataError, match="AIRFLOW_LL_CACHE_BYTES must be a number of bytes, but is '2GB'"):
        Memory()


def test_prefetching_yields_all_and_reads_at_most_a_few_ahead() -> None:
    taken = itertools.count()
    items = prefetch(zip(range(100), taken, strict=False))
    assert next(items) == (0, 0)
    items.close()  # type: ignore[attr-defined]
    assert next(taken) <= 5
    assert list(prefetch(range(100))) == list(range(100))


def test_prefetching_raises_in_its_place_and_leaves_no_thread() -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise DataError("no more")

    items = prefetch(broken())
    assert next(items) == 1
    with pytest.raises(DataError, match="no more"):
        next(items)
    assert not [thread for thread in threading.enumerate() if thread.name == "reader"]


def test_threads_take_turns_as_before_when_training_is_over() -> None:
    before = sys.getswitchinterval()
    with taking_turns():
        assert sys.getswitchinterval() < before
    assert sys.getswitchinterval() == before


@pytest.fixture
def features(rng: np.random.Generator) -> np.ndarray:
    return (rng.normal(size=(640, 6)) * [1, 10, 0.1, 1, 5, 1] + [0, 50, 3, -1, 0, 9]).astype(np.float32)


@pytest.mark.parametrize("kind", ["dense", "sparse", "csv"])
@pytest.mark.parametrize("predictor", ["binary_classifier", "regressor"])
def test_a_channel_read_again_each_epoch_trains_the_same_bytes(
    container: Container, monkeypatch: pytest.MonkeyPatch, features: np.ndarray, kind: str, predictor: str
) -> None:
    labels = (features[:, 0] > 0).astype(np.float32)
    for name, part in {"a": slice(0, 170), "b": slice(170, 500), "c": slice(500, 640)}.items():
        channel = "validation" if name == "c" else "train"
        if kind == "csv":
            table = np.column_stack([labels[part], features[part]])
            container.put(channel, name, "\n".join(",".join(map(repr, row)) for row in table.tolist()).encode())
        else:
            rows = sparse.csr_matrix(features[part]) if kind == "sparse" else features[part]
            container.put_records(channel, rows, labels[part], name)
    content = "text/csv" if kind == "csv" else ""
    container.configure({"train": content, "validation": content}, predictor_type=predictor, mini_batch_size=50)
    models = []
    for budget in (10**9, 0):
        monkeypatch.setenv(CACHE_VARIABLE, str(budget))
        assert container.train() == 0
        models.append((container.root / "model" / "model_algo-1").read_bytes())
    assert models[0] == models[1]


@pytest.mark.parametrize("predictor", ["binary_classifier", "regressor", "multiclass_classifier"])
def test_sparse_rows_train_like_their_dense_twins_without_becoming_dense(
    container: Container,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    features: np.ndarray,
    rng: np.random.Generator,
    predictor: str,
) -> None:
    features[rng.random(features.shape) < 0.7] = 0
    score = features @ np.array([1, 0.1, 10, 1, 0.1, 0.1], np.float32)
    labels = {
        "binary_classifier": score > 0,
        "regressor": score,
        "multiclass_classifier": np.digitize(score, [-1, 1]),
    }[predictor].astype(np.float32)
    settings: dict[str, Any] = {"predictor_type": predictor, "mini_batch_size": 40, "epochs": 5}
    settings |= {"num_classes": 3} if predictor == "multiclass_classifier" else {}
    dense = type(container)(tmp_path / "dense")
    for each, matrix in ((dense, features), (container, sparse.csr_matrix(features))):
        each.put_records("train", matrix, labels)
        each.put_records("validation", matrix, labels)
        each.configure({"train": "", "validation": ""}, **settings)
    assert dense.train() == 0
    for name in ("toarray", "todense"):
        monkeypatch.setattr(sparse.csr_matrix, name, None)
    assert container.train() == 0, container.failure
    ours, theirs = container.metrics("epoch"), dense.metrics("epoch")
    for key in ("train_objective", "validation_objective"):
        np.testing.assert_allclose([e[key] for e in ours], [e[key] for e in theirs], rtol=2e-4)
    np.testing.assert_allclose(container.model.weights, dense.model.weights, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("kind", "rows", "words"),
    [("", 7000, "row 6999"), ("text/csv", 7000, "row 6999")],
)
def test_a_fault_in_a_later_block_is_named_by_its_place_in_the_file(
    container: Container, kind: str, rows: int, words: str
) -> None:
    features, labels = np.ones((rows, 300), np.float32), np.zeros(rows, np.float32)
    labels[-1] = 3
    if kind:
        line = ",1" * 300 + "\n"
        container.put("train", "part", (f"0{line}" * (rows - 1) + f"3{line}").encode())
    else:
        container.put_records("train", features, labels, "part")
    container.configure({"train": kind}, predictor_type="binary_classifier", mini_batch_size=100)
    assert container.train() == 2
    assert words in container.failure
    assert "part of channel 'train'" in container.failure


def test_an_unreadable_csv_row_of_a_later_block_is_counted_from_its_beginning(container: Container) -> None:
    line = "0" + ",1" * 500 + "\n"
    container.put("train", "part", (line * 4000 + "0,x\n").encode())
    container.configure({"train": "text/csv"}, predictor_type="binary_classifier", mini_batch_size=100)
    assert container.train() == 2
    assert "record 4000 has 'x' in column 1, which is no number" in container.failure


def test_a_csv_row_of_another_length_is_named_as_the_record_that_it_is(container: Container) -> None:
    line = "0" + ",1" * 500 + "\n"
    container.put("train", "part", (line * 4000 + "\n" + "0,1\n" + line).encode())
    container.configure({"train": "text/csv"}, predictor_type="binary_classifier", mini_batch_size=4002)
    assert container.train() == 2
    assert "record 4000 has 2 columns, but those before have 501" in container.failure


@pytest.mark.parametrize("size", ["0", "2", ""])
def test_a_csv_with_no_label_or_several_is_refused(container: Container, size: str) -> None:
    container.put("train", "part", b"0,1,2\n1,2,3\n")
    container.configure({"train": f"text/csv; label_size={size}"}, predictor_type="regressor", mini_batch_size=2)
    assert container.train() == 2
    assert "The label_size of channel 'train' must be 1" in container.failure


def test_files_are_in_the_order_of_their_keys_on_s3(tmp_path: Path) -> None:
    keys = ["a-b/x.csv", "a/.hidden/y.csv", "a/_SUCCESS", "a/b.csv", "a0.csv"]
    for key in reversed(keys):
        (tmp_path / key).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / key).write_text("1,2")
    found = [path.relative_to(tmp_path).as_posix() for path in channel_files(tmp_path)]
    assert found == ["a-b/x.csv", "a/b.csv", "a0.csv"]


def test_a_link_to_nothing_is_named(container: Container) -> None:
    container.put("train", "part", b"0,1\n1,2\n")
    (container.root / "input/data/train/lost").symlink_to("/nowhere")
    container.configure({"train": "text/csv"}, predictor_type="regressor", mini_batch_size=2)
    assert container.train() == 2
    assert "The file lost of channel 'train' is a link to nothing." in container.failure


def test_memory_is_bounded_by_blocks_and_not_by_the_files(tmp_path: Path) -> None:
    rows = np.ones((20_000, 100), np.float32)
    for shard in range(6):
        with (tmp_path / f"matrix_{shard}.pbr").open("wb") as stream:
            write_records(stream, rows, rows[:, 0])
    hp = LinearLearnerHyperparameters(predictor_type="binary_classifier")
    tracemalloc.start()
    channel = Channel("train", ChannelFiles(tmp_path, "train", None, hp), Memory(0))
    assert sum(len(block) for block in prefetch(channel.blocks())) == 120_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert channel.nbytes == 48_000_000
    assert peak < 30_000_000


def test_a_job_that_is_to_end_scores_as_many_rows_as_it_has_time_for(
    tmp_path: Path, features: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = (features[:, 0] > 0).astype(np.float32)
    blocks = [Block(features[at : at + 40], labels[at : at + 40]) for at in range(0, 640, 40)]
    channels = {name: Channel(name, blocks, Memory(0)) for name in ("train", "test")}
    hp = LinearLearnerHyperparameters(predictor_type="binary_classifier", mini_batch_size=40)
    log, lines = io.StringIO(), io.StringIO()
    monkeypatch.setattr("airflow_ll.learner.metrics._GRACE", 0)
    model = TrainingJob(resolve(hp), channels, JobLog("algo-1", log), lines, 1, lambda: True).run()
    assert model.feature_dim == 6
    assert "The scores of the train channel are those of its first 40 records." in log.getvalue()
    assert "The scores of the test channel are those of its first 40 records." in log.getvalue()


def test_empty_lines_and_a_byte_order_mark_are_not_rows(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"\xef\xbb\xbf1,2,3\n\n0,4,5\n\n\n")
    (tmp_path / "b.csv").write_bytes(b"\n\n")
    hp = LinearLearnerHyperparameters(predictor_type="binary_classifier", mini_batch_size=1)
    (block,) = ChannelFiles(tmp_path, "train", "text/csv", hp)
    assert block.features.tolist() == [[2, 3], [4, 5]]
    assert block.labels.tolist() == [1, 0]


def test_records_are_read_without_their_framing_in_any_block_size(tmp_path: Path) -> None:
    features = np.random.default_rng(1).normal(size=(500, 3)).astype(np.float32)
    (tmp_path / "matrix_0.pbr").write_bytes(encode_records(features, features[:, 0]))
    for batch in (7, 500, 1000):
        hp = LinearLearnerHyperparameters(predictor_type="regressor", mini_batch_size=batch)
        found = np.concatenate([block.features for block in ChannelFiles(tmp_path, "train", None, hp)])
        np.testing.assert_array_equal(found, features)
