"""The learner's epoch loop against its two matrix products in plain numpy, alternating, in one run.

``make bench`` writes the tables to ``benchmarks/results/learner_loop.md``. Every number of BLAS threads is a process of
its own, because OpenBLAS reads it when it is loaded.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse

from airflow_ll.hyperparameters import LinearLearnerHyperparameters
from airflow_ll.learner.blocks import Block, regroup
from airflow_ll.learner.channels import Channel, Memory
from airflow_ll.learner.evaluation import Evaluation
from airflow_ll.learner.files import ChannelFiles
from airflow_ll.learner.kernels import JIT_VARIABLE, Kernels, Work, load_kernels
from airflow_ll.learner.rows import Batches
from airflow_ll.learner.scaling import fit_scaler
from airflow_ll.learner.settings import RowWeights, resolve
from airflow_ll.learner.threads import THREADS_VARIABLE, taking_turns, thread_count
from airflow_ll.learner.training import ParallelModels
from airflow_ll.records import write_records
from airflow_ll.records.threads import prefetch

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

HERE = Path(__file__).parent
ROUNDS = 5
MODELS = (1, 4, 16, 32, 64)
BATCH = 1000
DENSE, SPARSE, DENSITY = (270_000, 150), (200_000, 10_000), 0.005
SHARDS = 4


class Loop:
    """K models on one channel, ready for epochs."""

    def __init__(self, channel: Channel, models: int, memory: Memory, kernels: Kernels | None = None) -> None:
        hp = LinearLearnerHyperparameters(predictor_type="binary_classifier", num_models=models, mini_batch_size=BATCH)
        settings = resolve(hp)
        scaler = fit_scaler(
            channel.blocks(), 11_000, normalize_data=True, unbias_data=True, normalize_label=False, unbias_label=False
        )
        threads = thread_count() if channel.sparse else 1  # as in a job
        self._models = ParallelModels(settings, channel.feature_dim, 1, threads=threads, kernels=kernels)
        self._batches = Batches(channel, scaler, BATCH, settings.loss.targets, RowWeights(), memory, kernels)
        self._evaluation = Evaluation(settings, self._batches, scaler, lambda: False, threads=threads)

    def train(self) -> None:
        """Train one epoch."""
        self._models.train_epoch(self._batches, lambda: False)

    def validate(self) -> None:
        """Judge all models on all rows."""
        self._evaluation.objective(self._models.weights)


def _seconds(action: Callable[[], object]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def _dense() -> tuple[Any, Any]:
    generator = np.random.default_rng(0)
    features = generator.standard_normal(DENSE, dtype=np.float32)
    return features, (features[:, 0] + generator.standard_normal(DENSE[0]) > 0).astype(np.float32)


def _sparse() -> tuple[Any, Any]:
    features = scipy.sparse.random(*SPARSE, density=DENSITY, format="csr", dtype=np.float32, rng=0)
    return features, (np.random.default_rng(0).random(SPARSE[0]) > 0.5).astype(np.float32)


def _products(features: Any, models: int) -> Callable[[], None]:
    """Return an epoch's products: scores of each batch, and the gradient of them, in plain numpy or scipy."""
    parts = [features[start : start + BATCH] for start in range(0, features.shape[0], BATCH)]
    weights = np.random.default_rng(1).uniform(-0.07, 0.07, (features.shape[1], models)).astype(np.float32)

    def run() -> None:
        for rows in parts:
            _ = rows.T @ (rows @ weights)

    return run


def _compiled() -> Kernels:
    os.environ[JIT_VARIABLE] = "always"
    kernels, _ = load_kernels(Work(values=0, features=0, columns=0, batches=0, epochs=0))
    assert kernels is not None
    return kernels


def _ratios(features: Any, labels: Any, rounds: int, kernels: Kernels | None = None) -> list[dict[str, float]]:
    channel = Channel("train", list(regroup([Block(features, labels)], BATCH)), Memory(2**40))
    table = []
    for models in MODELS:
        loop, products = Loop(channel, models, Memory(2**40), kernels), _products(features, models)
        loop.train()  # normalises
        products()
        pairs = [(_seconds(products), _seconds(loop.train)) for _ in range(rounds)]
        table.append(
            {
                "models": models,
                "products": statistics.median(pair[0] for pair in pairs),
                "epoch": statistics.median(pair[1] for pair in pairs),
                "ratio": statistics.median(epoch / product for product, epoch in pairs),
                "low": min(epoch / product for product, epoch in pairs),
                "high": max(epoch / product for product, epoch in pairs),
            }
        )
    return table


def _stages(features: Any, labels: Any, rounds: int) -> dict[str, float]:
    """Time what is not the loop, with 32 models: reading, and epochs that read their data again from records."""
    with tempfile.TemporaryDirectory() as folder:
        for shard, rows in enumerate(np.array_split(np.arange(len(labels)), SHARDS)):
            with (Path(folder) / f"matrix_{shard}.pbr").open("wb") as stream:
                write_records(stream, features[rows], labels[rows])
        hp = LinearLearnerHyperparameters(predictor_type="binary_classifier", mini_batch_size=BATCH)
        files = ChannelFiles(Path(folder), "train", None, hp)
        kept, streamed = Channel("train", files, Memory(2**40)), Channel("train", files, Memory(0))
        one, other = Loop(kept, 32, Memory(2**40)), Loop(streamed, 32, Memory(0))
        stages: dict[str, Callable[[], object]] = {
            "read, decode and check": lambda: [len(block) for block in prefetch(files)],
            "epoch in memory": one.train,
            "validation in memory": one.validate,
            "epoch, data read again meanwhile": other.train,
        }
        one.train()
        times: dict[str, list[float]] = {name: [] for name in stages}
        for _ in range(rounds):
            for name, action in stages.items():
                times[name].append(_seconds(action))
    return {name: statistics.median(values) for name, values in times.items()}


def _measure(rounds: int) -> dict[str, Any]:
    features, labels = _dense()
    result: dict[str, Any] = {"stages": _stages(features, labels, rounds), "dense": _ratios(features, labels, rounds)}
    features, labels = _sparse()
    result["sparse"] = _ratios(features, labels, rounds)
    result["compiled"] = _ratios(features, labels, rounds, _compiled())
    return result


def _table(title: str, rows: list[dict[str, float]]) -> list[str]:
    first = rows[0]["epoch"]
    return [
        f"### {title}",
        "",
        "| models | two products, ms | epoch, ms | epoch / products | epoch / epoch of one model |",
        "|---:|---:|---:|---:|---:|",
        *(
            f"| {row['models']} | {1e3 * row['products']:,.0f} | {1e3 * row['epoch']:,.0f} | **{row['ratio']:.2f}** "
            f"({row['low']:.2f}-{row['high']:.2f}) | {row['epoch'] / first:.1f} |"
            for row in rows
        ),
        "",
    ]


def _page(results: dict[int, dict[str, Any]], rounds: int, load: float) -> str:
    lines = [
        "# The learner's epoch loop against its two matrix products",
        "",
        f"Written by `make bench`: {rounds} alternating rounds, medians; the ratio's lowest and",
        f"highest in brackets. {os.cpu_count()} cores, numpy {version('numpy')}, scipy {version('scipy')}.",
        "",
        f"An epoch trains all models of a binary classifier (logistic loss, Adam) with batches of {BATCH:,} rows that",
        "are in memory, loss bookkeeping included. The two products are its scores, `X @ W`, and its gradients,",
        f"`X.T @ S`, batch by batch in plain numpy (sparse: scipy). The load average before was {load:.1f}:",
        "other processes slow several threads down most. Threads are BLAS's, in both columns; with sparse rows",
        "the models are dealt to them, while scipy's products have none. *Compiled*: with the extra `fast`.",
        "",
    ]
    for threads, result in results.items():
        lines += [f"## {threads} thread(s)", ""]
        lines += _table(f"Dense, {DENSE[0]:,} x {DENSE[1]}", result["dense"])
        lines += _table(f"Sparse, {SPARSE[0]:,} x {SPARSE[1]:,}, {DENSITY:.1%}", result["sparse"])
        lines += _table("The same sparse rows, compiled", result["compiled"])
        lines += [f"### What is not the loop: dense, 32 models, {SHARDS} shards of records", "", "| stage | ms |"]
        lines += ["|---|---:|", *(f"| {name} | {1e3 * value:,.0f} |" for name, value in result["stages"].items()), ""]
    return "\n".join(lines)


def _in_a_process(threads: int, rounds: int) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.learner_loop", "--measure", "--rounds", str(rounds)],
        env=os.environ | {"OPENBLAS_NUM_THREADS": str(threads), THREADS_VARIABLE: str(threads)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def main() -> None:
    """Measure with every number of threads and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--measure", action="store_true", help="only measure, with this process's threads, as JSON")
    parser.add_argument("--output", type=Path, default=HERE / "results/learner_loop.md")
    arguments = parser.parse_args()
    if arguments.measure:
        np.seterr(all="ignore")  # as in a job: a model of the grid may diverge
        with taking_turns():  # as in a job, too
            print(json.dumps(_measure(arguments.rounds)))
        return
    threads = sorted({1, os.cpu_count() or 1})
    load = os.getloadavg()[0]
    page = _page({each: _in_a_process(each, arguments.rounds) for each in threads}, arguments.rounds, load)
    arguments.output.write_text(page)
    print(page)


if __name__ == "__main__":
    main()
