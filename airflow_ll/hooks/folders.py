"""The folder of one record set, and the uploads into it.

::

    <folder>/matrix_00000.pbr ...     the shards
    <folder>/.amazon.manifest         written last: with it the record set exists
    <folder>.meta/record_set.json     the facts: fingerprint, rows, SHA-256 of each shard and of all
    <folder>.meta/schema.json         the feature schema, when the columns have names

The facts are beside the folder, where no channel reads them.
"""

from __future__ import annotations

import hashlib
import json
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_ll.records import manifest_body
from airflow_ll.records.record_sets import MANIFEST_NAME

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from airflow_ll.hooks.shards import Shard
    from airflow_ll.hooks.storage import Storage

__all__ = ["FACTS_NAME", "SCHEMA_NAME", "Folder", "Uploads", "has_shards", "total_digest"]

FACTS_NAME = "record_set.json"
SCHEMA_NAME = "schema.json"
_SHARDS_IN_FLIGHT = 2


class Uploads:
    """The uploads of one task: few at a time, so that their bodies are all the memory that they take.

    :param present: size of each object that is there already, by key.
    :param manifests: keys of the manifests that may name what is about to change.
    """

    def __init__(self, storage: Storage, present: dict[str, int], manifests: Sequence[str]) -> None:
        self.storage, self.present = storage, present
        self.written: list[str] = []
        self.changed = False
        self._manifests = [key for key in manifests if key in present]
        self._pending: deque[tuple[Shard, Any]] = deque()

    def shard(self, key: str, shard: Shard) -> None:
        """Upload a shard in the background, unless its very bytes are there."""
        if self.present.get(key) == shard.size and self.storage.digest(key, shard.size) == shard.digest:
            shard.discard()
            return
        self.invalidate()
        while len(self._pending) >= _SHARDS_IN_FLIGHT:
            self._wait_for_one()
        self.written.append(key)
        self._pending.append((shard, self.storage.start_upload(key, shard.body, shard.digest)))

    def invalidate(self) -> None:
        """Remove the manifests before what they name changes: from now on there is no record set."""
        if not self.changed:
            self.storage.remove(self._manifests)
            for key in self._manifests:
                del self.present[key]
            self.changed = True

    def put(self, key: str, body: bytes) -> None:
        """Write one small object, unless it is there and nothing has changed."""
        if self.changed or key not in self.present:
            self.changed = True
            self.written.append(key)
            self.storage.put(key, body)

    def remove(self, keys: Sequence[str]) -> None:
        """Remove what an older attempt left."""
        if keys:
            self.invalidate()
            self.storage.remove(keys)

    def wait(self) -> None:
        """Wait until everything is uploaded."""
        while self._pending:
            self._wait_for_one()

    def cancel(self) -> None:
        """Give up what is under way."""
        for _, future in self._pending:  # s3transfer's own shutdown(cancel=True) raises a TypeError
            future.cancel()
        self.storage.close()
        for shard, _ in self._pending:
            shard.discard()
        self._pending.clear()

    def _wait_for_one(self) -> None:
        shard, future = self._pending.popleft()
        try:
            future.result()
        finally:
            shard.discard()


@dataclass
class Folder:
    """One record set that is being written.

    :param path: below the storage's prefix, without a slash at its end.
    :param meta: the folder of the facts; ``<path>.meta`` when empty.
    """

    path: str
    uploads: Uploads
    shards: list[dict[str, Any]] = field(default_factory=list)
    meta: str = ""

    def __post_init__(self) -> None:
        """Put the facts beside the folder."""
        self.meta = self.meta or f"{self.path}.meta"

    def add(self, shard: Shard) -> None:
        """Upload a shard, or find that it is there."""
        self.shards.append(shard.facts())
        self.uploads.shard(f"{self.path}/{shard.name}", shard)

    @property
    def size(self) -> int:
        """Bytes of all shards."""
        return sum(one["bytes"] for one in self.shards)

    @property
    def uri(self) -> str:
        """S3 URI of the folder, with a slash at its end."""
        return f"{self.uploads.storage.uri}{self.path}/"

    @property
    def keys(self) -> set[str]:
        """The keys of all objects that belong to the record set."""
        shards = {f"{self.path}/{one['name']}" for one in self.shards}
        return shards | {self.manifest_key, f"{self.meta}/{FACTS_NAME}", f"{self.meta}/{SCHEMA_NAME}"}

    @property
    def manifest_key(self) -> str:
        """The key of the manifest."""
        return f"{self.path}/{MANIFEST_NAME}"

    def commit_facts(self, facts: Mapping[str, Any], schema: str | None) -> None:
        """Write what is known about the record set."""
        self.uploads.put(f"{self.meta}/{FACTS_NAME}", json.dumps(facts, indent=1).encode())
        if schema is not None:
            self.uploads.put(f"{self.meta}/{SCHEMA_NAME}", schema.encode())

    def commit_manifest(self) -> None:
        """Write the manifest: with this object the record set exists."""
        self.uploads.put(self.manifest_key, manifest_body(self.uri, [one["name"] for one in self.shards]))


def total_digest(shards: Iterable[Mapping[str, Any]]) -> str:
    """Return the digest of a record set: the SHA-256 of its shards' digests, in order, in hexadecimal."""
    return hashlib.sha256("".join(one["sha256"] for one in shards).encode()).hexdigest()


def has_shards(facts: Mapping[str, Any], path: str, present: Mapping[str, int]) -> bool:
    """Whether the folder has every shard that the facts name."""
    return all(present.get(f"{path}/{one['name']}") == one["bytes"] for one in facts["shards"])
