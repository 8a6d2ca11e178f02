"""What CloudWatch is asked for about a training job."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from airflow_ll.requests import metric_names, metric_statistics

if TYPE_CHECKING:
    from pathlib import Path

START = datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_the_request_is_the_recorded_one(shared: Path) -> None:
    recording = json.loads((shared / "golden" / "training_job_analytics.json").read_text())
    (recorded,) = [call["kwargs"] for call in recording["calls"] if call["operation"] == "GetMetricStatistics"]
    end = datetime.fromisoformat(recorded["EndTime"]) - timedelta(minutes=1)

    (ours,) = metric_statistics("ll-job-1", "validation:objective_loss", START, end)
    times = {name: ours[name].isoformat() for name in ("StartTime", "EndTime")}
    assert ours | times == recorded


def test_a_job_of_days_is_asked_for_day_by_day() -> None:
    requests = list(metric_statistics("job", "m", START, START + timedelta(days=2)))

    assert [one["EndTime"] for one in requests[:-1]] == [one["StartTime"] for one in requests[1:]]
    assert (requests[0]["StartTime"], requests[-1]["EndTime"]) == (START, START + timedelta(days=2, minutes=1))
    assert all(one["EndTime"] - one["StartTime"] <= timedelta(days=1) for one in requests)


def test_metrics_are_those_defined_and_those_measured() -> None:
    description = {
        "AlgorithmSpecification": {"MetricDefinitions": [{"Name": "train:a"}, {"Name": "train:b"}]},
        "FinalMetricDataList": [{"MetricName": "train:b"}, {"MetricName": "validation:c"}],
    }
    assert metric_names(description) == ["train:a", "train:b", "validation:c"]
