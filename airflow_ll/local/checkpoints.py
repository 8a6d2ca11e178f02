"""Checkpoints of training jobs: the folder in the container's tree, in step with CheckpointConfig.S3Uri."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

from airflow_ll.local import s3_data

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from airflow_ll.local.runtime import Runtime

__all__ = ["FOLDER", "Checkpoints"]

FOLDER = "checkpoints"
"""Of the tree, ``/opt/ml/checkpoints`` in the container; CheckpointConfig.LocalPath is only shown."""

_log = logging.getLogger(__name__)

_SECONDS = 1.0


class Checkpoints:
    """The checkpoints of one job; as a context manager it uploads what changes, and once more at the end."""

    def __init__(self, runtime: Runtime, config: Mapping[str, str], root: Path) -> None:
        self._runtime, self._folder = runtime, root / FOLDER
        self._bucket, prefix = s3_data.split(config["S3Uri"])
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self._uploaded: dict[str, tuple[int, int]] = {}
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def exist(self) -> bool:
        """Return whether there are any on S3."""
        return bool(self._objects())

    def download(self) -> None:
        """Fill the folder from S3.

        :raises CustomerDataError: the bucket cannot be read.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        for item in self._objects():
            s3_data.fetch(self._runtime, item, self._folder)
        self._uploaded = dict(self._state())

    def upload(self) -> None:
        """Bring files that changed to S3.

        :raises CustomerDataError: the bucket does not take them.
        """
        for name, state in self._state():
            if self._uploaded.get(name) != state:
                s3_data.upload(self._runtime, self._folder / name, self._bucket, self._prefix + name)
                self._uploaded[name] = state

    def __enter__(self) -> Checkpoints:
        self._over.clear()
        self._thread = threading.Thread(target=self._follow, name="checkpoints", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join()
        if self._runtime.closing.is_set():
            return  # the folder stays for the next runtime
        if error is None:
            self.upload()
        else:
            self._try_upload()

    def _follow(self) -> None:
        while not self._over.wait(_SECONDS):
            self._try_upload()

    def _try_upload(self) -> None:
        try:
            self.upload()
        except Exception:  # the upload after the training says it to the customer
            _log.warning("checkpoints for s3://%s/%s", self._bucket, self._prefix, exc_info=True)

    def _state(self) -> Iterator[tuple[str, tuple[int, int]]]:
        """Yield name, time and size of each file; what is still being written has a leading dot."""
        for path in sorted(self._folder.rglob("*")) if self._folder.is_dir() else ():
            if path.is_file() and not path.name.startswith("."):
                found = path.stat()
                yield path.relative_to(self._folder).as_posix(), (found.st_mtime_ns, found.st_size)

    def _objects(self) -> list[s3_data.S3Object]:
        try:
            pages = self._runtime.s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=self._prefix)
            keys = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
        except (ClientError, BotoCoreError, ParamValidationError) as error:
            raise s3_data.CustomerDataError(
                f"Unable to read the checkpoints at s3://{self._bucket}/{self._prefix}: {error}"
            ) from error
        prefix = len(self._prefix)
        return [s3_data.S3Object(self._bucket, key, key[prefix:]) for key in keys if not key.endswith("/")]
