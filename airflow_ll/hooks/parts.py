"""One record set from many tasks: each writes a part, one joins them.

::

    <task>/parts/00003-<fingerprint>/matrix_000000.pbr ...        the shards of part 3
    <task>/parts.meta/00003-<fingerprint>/record_set.json         its facts, last: with them the part is complete
    <task>/parts/.amazon.manifest                                 names the shards of all parts: the record set
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow_ll.exceptions import DataError
from airflow_ll.hooks.conversion import run_pipeline
from airflow_ll.hooks.folders import FACTS_NAME, SCHEMA_NAME, Folder, Uploads, has_shards, total_digest
from airflow_ll.hooks.storage import ObjectSettings, Storage
from airflow_ll.hooks.uploading import Attempt, Upload
from airflow_ll.records import RecordSet
from airflow_ll.records.record_sets import MANIFEST_NAME

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow_ll.hooks.conversion import Conversion
    from airflow_ll.hooks.linear_learner import LinearLearnerHook
    from airflow_ll.hooks.uploading import Target
    from airflow_ll.records import FeatureSchema

__all__ = ["join_parts", "write_part"]

_PARTS = "parts"
_META = f"{_PARTS}.meta"
_MANIFEST = f"{_PARTS}/{MANIFEST_NAME}"


def write_part(hook: LinearLearnerHook, conversion: Conversion, index: int) -> dict[str, Any]:
    """Have part ``index`` of a record set complete and return its facts, flat JSON for ``join_parts``.

    :raises DataError: rows or labels that the algorithm would refuse; the part is not complete then.
    """
    attempt = _PartAttempt(hook, conversion.target(hook), index)
    channel = conversion.rows.channel
    upload = (attempt.complete(channel) or run_pipeline(attempt, conversion))[0]
    facts = upload.to_dict()
    names = ("num_records", "feature_dim", "shards", "bytes", "dropped", "sha256", "schema_checksum", "adopted")
    return {"record_set": attempt.storage.uri, "part": attempt.part, **{name: facts[name] for name in names}}


def join_parts(
    hook: LinearLearnerHook,
    parts: Iterable[Mapping[str, Any]],
    *,
    channel: str = "train",
    distribution: str = "ShardedByS3Key",
    settings: ObjectSettings | None = None,
) -> Upload:
    """Make one record set of the parts that ``write_part`` returned, in their order, and remove all other parts.

    :raises DataError: there are no parts, they do not fit together, or one is not there any more.
    """
    parts = _in_order(parts)
    uri = _only("record_set", parts)
    _only("feature_dim", parts)
    _only("schema_checksum", parts)
    storage = Storage(hook, uri, settings)
    present = storage.sizes()
    uploads = Uploads(storage, present, [_MANIFEST])
    all_facts = [_facts_of(storage, part, present) for part in parts]
    shards = [
        {**shard, "name": f"{part['part']}/{shard['name']}"}
        for part, facts in zip(parts, all_facts, strict=True)
        for shard in facts["shards"]
    ]
    folder = Folder(_PARTS, uploads, shards)
    facts = _joined(all_facts, shards, channel)
    if storage.read_json(f"{_META}/{FACTS_NAME}") != facts:
        uploads.invalidate()
    kept = {key for part in parts for key in _part_folder(uploads, part["part"]).keys} | folder.keys
    uploads.remove([key for key in present if key.startswith((f"{_PARTS}/", f"{_META}/")) and key not in kept])
    storage.abort_uploads()
    schema = storage.read_json(f"{_META}/{parts[0]['part']}/{SCHEMA_NAME}")
    folder.commit_facts(facts, None if schema is None else json.dumps(schema))
    folder.commit_manifest()
    record_set = RecordSet(
        folder.uri + MANIFEST_NAME, facts["num_records"], facts["feature_dim"], channel, distribution=distribution
    )
    return Upload(
        record_set,
        len(shards),
        facts["bytes"],
        adopted=not uploads.changed,
        dropped=facts["dropped"],
        digest=facts["sha256"],
        schema_checksum=facts["schema_checksum"],
    )


class _PartAttempt(Attempt):
    """An attempt whose folder is one part: other parts are written beside it at the same time."""

    def __init__(self, hook: LinearLearnerHook, target: Target, index: int) -> None:
        self._number = f"{index:05d}-"
        self.part = f"{self._number}{target.group}"
        super().__init__(hook, target)

    def look(self) -> dict[str, int]:
        own = [self.storage.sizes(f"{folder}/{self._number}") for folder in (_PARTS, _META)]
        return own[0] | own[1] | self.storage.sizes(_MANIFEST)

    def is_ours(self, key: str) -> bool:
        return key.startswith((f"{_PARTS}/{self.part}/", f"{_META}/{self.part}/"))

    def may_name_ours(self, key: str) -> bool:
        return key == _MANIFEST

    def folder(self, channel: str) -> Folder:
        return _part_folder(self.uploads, self.part)

    def sweep(self) -> None:
        """Leave other data to the task that joins the parts: until then a manifest may name them."""

    def complete(self, channel: str) -> list[Upload]:
        path = f"{_PARTS}/{self.part}"
        facts_key = f"{_META}/{self.part}/{FACTS_NAME}"
        facts = self.storage.read_json(facts_key) if facts_key in self.present else None
        if not self.target.identifies or not self.tells(facts, path):
            return []
        return [self.upload(self.folder(channel), facts, channel)]

    def commit(self, schema: FeatureSchema | None) -> list[Upload]:
        return self.commit_facts(schema)


def _part_folder(uploads: Uploads, part: str) -> Folder:
    return Folder(f"{_PARTS}/{part}", uploads, meta=f"{_META}/{part}")


def _in_order(parts: Iterable[Mapping[str, Any] | None]) -> list[Mapping[str, Any]]:
    """Return the parts in the order of their tasks.

    :raises DataError: one is no result of a shard task, or is there twice, which would double its rows.
    """
    by_name: dict[str, Mapping[str, Any]] = {}
    for part in parts:
        if not isinstance(part, Mapping) or not {"record_set", "part", "sha256"} <= set(part):
            raise DataError(f"Every part of a record set must be the result of a shard task, got {part!r}.")
        if part["part"] in by_name:
            raise DataError(f"Every part of a record set must be given once, got {part['part']} more than once.")
        by_name[part["part"]] = part
    return [by_name[name] for name in sorted(by_name)]


def _facts_of(storage: Storage, part: Mapping[str, Any], present: Mapping[str, int]) -> dict[str, Any]:
    """Return the facts of a part after looking for its shards."""
    name = part["part"]
    facts = storage.read_json(f"{_META}/{name}/{FACTS_NAME}")
    if facts is None or facts["sha256"] != part["sha256"] or not has_shards(facts, f"{_PARTS}/{name}", present):
        raise DataError(f"The part {name} is not below {storage.uri} as its task left it: run that task again.")
    return facts


def _joined(parts: list[dict[str, Any]], shards: list[dict[str, Any]], channel: str) -> dict[str, Any]:
    labelled = {part["labelled"] for part in parts}
    if len(labelled) > 1:
        raise DataError("All parts of a record set must have labels, or none, but some have and some have not.")
    fingerprints = "".join(part["fingerprint"] for part in parts)
    return {
        "fingerprint": hashlib.sha256(fingerprints.encode()).hexdigest(),
        "channel": channel,
        "num_records": sum(part["num_records"] for part in parts),
        "feature_dim": parts[0]["feature_dim"],
        "labelled": labelled.pop(),
        "dropped": sum(part["dropped"] for part in parts),
        "bytes": sum(part["bytes"] for part in parts),
        "sha256": total_digest(shards),
        "schema_checksum": parts[0]["schema_checksum"],
        "shards": shards,
    }


def _only(name: str, parts: list[Mapping[str, Any]]) -> Any:
    """Return the value that all parts share."""
    values: dict[Any, str] = {}
    for part in parts:
        values.setdefault(part[name], part["part"])
    if len(values) != 1:
        given = ", ".join(f"{value!r} of part {part}" for value, part in values.items()) or "no parts"
        raise DataError(f"The parts of a record set must have one {name}, got {given}.")
    return next(iter(values))
