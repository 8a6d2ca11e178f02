"""A training job's metrics as a table."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow_ll.exceptions import RequestError
from airflow_ll.hooks.resources import TRAINING_JOB
from airflow_ll.requests.analytics import metric_names, metric_statistics

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_ll.hooks.linear_learner import LinearLearnerHook

__all__ = ["as_csv", "training_job_analytics"]


def training_job_analytics(
    hook: LinearLearnerHook, training_job_name: str, names: Sequence[str] | None = None
) -> list[dict[str, Any]]:
    """Return rows ``timestamp`` (seconds from the job's first value), ``time`` (ISO), ``metric_name``, ``value``.

    One row a minute and metric, by metric and time.

    :param names: the metrics; all of the job by default.
    :raises RequestError: there is no such job, or it has none of these metrics.
    """
    description = hook.describe(TRAINING_JOB, training_job_name)
    if description is None:
        raise RequestError(f"There is no training job {training_job_name!r}: correct the name or the connection.")
    known = metric_names(description)
    if unknown := [name for name in names or () if known and name not in known]:
        raise RequestError(
            f"The training job {training_job_name!r} has no metric {', '.join(unknown)}: it has {', '.join(known)}."
        )
    start = description.get("TrainingStartTime")
    if start is None:
        return []
    end = description.get("TrainingEndTime") or datetime.now(UTC)
    points = [point for name in names or known for point in _points(hook, training_job_name, name, start, end)]
    first = min((moment for moment, _, _ in points), default=start)
    return [
        {
            "timestamp": (moment - first).total_seconds(),
            "time": moment.isoformat(),
            "metric_name": name,
            "value": value,
        }
        for moment, name, value in points
    ]


def _points(
    hook: LinearLearnerHook, job: str, name: str, start: datetime, end: datetime
) -> list[tuple[datetime, str, float]]:
    client = hook.client("cloudwatch")
    return sorted(
        (point["Timestamp"], name, point["Average"])
        for request in metric_statistics(job, name, start, end)
        for point in client.get_metric_statistics(**request)["Datapoints"]
    )


def as_csv(rows: Sequence[dict[str, Any]]) -> bytes:
    """Return rows as CSV with a header."""
    text = io.StringIO()
    writer = csv.DictWriter(text, ["timestamp", "time", "metric_name", "value"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()
