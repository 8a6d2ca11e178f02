"""CloudWatch alarms that watch over a deployment.

moto keeps alarms and their states, but nothing evaluates them there: whoever watches an alarm here brings its state
up to date first, from the metrics that it is about.
"""

from __future__ import annotations

import datetime as dt
import operator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from airflow_ll.local.cloudwatch import CloudWatch

__all__ = ["MissingAlarmsError", "triggered"]

_COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "GreaterThanOrEqualToThreshold": operator.ge,
    "GreaterThanThreshold": operator.gt,
    "LessThanThreshold": operator.lt,
    "LessThanOrEqualToThreshold": operator.le,
}


class MissingAlarmsError(Exception):
    """CloudWatch does not have an alarm; the text names it."""


def triggered(cloudwatch: CloudWatch, names: Sequence[str]) -> list[str]:
    """Return those of the named alarms that are in the state ALARM.

    :raises MissingAlarmsError: one does not exist.
    """
    cloudwatch.publish_all()
    answer = cloudwatch.client.describe_alarms(AlarmNames=list(names), AlarmTypes=["MetricAlarm", "CompositeAlarm"])
    alarms = {alarm["AlarmName"]: alarm for alarm in answer["MetricAlarms"] + answer.get("CompositeAlarms", [])}
    absent = [name for name in names if name not in alarms]
    if absent:
        raise MissingAlarmsError(", ".join(absent))
    return [name for name in names if alarms[name]["StateValue"] == "ALARM" or _evaluate(cloudwatch, alarms[name])]


def _evaluate(cloudwatch: CloudWatch, alarm: dict[str, Any]) -> bool:
    """Return whether an alarm of one metric and statistic should go off now, and if so, set its state."""
    if "MetricName" not in alarm or "Statistic" not in alarm or alarm["ComparisonOperator"] not in _COMPARISONS:
        return False
    period, count = alarm["Period"], alarm["EvaluationPeriods"]
    now = dt.datetime.now(dt.UTC)
    points = cloudwatch.client.get_metric_statistics(
        Namespace=alarm["Namespace"],
        MetricName=alarm["MetricName"],
        Dimensions=alarm.get("Dimensions", []),
        StartTime=now - dt.timedelta(seconds=period * count),
        EndTime=now + dt.timedelta(seconds=1),
        Period=period,
        Statistics=[alarm["Statistic"]],
    )["Datapoints"]
    breaches = _COMPARISONS[alarm["ComparisonOperator"]]
    values = [point[alarm["Statistic"]] for point in points]
    breaching = [value for value in values if breaches(value, alarm["Threshold"])]
    absent = count - len(values) if alarm.get("TreatMissingData") == "breaching" else 0
    if len(breaching) + max(absent, 0) < alarm.get("DatapointsToAlarm", count):
        return False
    reason = f"Threshold Crossed: {len(breaching)} datapoints {breaching} crossed the threshold ({alarm['Threshold']})."
    cloudwatch.client.set_alarm_state(AlarmName=alarm["AlarmName"], StateValue="ALARM", StateReason=reason)
    return True
