"""Upload arrays as record sets: shards first, the manifest last.

A record set exists when its manifest exists, so nothing that a reader could take for one is ever half there. Its prefix
follows from the task and the data: a retry finds what the attempt before has uploaded, and goes on.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from botocore.exceptions import ClientError

from airflow_ll.exceptions import DataError
from airflow_ll.hooks.failures import is_not_found
from airflow_ll.hooks.linear_learner import split_s3_uri
from airflow_ll.records import (
    RecordSet,
    check_features,
    check_labels,
    manifest_body,
    shard_bounds,
    shard_name,
    write_records,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import ArrayLike

    from airflow_ll.hooks.linear_learner import LinearLearnerHook

__all__ = ["MANIFEST_NAME", "Upload", "upload_record_set"]

MANIFEST_NAME = ".amazon.manifest"

_HASHED_BYTES = 16 << 20
_IN_MEMORY_BYTES = 64 << 20
_LARGEST_SHARD = 5 << 30  # of one PutObject


@dataclass(frozen=True)
class Upload:
    """A record set in S3.

    :param shards: number of objects beside the manifest.
    :param size: their bytes.
    :param adopted: whether it was complete already.
    """

    record_set: RecordSet
    shards: int
    size: int
    adopted: bool

    def to_dict(self) -> dict[str, Any]:
        """Return the result of a record set task, flat JSON."""
        return {**self.record_set.to_dict(), "shards": self.shards, "bytes": self.size, "adopted": self.adopted}


def upload_record_set(
    hook: LinearLearnerHook,
    features: ArrayLike,
    labels: ArrayLike | None = None,
    *,
    name: str = "record-set",
    data_location: str | None = None,
    channel: str = "train",
    instance_count: int = 1,
    distribution: str = "ShardedByS3Key",
    encrypt: bool = False,
    on_invalid: str = "error",
    predictor_type: str | None = None,
    num_classes: int | None = None,
) -> Upload:
    """Check and upload features (rows, feature_dim) and labels (rows,) as a record set.

    :param name: the folder below ``data_location``; together with the data's fingerprint it is the prefix.
    :param data_location: S3 URI; SageMaker's default bucket when None.
    :param instance_count: how many shards, one for each training instance.
    :param encrypt: whether S3 encrypts the objects with AES-256.
    :param on_invalid: "error" refuses rows with NaN or infinities, "drop" leaves them out.
    :param predictor_type: what the labels must suit; any finite number when None.
    :raises DataError: rows or labels that the algorithm would refuse; nothing was uploaded.
    :raises RequestError: the bucket does not exist.
    """
    checked = check_features(features, on_invalid)  # type: ignore[arg-type]
    if checked.dropped:
        hook.log.warning("Left out %d rows with a NaN or an infinity", checked.dropped)
    rows, columns = checked.features.shape
    if labels is not None:
        given = np.asarray(labels)
        labels = check_labels(given if checked.kept is None else given[checked.kept], rows, predictor_type, num_classes)
    bounds = shard_bounds(rows, instance_count)
    digest = _fingerprint(checked.features, labels, instance_count)
    root = hook.location(data_location, default="record-sets")
    target = _Target(hook, f"{root}/{name}/{digest[:16]}/", {"ServerSideEncryption": "AES256"} if encrypt else {})
    record_set = RecordSet(target.uri + MANIFEST_NAME, rows, columns, channel, distribution=distribution)
    there = target.complete(digest)
    if there is not None:
        hook.log.info("The record set %s is complete already", record_set.s3_data)
        return Upload(record_set, len(bounds), there, adopted=True)
    size = target.upload(checked.features, labels, bounds, digest)
    hook.log.info("Uploaded %d rows in %d shards (%d bytes) to %s", rows, len(bounds), size, target.uri)
    return Upload(record_set, len(bounds), size, adopted=False)


def _fingerprint(features: Any, labels: Any, shards: int) -> str:
    """Return the SHA-256 of the data and of how it is cut, in hexadecimal."""
    digest = hashlib.sha256(f"{features.shape} {shards}".encode())
    sparse = hasattr(features, "indptr")
    arrays = (features.data, features.indices, features.indptr) if sparse else (features,)
    for array in (*arrays, *(() if labels is None else (labels,))):
        digest.update(f"{array.dtype.str} {array.shape}".encode())
        step = max(1, _HASHED_BYTES // max(1, array.nbytes // max(1, len(array))))
        for first in range(0, len(array), step):
            digest.update(np.ascontiguousarray(array[first : first + step]).view(np.uint8).data)
    return digest.hexdigest()


@dataclass
class _Target:
    """The prefix of one record set; the facts about it are kept beside it, where no channel reads them."""

    hook: LinearLearnerHook
    uri: str
    settings: dict[str, str]
    _put: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.bucket, self.prefix = split_s3_uri(self.uri)
        self.meta_key = f"{self.prefix.rstrip('/')}.meta/record_set.json"
        self.s3 = self.hook.client("s3")

    def complete(self, digest: str) -> int | None:
        """Return the bytes of the shards when all of this very record set is there."""
        keys = set(self.hook.keys(self.uri))
        if self.prefix + MANIFEST_NAME not in keys:
            return None
        try:
            facts = json.loads(self.hook.read(f"s3://{self.bucket}/{self.meta_key}"))
        except ClientError as error:
            if is_not_found(error):
                return None
            raise
        whole = facts["fingerprint"] == digest and all(self.prefix + one["name"] in keys for one in facts["shards"])
        return sum(one["bytes"] for one in facts["shards"]) if whole else None

    def upload(self, features: Any, labels: Any, bounds: list[tuple[int, int]], digest: str) -> int:
        """Upload what is missing and return the bytes of all shards; on failure remove what this call uploaded."""
        try:
            shards = list(self._shards(features, labels, bounds))
            facts = {"fingerprint": digest, "shards": shards}
            self._put_object(self.meta_key, json.dumps(facts).encode())
            manifest = manifest_body(self.uri, [shard["name"] for shard in shards])
            self._put_object(self.prefix + MANIFEST_NAME, manifest)
        except BaseException:
            self._remove_uploaded()
            raise
        return sum(shard["bytes"] for shard in shards)

    def _shards(self, features: Any, labels: Any, bounds: list[tuple[int, int]]) -> Iterator[dict[str, Any]]:
        for index, (first, last) in enumerate(bounds):
            name = shard_name(index, len(bounds))
            with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY_BYTES) as body:
                size = write_records(body, features[first:last], None if labels is None else labels[first:last])
                if size > _LARGEST_SHARD:
                    raise DataError(f"The shard {name} would have {size} bytes; S3 takes 5 GiB: raise instance_count.")
                body.seek(0)
                digest = hashlib.file_digest(body, "sha256").hexdigest()
                body.seek(0)
                if not self._is_there(name, digest, size):
                    self._put_object(self.prefix + name, body, Metadata={"sha256": digest})
            yield {"name": name, "sha256": digest, "bytes": size}

    def _is_there(self, name: str, digest: str, size: int) -> bool:
        try:
            head = self.s3.head_object(Bucket=self.bucket, Key=self.prefix + name)
        except ClientError as error:
            if is_not_found(error):
                return False
            raise
        return bool(head["ContentLength"] == size and head["Metadata"].get("sha256") == digest)

    def _put_object(self, key: str, body: Any, **settings: Any) -> None:
        self._put.append(key)
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=body, **self.settings, **settings)

    def _remove_uploaded(self) -> None:
        for key in reversed(self._put):  # the manifest first
            try:
                self.s3.delete_object(Bucket=self.bucket, Key=key)
            except Exception as error:
                self.hook.log.warning("s3://%s/%s could not be removed: %s", self.bucket, key, error)
