"""Upload rows as record sets: shards first, the manifest last.

A record set exists when its manifest exists, so nothing that a reader could take for one is ever half there. Its prefix
follows from the task and the data: a retry finds what the attempt before has uploaded, and goes on.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import numpy as np

from airflow_ll.hooks.shards import DEFAULT_SHARD_SIZE
from airflow_ll.hooks.storage import ObjectSettings
from airflow_ll.hooks.uploading import Attempt, Rows, Target, Upload
from airflow_ll.records import shard_bounds
from airflow_ll.records.checks import check_rows, nothing_left
from airflow_ll.records.matrices import as_matrix, label_array
from airflow_ll.records.record_sets import MANIFEST_NAME

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import ArrayLike

    from airflow_ll.hooks.linear_learner import LinearLearnerHook

__all__ = ["MANIFEST_NAME", "Upload", "upload_record_set"]

_HASHED_BYTES = 16 << 20
_DEFAULT_NAME = "record-set"
_DEFAULT_LOCATION = "record-sets"


def upload_record_set(
    hook: LinearLearnerHook,
    features: ArrayLike,
    labels: ArrayLike | None = None,
    *,
    name: str | None = None,
    data_location: str | None = None,
    channel: str = "train",
    instance_count: int | None = None,
    target_shard_size: int = DEFAULT_SHARD_SIZE,
    distribution: str = "ShardedByS3Key",
    on_invalid: str = "error",
    predictor_type: str | None = None,
    num_classes: int | None = None,
    settings: ObjectSettings | None = None,
    encrypt: bool = False,
) -> Upload:
    """Check and upload features (rows, feature_dim) and labels (rows,) as a record set.

    :param name: a folder below ``data_location`` that is this caller's own: what older attempts left there is removed.
        Without it, the folder is shared and nothing is removed. The data's fingerprint is the rest of the prefix.
    :param data_location: S3 URI; SageMaker's default bucket when None.
    :param instance_count: how many equal shards, one for each training instance; None cuts by size.
    :param target_shard_size: bytes of a shard when they are cut by size.
    :param on_invalid: "error" refuses rows with NaN or infinities, also in the label; "drop" leaves them out.
    :param predictor_type: what the labels must suit; any finite number when None.
    :param settings: encryption, owner, storage class and tags of the objects.
    :param encrypt: short for settings with SSE-S3.
    :raises DataError: rows or labels that the algorithm would refuse; nothing was uploaded.
    :raises RequestError: the bucket does not exist.
    """
    batch = _checked(features, labels, channel, on_invalid, predictor_type, num_classes)
    if batch.dropped:
        hook.log.warning("Left out %d rows with a NaN or an infinity", batch.dropped)
    rows = batch.features.shape[0]
    settings = settings or ObjectSettings(encrypt=encrypt)
    shard_bounds(rows, instance_count or 1)
    how = f"{instance_count} {target_shard_size} {json.dumps(settings.identity, sort_keys=True)}"
    target = Target(
        root=hook.location(data_location, default=_DEFAULT_LOCATION),
        name=name or _DEFAULT_NAME,
        fingerprint=array_fingerprint(batch.features, batch.labels, how),
        identifies=True,
        exclusive=name is not None,
        instance_count=instance_count,
        shard_size=target_shard_size,
        total_rows=rows,
        distribution=distribution,
        settings=settings,
    )
    attempt = Attempt(hook, target)
    return (attempt.complete(channel) or attempt.run(lambda write: write(batch)))[0]


def _checked(
    features: Any, labels: Any, channel: str, on_invalid: str, predictor_type: str | None, num_classes: int | None
) -> Rows:
    """Return the rows that are left of what the caller gave."""
    matrix, given = as_matrix(features), None if labels is None else label_array(labels)
    kept = check_rows(matrix, given, on_invalid, predictor_type, num_classes)
    if kept is None:
        return Rows(matrix, given, channel)
    if not kept.any():
        raise nothing_left(len(kept))
    return Rows(matrix[kept], None if given is None else given[kept], channel, len(kept) - int(kept.sum()))


def array_fingerprint(features: Any, labels: Any, how: str) -> str:
    """Return the SHA-256 of arrays and of what is done with them, in hexadecimal."""
    digest = hashlib.sha256(f"{features.shape} {how}".encode())
    for array in _arrays(features, labels):
        digest.update(f"{array.dtype.str} {array.shape}".encode())
        step = max(1, _HASHED_BYTES // max(1, array.nbytes // max(1, len(array))))
        for first in range(0, len(array), step):
            digest.update(np.ascontiguousarray(array[first : first + step]).view(np.uint8).data)
    return digest.hexdigest()


def _arrays(features: Any, labels: Any) -> Iterator[Any]:
    yield from (features.data, features.indices, features.indptr) if hasattr(features, "indptr") else (features,)
    if labels is not None:
        yield np.asarray(labels)
