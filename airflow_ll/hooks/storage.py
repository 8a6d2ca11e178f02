"""Write objects below one S3 prefix: encrypted, tagged, in parallel, in parts when they are large."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import dataclass, field
from functools import cached_property
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import urlencode

from botocore.exceptions import ClientError

from airflow_ll.exceptions import RequestError
from airflow_ll.hooks.failures import is_not_found
from airflow_ll.hooks.linear_learner import split_s3_uri

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from airflow_ll.hooks.linear_learner import LinearLearnerHook

__all__ = ["ObjectSettings", "Storage", "object_exists"]

_MULTIPART_THRESHOLD = 96 << 20
_PART_SIZE = 16 << 20
_SMALLEST_PART = 5 << 20
_CONCURRENT_REQUESTS = 4
_DELETED_AT_ONCE = 1000  # what one DeleteObjects takes


@dataclass(frozen=True)
class ObjectSettings:
    """How objects are kept.

    :param encrypt: whether S3 encrypts them with keys of its own (SSE-S3).
    :param kms_key_id: id, ARN or alias of the KMS key that encrypts them (SSE-KMS); it wins over ``encrypt``.
    :param expected_bucket_owner: account id; a bucket of somebody else is refused.
    :param storage_class: such as "STANDARD_IA"; the bucket's default when None.
    :param tags: of every object.
    :param multipart_threshold: bytes of the smallest object that is uploaded in parts.
    :param part_size: bytes of one part, at least 5 MiB.
    """

    encrypt: bool = False
    kms_key_id: str | None = None
    expected_bucket_owner: str | None = None
    storage_class: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    multipart_threshold: int = _MULTIPART_THRESHOLD
    part_size: int = _PART_SIZE

    def __post_init__(self) -> None:
        """Refuse parts that S3 would refuse once all of them are uploaded."""
        if self.part_size < _SMALLEST_PART:
            raise RequestError(f"part_size must be at least 5 MiB, S3's smallest part, got {self.part_size} bytes.")

    @property
    def of_every_call(self) -> dict[str, str]:
        """What every call says."""
        return {"ExpectedBucketOwner": self.expected_bucket_owner} if self.expected_bucket_owner else {}

    @property
    def identity(self) -> dict[str, Any]:
        """What distinguishes an object from one of the same bytes, as JSON."""
        kept = self.of_writes
        kept.pop("ExpectedBucketOwner", None)
        return kept

    @property
    def of_writes(self) -> dict[str, str]:
        """What every call says that makes an object."""
        settings = dict(self.of_every_call)
        if self.kms_key_id:
            settings |= {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": self.kms_key_id}
        elif self.encrypt:
            settings["ServerSideEncryption"] = "AES256"
        if self.storage_class:
            settings["StorageClass"] = self.storage_class
        if self.tags:
            settings["Tagging"] = urlencode(self.tags)
        return settings


class Storage:
    """The objects below one prefix.

    :param uri: S3 URI of the prefix; keys are given and returned relative to it.
    """

    def __init__(self, hook: LinearLearnerHook, uri: str, settings: ObjectSettings | None = None) -> None:
        self.hook = hook
        self.uri = uri if uri.endswith("/") else f"{uri}/"
        self.settings = settings or ObjectSettings()
        self.bucket, self.prefix = split_s3_uri(self.uri)
        self.s3 = hook.client("s3")

    # -- reading -----------------------------------------------------------------------------------

    def sizes(self, below: str = "") -> dict[str, int]:
        """Return the size of each object below, by its key."""
        pages = self.s3.get_paginator("list_objects_v2").paginate(
            Bucket=self.bucket, Prefix=self.prefix + below, **self.settings.of_every_call
        )
        cut = len(self.prefix)
        return {one["Key"][cut:]: one["Size"] for page in pages for one in page.get("Contents", [])}

    def digest(self, key: str, size: int) -> str | None:
        """Return the SHA-256 that an object of this size was uploaded with; None when there is none such."""
        try:
            head = self.s3.head_object(Bucket=self.bucket, Key=self.prefix + key, **self.settings.of_every_call)
        except ClientError as error:
            if is_not_found(error):
                return None
            raise
        return head["Metadata"].get("sha256") if head["ContentLength"] == size else None

    def read_json(self, key: str) -> dict[str, Any] | None:
        """Return a JSON document, None when there is none."""
        try:
            answer = self.s3.get_object(Bucket=self.bucket, Key=self.prefix + key, **self.settings.of_every_call)
        except ClientError as error:
            if is_not_found(error):
                return None
            raise
        with closing(answer["Body"]) as body:
            document: dict[str, Any] = json.load(body)
        return document

    # -- writing -----------------------------------------------------------------------------------

    def put(self, key: str, body: bytes) -> None:
        """Write one small object."""
        self.s3.put_object(Bucket=self.bucket, Key=self.prefix + key, Body=body, **self.settings.of_writes)

    def start_upload(self, key: str, body: IO[bytes], digest: str) -> Any:
        """Start to upload ``body`` in the background and return the future; its ``result()`` raises what went wrong.

        The body is read until then; it stays open.
        """
        arguments = {**self.settings.of_writes, "Metadata": {"sha256": digest}}
        return self._transfers.upload(_Lent(body), self.bucket, self.prefix + key, extra_args=arguments)

    @cached_property
    def _transfers(self) -> Any:
        from boto3.s3.transfer import TransferConfig, create_transfer_manager

        config = TransferConfig(
            multipart_threshold=self.settings.multipart_threshold,
            multipart_chunksize=self.settings.part_size,
            max_concurrency=_CONCURRENT_REQUESTS,
            preferred_transfer_client="classic",
        )
        return create_transfer_manager(self.s3, config)

    def close(self) -> None:
        """Wait for the uploads to end, well or not."""
        if (transfers := self.__dict__.pop("_transfers", None)) is not None:
            transfers.shutdown()

    # -- removing ----------------------------------------------------------------------------------

    def remove(self, keys: Iterable[str]) -> None:
        """Delete objects; what is gone already is no error."""
        for some in _chunks(list(keys), _DELETED_AT_ONCE):
            answer = self.s3.delete_objects(
                Bucket=self.bucket,
                Delete={"Objects": [{"Key": self.prefix + key} for key in some], "Quiet": True},
                **self.settings.of_every_call,
            )
            for refused in answer.get("Errors", []):
                raise ClientError({"Error": refused}, "DeleteObjects")

    def abort_uploads(self) -> None:
        """Forget the parts of multipart uploads that nobody finished; a role that may not only leaves them."""
        try:
            self._abort_uploads()
        except ClientError as error:
            self.hook.log.warning("Unfinished multipart uploads under %s stay: %s", self.uri, error)

    def _abort_uploads(self) -> None:
        pages = self.s3.get_paginator("list_multipart_uploads").paginate(
            Bucket=self.bucket, Prefix=self.prefix, **self.settings.of_every_call
        )
        for one in [one for page in pages for one in page.get("Uploads", [])]:
            self.s3.abort_multipart_upload(
                Bucket=self.bucket, Key=one["Key"], UploadId=one["UploadId"], **self.settings.of_every_call
            )


class _Lent:
    """A body for s3transfer, which closes what it is given."""

    def __init__(self, body: IO[bytes]) -> None:
        self.read, self.seek, self.tell, self.seekable = body.read, body.seek, body.tell, body.seekable

    def close(self) -> None:
        """Leave it open."""


def _chunks(keys: list[str], size: int) -> Iterator[list[str]]:
    for first in range(0, len(keys), size):
        yield keys[first : first + size]


def object_exists(hook: LinearLearnerHook, uri: str) -> bool:
    """Whether there is an object with this S3 URI."""
    bucket, key = split_s3_uri(uri)
    try:
        hook.client("s3").head_object(Bucket=bucket, Key=key)
    except ClientError as error:
        if is_not_found(error):
            return False
        raise
    return True
