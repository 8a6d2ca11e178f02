"""CloudWatch Logs: the part that clients read training, transform and endpoint logs with."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any

from airflow_ll.local.errors import InvalidParameterError, LogResourceNotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from airflow_ll.local.store import Store

__all__ = ["Logs"]

_MAX_EVENTS = 10_000
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
        }

    def write(self, group: str, stream: str, lines: Iterable[str]) -> None:
        """Append lines to a stream, which is made when it does not exist."""
        now = int(time.time() * 1000)
        with self._store.transaction() as connection:
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
        prefix = request.get("logGroupNamePrefix", "")
        rows = self._store.rows("SELECT log_group, min(created) FROM log_stream GROUP BY log_group ORDER BY log_group")
        groups = [(group, created) for group, created in rows if group.startswith(prefix)]
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
            f"SELECT id, timestamp, message FROM log_event WHERE stream = ? AND {condition}"  # noqa: S608
            f" AND timestamp >= ? AND timestamp < ? ORDER BY id {order} LIMIT ?",
            (stream, position, request.get("startTime", 0), request.get("endTime", 1 << 62), limit),
        )
        rows.sort()
        first, last = (rows[0][0], rows[-1][0]) if rows else (max(position, 0), max(position, 0))
        if not rows and position == 1 << 62:
            first = last = 0
        events = [{"timestamp": at, "message": message, "ingestionTime": at} for _, at, message in rows]
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
            "SELECT e.id, s.name, e.timestamp, e.message FROM log_event e JOIN log_stream s ON s.id = e.stream"  # noqa: S608
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
                {"logStreamName": name, "timestamp": at, "message": text, "ingestionTime": at, "eventId": str(number)}
                for number, name, at, text in shown
            ],
            "searchedLogStreams": [],
            "nextToken": _token("f", shown[-1][0]) if len(rows) > len(shown) else None,
        }

    def _group(self, request: dict[str, Any]) -> str:
        group: str = request.get("logGroupName") or request.get("logGroupIdentifier", "").partition("log-group:")[2]
        if not self._store.rows("SELECT 1 FROM log_stream WHERE log_group = ? LIMIT 1", (group,)):
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
