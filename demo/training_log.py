"""What a training job's log tells: how far it is and which of its parallel models it kept."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from demo.errors import DemoError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["best_model", "how_far"]

CRITERION = re.compile(r"#early_stopping_criteria_metric: host=\S+ epoch=(\d+), criteria=(\w+), value=(\S+)")
CHOSEN = re.compile(r"Best model found for hyperparameters: (\{.*\})")
OBJECTIVE = re.compile(r"#(train|validation)_score \(\S+\) : \('\w+_objective', (\S+)\)")


def how_far(lines: Iterable[str]) -> str:
    """Say which epoch has ended and what early stopping looks at; nothing before the first epoch's end."""
    epochs = [found for line in lines if (found := CRITERION.search(line))]
    if not epochs:
        return ""
    epoch, name, value = epochs[-1].groups()
    return f"epoch {int(epoch) + 1}, {name} {float(value):.4f}"


def best_model(lines: Iterable[str], hyperparameters: Mapping[str, str]) -> dict[str, Any]:
    """Return the index, the hyperparameters and the final objective of the model that a job kept.

    The log names the kept model's hyperparameters; which of the parallel models has them follows from those of the
    job. The objective is that of the validation channel if the job has one.
    """
    from airflow_ll.hyperparameters import LinearLearnerHyperparameters
    from airflow_ll.learner.candidates import build_candidates

    lines = list(lines)
    chosen = [json.loads(found[1]) for line in lines if (found := CHOSEN.search(line))]
    objectives = {found[1]: float(found[2]) for line in lines if (found := OBJECTIVE.search(line))}
    if not chosen or not objectives:
        raise DemoError("The training job's log does not tell which model it kept.")
    candidates = build_candidates(LinearLearnerHyperparameters.from_request(hyperparameters))
    return {
        "index": [json.loads(candidate.to_json()) for candidate in candidates].index(chosen[-1]),
        "hyperparameters": chosen[-1],
        "objective": objectives.get("validation", objectives.get("train")),
    }
