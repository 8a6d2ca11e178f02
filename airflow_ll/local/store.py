"""The control plane's memory: one SQLite file in the data directory.

A resource is the dictionary that its Describe operation answers from (plus private members that begin
with an underscore). Every change is one transaction; with a write-ahead log it survives the death of
the process at any moment.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_ll.exceptions import LinearLearnerError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

__all__ = ["EndpointMetric", "MetricPoint", "Page", "Query", "Store"]

_SCHEMA = (
    """
    CREATE TABLE resource (
        kind TEXT NOT NULL, name TEXT NOT NULL, arn TEXT NOT NULL UNIQUE, status TEXT NOT NULL,
        created REAL NOT NULL, modified REAL NOT NULL, body TEXT NOT NULL, PRIMARY KEY (kind, name)
    ) WITHOUT ROWID;
    CREATE INDEX resource_by_creation ON resource (kind, created, name);
    CREATE TABLE tag (arn TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (arn, key)) WITHOUT ROWID;
    CREATE TABLE log_stream (
        id INTEGER PRIMARY KEY, log_group TEXT NOT NULL, name TEXT NOT NULL, created INTEGER NOT NULL,
        UNIQUE (log_group, name)
    );
    CREATE TABLE log_event (
        id INTEGER PRIMARY KEY AUTOINCREMENT, stream INTEGER NOT NULL REFERENCES log_stream (id),
        timestamp INTEGER NOT NULL, message TEXT NOT NULL
    );
    CREATE INDEX log_event_by_stream ON log_event (stream, id);
    CREATE TABLE metric (
        id INTEGER PRIMARY KEY, job TEXT NOT NULL, name TEXT NOT NULL, value REAL NOT NULL, timestamp REAL NOT NULL
    );
    CREATE INDEX metric_by_job ON metric (job, name, id);
    """,
    """
    CREATE TABLE log_group (name TEXT PRIMARY KEY, created INTEGER NOT NULL) WITHOUT ROWID;
    INSERT INTO log_group SELECT log_group, min(created) FROM log_stream GROUP BY log_group;
    ALTER TABLE log_event ADD COLUMN ingested INTEGER;
    """,
    """
    CREATE TABLE endpoint_metric (
        id INTEGER PRIMARY KEY, endpoint TEXT NOT NULL, variant TEXT NOT NULL, name TEXT NOT NULL, unit TEXT NOT NULL,
        timestamp REAL NOT NULL,
        samples REAL NOT NULL, total REAL NOT NULL, minimum REAL NOT NULL, maximum REAL NOT NULL
    );
    """,
    """
    CREATE TABLE mutation (
        id INTEGER PRIMARY KEY AUTOINCREMENT, service TEXT NOT NULL, region TEXT NOT NULL, operation TEXT NOT NULL,
        scope TEXT NOT NULL, parameters TEXT NOT NULL, seed INTEGER NOT NULL, time REAL NOT NULL
    );
    CREATE INDEX mutation_by_scope ON mutation (service, region, scope);
    CREATE INDEX mutation_by_operation ON mutation (operation, id);
    """,
)
"""What makes a schema out of the one before; ``PRAGMA user_version`` counts how many have run. Never edit, only add."""


@dataclass(frozen=True)
class Query:
    """Which resources of a kind to list, and in which order."""

    where: tuple[tuple[str, Any], ...] = ()
    sort: str = "created"
    descending: bool = True
    limit: int = 10
    after: tuple[Any, str] | None = None


@dataclass(frozen=True)
class Page:
    """One page of resources; ``next`` is where the following page starts, ``None`` on the last."""

    resources: list[dict[str, Any]]
    next: tuple[Any, str] | None


class MetricPoint(NamedTuple):
    """One value of a training job's metric; ``number`` counts the points of all jobs."""

    number: int
    job: str
    name: str
    value: float
    timestamp: float


class EndpointMetric(NamedTuple):
    """What was counted of one metric of a variant within some seconds; ``number`` counts those of all variants."""

    number: int
    endpoint: str
    variant: str
    name: str
    unit: str
    timestamp: float
    samples: float
    total: float
    minimum: float
    maximum: float


class Store:
    """Resources, tags, log events and metrics; safe to use from many threads."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.RLock()
        self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        try:
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = NORMAL")
            self._migrate(path)
        except BaseException:
            self._connection.close()
            raise

    def _migrate(self, path: Path) -> None:
        version = self._connection.execute("PRAGMA user_version").fetchone()[0]
        if version > len(_SCHEMA):
            raise LinearLearnerError(
                f"{path} was written by a newer airflow-ll (schema {version}, this one knows {len(_SCHEMA)}): "
                "upgrade airflow-ll or use another data directory."
            )
        for number, script in enumerate(_SCHEMA[version:], version + 1):
            self._connection.executescript(f"BEGIN; {script} PRAGMA user_version = {number}; COMMIT;")

    def close(self) -> None:
        """Close the file; later calls fail."""
        with self._lock:
            self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Hold the store for one all-or-nothing change."""
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def rows(self, sql: str, arguments: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        with self._lock:
            return self._connection.execute(sql, arguments).fetchall()

    # resources

    def create(self, kind: str, name: str, arn: str, status: str, body: dict[str, Any]) -> bool:
        """Add a resource; ``False`` when the name is taken. ``body["Tags"]`` become its tags."""
        now = time.time()
        tags = body.pop("Tags", [])
        body |= {"CreationTime": now, "LastModifiedTime": now}
        row = (kind, name, arn, status, now, now, json.dumps(body))
        with self.transaction() as connection:
            added = connection.execute("INSERT OR IGNORE INTO resource VALUES (?, ?, ?, ?, ?, ?, ?)", row).rowcount
            if added:
                _write_tags(connection, arn, tags)
        return bool(added)

    def get(self, kind: str, name: str) -> dict[str, Any] | None:
        """Return a resource, ``None`` when there is none of that name."""
        rows = self.rows("SELECT body FROM resource WHERE kind = ? AND name = ?", (kind, name))
        return dict(json.loads(rows[0][0])) if rows else None

    def with_arn(self, arn: str) -> dict[str, Any] | None:
        """Return the resource with an ARN, ``None`` when there is none."""
        rows = self.rows("SELECT body FROM resource WHERE arn = ?", (arn,))
        return dict(json.loads(rows[0][0])) if rows else None

    def update(
        self, kind: str, name: str, status_member: str, change: Callable[[dict[str, Any]], bool | None]
    ) -> dict[str, Any] | None:
        """Let ``change`` edit a resource in place and save it, unless it returns ``False``.

        :return: the resource as saved; ``None`` when it does not exist or ``change`` declined.
        """
        with self.transaction() as connection:
            found = connection.execute("SELECT body FROM resource WHERE kind = ? AND name = ?", (kind, name)).fetchone()
            body: dict[str, Any] | None = json.loads(found[0]) if found else None
            if body is None or change(body) is False:
                return None
            body["LastModifiedTime"] = time.time()
            connection.execute(
                "UPDATE resource SET status = ?, modified = ?, body = ? WHERE kind = ? AND name = ?",
                (body[status_member], body["LastModifiedTime"], json.dumps(body), kind, name),
            )
            return body

    def delete(self, kind: str, name: str) -> bool:
        """Remove a resource and its tags; ``False`` when it does not exist."""
        with self.transaction() as connection:
            connection.execute(
                "DELETE FROM tag WHERE arn = (SELECT arn FROM resource WHERE kind = ? AND name = ?)", (kind, name)
            )
            removed = connection.execute("DELETE FROM resource WHERE kind = ? AND name = ?", (kind, name)).rowcount
        return bool(removed)

    def page(self, kind: str, query: Query) -> Page:
        """Return one page of resources; ``query.where`` holds SQL conditions over the columns with their values."""
        conditions, arguments = ["kind = ?"], [kind]
        for condition, value in query.where:
            conditions.append(condition)
            arguments.append(value)
        order = "DESC" if query.descending else "ASC"
        if query.after:
            conditions.append(f"({query.sort}, name) {'<' if query.descending else '>'} (?, ?)")
            arguments.extend(query.after)
        rows = self.rows(
            f"SELECT {query.sort}, name, body FROM resource WHERE {' AND '.join(conditions)}"  # noqa: S608
            f" ORDER BY {query.sort} {order}, name {order} LIMIT {query.limit + 1}",
            arguments,
        )
        shown = rows[: query.limit]
        more = (shown[-1][0], shown[-1][1]) if len(rows) > len(shown) else None
        return Page([json.loads(row[2]) for row in shown], more)

    def with_status(self, kind: str, *statuses: str) -> list[dict[str, Any]]:
        """Return the resources of a kind in one of ``statuses``, oldest first."""
        marks = ", ".join("?" * len(statuses))
        sql = f"SELECT body FROM resource WHERE kind = ? AND status IN ({marks}) ORDER BY created"  # noqa: S608
        return [json.loads(row[0]) for row in self.rows(sql, (kind, *statuses))]

    def all(self, kind: str) -> list[dict[str, Any]]:
        """Return all resources of a kind, oldest first."""
        rows = self.rows("SELECT body FROM resource WHERE kind = ? ORDER BY created, name", (kind,))
        return [json.loads(row[0]) for row in rows]

    # tags

    def tags_of_kind(self, kind: str) -> dict[str, list[dict[str, str]]]:
        """Return the tags of all resources of a kind by ARN; resources without tags are left out."""
        sql = "SELECT t.arn, t.key, t.value FROM tag t JOIN resource r ON r.arn = t.arn WHERE r.kind = ? ORDER BY t.key"
        found: dict[str, list[dict[str, str]]] = {}
        for arn, key, value in self.rows(sql, (kind,)):
            found.setdefault(arn, []).append({"Key": key, "Value": value})
        return found

    def tagged(self) -> dict[str, list[dict[str, str]]]:
        """Return the tags of all resources that have some, by ARN."""
        found: dict[str, list[dict[str, str]]] = {}
        for arn, key, value in self.rows("SELECT arn, key, value FROM tag ORDER BY arn, key"):
            found.setdefault(arn, []).append({"Key": key, "Value": value})
        return found

    def arn_exists(self, arn: str) -> bool:
        """Return whether a resource has this ARN."""
        return bool(self.rows("SELECT 1 FROM resource WHERE arn = ?", (arn,)))

    def tags(self, arn: str) -> list[dict[str, str]]:
        """Return the tags of a resource, by key."""
        rows = self.rows("SELECT key, value FROM tag WHERE arn = ? ORDER BY key", (arn,))
        return [{"Key": key, "Value": value} for key, value in rows]

    def add_tags(self, arn: str, tags: Iterable[dict[str, str]]) -> None:
        """Set tags of a resource."""
        with self.transaction() as connection:
            _write_tags(connection, arn, tags)

    def delete_tags(self, arn: str, keys: Iterable[str]) -> None:
        """Remove tags of a resource."""
        with self.transaction() as connection:
            connection.executemany("DELETE FROM tag WHERE arn = ? AND key = ?", [(arn, key) for key in keys])

    # metrics

    def add_metrics(self, job: str, points: Iterable[tuple[str, float, float]]) -> None:
        """Record the (name, value, epoch time) of a training job's metrics."""
        with self.transaction() as connection:
            connection.executemany(
                "INSERT INTO metric (job, name, value, timestamp) VALUES (?, ?, ?, ?)",
                [(job, name, value, timestamp) for name, value, timestamp in points],
            )

    def metrics(self, job: str) -> list[tuple[str, float, float]]:
        """Return the (name, value, epoch time) of a training job's metrics in the order they were logged."""
        rows = self.rows("SELECT name, value, timestamp FROM metric WHERE job = ? ORDER BY id", (job,))
        return [(name, value, timestamp) for name, value, timestamp in rows]

    def metric_values(self, job: str, name: str) -> list[float]:
        """Return the values of one metric of a training job in the order they were logged."""
        return [
            row[0] for row in self.rows("SELECT value FROM metric WHERE job = ? AND name = ? ORDER BY id", (job, name))
        ]

    def metrics_after(self, number: int, limit: int) -> list[MetricPoint]:
        """Return the metrics of all jobs that were logged after the one with ``number``."""
        sql = "SELECT id, job, name, value, timestamp FROM metric WHERE id > ? ORDER BY id LIMIT ?"
        return [MetricPoint(*row) for row in self.rows(sql, (number, limit))]

    def add_endpoint_metrics(self, metrics: Iterable[EndpointMetric]) -> None:
        """Record metrics of endpoints; their numbers are given here."""
        with self.transaction() as connection:
            connection.executemany(
                "INSERT INTO endpoint_metric VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?)", [one[1:] for one in metrics]
            )

    def endpoint_metrics_after(self, number: int, limit: int) -> list[EndpointMetric]:
        """Return the metrics of all endpoints that were recorded after the one with ``number``."""
        sql = "SELECT * FROM endpoint_metric WHERE id > ? ORDER BY id LIMIT ?"
        return [EndpointMetric(*row) for row in self.rows(sql, (number, limit))]


def _write_tags(connection: sqlite3.Connection, arn: str, tags: Iterable[dict[str, str]]) -> None:
    rows = [(arn, tag["Key"], tag.get("Value", "")) for tag in tags]
    connection.executemany("INSERT OR REPLACE INTO tag VALUES (?, ?, ?)", rows)
