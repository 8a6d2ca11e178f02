"""Stand-ins for results of other tasks that nobody knows before they have run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_ll.hooks.connected import task_identity
from airflow_ll.requests.names import resource_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_ll.operators.record_set import RecordSetTask

__all__ = ["SIZES", "Unknown", "record_set_result", "unlike"]

#: Two guesses of what a record set measures: what differs between the requests of both is not known.
SIZES = ({"num_records": 900_001, "feature_dim": 90_001}, {"num_records": 701, "feature_dim": 71})


class Unknown(str):
    """The result of a task of somebody else, or a part of it, by name."""

    __slots__ = ()

    def __getitem__(self, key: Any) -> Any:
        """Return a part, by key or number; slices are those of the text."""
        return str(self)[key] if isinstance(key, slice) else Unknown(f"{self[:-1]}.{key}>")


def record_set_result(task: RecordSetTask, context: Mapping[str, Any], sizes: Mapping[str, int]) -> Any:
    """Return the result of a record set task as far as it follows from the task: the folder, the channel."""
    name = resource_name(task_identity(context), "record-set")
    root = task.hook.location(task.data_location, default="record-sets")

    def one(channel: str) -> dict[str, Any]:
        folder = f"{root}/{name}/<data>" + (f"/{channel}" if channel != task.channel else "")
        return {
            "s3_data": f"{folder}/.amazon.manifest",
            "s3_data_type": "ManifestFile",
            "channel": channel,
            "distribution": task.distribution,
            **sizes,
        }

    split = getattr(task, "split", None)
    return {channel: one(channel) for channel in split} if split else one(task.channel)


def unlike(first: Any, second: Any) -> Any:
    """Return ``first`` with placeholders where ``second``, made with other sizes, says something else."""
    if isinstance(first, dict) and isinstance(second, dict):
        return {key: unlike(value, second.get(key)) for key, value in first.items()}
    if isinstance(first, list) and isinstance(second, list) and len(first) == len(second):
        return [unlike(one, other) for one, other in zip(first, second, strict=True)]
    if first == second:
        return first
    for name, size in SIZES[0].items():
        if str(first) == str(size):
            return f"<{name} of the record set>"
    return "<depends on the record set>"
