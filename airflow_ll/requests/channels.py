"""Where a training job reads from: record sets, S3 prefixes, file systems."""

from __future__ import annotations

from dataclasses import MISSING, dataclass, fields
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from airflow_ll.exceptions import RequestError
from airflow_ll.records.record_sets import RecordSet
from airflow_ll.requests.checks import CONTENT_TYPE, S3_URI, Spec, list_of, one_of, present, setting, text, whole

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["CHANNEL_NAMES", "AnyChannel", "Channel", "FileSystemChannel", "channel_from_dict", "channel_request"]

#: What LinearLearner reads, and the channel of a model to go on from.
CHANNEL_NAMES: Final = ("train", "validation", "test", "model")

_NAME: Final = one_of(*CHANNEL_NAMES)
_DISTRIBUTION: Final = one_of("FullyReplicated", "ShardedByS3Key")


@dataclass(frozen=True)
class Channel(Spec):
    """A channel that reads what S3 has: CSV or RecordIO-protobuf under a prefix or in a manifest.

    :param s3_data: URI of the prefix, manifest or augmented manifest.
    :param channel: "train", "validation", "test" or "model".
    :param content_type: "text/csv" or "application/x-recordio-protobuf" (the default of the algorithm).
    :param distribution: "FullyReplicated" (every instance reads all) or "ShardedByS3Key" (each its share).
    :param num_records: number of rows, when known: for the default of mini_batch_size.
    :param feature_dim: number of features, when known.
    """

    s3_data: str = setting(S3_URI)
    channel: str = setting(_NAME, "train")
    content_type: str | None = setting(CONTENT_TYPE, None)
    s3_data_type: str = setting(one_of("S3Prefix", "ManifestFile", "AugmentedManifestFile"), "S3Prefix")
    distribution: str = setting(_DISTRIBUTION, "FullyReplicated")
    compression_type: str | None = setting(one_of("None", "Gzip"), None)
    record_wrapper_type: str | None = setting(one_of("None", "RecordIO"), None)
    input_mode: str | None = setting(one_of("File", "Pipe", "FastFile"), None)
    shuffle_seed: int | None = setting(whole(0), None)
    attribute_names: Sequence[str] = setting(list_of(text(".+", "a name", 256), "names", 16), ())
    num_records: int | None = setting(whole(1), None)
    feature_dim: int | None = setting(whole(1), None)

    def conflicts(self) -> Iterator[str]:
        """Yield the faults of attribute names."""
        if bool(self.attribute_names) != (self.s3_data_type == "AugmentedManifestFile"):
            yield (
                "Channel.attribute_names must be given with s3_data_type 'AugmentedManifestFile' and only then, "
                f"got {self.attribute_names!r} with {self.s3_data_type!r}."
            )


@dataclass(frozen=True)
class FileSystemChannel(Spec):
    """A channel that reads a directory of an EFS or FSx for Lustre file system; the job needs the file system's VPC."""

    file_system_id: str = setting(text("[0-9a-zA-Z-]{11,21}", "the id of a file system (fs-...)", 21))
    file_system_type: str = setting(one_of("EFS", "FSxLustre"))
    directory_path: str = setting(text("/.*", "an absolute path", 4096))
    file_system_access_mode: str = setting(one_of("ro", "rw"), "ro")
    channel: str = setting(_NAME, "train")
    content_type: str | None = setting(CONTENT_TYPE, None)
    num_records: int | None = setting(whole(1), None)
    feature_dim: int | None = setting(whole(1), None)


AnyChannel: TypeAlias = RecordSet | Channel | FileSystemChannel


def channel_from_dict(values: Mapping[str, Any]) -> AnyChannel:
    """Return the channel that flat JSON describes: a record set's result, or the settings of one of the classes here.

    :raises RequestError: for a setting that the channel does not have.
    :raises DataError: for a record set that is none.
    """
    if {"num_records", "feature_dim"} <= set(values) and not {"file_system_id", "content_type"} & set(values):
        return RecordSet.from_dict(values)
    kind = FileSystemChannel if "file_system_id" in values else Channel
    known = [one.name for one in fields(kind)]
    for name in values:
        if name not in known:
            raise RequestError(f"A {kind.__name__} must have settings among {', '.join(known)}, got {name!r}.")
    required = [one.name for one in fields(kind) if one.default is MISSING]
    if missing := [name for name in required if name not in values]:
        raise RequestError(
            f"A {kind.__name__} must have {', '.join(missing)}, got only {', '.join(values) or 'nothing'}."
        )
    return kind(**values)


def channel_request(channel: AnyChannel) -> dict[str, Any]:
    """Return one entry of InputDataConfig.

    A record set has no ContentType: RecordIO-protobuf is what the algorithm takes then. Only the train channel is
    sharded: each instance measures with all of a validation or test record set.
    """
    if isinstance(channel, FileSystemChannel):
        return present(
            ChannelName=channel.channel,
            DataSource={
                "FileSystemDataSource": {
                    "FileSystemId": channel.file_system_id,
                    "FileSystemType": channel.file_system_type,
                    "DirectoryPath": channel.directory_path,
                    "FileSystemAccessMode": channel.file_system_access_mode,
                }
            },
            ContentType=channel.content_type,
        )
    if isinstance(channel, Channel):
        return _s3_channel(channel)
    distribution = channel.distribution if channel.channel == "train" else "FullyReplicated"
    return {
        "ChannelName": channel.channel,
        "DataSource": {
            "S3DataSource": {
                "S3DataType": channel.s3_data_type,
                "S3Uri": channel.s3_data,
                "S3DataDistributionType": distribution,
            }
        },
    }


def _s3_channel(channel: Channel) -> dict[str, Any]:
    source = present(
        S3DataType=channel.s3_data_type,
        S3Uri=channel.s3_data,
        S3DataDistributionType=channel.distribution,
        AttributeNames=list(channel.attribute_names),
    )
    return present(
        ChannelName=channel.channel,
        DataSource={"S3DataSource": source},
        ContentType=channel.content_type,
        CompressionType=channel.compression_type,
        RecordWrapperType=channel.record_wrapper_type,
        InputMode=channel.input_mode,
        ShuffleConfig=None if channel.shuffle_seed is None else {"Seed": channel.shuffle_seed},
    )
