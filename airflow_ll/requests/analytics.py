"""The metrics of a training job, as CloudWatch has them."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

__all__ = ["METRICS_NAMESPACE", "metric_names", "metric_statistics"]

METRICS_NAMESPACE: Final = "/aws/sagemaker/TrainingJobs"

_PERIOD_SECONDS: Final = 60  # what CloudWatch keeps of such metrics
_LONGEST: Final = timedelta(seconds=_PERIOD_SECONDS * 1440)  # CloudWatch answers with at most 1,440 values


def metric_names(description: Mapping[str, Any]) -> list[str]:
    """Return the names of the metrics that a training job can have written."""
    defined = [one["Name"] for one in description["AlgorithmSpecification"].get("MetricDefinitions", [])]
    final = [one["MetricName"] for one in description.get("FinalMetricDataList", [])]
    return list(dict.fromkeys([*defined, *final]))


def metric_statistics(
    training_job_name: str, metric_name: str, start: datetime, end: datetime
) -> Iterator[dict[str, Any]]:
    """Yield the requests of GetMetricStatistics that give one metric of a job from ``start`` to a minute after ``end``.

    One request a day: CloudWatch gives at most 1,440 values at a time.
    """
    last = end + timedelta(seconds=_PERIOD_SECONDS)
    while start < last:
        until = min(last, start + _LONGEST)
        yield {
            "Namespace": METRICS_NAMESPACE,
            "MetricName": metric_name,
            "Dimensions": [{"Name": "TrainingJobName", "Value": training_job_name}],
            "StartTime": start,
            "EndTime": until,
            "Period": _PERIOD_SECONDS,
            "Statistics": ["Average"],
        }
        start = until
