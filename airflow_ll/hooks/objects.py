"""Read objects in S3 outside of a task: sizes, digests, streams, and every failure in one sentence."""

from __future__ import annotations

import errno
import io
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO

from botocore.exceptions import BotoCoreError, ClientError

from airflow_ll.exceptions import RequestError
from airflow_ll.hooks.failures import is_not_found
from airflow_ll.hooks.linear_learner import LinearLearnerHook, split_s3_uri

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["S3Objects"]

_READ_BYTES = 1 << 20


class S3Objects:
    """The objects that one Airflow connection reaches; a path is an S3 URI.

    :param aws_conn_id: the Airflow connection; boto3's own default credentials when it does not exist.
    """

    def __init__(self, aws_conn_id: str) -> None:
        self.aws_conn_id = aws_conn_id
        self.hook = LinearLearnerHook(aws_conn_id)

    def size(self, path: str) -> int | None:
        """Return the bytes of an object, None when there is none."""
        head = self._head(path)
        return None if head is None else int(head["ContentLength"])

    def sizes(self, folder: str) -> dict[str, int]:
        """Return the bytes of every object below ``folder`` by its URI."""
        bucket, prefix = split_s3_uri(folder)
        pages = self.hook.client("s3").get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        return {f"s3://{bucket}/{one['Key']}": one["Size"] for page in pages for one in page.get("Contents", [])}

    def digest(self, path: str) -> str | None:
        """Return the SHA-256 in the object's metadata, in hexadecimal, or None."""
        head = self._head(path)
        return None if head is None else head["Metadata"].get("sha256")

    def open(self, path: str) -> BinaryIO:
        """Return the object's bytes as a stream.

        :raises FileNotFoundError: there is no such object; what S3 says does not name it.
        """
        bucket, key = split_s3_uri(path)
        try:
            body = self.hook.client("s3").get_object(Bucket=bucket, Key=key)["Body"]
        except ClientError as error:
            if is_not_found(error):
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path) from error
            raise
        return io.BufferedReader(body, _READ_BYTES)  # the body's own with gives the connection: errors of urllib3

    @contextmanager
    def failures(self) -> Iterator[None]:
        """Raise what AWS says as one sentence.

        :raises RequestError: a call failed, no credentials were found, or the connection broke.
        """
        try:
            yield
        except (BotoCoreError, ClientError) as error:
            raise RequestError(
                f"S3 could not be read by the Airflow connection {self.aws_conn_id!r}: {error}"
            ) from error

    def _head(self, path: str) -> dict[str, Any] | None:
        bucket, key = split_s3_uri(path)
        if not key or key.endswith("/"):
            return None
        try:
            head: dict[str, Any] = self.hook.client("s3").head_object(Bucket=bucket, Key=key)
        except ClientError as error:
            if is_not_found(error):
                return None
            raise
        return head
