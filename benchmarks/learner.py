"""The default 32 models against 32 fits of scikit-learn's SGDClassifier and 32 runs of Vowpal Wabbit.

``python -m benchmarks.learner [--quick]`` writes ``benchmarks/results/learner.md`` (quick: prints it only). All have
the same rows, float32, and the same number of epochs, without early stopping. Few of a peer's fits are timed, and
scaled to 32.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse
from sklearn.linear_model import SGDClassifier
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.preprocessing import StandardScaler

from airflow_ll.artifacts import LinearModel
from airflow_ll.learner.kernels import JIT_VARIABLE
from airflow_ll.learner.threads import THREADS_VARIABLE
from benchmarks.jobs import configure, put

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

HERE = Path(__file__).parent
VW_PYTHON = HERE.parent / ".venvs" / "vw" / "bin" / "python"
EPOCHS, BATCH, MODELS = 5, 1000, 32
COUNTS = (1, 4, 16, 32, 64)
ALPHAS = (1e-5, 1e-4, 1e-3, 1e-2)  # of the fits that are timed
VW_ROWS = 20_000
ROUNDS = 3


@dataclass(frozen=True)
class Data:
    """Rows to train on, to choose the best model by, and to compare the chosen ones on; what ours is given."""

    name: str
    given: dict[str, object]
    train: Any
    train_labels: NDArray[np.float32]
    validation: Any
    validation_labels: NDArray[np.float32]
    test: Any
    test_labels: NDArray[np.float32]

    @classmethod
    def of(cls, name: str, features: Any, labels: NDArray[np.float32], held_out: int, given: dict[str, object]) -> Data:
        """Keep the last rows for validation and, as many, for the test."""
        first, last = len(labels) - 2 * held_out, len(labels) - held_out
        parts = (slice(0, first), slice(first, last), slice(last, None))
        return cls(name, given, *(half for part in parts for half in (features[part], labels[part])))


@dataclass(frozen=True)
class Quality:
    """Of probabilities on the held-out rows."""

    log_loss: float
    auc: float

    @classmethod
    def of(cls, labels: NDArray[Any], scores: NDArray[Any]) -> Quality:
        return cls(log_loss(labels, scores), roc_auc_score(labels, scores))


def flights(quick: bool) -> Data:
    sys.path.insert(0, str(HERE.parent / "dags"))
    from flights.data import arrived, is_late, load
    from flights.features import feature_matrix

    table = load(range(1, 13))
    chosen = arrived(table).sample(frac=1, random_state=0)
    features, labels = feature_matrix(chosen, table)[:, :150], is_late(chosen).to_numpy().astype(np.float32)
    rows, held_out = (20_000, 5_000) if quick else (270_000, 25_000)
    rows += 2 * held_out
    return Data.of("flights", np.ascontiguousarray(features[:rows]), labels[:rows], held_out, {})


def sparse(quick: bool) -> Data:
    random = np.random.default_rng(1)
    rows, held_out, width = (10_000, 2_000, 1_000) if quick else (200_000, 20_000, 10_000)
    rows += 2 * held_out
    features = scipy.sparse.random(
        rows, width, 0.005, "csr", np.float32, random, data_rvs=lambda n: random.normal(size=n)
    )
    margins = features @ random.normal(size=width) * 0.5
    labels = (random.random(rows) < 1 / (1 + np.exp(-margins))).astype(np.float32)
    # The default rates have hardly decayed after five epochs of rows that move a weight as rarely as these.
    return Data.of("synthetic, 0.5% not zero", features, labels, held_out, {"learning_rate": 0.001})


@dataclass(frozen=True)
class Way:
    """How ours is run."""

    threads: int
    compiled: bool = False

    def __str__(self) -> str:
        return f"{self.threads} thread{'s' if self.threads > 1 else ''}{', compiled' if self.compiled else ''}"

    @property
    def environment(self) -> dict[str, str]:
        threads = str(self.threads)
        jit = "always" if self.compiled else "never"
        return {"OPENBLAS_NUM_THREADS": threads, THREADS_VARIABLE: threads, JIT_VARIABLE: jit}


def ours(
    data: Data, folder: Path, models: int, way: Way, given: dict[str, object] | None = None
) -> tuple[float, float, Quality]:
    """Train in a process of its own; return the seconds of its epochs and of all of it, and its quality."""
    values: dict[str, object] = {
        "mini_batch_size": BATCH,
        "epochs": EPOCHS,
        "early_stopping_patience": EPOCHS,
        "num_models": models,
    }
    values |= {"predictor_type": "binary_classifier", "binary_classifier_model_selection_criteria": "loss_function"}
    configure(folder, {"train": "", "validation": ""}, values | (data.given if given is None else given))
    command = [sys.executable, "-m", "airflow_ll", "train", "--root", str(folder)]
    started = time.perf_counter()
    done = subprocess.run(command, env=os.environ | way.environment, capture_output=True, text=True, check=True)
    whole = time.perf_counter() - started
    (milliseconds,) = re.findall(r'"update\.time": \{"sum": ([\d.e-]+)', done.stdout)
    model = LinearModel.load(folder / "model" / "model_algo-1")
    return float(milliseconds) / 1000, whole, Quality.of(data.test_labels, model.predict(data.test).scores)


def scikit_learn(data: Data) -> tuple[float, float, Quality]:
    """Return the seconds of 32 fits in sequence and on both cores, scaled from a few, and the best one's quality."""
    scaler = StandardScaler(with_mean=not scipy.sparse.issparse(data.train))
    train, validation, test = scaler.fit_transform(data.train), *map(scaler.transform, (data.validation, data.test))

    def fit(alpha: float) -> SGDClassifier:
        model = SGDClassifier(loss="log_loss", alpha=alpha, max_iter=EPOCHS, tol=None, random_state=1)
        return model.fit(train, data.train_labels)

    started = time.perf_counter()
    fitted = [fit(alpha) for alpha in ALPHAS]
    sequence = time.perf_counter() - started
    started = time.perf_counter()
    with ThreadPoolExecutor(max_workers=2) as pool:  # the fits release the interpreter's lock
        list(pool.map(fit, ALPHAS))
    both = time.perf_counter() - started
    best = min(fitted, key=lambda one: log_loss(data.validation_labels, one.predict_proba(validation)))
    scale = MODELS / len(ALPHAS)
    return sequence * scale, both * scale, Quality.of(data.test_labels, best.predict_proba(test)[:, 1])


def vowpal_wabbit(data: Data, folder: Path) -> float | None:
    """Return the seconds of 32 runs over its own binary cache, scaled from one on fewer rows; None when not there."""
    if not VW_PYTHON.exists():
        return None
    rows = min(VW_ROWS, len(data.train_labels))
    text = folder / "rows.vw"
    with text.open("w") as stream:
        for row, label in zip(scipy.sparse.csr_matrix(data.train[:rows]), data.train_labels, strict=False):
            values = " ".join(f"{i}:{v:.6g}" for i, v in zip(row.indices.tolist(), row.data.tolist(), strict=True))
            stream.write(f"{1 if label else -1} | {values}\n")
    command = [str(VW_PYTHON), str(HERE / "learner_vw.py"), str(text), str(EPOCHS)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(json.loads(done.stdout.splitlines()[-1])) * MODELS * len(data.train_labels) / rows


def measure(data: Data, rounds: int) -> list[str]:
    with TemporaryDirectory(prefix="airflow-ll-benchmark-") as name:
        folder = Path(name)
        validation = (data.validation, data.validation_labels)
        put(folder, {"train": (data.train, data.train_labels), "validation": validation})
        ways = [Way(1), Way(2)]
        if scipy.sparse.issparse(data.train):
            ways += [Way(1, compiled=True), Way(2, compiled=True)]
            ours(data, folder, MODELS, ways[-1])  # numba keeps what it compiles
        runs: dict[Way, list[tuple[float, float, Quality]]] = {way: [] for way in ways}
        peers: list[tuple[float, float, Quality]] = []
        for _ in range(rounds):  # alternating, since the machine may be busier at one time than at another
            for way, found in runs.items():
                found.append(ours(data, folder, MODELS, way))
            peers.append(scikit_learn(data))
        counts = {models: min(ours(data, folder, models, Way(1))[0] for _ in range(rounds)) for models in COUNTS}
        qualities = {f"airflow-ll{_set(data.given)}": runs[ways[0]][0][2]}
        if data.given:
            qualities["airflow-ll, defaults"] = ours(data, folder, MODELS, Way(1), given={})[2]
        theirs = vowpal_wabbit(data, folder)
    sequence, both = min(one[0] for one in peers), min(one[1] for one in peers)
    qualities["scikit-learn"] = peers[0][2]
    return [*_table(data, runs, sequence, both, theirs), *_qualities(qualities), *_counts(counts)]


def _set(given: dict[str, object]) -> str:
    return "".join(f", `{name}` {value}" for name, value in given.items())


def _table(data: Data, runs: Any, sequence: float, both: float, wabbit: float | None) -> list[str]:
    rows, width = data.train.shape
    lines = [
        f"## {data.name}: {rows:,} x {width:,}", "",
        "| | seconds | scikit-learn in sequence | scikit-learn on both cores | Vowpal Wabbit |",
        "| --- | ---: | ---: | ---: | ---: |",
        f"| 32 fits of the peer | | {sequence:.1f} s | {both:.1f} s | {_or_none(wabbit, '.1f', ' s')} |",
    ]  # fmt: skip
    for way, found in runs.items():
        for what, index in (("epochs", 0), ("whole process", 1)):
            seconds = min(one[index] for one in found)
            faster = (f"**{sequence / seconds:.1f}x**", f"**{both / seconds:.1f}x**")
            third = _or_none(None if wabbit is None else wabbit / seconds, ".1f", "x")
            lines.append(f"| 32 models, {what}, {way} | {seconds:.2f} | {' | '.join(faster)} | {third} |")
    return [*lines, ""]


def _or_none(value: float | None, form: str, unit: str) -> str:
    return "not installed" if value is None else f"{value:{form}}{unit}"


def _qualities(qualities: dict[str, Quality]) -> list[str]:
    return [
        "| best model on test rows | log loss | AUC |", "| --- | ---: | ---: |",
        *(f"| {name} | {each.log_loss:.4f} | {each.auc:.4f} |" for name, each in qualities.items()), "",
    ]  # fmt: skip


def _counts(seconds: dict[int, float]) -> list[str]:
    return [
        "| models | " + " | ".join(map(str, seconds)) + " |", "| --- " + "| ---: " * len(seconds) + "|",
        "| epochs, s | " + " | ".join(f"{each:.2f}" for each in seconds.values()) + " |",
        "| times one model | " + " | ".join(f"{each / seconds[1]:.1f}" for each in seconds.values()) + " |", "",
    ]  # fmt: skip


def page(tables: Sequence[str], rounds: int) -> str:
    alphas = ", ".join(f"{alpha:g}" for alpha in ALPHAS)
    return f"""# Training 32 models

Written by `python -m benchmarks.learner`. {os.cpu_count()} cores, Python {platform.python_version()}, numpy
{version("numpy")}, scikit-learn {version("scikit-learn")}; the fastest of {rounds} runs of each, alternating.

Binary classifier, logistic loss, {EPOCHS} epochs without early stopping, float32; ours with batches of {BATCH:,} and
the service's start. *Threads* are BLAS's and, on sparse rows, those that the models are dealt to. *Compiled*: with the
extra `fast`, whose code is in numba's cache.
The best model is the one with the least log loss on a validation channel; the chosen ones are compared on test rows.
*Epochs* is what the job's log calls `update.time`: training and validation of every epoch, data in memory. *Whole
process* is `airflow-ll train` from its start to its end: interpreter, reading and decoding the records, scaling,
epochs, calibration, final scores. A peer's time is its `fit` alone, on rows that are in memory and scaled.

scikit-learn: `SGDClassifier(loss="log_loss", tol=None)`, {len(ALPHAS)} fits timed (alpha {alphas}) and scaled to
{MODELS}; both cores: the same with two threads. Vowpal Wabbit: one run of {EPOCHS} passes over its own binary cache of
{VW_ROWS:,} rows, scaled to all rows and {MODELS} runs; its quality is not compared, for it saw fewer rows.

""" + "\n".join(tables).rstrip() + "\n"  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small data, one round, nothing written")
    arguments = parser.parse_args()
    rounds = 1 if arguments.quick else ROUNDS
    tables = [line for make in (flights, sparse) for line in measure(make(arguments.quick), rounds)]
    print(text := page(tables, rounds))
    if not arguments.quick:
        (HERE / "results" / "learner.md").write_text(text)


if __name__ == "__main__":
    main()
