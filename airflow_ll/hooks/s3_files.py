"""Read an S3 object like a file, range by range: memory is bounded, every format can seek, each range is retried."""

from __future__ import annotations

import io
from contextlib import closing
from typing import TYPE_CHECKING, Any, BinaryIO

from airflow_ll.exceptions import DataError
from airflow_ll.hooks.patience import PATIENT_ATTEMPTS

if TYPE_CHECKING:
    from airflow_ll.hooks.linear_learner import LinearLearnerHook

__all__ = ["open_object"]

_RANGE_BYTES = 8 << 20


def open_object(hook: LinearLearnerHook, bucket: str, key: str, etag: str, size: int) -> BinaryIO:
    """Open an object for reading; an object that is replaced meanwhile is an error, never a mixture."""
    return io.BufferedReader(_Ranges(hook.client("s3"), bucket, key, etag, size), _RANGE_BYTES)


class _Ranges(io.RawIOBase):
    def __init__(self, s3: Any, bucket: str, key: str, etag: str, size: int) -> None:
        super().__init__()
        self._s3, self._size, self._at = s3, size, 0
        self._object = {"Bucket": bucket, "Key": key, "IfMatch": etag}
        self.name = f"s3://{bucket}/{key}"

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        return self._at

    def readinto(self, target: Any) -> int:
        wanted = min(len(target), self._size - self._at)
        if wanted <= 0:
            return 0
        data = self._range(self._at, wanted)
        target[: len(data)] = data
        self._at += len(data)
        return len(data)

    def _range(self, first: int, count: int) -> bytes:
        """Return a range; botocore tries a call again until it is answered, and not when the answer breaks off."""
        from botocore.exceptions import HTTPClientError, IncompleteReadError

        for _ in range(PATIENT_ATTEMPTS - 1):
            try:
                return self._read(first, count)
            except (HTTPClientError, IncompleteReadError):
                continue
        return self._read(first, count)

    def _read(self, first: int, count: int) -> bytes:
        from botocore.exceptions import ClientError

        try:
            answer = self._s3.get_object(**self._object, Range=f"bytes={first}-{first + count - 1}")
        except ClientError as error:
            if error.response["Error"]["Code"] in ("PreconditionFailed", "412"):
                raise DataError(f"{self.name} was replaced while it was read: run the task again.") from None
            raise
        with closing(answer["Body"]) as body:  # the body's own with gives the connection, whose errors are urllib3's
            data: bytes = body.read()
        return data
