"""What an upload keeps about a record set beside its folder: rows, and bytes and SHA-256 of every shard."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_ll.exceptions import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_ll.records_cli.stores import Store

__all__ = ["Facts", "ShardFacts", "read_facts"]

_LARGEST_DOCUMENT = 256 << 20  # of a million shards


@dataclass(frozen=True)
class ShardFacts:
    """The bytes of a shard, and its SHA-256 in hexadecimal or None."""

    size: int
    sha256: str | None = None


@dataclass(frozen=True)
class Facts:
    """The rows of a record set, None when nobody says, and what is known about its shards by their names."""

    rows: int | None = None
    shards: Mapping[str, ShardFacts] = field(default_factory=dict)


def read_facts(store: Store, path: str) -> Facts:
    """Return the facts at ``path``, empty ones when there are none.

    Raises
    ------
    DataError
        The document is not what an upload writes.
    """
    if store.size(path) is None:
        return Facts()
    with store.open(path) as stream:
        body = stream.read(_LARGEST_DOCUMENT)
    try:
        facts = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: is not JSON ({error}): upload the record set again.") from error
    wrong = _wrong(facts)
    if wrong:
        raise DataError(f"{path}: {wrong}: upload the record set again.")
    shards = {one["name"]: ShardFacts(one["bytes"], one.get("sha256")) for one in facts.get("shards", ())}
    return Facts(facts.get("num_records"), shards)


def _wrong(facts: Any) -> str | None:
    """Return what is wrong with the document, None when nothing is."""
    if not isinstance(facts, dict):
        return f"must be a JSON object, but is {_brief(facts)}"
    if not isinstance(facts.get("num_records", 0), int):
        return f"num_records must be an integer, but is {_brief(facts['num_records'])}"
    shards = facts.get("shards", [])
    if not isinstance(shards, list):
        return f"shards must be a list, but is {_brief(shards)}"
    for index, shard in enumerate(shards):
        if not _is_shard(shard):
            return f"shard {index} must have a name, its bytes, and its sha256 as text if any, but is {_brief(shard)}"
    return None


def _is_shard(shard: Any) -> bool:
    return (
        isinstance(shard, dict)
        and isinstance(shard.get("name"), str)
        and isinstance(shard.get("bytes"), int)
        and isinstance(shard.get("sha256"), str | None)
    )


def _brief(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 80 else f"{text[:80]}..."
