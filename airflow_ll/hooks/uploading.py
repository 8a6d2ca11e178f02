"""Turn a stream of rows into record sets: one attempt of one task.

An attempt finds what an older one left below the name of its task. The same bytes are kept, the rest is removed, and
the manifests come last. Memory is bounded by a few shards, whatever the number of rows.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeGuard

from botocore.exceptions import ClientError

from airflow_ll.exceptions import DataError
from airflow_ll.hooks.failures import is_transient
from airflow_ll.hooks.folders import FACTS_NAME, Folder, Uploads, has_shards, total_digest
from airflow_ll.hooks.progress import Progress
from airflow_ll.hooks.shards import DEFAULT_SHARD_SIZE, Bodies, Cut, CutByRows, CutBySize, ShardWriter, recut
from airflow_ll.hooks.storage import ObjectSettings, Storage
from airflow_ll.records import RecordSet
from airflow_ll.records.record_sets import MANIFEST_NAME

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from airflow_ll.hooks.linear_learner import LinearLearnerHook
    from airflow_ll.records.schema import FeatureSchema

    Produce = Callable[[Callable[["Rows"], None]], None]

__all__ = ["Attempt", "Rows", "Target", "Upload"]

_IN_MEMORY = 64 << 20  # of the shards that are being filled, together
_UNLIMITED = 5 << 40
_MOST_CHANNELS = 20  # of one training job; each has a shard of its own in memory


@dataclass(frozen=True)
class Upload:
    """A record set in S3.

    :param shards: number of objects beside the manifest.
    :param size: their bytes.
    :param adopted: whether it was complete already.
    :param dropped: rows that were left out because a number was invalid.
    :param digest: SHA-256 of the shards' SHA-256.
    :param schema_checksum: of the feature schema; None when the columns have no names.
    """

    record_set: RecordSet
    shards: int
    size: int
    adopted: bool
    dropped: int = 0
    digest: str = ""
    schema_checksum: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the result of a record set task, flat JSON."""
        return {
            **self.record_set.to_dict(),
            "shards": self.shards,
            "bytes": self.size,
            "dropped": self.dropped,
            "sha256": self.digest,
            "schema_checksum": self.schema_checksum,
            "adopted": self.adopted,
        }


@dataclass(frozen=True)
class Rows:
    """One batch of checked rows.

    :param features: (rows, feature_dim), an ndarray or a scipy sparse matrix.
    :param labels: (rows,) or None.
    :param channel: where they belong.
    :param dropped: rows that were left out of this batch.
    """

    features: Any
    labels: Any = None
    channel: str = "train"
    dropped: int = 0


@dataclass(frozen=True)
class Target:
    """Where record sets go and how they are cut.

    :param root: S3 URI below which each task has its folder.
    :param name: the folder of the task.
    :param fingerprint: SHA-256 of all that decides the bytes; its beginning is the folder of this data.
    :param identifies: whether data with this fingerprint are always the same, so that they need not be read again.
    :param exclusive: whether everything in the task's folder is of this task, so that leftovers can be removed.
    :param split: whether each channel is a folder of its own.
    :param instance_count: number of equal shards; None cuts by ``shard_size``.
    :param total_rows: of the only channel, when it is known beforehand.
    """

    root: str
    name: str
    fingerprint: str
    identifies: bool = False
    exclusive: bool = False
    split: bool = False
    instance_count: int | None = None
    shard_size: int = DEFAULT_SHARD_SIZE
    total_rows: int | None = None
    distribution: str = "ShardedByS3Key"
    settings: ObjectSettings = field(default_factory=ObjectSettings)

    @property
    def group(self) -> str:
        """The folder of this data below the task's."""
        return self.fingerprint[:16]

    def cut(self) -> Cut:
        """Return where shards end; a number of shards of unknown rows is cut once all are on the local disk."""
        if self.instance_count is None:
            return CutBySize(self.shard_size)
        if self.instance_count > 1 and self.total_rows is None:
            return CutBySize(_UNLIMITED)
        return CutByRows(self.total_rows or self.instance_count, self.instance_count)

    @property
    def must_recut(self) -> bool:
        """Whether the number of rows must be known before they can be cut."""
        return self.instance_count is not None and self.instance_count > 1 and self.total_rows is None


@dataclass
class _Channel:
    """The record set of one channel while it is written."""

    folder: Folder
    writer: ShardWriter
    columns: int
    labelled: bool
    dropped: int = 0

    @property
    def rows(self) -> int:
        """The number of rows so far."""
        return self.writer.rows


class Attempt:
    """One attempt to have the record sets of a task complete."""

    def __init__(self, hook: LinearLearnerHook, target: Target) -> None:
        self.hook, self.target = hook, target
        self.storage = Storage(hook, f"{target.root}/{target.name}/", target.settings)
        self.present = self.look()
        self.ours = [key for key in self.present if self.is_ours(key)]
        manifests = [key for key in self.present if self.may_name_ours(key)]
        self.uploads = Uploads(self.storage, self.present, manifests)
        self._bodies = Bodies(_IN_MEMORY // 3 if target.split else _IN_MEMORY)
        self._channels: dict[str, _Channel] = {}
        self._progress = Progress(hook.log, target.total_rows)

    # -- what a folder is --------------------------------------------------------------------------

    def look(self) -> dict[str, int]:
        """Return the sizes of what is there already."""
        return self.storage.sizes("" if self.target.exclusive else self.target.group)

    def is_ours(self, key: str) -> bool:
        """Whether an object belongs to this attempt's data, now or from an older attempt."""
        return key.startswith((f"{self.target.group}/", f"{self.target.group}.meta/"))

    def may_name_ours(self, key: str) -> bool:
        """Whether a manifest may name what this attempt changes."""
        return self.is_ours(key) and key.endswith(f"/{MANIFEST_NAME}")

    def folder(self, channel: str) -> Folder:
        """Return the folder of a channel."""
        path = f"{self.target.group}/{channel}" if self.target.split else self.target.group
        return Folder(path, self.uploads)

    # -- what is there already ---------------------------------------------------------------------

    def complete(self, channel: str) -> list[Upload]:
        """Return the record sets of this very data when they are all there; empty when they must be made.

        :param channel: the channel, when there is no split.
        """
        found = [key.rpartition("/")[0] for key in self.ours if key.endswith(f"/{MANIFEST_NAME}")]
        folders = {key.rpartition("/")[0] for key in self.ours if key.endswith(".pbr")}
        if not self.target.identifies or not found or set(found) != folders:
            return []
        uploads = []
        for path in found:
            facts = self.storage.read_json(f"{path}.meta/{FACTS_NAME}")
            if not self.tells(facts, path):
                return []
            folder = Folder(path, self.uploads, facts["shards"])
            uploads.append(self.upload(folder, facts, facts["channel"] if self.target.split else channel))
        self.hook.log.info("Complete already: %s", ", ".join(one.record_set.s3_data for one in uploads))
        return uploads

    def tells(self, facts: dict[str, Any] | None, path: str) -> TypeGuard[dict[str, Any]]:
        """Whether the facts are of this attempt's data, and the folder has all of their shards."""
        same = facts is not None and facts["fingerprint"] == self.target.fingerprint
        return same and facts is not None and has_shards(facts, path, self.present)

    def expect(self, rows: int | None, *, all_of_one: bool) -> None:
        """Say how many rows will come, for the log.

        :param all_of_one: whether all of them go to one channel, so that they can be dealt to its shards as they come.
        """
        self._progress = Progress(self.hook.log, rows)
        if all_of_one:
            self.target = replace(self.target, total_rows=rows)

    # -- the sequence ------------------------------------------------------------------------------

    def run(
        self,
        produce: Callable[[Callable[[Rows], None]], None],
        schema: Callable[[], FeatureSchema | None] = lambda: None,
        channels: Sequence[str] = (),
    ) -> list[Upload]:
        """Upload all rows, commit, and return one record set a channel; on failure leave no record set.

        :param produce: called once with the function that takes the rows, batch after batch.
        :param schema: called when all rows are there: what is kept beside the record sets.
        :param channels: those that must have rows in the end.
        """
        self.sweep()
        try:
            produce(self._write)
            self._finish(channels)
            uploads = self.commit(schema())
        except BaseException as error:
            self._abandon(error)
            raise
        finally:
            self._bodies.close()
        self.storage.close()
        self._progress.end(sum(one.size for one in uploads))
        return uploads

    def sweep(self) -> None:
        """Remove what killed attempts of this task left: record sets of other data that were never completed."""
        if not self.target.exclusive:
            return
        groups: dict[str, list[str]] = {}
        for key in self.present:
            groups.setdefault(key.partition("/")[0].removesuffix(".meta"), []).append(key)
        groups.pop(self.target.group, None)
        left = [key for keys in groups.values() if not _is_whole(keys) for key in keys]
        try:
            self.storage.remove(left)
            self.storage.abort_uploads()
        except ClientError as error:  # a role that may only write can still upload
            self.hook.log.warning("What older attempts left under %s stays: %s", self.storage.uri, error)
        else:
            for key in left:
                del self.present[key]
            if left:
                self.hook.log.info("Removed %d objects that older attempts left", len(left))

    def _write(self, batch: Rows) -> None:
        channel = self._channels.get(batch.channel) or self._open(batch)
        columns, labelled = batch.features.shape[1], batch.labels is not None
        if (columns, labelled) != (channel.columns, channel.labelled):
            raise DataError(
                f"All rows of a record set must be alike, but after {channel.writer.rows} row(s) of {channel.columns} "
                f"column(s) {'with' if channel.labelled else 'without'} labels came rows of {columns} column(s) "
                f"{'with' if labelled else 'without'}."
            )
        channel.dropped += batch.dropped
        self._progress.add(batch.features.shape[0] + batch.dropped, sum(one.folder.size for one in self._all()))
        for shard in channel.writer.write(batch.features, batch.labels):
            channel.folder.add(shard)

    def _open(self, batch: Rows) -> _Channel:
        columns, folder = batch.features.shape[1], self.folder(batch.channel)
        if len(self._channels) >= _MOST_CHANNELS:
            raise DataError(
                f"A split must have at most {_MOST_CHANNELS} channels, as a training job has, but there are more: "
                f"{', '.join(self._channels)}, {batch.channel}."
            )
        # What it refuses is to be known before the first shard is uploaded.
        RecordSet(folder.uri + MANIFEST_NAME, 1, columns, batch.channel, distribution=self.target.distribution)
        writer = ShardWriter(self.target.cut(), self._bodies)
        opened = _Channel(folder, writer, columns, batch.labels is not None)
        return self._channels.setdefault(batch.channel, opened)

    def _finish(self, channels: Sequence[str]) -> None:
        rows, dropped = (sum(getattr(one, name) for one in self._all()) for name in ("rows", "dropped"))
        if not rows:
            why = f": all {dropped} have a NaN, an infinity or a number outside float32" if dropped else ""
            raise DataError(f"There are no rows to make a record set of{why}.")
        empty = [name for name in channels if name not in self._channels or not self._channels[name].rows]
        if empty:
            raise DataError(
                f"Every channel of the split must have rows, but {', '.join(empty)} got none of the {rows}: change the "
                "split, or give it more rows."
            )
        for channel in self._all():
            shards: Iterator[Any] = channel.writer.finish()
            if self.target.must_recut:
                channel.writer, shards = recut(channel.writer, self.target.instance_count or 1)
            for shard in shards:
                channel.folder.add(shard)
        self.uploads.wait()

    def commit(self, schema: FeatureSchema | None) -> list[Upload]:
        """Remove what an older attempt left, write the facts, and the manifests last."""
        uploads = self.commit_facts(schema)
        for channel in self._all():
            channel.folder.commit_manifest()
        return [replace(one, adopted=not self.uploads.changed) for one in uploads]

    def commit_facts(self, schema: FeatureSchema | None) -> list[Upload]:
        """Remove what an older attempt left and write the facts."""
        kept = {key for one in self._all() for key in one.folder.keys}
        self.uploads.remove([key for key in self.ours if key in self.present and key not in kept])
        uploads = []
        for name, channel in self._channels.items():
            facts = self._facts(name, channel, schema)
            channel.folder.commit_facts(facts, None if schema is None else schema.to_json())
            uploads.append(self.upload(channel.folder, facts, name))
        return uploads

    def _facts(self, name: str, channel: _Channel, schema: FeatureSchema | None) -> dict[str, Any]:
        return {
            "fingerprint": self.target.fingerprint,
            "channel": name,
            "num_records": channel.writer.rows,
            "feature_dim": channel.columns,
            "labelled": channel.labelled,
            "dropped": channel.dropped,
            "bytes": channel.folder.size,
            "sha256": total_digest(channel.folder.shards),
            "schema_checksum": None if schema is None else schema.checksum,
            "shards": channel.folder.shards,
        }

    def upload(self, folder: Folder, facts: Mapping[str, Any], channel: str) -> Upload:
        """Return what the task says about a record set."""
        record_set = RecordSet(
            folder.uri + MANIFEST_NAME,
            facts["num_records"],
            facts["feature_dim"],
            channel,
            distribution=self.target.distribution,
        )
        return Upload(
            record_set,
            len(facts["shards"]),
            facts["bytes"],
            adopted=True,
            dropped=facts["dropped"],
            digest=facts["sha256"],
            schema_checksum=facts["schema_checksum"],
        )

    def _all(self) -> list[_Channel]:
        return list(self._channels.values())

    def _abandon(self, error: BaseException) -> None:
        """Leave no record set; the shards stay for the next attempt only when that one can use them."""
        self.uploads.cancel()
        for channel in self._all():
            channel.writer.discard()
        if is_transient(error):
            return
        try:
            self.storage.remove(self.uploads.written[::-1])  # the manifests first
        except Exception as failure:
            self.hook.log.warning("What was uploaded to %s could not be removed: %s", self.storage.uri, failure)


def _is_whole(keys: list[str]) -> bool:
    """Whether every folder that has shards among the keys of one group has its manifest, too."""
    folders = {key.rpartition("/")[0] for key in keys if key.endswith(".pbr")}
    complete = {key.rpartition("/")[0] for key in keys if key.endswith(f"/{MANIFEST_NAME}")}
    return bool(folders) and folders <= complete
