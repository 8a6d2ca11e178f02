"""S3 as jobs see it: listing a data source, fetching its objects, reading a model archive."""

from __future__ import annotations

import errno
import gzip
import shutil
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

from boto3.exceptions import S3UploadFailedError
from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

from airflow_ll.artifacts.archive import extract_model as unpack_model
from airflow_ll.exceptions import ArtifactError, DataError
from airflow_ll.local.errors import ValidationError, unsupported
from airflow_ll.records import parse_manifest
from airflow_ll.requests.images import NEO_REPOSITORIES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from airflow_ll.local.runtime import Runtime

__all__ = [
    "CustomerDataError",
    "S3Object",
    "check_exists",
    "check_image",
    "extract_model",
    "fetch",
    "objects",
    "split",
    "upload",
]

_MAX_MANIFEST_BYTES = 64 << 20
_KEPT_FREE_BYTES = 1 << 30


class CustomerDataError(Exception):
    """The customer's data cannot be used; the text is the part of a FailureReason after ``ClientError:``."""


@dataclass(frozen=True)
class S3Object:
    """One object of a data source; ``name`` is its path below the source's prefix."""

    bucket: str
    key: str
    name: str


def split(uri: str) -> tuple[str, str]:
    """Return the bucket and the key of an ``s3://`` URI."""
    bucket, _, key = uri.partition("://")[2].partition("/")
    return bucket, key


def check_image(image: str, *, serving: bool = False) -> None:
    """Refuse an image that is not LinearLearner, or one of Neo's that serves its compiled models.

    The account in front differs by region.
    """
    repository = image.rpartition("/")[2].partition("@")[0].partition(":")[0]
    if "linear-learner" not in repository and not (serving and repository in NEO_REPOSITORIES):
        raise unsupported(f"the image {image}", "Use the linear-learner image of the region.")


def check_exists(runtime: Runtime, source: dict[str, Any], role: str) -> None:
    """Refuse a data source without objects, as CreateTrainingJob and CreateTransformJob do."""
    bucket, key = split(source["S3Uri"])
    try:
        found = runtime.s3.list_objects_v2(Bucket=bucket, Prefix=key, MaxKeys=1).get("KeyCount", 0)
    except (ClientError, ParamValidationError):
        found = 0
    except BotoCoreError as error:
        raise ValidationError(f'S3 cannot be reached for "{source["S3Uri"]}": {error}') from error
    if not found:
        raise ValidationError(
            f'No S3 objects found under S3 URL "{source["S3Uri"]}" given in input data source. Please ensure that the '
            f"bucket exists in the selected region ({runtime.region}), that objects exist under that S3 prefix, "
            f'and that the role "{role}" has "s3:ListBucket" permissions on bucket "{bucket}".'
        )


def objects(runtime: Runtime, source: dict[str, Any]) -> list[S3Object]:
    """Return the objects of a data source in order.

    :raises CustomerDataError: there are none, or the manifest cannot be read.
    """
    bucket, key = split(source["S3Uri"])
    try:
        if source["S3DataType"] == "ManifestFile":
            found = _listed(runtime, bucket, key)
        else:
            found = list(_below(runtime, bucket, key))
    except ClientError as error:
        raise _download_failed(error, source["S3Uri"]) from error
    except DataError as error:
        raise CustomerDataError(f"Unable to parse the manifest {source['S3Uri']}: {error}") from error
    if not found:
        raise CustomerDataError(f'No S3 objects found under S3 URL "{source["S3Uri"]}" given in input data source.')
    return found


def _listed(runtime: Runtime, bucket: str, key: str) -> list[S3Object]:
    found = runtime.s3.get_object(Bucket=bucket, Key=key)
    if found["ContentLength"] > _MAX_MANIFEST_BYTES:
        raise CustomerDataError(f"The manifest s3://{bucket}/{key} is larger than {_MAX_MANIFEST_BYTES >> 20} MB.")
    prefix, names = parse_manifest(found["Body"].read())
    bucket, base = split(prefix)
    return [S3Object(bucket, base + name, name) for name in names]


def _below(runtime: Runtime, bucket: str, prefix: str) -> Iterator[S3Object]:
    base = prefix.rpartition("/")[0] + "/" if "/" in prefix else ""
    for page in runtime.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for entry in page.get("Contents", []):
            if not entry["Key"].endswith("/"):
                yield S3Object(bucket, entry["Key"], entry["Key"].removeprefix(base))


def fetch(runtime: Runtime, item: S3Object, directory: Path, *, gzipped: bool = False, room: int | None = None) -> Path:
    """Download an object below ``directory``.

    :param room: how many bytes the job's volume has left; what the machine has is minded anyway.
    :raises CustomerDataError: it does not exist, its key points outside, or it is too large.
    """
    target = directory / item.name
    if "\0" in item.name or not target.resolve().is_relative_to(directory.resolve()):
        raise CustomerDataError(f"The key {item.key} in bucket {item.bucket} points outside its channel.")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        body = runtime.s3.get_object(Bucket=item.bucket, Key=item.key)["Body"]
        free = shutil.disk_usage(target.parent).free - _KEPT_FREE_BYTES
        with target.open("wb") as file:
            _copy(
                gzip.GzipFile(fileobj=body) if gzipped else body, file, free if room is None else min(free, room), item
            )
    except ClientError as error:
        raise _download_failed(error, f"s3://{item.bucket}/{item.key}") from error
    except (FileExistsError, IsADirectoryError, NotADirectoryError) as error:
        raise CustomerDataError(f"The key {item.key} in bucket {item.bucket} is also a folder of others.") from error
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise CustomerDataError(f"s3://{item.bucket}/{item.key} is not gzip: {error}") from error
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        raise CustomerDataError(f"The key {item.key} in bucket {item.bucket} is too long for a file.") from error
    return target


def _copy(source: Any, file: BinaryIO, room: int, item: S3Object) -> None:
    """Copy to the end of ``source``; a small archive may hold more than any disk."""
    while chunk := source.read(1 << 20):
        room -= len(chunk)
        if room < 0:
            raise CustomerDataError(
                f"s3://{item.bucket}/{item.key} is larger than the space that is left on the volume for it. "
                "Please use a larger VolumeSizeInGB, or less data."
            )
        file.write(chunk)


def upload(runtime: Runtime, file: Path, bucket: str, key: str) -> None:
    """Upload a result.

    :raises CustomerDataError: the bucket does not take it.
    """
    try:
        runtime.s3.upload_file(str(file), bucket, key)
    except (S3UploadFailedError, ParamValidationError) as error:
        raise CustomerDataError(f"Artifact upload failed:{error}") from error


def extract_model(runtime: Runtime, uri: str, directory: Path) -> None:
    """Download ``model.tar.gz`` and unpack it into ``directory``.

    :raises CustomerDataError: it does not exist, or is no harmless archive.
    """
    bucket, key = split(uri)
    archive = fetch(runtime, S3Object(bucket, key, "model.tar.gz"), directory)
    try:
        unpack_model(archive, directory)
    except (ArtifactError, OSError) as error:
        raise CustomerDataError(f"Failed to extract model data archive {uri}: {error}") from error
    archive.unlink()


def _download_failed(error: ClientError, uri: str) -> CustomerDataError:
    code = error.response["Error"]["Code"]
    status = error.response["ResponseMetadata"]["HTTPStatusCode"]
    return CustomerDataError(f"Data download failed:{code} ({status}): {error.response['Error']['Message']} ({uri})")
