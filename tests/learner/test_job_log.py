from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from airflow_ll.learner.job_log import IteratorCounts

if TYPE_CHECKING:
    from pathlib import Path

    from tests.learner.conftest import Container

NUMBER = re.compile(r"(?<![\w.])-?\d+(\.\d+)?(e[-+]?\d+)?(?![\w])")

# What the service says about its own machinery, and what is ours.
OURS = {"Random seed: N", "Reading default configuration", "Merging with provided", "Final configuration"}


def _shapes(text: str) -> set[str]:
    """Return every kind of line: without time and thread, numbers as N."""
    shapes = set()
    for raw in text.splitlines():
        line = re.sub(r"^\[\d\d/\d\d/\d{4} \d\d:\d\d:\d\d (\w+) \d+\]", r"[\1]", raw)
        if not line.startswith(("[INFO]", "[WARNING]", "#metrics")):
            continue
        # Times of parts of the machinery that we do not have are not part of the shape.
        line = re.sub(r'"(initialize|check_early_stopping|setuptime)(\.time)?": {[^}]*}, ', "", line)
        shapes.add(NUMBER.sub("N", line))
    return shapes


@pytest.mark.parametrize(
    ("log", "csv"), [("binary-2024/train.log", True), ("logs/2023_binary_with_validation.log", False)]
)
def test_every_line_of_ours_has_a_shape_that_the_service_writes(
    shared: Path,
    container: Container,
    capsys: pytest.CaptureFixture[str],
    rng: np.random.Generator,
    log: str,
    csv: bool,
) -> None:
    features = rng.normal(size=(400, 20)).astype(np.float32)
    labels = (features[:, 0] + rng.normal(size=400) > 0).astype(np.float32)
    channels = ["train"] if csv else ["train", "validation"]
    for channel in channels:
        container.put_records(channel, features, labels)
    container.configure(dict.fromkeys(channels, ""), predictor_type="binary_classifier", mini_batch_size=50)
    assert container.train() == 0
    ours = {
        shape
        for shape in _shapes(capsys.readouterr().out)
        if not any(part in shape for part in OURS) and "Scal" not in shape
    }
    theirs = _shapes((shared / "aws-jobs" / log).read_text())
    if not csv:  # that job ran to its end, so that its log lacks these two
        theirs |= {
            "[INFO] Early stop condition met. Stopping training.",
            "[INFO] #progress_metric: host=algo-N, completed N % epochs",
        }
    assert sorted(ours - theirs) == []
    assert len(ours) > 20


# From logs of real jobs: rows, mini_batch_size, rows of the scaler; totals at the start, peak, total after one epoch.
@pytest.mark.parametrize(
    ("rows", "batch", "scaler", "start", "batches", "peak", "after"),
    [
        (6548, 100, 6500, 6648, 67, 6548, 13_196),
        (227, 200, 200, 427, 3, 227, 654),
        (14_430, 1000, 11_000, 12_000, 12, 11_000, 26_430),
        (1_144_913, 1000, 11_000, 12_000, 12, 11_000, 1_156_913),
    ],
)
def test_records_are_counted_as_the_service_counts_them(
    rows: int, batch: int, scaler: int, start: int, batches: int, peak: int, after: int
) -> None:
    counts = IteratorCounts(rows, batch, scaler)
    before: dict[str, Any] = counts.metrics()
    assert (before["Total Records Seen"], before["Total Batches Seen"]) == (start, batches)
    assert (before["Max Records Seen Between Resets"], before["Reset Count"]) == (peak, 2)
    counts.finish_epoch()
    later = counts.metrics()
    assert (later["Total Records Seen"], later["Max Records Seen Between Resets"]) == (after, rows)
    assert (later["Number of Records Since Last Reset"], later["Reset Count"]) == (rows, 3)
