"""Record sets: how rows are dealt to shards, what the shards are called, and the manifest that lists them.

Pure Python: DAG files import this module while they are parsed.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

from airflow_ll.exceptions import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MANIFEST_NAME = ".amazon.manifest"


@dataclass(frozen=True)
class RecordSet:
    """One channel's rows in S3, as a training job needs to know them.

    ``s3_data`` is the URI of the manifest (of the prefix, for ``s3_data_type`` ``"S3Prefix"``), ``num_records`` the
    number of rows and ``feature_dim`` that of the columns.
    """

    s3_data: str
    num_records: int
    feature_dim: int
    channel: str = "train"
    s3_data_type: str = "ManifestFile"
    distribution: str = "ShardedByS3Key"

    def __post_init__(self) -> None:
        """Refuse what CreateTrainingJob would refuse."""
        if not self.s3_data.startswith("s3://"):
            raise DataError(f"s3_data must be a URI s3://bucket/prefix/{MANIFEST_NAME}, but is {self.s3_data!r}.")
        if not isinstance(self.channel, str) or not re.fullmatch(r"[A-Za-z0-9._-]{1,64}", self.channel):
            raise DataError(
                f"channel must have 1 to 64 letters, digits, '.', '_' and '-', such as train, but is {self.channel!r}."
            )
        for name, allowed in _ALLOWED.items():
            if getattr(self, name) not in allowed:
                raise DataError(f"{name} must be one of {', '.join(allowed)}, but is {getattr(self, name)!r}.")
        for name in ("num_records", "feature_dim"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise DataError(f"{name} must be an integer of at least 1, but is {value!r}.")

    def to_dict(self) -> dict[str, str | int]:
        """Return the fields as flat JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> RecordSet:
        """Return the record set that ``values`` describes; other keys, such as a task's statistics, are ignored.

        :raises DataError: a key is missing or has a value that no record set has.
        """
        known = {field.name: values[field.name] for field in fields(cls) if field.name in values}
        missing = [name for name in ("s3_data", "num_records", "feature_dim") if name not in known]
        if missing:
            raise DataError(
                f"A record set needs s3_data, num_records and feature_dim, but {', '.join(missing)} is missing: "
                "pass the result of a record set task."
            )
        return cls(**known)


_ALLOWED = {
    "s3_data_type": ("ManifestFile", "S3Prefix"),
    "distribution": ("ShardedByS3Key", "FullyReplicated"),
}


def default_mini_batch_size(num_records: int, instance_count: int) -> int:
    """Return the mini-batch size of a job that sets none: 1000, or one instance's share of fewer rows."""
    return min(1000, max(1, num_records // instance_count))


def shard_bounds(rows: int, shards: int) -> list[tuple[int, int]]:
    """Return each shard's half-open range of rows: equal shares, the last shard takes the rest.

    :raises DataError: there are no shards, or fewer rows than shards.
    """
    if shards < 1:
        raise DataError(f"The number of shards must be at least 1, but is {shards}.")
    if rows < shards:
        raise DataError(
            f"{rows} row(s) cannot fill {shards} shard(s): every instance needs one, so use at most {rows} instance(s)."
            if rows
            else "There are no rows to make a record set of."
        )
    share = rows // shards
    return [(i * share, (i + 1) * share if i < shards - 1 else rows) for i in range(shards)]


def shard_name(index: int, shards: int) -> str:
    """Return the object name of shard ``index`` of ``shards``: ``matrix_0.pbr``, of ten and more ``matrix_00.pbr``."""
    if not 0 <= index < shards:
        raise DataError(f"Shard {index} does not exist: {shards} shard(s) are numbered from 0 to {shards - 1}.")
    return f"matrix_{index:0{len(str(shards))}d}.pbr"


def manifest_body(prefix_uri: str, names: Sequence[str]) -> bytes:
    """Return the manifest of the objects ``names`` below ``prefix_uri``.

    :raises DataError: the prefix is no S3 URI, or a name does not stay below it.
    """
    prefix = prefix_uri if prefix_uri.endswith("/") else f"{prefix_uri}/"
    _check_prefix(prefix)
    for name in names:
        _check_name(name)
    return json.dumps([{"prefix": prefix}, *names]).encode()


def parse_manifest(body: bytes) -> tuple[str, list[str]]:
    """Return the prefix URI and the object names of a manifest.

    :raises DataError: it is not a manifest, or a name would leave the prefix.
    """
    try:
        entries = json.loads(body)
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise DataError(f"The manifest is not JSON ({error}).") from error
    if not isinstance(entries, list) or not entries or not isinstance(entries[0], dict):
        raise DataError('A manifest is a JSON list of {"prefix": "s3://..."} and object names, but this one is not.')
    prefix = entries[0].get("prefix")
    if list(entries[0]) != ["prefix"] or not isinstance(prefix, str):
        raise DataError(f'The manifest must begin with {{"prefix": "s3://..."}}, but begins with {entries[0]!r}.')
    _check_prefix(prefix)
    for name in entries[1:]:
        _check_name(name)
    return prefix, entries[1:]


def _check_prefix(prefix: str) -> None:
    if not re.fullmatch(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[^\x00]*)?", prefix):
        raise DataError(f"The manifest's prefix must be an S3 URI such as s3://bucket/prefix/, but is {prefix!r}.")


def _check_name(name: object) -> None:
    """Refuse names that are not below the prefix when a manifest is copied to files."""
    parts = name.split("/") if isinstance(name, str) else []
    if not isinstance(name, str) or not name or {"", ".", ".."} & set(parts) or "\\" in name or "\x00" in name:
        raise DataError(f"The manifest names the object {name!r}, which does not stay below its prefix.")
