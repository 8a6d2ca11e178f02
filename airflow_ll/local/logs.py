"""CloudWatch Logs: groups, streams and events, which jobs and endpoints write as clients do."""

from __future__ import annotations

import bisect
import re
import time
from typing import TYPE_CHECKING, Any

from airflow_ll.local.errors import InvalidParameterError, LogResourceExistsError, LogResourceNotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from airflow_ll.local.store import Store

__all__ = ["Logs"]

_MAX_EVENTS = 10_000
_MAX_BATCH = 1_048_576  # bytes of a PutLogEvents request, each event with its overhead
_EVENT_OVERHEAD = 26
_OLDEST_MS = 14 * 24 * 3600 * 1000
_NEWEST_MS = 2 * 3600 * 1000
_TOKEN_WIDTH = 56
_TOKEN = re.compile(rf"[fb]/0{{{_TOKEN_WIDTH - 18}}}([0-9]{{18}})")


class Logs:
    """Log groups and streams over the store."""

    def __init__(self, store: Store, region: str, account_id: str) -> None:
        self._store = store
        self._arn = f"arn:aws:logs:{region}:{account_id}:log-group:"
        self.operations: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "DescribeLogGroups": self.describe_log_groups,
            "DescribeLogStreams": self.describe_log_streams,
            "GetLogEvents": self.get_log_events,
            "FilterLogEvents": self.filter_log_events,
            "CreateLogGroup": self.create_log_group,
            "CreateLogStream": self.create_log_stream,
            "PutLogEvents": self.put_log_events,
            "DeleteLogStream": self.delete_log_stream,
            "DeleteLogGroup": self.delete_log_group,
        }

    def write(self, group: str, stream: str, lines: Iterable[str]) -> None:
        """Append lines to a stream, which is made when it does not exist."""
        now = int(time.time() * 1000)
        with self._store.transaction() as connection:
            connection.execute("INSERT OR IGNORE INTO log_group (name, created) VALUES (?, ?)", (group, now))
            connection.execute(
                "INSERT OR IGNORE INTO log_stream (log_group, name, created) VALUES (?, ?, ?)", (group, stream, now)
            )
            (number,) = connection.execute(
                "SELECT id FROM log_stream WHERE log_group = ? AND name = ?", (group, stream)
            ).fetchone()
            connection.executemany(
                "INSERT INTO log_event (stream, timestamp, message) VALUES (?, ?, ?)",
                [(number, now, line) for line in lines if line],
            )

    def describe_log_groups(self, request: dict[str, Any]) -> dict[str, Any]:
        """Answer DescribeLogGroups."""
        prefix, pattern = request.get("logGroupNamePrefix", ""), request.get("logGroupNamePattern", "")
        if prefix and pattern:
            raise InvalidParameterError("LogGroup name prefix and LogGroup name pattern are mutually exclusive.")
        rows = self._store.rows("SELECT name, created FROM log_group ORDER BY name")
        groups = [row for row in rows if row[0].startswith(prefix) and pattern in row[0]]
        shown, token = _paged(groups, request)
        return {
            "logGroups": [
                {"logGroupName": group, "creationTime": created, "arn": f"{self._arn}{group}:*"}
                for group, created in shown
            ],
            "nextToken": token,
        }

    def describe_log_streams(self, request: dict[str, Any]) -> dict[str, Any]:
        """Answer DescribeLogStreams; a token only when more streams match than were asked for."""
        group = self._group(request)
        by_time = request.get("orderBy") == "LastEventTime"
        prefix = request.get("logStreamNamePrefix", "")
        if by_time and prefix:
            raise InvalidParameterError("Cannot order by LastEventTime with a logStreamNamePrefix.")
        rows = self._store.rows(
            "SELECT s.name, s.created, (SELECT timestamp FROM log_event e WHERE e.stream = s.id ORDER BY e.id LIMIT 1),"
            " (SELECT timestamp FROM log_event e WHERE e.stream = s.id ORDER BY e.id DESC LIMIT 1)"
            " FROM log_stream s WHERE s.log_group = ? AND substr(s.name, 1, ?) = ? ORDER BY s.name",
            (group, len(prefix), prefix),
        )
        rows.sort(key=lambda row: (row[3] or 0) if by_time else row[0], reverse=request.get("descending", False))
        shown, token = _paged(rows, request)
        streams = [
            {
                "logStreamName": name,
                "creationTime": created,
                "firstEventTimestamp": first,
                "lastEventTimestamp": last,
                "lastIngestionTime": last,
                "arn": f"{self._arn}{group}:log-stream:{name}",
            }
            for name, created, first, last in shown
        ]
        return {"logStreams": streams, "nextToken": token}

    def get_log_events(self, request: dict[str, Any]) -> dict[str, Any]:
        """Answer GetLogEvents; at the end of a stream the forward token is the one that was given."""
        stream = self._stream(request)
        token, limit = request.get("nextToken"), request.get("limit", _MAX_EVENTS)
        forward = token.startswith("f/") if token else request.get("startFromHead", False)
        position = _position(token) if token else None
        condition, order = ("id > ?", "ASC") if forward else ("id < ?", "DESC")
        if position is None:
            position = -1 if forward else 1 << 62
        rows = self._store.rows(
            "SELECT id, timestamp, message, coalesce(ingested, timestamp) FROM log_event"  # noqa: S608
            f" WHERE stream = ? AND {condition}"
            f" AND timestamp >= ? AND timestamp < ? ORDER BY id {order} LIMIT ?",
            (stream, position, request.get("startTime", 0), request.get("endTime", 1 << 62), limit),
        )
        rows.sort()
        first, last = (rows[0][0], rows[-1][0]) if rows else (max(position, 0), max(position, 0))
        if not rows and position == 1 << 62:
            first = last = 0
        events = [{"timestamp": at, "message": text, "ingestionTime": ingested} for _, at, text, ingested in rows]
        return {"events": events, "nextForwardToken": _token("f", last), "nextBackwardToken": _token("b", first)}

    def filter_log_events(self, request: dict[str, Any]) -> dict[str, Any]:
        """Answer FilterLogEvents; a pattern is a list of words that a line must contain."""
        group = self._group(request)
        names, prefix = request.get("logStreamNames"), request.get("logStreamNamePrefix", "")
        words = _words(request.get("filterPattern", ""))
        after, limit = (
            _position(request["nextToken"]) if "nextToken" in request else -1,
            request.get("limit", _MAX_EVENTS),
        )
        marks = "".join(" AND instr(e.message, ?) > 0" for _ in words)
        streams = f" AND s.name IN ({', '.join('?' * len(names))})" if names else ""
        rows = self._store.rows(
            "SELECT e.id, s.name, e.timestamp, e.message, coalesce(e.ingested, e.timestamp)"  # noqa: S608
            " FROM log_event e JOIN log_stream s ON s.id = e.stream"
            f" WHERE s.log_group = ? AND e.id > ? AND e.timestamp BETWEEN ? AND ? AND substr(s.name, 1, ?) = ?{marks}"
            f"{streams} ORDER BY e.id LIMIT ?",
            (
                *(group, after, request.get("startTime", 0), request.get("endTime", 1 << 62), len(prefix), prefix),
                *(*words, *(names or ()), limit + 1),
            ),
        )
        shown = rows[:limit]
        return {
            "events": [
                {
                    "logStreamName": name,
                    "timestamp": at,
                    "message": text,
                    "ingestionTime": ingested,
                    "eventId": str(number),
                }
                for number, name, at, text, ingested in shown
            ],
            "searchedLogStreams": [],
            "nextToken": _token("f", shown[-1][0]) if len(rows) > len(shown) else None,
        }

    def create_log_group(self, request: dict[str, Any]) -> dict[str, Any]:
        """Answer CreateLogGroup."""
        with self._store.transaction() as connection:
            made = connection.execute(
                "INSERT OR IGNORE INTO log_group (name, created) VALUES (?, ?)",
                (request["logGroupName"], int(time.time() * 1000)),
            ).rowcount
        if not made:
            raise LogResourceExistsError("The specified log group already exists")
        return {}

    def create_log_stream(self, request: dict[str, Any]) -> dict[str, Any]:
        """Answer CreateLogStream."""
        group = self._group(request)
        with self._store.transaction() as connection:
            made = connection.execute(
                "INSERT OR IGNORE INTO log_stream (log_group, name, created) VALUES (?, ?, ?)",
                (group, request["logStreamName"], int(time.time() * 1000)),
            ).rowcount
        if not made:
            raise LogResourceExistsError("The specified log stream already exists")
        return {}

    def put_log_events(self, request: dict[str, Any]) -> dict[str, Any]:
        """Answer PutLogEvents: the events that are neither too old nor too new are kept, in the order they came."""
        stream, events, now = self._stream(request), request["logEvents"], int(time.time() * 1000)
        times = [event["timestamp"] for event in events]
        if times != sorted(times):
            raise InvalidParameterError("Log events in a single PutLogEvents request must be in chronological order.")
        if sum(len(event["message"].encode()) + _EVENT_OVERHEAD for event in events) > _MAX_BATCH:
            raise InvalidParameterError(f"Upload too large: the events of a request have more than {_MAX_BATCH} bytes.")
        old, new = bisect.bisect_left(times, now - _OLDEST_MS), bisect.bisect_right(times, now + _NEWEST_MS)
        with self._store.transaction() as connection:
            connection.executemany(
                "INSERT INTO log_event (stream, timestamp, message, ingested) VALUES (?, ?, ?, ?)",
                [(stream, event["timestamp"], event["message"], now) for event in events[old:new]],
            )
        rejected = {
            **({"tooOldLogEventEndIndex": old} if old else {}),
            **({"tooNewLogEventStartIndex": new} if new < len(events) else {}),
        }
        return {"nextSequenceToken": f"{now:056d}", "rejectedLogEventsInfo": rejected or None}

    def delete_log_stream(self, request: dict[str, Any]) -> dict[str, Any]:
        """Answer DeleteLogStream."""
        self._delete("id = ?", self._stream(request))
        return {}

    def delete_log_group(self, request: dict[str, Any]) -> dict[str, Any]:
        """Answer DeleteLogGroup: its streams go too."""
        group = self._group(request)
        self._delete("log_group = ?", group)
        with self._store.transaction() as connection:
            connection.execute("DELETE FROM log_group WHERE name = ?", (group,))
        return {}

    def _delete(self, condition: str, value: object) -> None:
        with self._store.transaction() as connection:
            streams = f"SELECT id FROM log_stream WHERE {condition}"  # noqa: S608 - no text of a caller's
            connection.execute(f"DELETE FROM log_event WHERE stream IN ({streams})", (value,))  # noqa: S608
            connection.execute(f"DELETE FROM log_stream WHERE {condition}", (value,))  # noqa: S608

    def _group(self, request: dict[str, Any]) -> str:
        group: str = request.get("logGroupName") or request.get("logGroupIdentifier", "").partition("log-group:")[2]
        if not self._store.rows("SELECT 1 FROM log_group WHERE name = ?", (group,)):
            raise LogResourceNotFoundError("The specified log group does not exist.")
        return group

    def _stream(self, request: dict[str, Any]) -> int:
        key = (self._group(request), request["logStreamName"])
        rows = self._store.rows("SELECT id FROM log_stream WHERE log_group = ? AND name = ?", key)
        if not rows:
            raise LogResourceNotFoundError("The specified log stream does not exist.")
        return int(rows[0][0])


def _token(direction: str, position: int) -> str:
    return f"{direction}/{position:0{_TOKEN_WIDTH}d}"


def _position(token: str) -> int:
    match = _TOKEN.fullmatch(token)
    if match is None:
        raise InvalidParameterError("The specified nextToken is invalid.")
    return int(match[1])


def _words(pattern: str) -> list[str]:
    if any(sign in pattern for sign in "{}[]?%"):
        raise InvalidParameterError('The embedded runtime takes only words and "quoted phrases" as a filter pattern.')
    quoted = pattern.split('"')
    return [*(word for part in quoted[::2] for word in part.split()), *(part for part in quoted[1::2] if part)]


def _paged(rows: list[tuple[Any, ...]], request: dict[str, Any]) -> tuple[list[tuple[Any, ...]], str | None]:
    start, limit = _position(request["nextToken"]) if "nextToken" in request else 0, request.get("limit", 50)
    return rows[start : start + limit], _token("f", start + limit) if len(rows) > start + limit else None
