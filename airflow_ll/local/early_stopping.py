"""SageMaker's rule for training jobs of a tuning job that are not worth going on: the median of running averages.

After each epoch the objective of a training job is held against those of the training jobs before it: the average of
each up to the same epoch, and the median of these averages. A job that is worse is stopped. SageMaker's documentation
has the rule, and LinearLearner's only objective that has a value after every epoch, the validation data's loss.
"""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["hopeless", "wanted"]

_OBJECTIVE = "validation:objective_loss"


def wanted(tuning_job: Mapping[str, Any]) -> bool:
    """Return whether a tuning job stops training jobs early, and its objective has a value after every epoch."""
    config = tuning_job["HyperParameterTuningJobConfig"]
    objective = config["HyperParameterTuningJobObjective"]["MetricName"]
    return bool(config.get("TrainingJobEarlyStoppingType") == "Auto" and objective == _OBJECTIVE)


def hopeless(losses: Sequence[float], ended: Sequence[Sequence[float]]) -> bool:
    """Return whether a training job should be stopped after the last of its epochs.

    :param losses: its objective after each epoch so far.
    :param ended: those of the training jobs that ended before; who ended in fewer epochs has the average of all.
    """
    if not losses:
        return False
    averages = [statistics.fmean(one[: len(losses)]) for one in ended if one]
    return bool(averages) and losses[-1] > statistics.median(averages)
