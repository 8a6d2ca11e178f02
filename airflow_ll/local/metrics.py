"""The metric definitions that SageMaker gives LinearLearner, and reading metrics from log lines."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["METRIC_DEFINITIONS", "parse_metrics"]

_HOST = r"host=\S+"
_SHARED = (
    ("absolute_loss", "absolute_loss <loss>"),
    ("binary_classification_accuracy", "binary_classification_accuracy <score>"),
    ("binary_f_beta", r"binary_f_\S+ <score>"),
    ("mse", "mse <loss>"),
    ("precision", "precision <score>"),
    ("recall", "recall <score>"),
)
_HELD_OUT = (
    ("dcg", "dcg <score>"),
    ("macro_f_beta", r"macro_f_\S+ <score>"),
    ("macro_precision", "macro_precision <score>"),
    ("macro_recall", "macro_recall <score>"),
    ("multiclass_accuracy", "multiclass_accuracy <score>"),
    ("multiclass_top_k_accuracy", r"multiclass_top_k_accuracy_\S+ <score>"),
    ("roc_auc_score", "roc_auc_score <score>"),
)


def _definitions() -> Iterator[tuple[str, str]]:
    for split, kinds in (("train", _SHARED), ("validation", _SHARED + _HELD_OUT), ("test", _SHARED + _HELD_OUT)):
        for name, text in kinds:
            yield f"{split}:{name}", rf"#quality_metric: {_HOST}, {split} {text}=(\S+)"
    for split in ("train", "validation"):
        yield f"{split}:objective_loss", rf"#quality_metric: {_HOST}, epoch=\S+, {split} \S+_objective <loss>=(\S+)"
        yield f"{split}:objective_loss:final", rf"#quality_metric: {_HOST}, {split} \S+_objective <loss>=(\S+)"
    yield "test:objective_loss", rf"#quality_metric: {_HOST}, test \S+_objective <loss>=(\S+)"
    yield "train:progress", rf"#progress_metric: {_HOST}, completed (\S+) %"
    yield "train:throughput", rf"#throughput_metric: {_HOST}, train throughput=(\S+) records/second"


METRIC_DEFINITIONS: tuple[dict[str, str], ...] = tuple(
    {"Name": name, "Regex": pattern} for name, pattern in sorted(_definitions())
)
_PATTERNS = [(one["Name"], re.compile(one["Regex"])) for one in METRIC_DEFINITIONS]


def parse_metrics(line: str) -> Iterator[tuple[str, float]]:
    """Yield the (name, value) of every metric in a log line."""
    if "_metric: " not in line:
        return
    for name, pattern in _PATTERNS:
        match = pattern.search(line)
        if match:
            try:
                value = float(match[1])
            except ValueError:
                continue  # a value that is no number is no data point
            if math.isfinite(value):  # a diverged model logs others, which CloudWatch does not take
                yield name, value
