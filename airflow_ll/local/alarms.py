"""CloudWatch alarms: moto keeps them and their states, and here they are evaluated when somebody asks for them.

An alarm of one metric and statistic goes off when its metric crosses the threshold, and it is OK again when that is
over. A state that SetAlarmState gave stays, so that tests can ring an alarm themselves.
"""

from __future__ import annotations

import datetime as dt
import operator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from airflow_ll.local.cloudwatch import CloudWatch

__all__ = ["MissingAlarmsError", "refresh", "triggered"]

_CROSSED = "Threshold Crossed:"
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
    states = refresh(cloudwatch, names)
    absent = [name for name in names if name not in states]
    if absent:
        raise MissingAlarmsError(", ".join(absent))
    return [name for name in names if states[name] == "ALARM"]


def refresh(cloudwatch: CloudWatch, names: Sequence[str] = ()) -> dict[str, str]:
    """Bring the states of alarms (all without ``names``) up to date with their metrics, and return them."""
    given: dict[str, Any] = {"AlarmNames": list(names)} if names else {}
    answer = cloudwatch.client.describe_alarms(**given, AlarmTypes=["MetricAlarm", "CompositeAlarm"])
    states = {alarm["AlarmName"]: alarm["StateValue"] for alarm in answer.get("CompositeAlarms", [])}
    for alarm in answer["MetricAlarms"]:
        name, state = alarm["AlarmName"], alarm["StateValue"]
        values = _values(cloudwatch, alarm)
        states[name], reason = (state, "") if values is None else _judge(alarm, values)
        if states[name] != state:
            cloudwatch.client.set_alarm_state(AlarmName=name, StateValue=states[name], StateReason=reason)
    return states


def _values(cloudwatch: CloudWatch, alarm: dict[str, Any]) -> list[float] | None:
    """Return the statistics of the periods that an alarm looks at, ``None`` for one that is not evaluated here."""
    if "MetricName" not in alarm or "Statistic" not in alarm or alarm["ComparisonOperator"] not in _COMPARISONS:
        return None
    now = dt.datetime.now(dt.UTC)
    points = cloudwatch.client.get_metric_statistics(
        Namespace=alarm["Namespace"],
        MetricName=alarm["MetricName"],
        Dimensions=alarm.get("Dimensions", []),
        StartTime=now - dt.timedelta(seconds=alarm["Period"] * alarm["EvaluationPeriods"]),
        EndTime=now + dt.timedelta(seconds=1),
        Period=alarm["Period"],
        Statistics=[alarm["Statistic"]],
    )["Datapoints"]
    return [point[alarm["Statistic"]] for point in points]


def _judge(alarm: dict[str, Any], values: list[float]) -> tuple[str, str]:
    """Return the state that an alarm should have, and why."""
    state, threshold = alarm["StateValue"], alarm["Threshold"]
    breaches, count = _COMPARISONS[alarm["ComparisonOperator"]], alarm["EvaluationPeriods"]
    breaching = [value for value in values if breaches(value, threshold)]
    absent = count - len(values) if alarm.get("TreatMissingData") == "breaching" else 0
    if len(breaching) + max(absent, 0) >= alarm.get("DatapointsToAlarm", count):
        return "ALARM", f"{_CROSSED} {len(breaching)} datapoints {breaching} crossed the threshold ({threshold})."
    ours = alarm.get("StateReason", "").startswith(_CROSSED)
    if values and (state == "INSUFFICIENT_DATA" or (state == "ALARM" and ours)):
        return "OK", f"{_CROSSED} {len(values)} datapoints {values} did not cross the threshold ({threshold})."
    return state, ""
