"""What compiling a model brings: requests scored in process and over HTTP, the general server beside the compiled one.

``python -m benchmarks.compiled`` prints the table of ``benchmarks/results/compiled.md``. Answers are compared byte for
byte before anything is timed; the two take turns, and the best of several rounds counts. All figures are CPU time, of
the scoring thread and of the serving process, so that other work on the machine counts less (Linux only).
"""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
import urllib3

from airflow_ll.artifacts import CompiledModel, LinearModel
from airflow_ll.learner.compiled_serving import CompiledScorer
from airflow_ll.learner.invocations import invoke
from airflow_ll.learner.payloads import CSV, JSON, RECORDIO, encode_request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

FEATURES, CLASSES, ROUNDS = 50, 10, 5
KINDS = {"RecordIO": RECORDIO, "CSV": CSV, "JSON": JSON}


def a_model(classes: int) -> LinearModel:
    """Return a binary classifier, or a multiclass one."""
    random = np.random.default_rng(0)
    kind, loss = ("multiclass_classifier", "softmax_loss") if classes > 1 else ("binary_classifier", "logistic")
    weights = random.normal(size=(FEATURES, classes)).astype(np.float32)
    return LinearModel(weights, random.normal(size=classes).astype(np.float32), kind, loss)


@contextmanager
def serving(root: Path) -> Iterator[tuple[str, int]]:
    """Run ``airflow-ll serve`` and yield its address and process id."""
    command = [sys.executable, "-m", "airflow_ll", "serve", "--root", str(root), "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield process.stdout.readline().split()[1], process.pid
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


def cpu_seconds(pid: int) -> float:
    """Return the time that the threads of a process have had a CPU."""
    return sum(int(path.read_text().split()[0]) for path in Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9


def best(calls: Sequence[Callable[[], object]], repeats: int, clocks: Sequence[Callable[[], float]]) -> list[float]:
    """Return the microseconds of each call; they take turns, the best round counts."""
    found = [float("inf")] * len(calls)
    for _ in range(ROUNDS):
        for index, (call, clock) in enumerate(zip(calls, clocks, strict=True)):
            started = clock()
            for _ in range(repeats):
                call()
            found[index] = min(found[index], (clock() - started) / repeats * 1e6)
    return found


def _scored(score: Callable[..., tuple[int, bytes, str]], body: bytes, kind: str) -> bytes:
    return score(body, kind, kind)[1]


def _answered(pool: urllib3.PoolManager, url: str, body: bytes, headers: dict[str, str]) -> bytes:
    return pool.request("POST", url, body=body, headers=headers).data


def main() -> None:
    """Print the table."""
    print("| model | body | rows | scoring µs | compiled | | serving µs | compiled | |")
    print("|---|---|---|---|---|---|---|---|---|")
    for classes in (1, CLASSES):
        with ExitStack() as stack:
            folder = Path(stack.enter_context(TemporaryDirectory()))
            for line in measure(a_model(classes), folder, stack):
                print(line)


def measure(model: LinearModel, folder: Path, stack: ExitStack) -> Iterator[str]:
    """Yield the rows of the table for one model."""
    for name in ("general", "compiled"):
        (folder / name / "model").mkdir(parents=True)
    model.save(folder / "general/model/model_algo-1")
    for name, content in CompiledModel(model, (1, FEATURES), "ml_c5").files().items():
        (folder / "compiled/model" / name).write_bytes(content)
    scorer = CompiledScorer(CompiledModel.load(folder / "compiled/model"))
    servers = [stack.enter_context(serving(folder / name)) for name in ("general", "compiled")]
    pool = urllib3.PoolManager()
    for name, kind in KINDS.items():
        for rows in (1, 1000):
            body = encode_request(np.random.default_rng(rows).normal(size=(rows, FEATURES)).astype(np.float32), kind)
            headers = {"Content-Type": kind, "Accept": kind}
            in_process = [
                partial(_scored, partial(invoke, model), body, kind),
                partial(_scored, scorer.invoke, body, kind),
            ]
            over_http = [partial(_answered, pool, f"{url}/invocations", body, headers) for url, _ in servers]
            if len({call() for call in [*in_process, *over_http]}) != 1:
                raise RuntimeError(f"the answers to {rows} rows of {name} differ")
            repeats = 300 if rows == 1 else 10
            inside = best(in_process, repeats, [time.thread_time] * 2)
            outside = best(over_http, repeats, [partial(cpu_seconds, pid) for _, pid in servers])
            cells = [f"{one[0]:,.0f} | {one[1]:,.0f} | {one[0] / one[1]:.1f}x" for one in (inside, outside)]
            yield f"| {model.predictor_type} | {name} | {rows} | {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
