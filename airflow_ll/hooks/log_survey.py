"""Reading the logs of many training jobs with few calls: FilterLogEvents takes a hundred streams at once."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_ll.hooks.logs import GROUP, LogEvent, find_streams, in_order
from airflow_ll.hooks.survey import answered_at

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from airflow_ll.hooks.linear_learner import LinearLearnerHook

__all__ = ["JobLog", "LogSurvey", "Reading"]

_STREAMS_A_CALL = 100
_DISCOVERIES = 20
_READ_PACE, _DISCOVERY_PACE = 0.5, 0.2
_OVERLAP = timedelta(seconds=60)
_LONG_PAUSE = 30.0
_WARN_EVERY = 60.0


class JobLog(NamedTuple):
    """The log of a job that has so many instances, and a stream for each."""

    job_name: str
    instance_count: int


class Reading(NamedTuple):
    """What was new in a job's log.

    :param begun: when the reading began, by ``time.monotonic``; what was written until then is in this reading or an
        earlier one. None when the reading broke off.
    """

    begun: float | None
    events: list[LogEvent]


@dataclass
class _Stream:
    log: JobLog
    read: bool = False
    seen: dict[str, float] = field(default_factory=dict)  # ids of lines, and their times


class LogSurvey:
    """Reads logs together; each look blocks, so an event loop makes it in a thread.

    At most two FilterLogEvents and five DescribeLogStreams a second; when many jobs make that a long turn, a warning
    says how far the logs are behind. A line that CloudWatch shows more than a minute late is not seen.
    """

    unfinished = False

    def __init__(self, hook: LinearLearnerHook) -> None:
        self.hook = hook
        self._streams: dict[str, _Stream] = {}
        self._turn: dict[JobLog, None] = {}  # whose streams to look for, in this order
        self._since: datetime | None = None
        self._pause = 0.0
        self._warned_at = 0.0

    def look(self, logs: Collection[JobLog], tell: Callable[[JobLog, Reading], None]) -> float:
        """Read what is new, tell it, and return the seconds that must pass before the next look.

        :param tell: called for every log, also when it has nothing new.
        :raises Exception: of AWS, after what had been read by then was told.
        """
        begun, self._pause = time.monotonic(), 0.0
        events: dict[JobLog, list[LogEvent]] = {log: [] for log in set(logs)}
        self._streams = {name: stream for name, stream in self._streams.items() if stream.log in events}
        complete = False
        try:
            self._discover(events)
            self._read_all(events)
            complete = True
        finally:
            for log, lines in events.items():
                tell(log, Reading(begun if complete else None, in_order(lines)))
        self._warn(len(events))
        return self._pause

    def _discover(self, logs: Collection[JobLog]) -> None:
        """Look for the streams of jobs that lack some; in turns, when there are many such jobs."""
        lacking = dict.fromkeys(logs, 0)
        for stream in self._streams.values():
            lacking[stream.log] += 1
        lacking = {log: count for log, count in lacking.items() if count < log.instance_count}
        self._turn = {log: None for log in self._turn if log in lacking} | dict.fromkeys(lacking)
        for log in list(islice(self._turn, _DISCOVERIES)):
            self._pause += _DISCOVERY_PACE
            for name in find_streams(self.hook, log.job_name, log.instance_count):
                self._streams.setdefault(name, _Stream(log))
            del self._turn[log]
            self._turn[log] = None  # at the end of the queue, should it lack more

    def _read_all(self, events: dict[JobLog, list[LogEvent]]) -> None:
        """Read streams from where the look before began, and new ones from their beginning."""
        old = [name for name, stream in self._streams.items() if stream.read and self._since]
        new = [name for name in self._streams if name not in set(old)]
        asked_at = [
            self._read(names[first : first + _STREAMS_A_CALL], since, events)
            for names, since in ((old, self._since), (new, None))
            for first in range(0, len(names), _STREAMS_A_CALL)
        ]
        if asked_at:
            self._since = asked_at[0]
            self._forget(self._since - _OVERLAP)

    def _read(self, names: list[str], since: datetime | None, events: dict[JobLog, list[LogEvent]]) -> datetime:
        """Read these streams and return when, by the service's clock, that began."""
        request: dict[str, Any] = {"logGroupName": GROUP, "logStreamNames": names}
        if since:
            request["startTime"] = _milliseconds(since - _OVERLAP)
        asked_at: datetime | None = None
        for page in self.hook.client("logs").get_paginator("filter_log_events").paginate(**request):
            self._pause += _READ_PACE
            asked_at = asked_at or answered_at(page)
            for one in page["events"]:
                stream = self._streams[one["logStreamName"]]
                if one["eventId"] not in stream.seen:
                    event = LogEvent(one["timestamp"] / 1000, one["logStreamName"], one["message"])
                    stream.seen[one["eventId"]] = event.time
                    events[stream.log].append(event)
        for name in names:
            self._streams[name].read = True
        assert asked_at is not None  # there is always a first page
        return asked_at

    def _forget(self, before: datetime) -> None:
        """Forget lines that will not be shown again."""
        for stream in self._streams.values():
            stream.seen = {key: at for key, at in stream.seen.items() if at >= before.timestamp()}

    def _warn(self, logs: int) -> None:
        if self._pause > _LONG_PAUSE and time.monotonic() - self._warned_at > _WARN_EVERY:
            self._warned_at = time.monotonic()
            self.hook.log.warning("The logs of %d jobs are up to %.0f s behind, to spare CloudWatch", logs, self._pause)


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
