"""Quality of the default models against scikit-learn's tuned linear model of the same loss, mean of ten splits.

``python -m benchmarks.quality`` writes ``benchmarks/results/quality.md``. Ours is given ``mini_batch_size``, ``epochs``
and ``learning_rate`` at most, chosen once of a handful of values, the same for all splits and seeds (the seed is the
split's number); it has the train channel only. scikit-learn standardises the same rows and chooses its regularisation
by five-fold cross-validation of the score (Ridge: leave-one-out). Every split tests on a quarter of the rows.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn import datasets
from sklearn.linear_model import LogisticRegressionCV, RidgeCV
from sklearn.metrics import accuracy_score, r2_score
from sklearn.model_selection import ShuffleSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.jobs import train_on

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

HERE = Path(__file__).parent
SPLITS, TEST_SHARE = 10, 0.25
LIMIT = 0.01
FLIGHTS = 40_000
_THE_TASK_ITSELF = ("predictor_type", "num_classes")


@dataclass(frozen=True)
class Task:
    """One data set, what ours is given, and the peer."""

    name: str
    load: Callable[[], tuple[NDArray[Any], NDArray[Any]]]
    hyperparameters: dict[str, object]
    peer: Callable[[], Any]
    loss: str

    @property
    def regression(self) -> bool:
        return self.hyperparameters["predictor_type"] == "regressor"

    @property
    def given(self) -> dict[str, object]:
        return {name: value for name, value in self.hyperparameters.items() if name not in _THE_TASK_ITSELF}


def _logistic() -> Any:
    return LogisticRegressionCV(
        Cs=np.logspace(-3, 2, 6), cv=5, max_iter=500, scoring="accuracy", use_legacy_attributes=False, l1_ratios=(0,)
    )


def _ridge() -> Any:
    return RidgeCV(np.logspace(-2, 4, 25))


def _flights() -> tuple[NDArray[Any], NDArray[Any]]:
    """Return flights of the whole year in random order, and whether they were late."""
    sys.path.insert(0, str(HERE.parent / "dags"))
    from flights.data import arrived, is_late, load
    from flights.features import feature_matrix

    table = load(range(1, 13))
    flights = arrived(table).sample(FLIGHTS, random_state=0)
    return feature_matrix(flights, table), is_late(flights).to_numpy()


TASKS = (
    Task("breast cancer", lambda: datasets.load_breast_cancer(return_X_y=True),
         {"predictor_type": "binary_classifier", "mini_batch_size": 20, "epochs": 60, "learning_rate": 0.005},
         _logistic, "logistic"),
    Task("digits", lambda: datasets.load_digits(return_X_y=True),
         {"predictor_type": "multiclass_classifier", "num_classes": 10, "mini_batch_size": 50, "epochs": 60,
          "learning_rate": 0.005},
         _logistic, "softmax"),
    Task("diabetes", lambda: datasets.load_diabetes(return_X_y=True),
         {"predictor_type": "regressor", "mini_batch_size": 20, "epochs": 60, "learning_rate": 0.005},
         _ridge, "squared"),
    Task("flights", _flights,
         {"predictor_type": "binary_classifier", "mini_batch_size": 200, "epochs": 15}, _logistic, "logistic"),
)  # fmt: skip


def measure(task: Task, splits: int) -> tuple[list[float], list[float]]:
    """Return our scores and the peer's on every split's test rows."""
    features, labels = task.load()
    features, labels = features.astype(np.float32), labels.astype(np.float32)
    ours, theirs = [], []
    for seed, (train, test) in enumerate(ShuffleSplit(splits, test_size=TEST_SHARE, random_state=1).split(features)):
        trained = train_on({"train": (features[train], labels[train])}, task.hyperparameters, seed)
        predictions = trained.model.predict(features[test])
        score = r2_score if task.regression else accuracy_score
        ours.append(float(score(labels[test], predictions.scores if task.regression else predictions.labels)))
        peer = make_pipeline(StandardScaler(), task.peer()).fit(features[train], labels[train])
        theirs.append(float(score(labels[test], peer.predict(features[test]))))
    return ours, theirs


def row(task: Task, ours: list[float], theirs: list[float]) -> str:
    given = ", ".join(f"`{name}` {value}" for name, value in task.given.items())
    difference = np.mean(ours) - np.mean(theirs)
    spread = np.std(np.subtract(ours, theirs), ddof=1) / len(ours) ** 0.5
    return (
        f"| {task.name} | {task.loss} | {given} | {'R2' if task.regression else 'accuracy'} | {np.mean(ours):.4f} "
        f"| {np.mean(theirs):.4f} | {100 * difference:+.2f} +- {100 * spread:.2f} "
        f"| {'yes' if difference >= -LIMIT else 'NO'} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", help="one data set; nothing is written then")
    parser.add_argument("--splits", type=int, default=SPLITS)
    arguments = parser.parse_args()
    lines = []
    for task in TASKS:
        if arguments.only in {None, task.name}:
            lines.append(row(task, *measure(task, arguments.splits)))
            print(lines[-1], flush=True)
    if arguments.only is None:
        (HERE / "results" / "quality.md").write_text(_page(lines))


def _page(lines: list[str]) -> str:
    head = __doc__.split("\n\n", 1)[1].replace("``", "`") if __doc__ else ""
    return "\n".join([
        "# Quality against scikit-learn", "", head,
        f"Flights: {FLIGHTS:,} random ones of the year, late or not. The difference is ours less theirs in points,",
        "with the standard error of its mean over the splits.", "",
        "| data | loss | set by us | score | airflow-ll | scikit-learn | difference | within 1 point |",
        "| --- | --- | --- | --- | ---: | ---: | ---: | --- |", *lines,
    ]) + "\n"  # fmt: skip


if __name__ == "__main__":
    main()
