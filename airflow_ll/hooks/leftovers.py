"""The artifacts that the jobs of a DAG run have written."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from airflow_ll.hooks.endpoints import names_of_run
from airflow_ll.hooks.linear_learner import split_s3_uri
from airflow_ll.hooks.resources import COMPILATION_JOB, TRAINING_JOB

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from airflow_ll.hooks.linear_learner import LinearLearnerHook
    from airflow_ll.requests.names import TaskIdentity

__all__ = ["delete_artifacts"]

_DELETE_LIMIT = 1000  # of one DeleteObjects


def delete_artifacts(
    hook: LinearLearnerHook, identity: TaskIdentity, tasks: Collection[str] | None = None
) -> list[str]:
    """Delete what the run's training and compilation jobs have written to S3; return the URIs that there were.

    The jobs themselves stay: SageMaker does not delete training jobs.

    :param tasks: ids of the tasks whose jobs are meant, as for :func:`airflow_ll.hooks.endpoints.names_of_run`.
    """
    deleted = []
    for uri in _artifacts(hook, identity, tasks):
        bucket, key = split_s3_uri(uri)
        keys = iter(list(hook.keys(uri)) if uri.endswith("/") else [one for one in hook.keys(uri) if one == key])
        there = False
        while batch := list(itertools.islice(keys, _DELETE_LIMIT)):
            there = True
            objects = [{"Key": one} for one in batch]
            hook.client("s3").delete_objects(Bucket=bucket, Delete={"Objects": objects, "Quiet": True})
        if there:
            hook.log.info("Deleted %s", uri)
            deleted.append(uri)
    return deleted


def _artifacts(hook: LinearLearnerHook, identity: TaskIdentity, tasks: Collection[str] | None) -> Iterator[str]:
    for name in names_of_run(hook, TRAINING_JOB, identity, tasks):
        description = hook.describe(TRAINING_JOB, name) or {}
        root = description.get("OutputDataConfig", {}).get("S3OutputPath", "").rstrip("/")
        if root:
            yield f"{root}/{name}/"
    for name in names_of_run(hook, COMPILATION_JOB, identity, tasks):
        artifact = (hook.describe(COMPILATION_JOB, name) or {}).get("ModelArtifacts", {}).get("S3ModelArtifacts")
        if artifact:
            yield artifact
