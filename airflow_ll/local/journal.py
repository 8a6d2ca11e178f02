"""The journal of what moto was told: every change that it answered with success, to be repeated at the next start.

It is bounded. A call that says all that an earlier one about the same thing said takes its place, and a deletion takes
away what it deleted and is not kept itself. Both are done only where the calls can be told apart by names alone
(:data:`_RULES`): alarms, dashboards, scalable targets with their policies and scheduled actions, roles and instance
profiles. IAM's users and groups can be renamed, and policies are created by name and deleted by ARN, so the calls about
them are kept as they came; so is everything else without a rule. Metric data are kept as long as CloudWatch keeps
those of one minute, and no more calls of them than are repeated in some seconds.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_ll.local.mutations import METRIC_DATA, Mutation

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Mapping

    from airflow_ll.local.store import Store

__all__ = ["Entry", "Journal"]

_METRIC_DATA_SECONDS = 15 * 24 * 3600.0
_METRIC_DATA_CALLS = 10_000
_METRIC_DATA_BATCH = 500
_PRUNE_EVERY = 100

_RESOURCE = ("@ServiceNamespace", "@ResourceId", "@ScalableDimension")
_ACTIONS = ("EnableAlarmActions", "DisableAlarmActions")


@dataclass(frozen=True)
class _Rule:
    """What a call makes of the earlier ones.

    ``scope`` names what it is about, with ``@`` before the members whose values are taken. Calls of ``replaces`` in the
    same scope are replaced if this one says as much; ``whole``: if it sets all but the tags anew, whatever it gives.
    Calls of ``voids`` have no effect after it (``"*"``: none in the scope or below it has), and if one of ``undoes`` is
    among them, neither has this one. ``each`` is the list whose items are calls of their own.
    """

    scope: tuple[str, ...]
    replaces: tuple[str, ...] = ()
    whole: bool = True
    first_seed: bool = False  # what moto generated for the first call stays
    voids: tuple[str, ...] = ()
    undoes: tuple[str, ...] = ()
    each: str | None = None


def _put(operation: str, *scope: str, **members: Any) -> tuple[str, _Rule]:
    return operation, _Rule(scope, replaces=(operation,), **members)


def _delete(operation: str, undoes: str, *scope: str, **members: Any) -> tuple[str, _Rule]:
    return operation, _Rule(scope, **{"voids": (undoes, operation), "undoes": (undoes,), **members})


_RULES: dict[str, dict[str, _Rule]] = {
    "monitoring": {
        **{name: _Rule(("alarm", "@AlarmNames"), replaces=_ACTIONS, each="AlarmNames") for name in _ACTIONS},
        **dict(
            [
                _put("PutMetricAlarm", "alarm", "@AlarmName", voids=("SetAlarmState", *_ACTIONS)),
                _delete("DeleteAlarms", "PutMetricAlarm", "alarm", "@AlarmNames", voids=("*",), each="AlarmNames"),
                _put("SetAlarmState", "alarm", "@AlarmName"),
                _put("PutDashboard", "dashboard", "@DashboardName"),
                _delete("DeleteDashboards", "PutDashboard", "dashboard", "@DashboardNames", each="DashboardNames"),
            ]
        ),
    },
    "application-autoscaling": dict(
        [
            _put("RegisterScalableTarget", "target", *_RESOURCE, whole=False, first_seed=True),
            _put("PutScalingPolicy", "policy", *_RESOURCE, "@PolicyName", whole=False),
            _put("PutScheduledAction", "action", *_RESOURCE, "@ScheduledActionName", whole=False),
            _delete("DeregisterScalableTarget", "RegisterScalableTarget", "target", *_RESOURCE),
            _delete("DeleteScalingPolicy", "PutScalingPolicy", "policy", *_RESOURCE, "@PolicyName"),
            _delete("DeleteScheduledAction", "PutScheduledAction", "action", *_RESOURCE, "@ScheduledActionName"),
        ]
    ),
    "iam": dict(
        [
            _put("GenerateCredentialReport", "report"),
            _put("UpdateAssumeRolePolicy", "role", "@RoleName", "trust"),
            _put("PutRolePolicy", "role", "@RoleName", "inline", "@PolicyName"),
            _put("AttachRolePolicy", "role", "@RoleName", "attached", "@PolicyArn"),
            _delete("DeleteRolePolicy", "PutRolePolicy", "role", "@RoleName", "inline", "@PolicyName"),
            _delete("DetachRolePolicy", "AttachRolePolicy", "role", "@RoleName", "attached", "@PolicyArn"),
            _delete("DeleteRole", "CreateRole", "role", "@RoleName", voids=("*",)),
            _put("AddRoleToInstanceProfile", "profile", "@InstanceProfileName", "role", "@RoleName"),
            _delete(
                *("RemoveRoleFromInstanceProfile", "AddRoleToInstanceProfile"),
                *("profile", "@InstanceProfileName", "role", "@RoleName"),
            ),
            _delete("DeleteInstanceProfile", "CreateInstanceProfile", "profile", "@InstanceProfileName", voids=("*",)),
        ]
    ),
}
_DEFAULT_SCOPES = {"RoleName": ("role", "@RoleName"), "InstanceProfileName": ("profile", "@InstanceProfileName")}


@dataclass(frozen=True)
class Entry:
    """A call of the journal; ``seed`` is that of moto's random numbers, from which it makes ids."""

    mutation: Mutation
    seed: int


class Journal:
    """The calls in the order in which they are to be repeated."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def add(self, mutation: Mutation, seed: int) -> None:
        """Keep a call that moto carried out; it is on the disk when this returns."""
        rule = _RULES.get(mutation.service, {}).get(mutation.operation)
        calls = list(mutation.each(rule.each)) if rule and rule.each else [mutation]
        with self._store.transaction() as connection:
            for call in calls:
                _add(connection, call, seed, rule)

    def entries(self) -> Iterator[Entry]:
        """Yield what is to be repeated: metric data last, many to a call, as no other call depends on them."""
        with self._store.transaction() as connection:
            _prune(connection)
        sql = "SELECT service, region, operation, parameters, seed FROM mutation ORDER BY id"
        data: dict[tuple[str, Any], list[Any]] = {}
        for service, region, operation, text, seed in self._store.rows(sql):
            parameters = json.loads(text)
            if operation == METRIC_DATA:
                data.setdefault((region, parameters.get("Namespace")), []).extend(parameters["MetricData"])
            else:
                yield Entry(Mutation(service, region, operation, parameters), seed)
        for (region, namespace), points in data.items():
            for first in range(0, len(points), _METRIC_DATA_BATCH):
                batch = {"Namespace": namespace, "MetricData": points[first : first + _METRIC_DATA_BATCH]}
                yield Entry(Mutation("monitoring", region, METRIC_DATA, batch), 0)


def _add(connection: sqlite3.Connection, call: Mutation, seed: int, rule: _Rule | None) -> None:
    scope = _scope(call, rule)
    place = None
    if rule is not None:
        if _void(connection, call, scope, rule):
            return
        place, first = _replace(connection, call, scope, rule)
        seed = first if first is not None and rule.first_seed else seed
    row = (place, call.service, call.region, call.operation, scope, json.dumps(call.parameters), seed, time.time())
    added = connection.execute("INSERT INTO mutation VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row).lastrowid or 0
    if call.operation == METRIC_DATA and added % _PRUNE_EVERY == 0:
        _prune(connection)


def _scope(call: Mutation, rule: _Rule | None) -> str:
    """Return what a call is about; one scope is below another if it begins with it, but for the bracket."""
    parts = rule.scope if rule else ()
    if rule is None and call.service == "iam":
        parts = next((scope for member, scope in _DEFAULT_SCOPES.items() if member in call.parameters), ())
    return json.dumps([_value(call.parameters, part) for part in parts])


def _value(parameters: Mapping[str, Any], part: str) -> Any:
    if not part.startswith("@"):
        return part
    value = parameters.get(part[1:])
    return value[0] if isinstance(value, list) else value


def _void(connection: sqlite3.Connection, call: Mutation, scope: str, rule: _Rule) -> bool:
    """Remove the calls that have no effect any more; return whether this one undoes nothing but them."""
    below = f"{scope[:-1]}, "
    found = [*_between(connection, call, scope, scope), *_between(connection, call, below, f"{below}\x7f")]  # is ASCII
    void = [(number, name) for number, name, *_ in found if "*" in rule.voids or name in rule.voids]
    connection.executemany("DELETE FROM mutation WHERE id = ?", [(number,) for number, _ in void])
    return any(name in rule.undoes for _, name in void)


def _replace(connection: sqlite3.Connection, call: Mutation, scope: str, rule: _Rule) -> tuple[int | None, int | None]:
    """Remove the calls that this one replaces; return the place of the first, if it replaces all, and its seed.

    It takes that place because calls in between may need what the first one made.
    """
    rows = [row for row in _between(connection, call, scope, scope) if row[1] in rule.replaces]
    covered = [number for number, _, parameters, _ in rows if _covers(call.parameters, json.loads(parameters), rule)]
    in_place = bool(rows) and len(covered) == len(rows)
    gone = covered if in_place else [number for number in covered if number != rows[0][0]]
    connection.executemany("DELETE FROM mutation WHERE id = ?", [(number,) for number in gone])
    return (rows[0][0], rows[0][3]) if in_place else (None, None)


def _between(connection: sqlite3.Connection, call: Mutation, low: str, high: str) -> list[tuple[Any, ...]]:
    """Return id, operation, parameters and seed of the calls to the same service in a range of scopes."""
    return connection.execute(
        "SELECT id, operation, parameters, seed FROM mutation INDEXED BY mutation_by_scope"
        " WHERE service = ? AND region = ? AND scope BETWEEN ? AND ? ORDER BY id",
        (call.service, call.region, low, high),
    ).fetchall()


def _covers(new: Mapping[str, Any], old: Mapping[str, Any], rule: _Rule) -> bool:
    """Return whether nothing of an earlier call is left after a later one; tags are added to those that are there."""
    tags = {one.get("Key") for one in old.get("Tags", ())} <= {one.get("Key") for one in new.get("Tags", ())}
    return tags and (rule.whole or set(old) <= set(new))


def _prune(connection: sqlite3.Connection) -> None:
    """Forget metric data that are too old or too many."""
    connection.execute(
        "DELETE FROM mutation WHERE operation = ? AND (time < ? OR id <="
        " (SELECT id FROM mutation WHERE operation = ? ORDER BY id DESC LIMIT 1 OFFSET ?))",
        (METRIC_DATA, time.time() - _METRIC_DATA_SECONDS, METRIC_DATA, _METRIC_DATA_CALLS),
    )
