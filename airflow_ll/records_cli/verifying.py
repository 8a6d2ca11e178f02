"""``airflow-ll records verify``: every byte of every record, the manifest and the digests."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO

from airflow_ll.exceptions import DataError, RecordFormatError
from airflow_ll.records import iter_records
from airflow_ll.records.record_sets import MANIFEST_NAME
from airflow_ll.records_cli.facts import Facts
from airflow_ll.records_cli.kinds import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_ll.records_cli.facts import ShardFacts
    from airflow_ll.records_cli.sources import Shards

__all__ = ["Verdict", "verify"]

_READ_BYTES = 1 << 20


@dataclass
class Verdict:
    """What was found: one sentence a fault, and how much was right."""

    faults: list[str] = field(default_factory=list)
    shards: int = 0
    rows: int = 0
    size: int = 0
    digests: int = 0


class _Hashing:
    """A stream that hashes and counts what is read from it."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._hash = hashlib.sha256()
        self.size = 0

    def read(self, size: int) -> bytes:
        """Return up to ``size`` bytes."""
        data = self._stream.read(size)
        self._hash.update(data)
        self.size += len(data)
        return data

    def finish(self) -> str:
        """Read the rest and return the SHA-256 of all, in hexadecimal."""
        while self.read(_READ_BYTES):
            pass
        return self._hash.hexdigest()


def verify(shards: Shards) -> Verdict:
    """Read all shards and compare them with one another, the manifest, and the digests that were stored with them.

    RecordIO itself has no checksum: damage inside a number shows in the SHA-256 only, where there is one.
    """
    verdict = Verdict()
    facts = _facts(shards, verdict)
    first: Kind | None = None
    for path in dict.fromkeys(shards.paths):
        if shards.store.size(path) is None:
            verdict.faults.append(f"{path}: the manifest names it, but it does not exist.")
            continue
        for kind in _shard(shards, path, facts.shards.get(path[len(shards.folder) :]), verdict):
            first = first or kind
            if kind != first:
                verdict.faults.append(f"{path}: has rows with {kind}, but the rows before have {first}.")
    verdict.faults += [*_listed(shards), *_unlisted(shards), *_rows(shards, facts, verdict)]
    return verdict


def _facts(shards: Shards, verdict: Verdict) -> Facts:
    """Return the facts of the record set; those that cannot be read are a fault, and the shards are verified still."""
    try:
        return shards.facts()
    except DataError as error:
        verdict.faults.append(str(error))
        return Facts()


def _shard(shards: Shards, path: str, known: ShardFacts | None, verdict: Verdict) -> list[Kind]:
    """Read one shard, add what is wrong with it to ``verdict``, and return the kinds of rows that it has."""
    kinds: list[Kind] = []
    with shards.store.open(path) as opened:
        stream = _Hashing(opened)
        try:
            for batch in iter_records(stream, batch_rows=None):  # type: ignore[arg-type]  # it only reads
                kind = Kind.of(batch)
                kinds += [] if kind in kinds else [kind]
                verdict.rows += len(batch)
        except RecordFormatError as error:
            verdict.faults.append(f"{path}: {error}")
        digest = stream.finish()
    verdict.shards += 1
    verdict.size += stream.size
    verdict.faults += [f"{path}: {wrong}" for wrong in _wrong_size(stream.size, known)]
    stored = {"its metadata": shards.store.digest(path), "the facts of the record set": known and known.sha256}
    for place, expected in stored.items():
        if expected and expected != digest:
            verdict.faults.append(f"{path}: has the SHA-256 {digest}, but {place} say {expected}.")
    verdict.digests += any(stored.values())
    return kinds


def _wrong_size(size: int, known: ShardFacts | None) -> Iterator[str]:
    if known and known.size != size:
        yield f"has {size} bytes, but was uploaded with {known.size}."
    elif not size:
        yield "is empty: every shard needs a record."


def _listed(shards: Shards) -> Iterator[str]:
    """Yield a fault for each shard whose rows would be read more than once, and for a manifest without any."""
    if not shards.paths:
        yield f"{shards.manifest}: names no shard."
    for path, times in Counter(shards.paths).items():
        if times > 1:
            yield f"{path}: the manifest names it {times} times, so that its rows would be read as often."


def _unlisted(shards: Shards) -> Iterator[str]:
    """Yield a fault for each file that a reader of the folder would take for a shard, though no manifest names it."""
    if shards.manifest is None or not shards.folder:
        return
    listed = {*shards.paths, shards.manifest, shards.folder + MANIFEST_NAME}
    for path in sorted(shards.store.sizes(shards.folder)):
        if path not in listed:
            yield f"{path}: is beside the shards, but not in the manifest."


def _rows(shards: Shards, facts: Facts, verdict: Verdict) -> Iterator[str]:
    if facts.rows is not None and facts.rows != verdict.rows and not verdict.faults:
        yield f"{shards.manifest}: has {verdict.rows} rows, but was uploaded with {facts.rows}."
