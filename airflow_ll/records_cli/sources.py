"""What the argument SOURCE means: a shard, a manifest, or a folder of either."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_ll.exceptions import DataError, RecordFormatError
from airflow_ll.records import iter_records, parse_manifest
from airflow_ll.records.record_sets import MANIFEST_NAME
from airflow_ll.records_cli.facts import Facts, read_facts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_ll.records import RecordBatch
    from airflow_ll.records_cli.stores import Store

__all__ = ["Shards", "find_shards"]

_LARGEST_MANIFEST = 64 << 20  # of a million objects


@dataclass(frozen=True)
class Shards:
    """The shards that a source has.

    Attributes
    ----------
    store
        Where they are.
    paths
        The shards in the order of the manifest, or of their names.
    manifest
        The path of the manifest, None when there is none.
    folder
        What the names in the manifest are below, with a slash at the end.
    """

    store: Store
    paths: list[str]
    manifest: str | None = None
    folder: str = ""

    def batches(self) -> Iterator[RecordBatch]:
        """Yield the records of all shards in batches of about one MiB.

        Raises
        ------
        DataError
            A shard does not exist.
        RecordFormatError
            A shard's bytes are not records.
        """
        for path in self.paths:
            try:
                with self.store.open(path) as stream:
                    yield from iter_records(stream, batch_rows=None)
            except FileNotFoundError as error:
                named = f"{self.manifest} names it, but it" if self.manifest else "it"
                raise DataError(f"{path}: {named} does not exist: upload the record set again.") from error
            except RecordFormatError as error:
                raise RecordFormatError(f"{path}: {error}") from error

    def facts(self) -> Facts:
        """Return what the upload of the record set kept about it, beside its folder.

        Raises
        ------
        DataError
            The document is not what an upload writes.
        """
        if self.manifest is None or not self.folder:
            return Facts()
        return read_facts(self.store, f"{self.folder.rstrip('/')}.meta/record_set.json")


def find_shards(store: Store, source: str) -> Shards:
    """Return the shards of ``source``.

    Raises
    ------
    DataError
        There is nothing, a manifest that is not one, or several record sets, as below the folder of a split.
    """
    if store.size(source) is not None:
        return _of_manifest(store, source) if _is_manifest(store, source) else Shards(store, [source])
    folder = source.rstrip("/") + "/"
    files = store.sizes(folder)
    manifest = folder + MANIFEST_NAME
    if manifest in files:
        return _of_manifest(store, manifest)
    others = sorted(path for path in files if path.endswith(f"/{MANIFEST_NAME}"))
    if others:
        raise DataError(
            f"{source} is no record set, but has some below it: give the manifest of one, such as {others[0]}."
        )
    paths = sorted(path for path in files if not path[len(folder) :].startswith("."))
    if not paths:
        raise DataError(
            f"There are no records at {source}: give a shard, a manifest ({MANIFEST_NAME}), or a folder of them."
        )
    return Shards(store, paths, folder=folder)


def _is_manifest(store: Store, path: str) -> bool:
    """Tell a manifest, which is JSON, from records, which begin with their magic number."""
    with store.open(path) as stream:
        return stream.read(1) == b"["


def _of_manifest(store: Store, path: str) -> Shards:
    with store.open(path) as stream:
        body = stream.read(_LARGEST_MANIFEST)
    prefix, names = parse_manifest(body)
    beside = path.rpartition("/")[0]
    # A local manifest was copied together with its shards, and still names the prefix that they came from.
    folder = prefix if path.startswith("s3://") else f"{beside or '.'}/"
    return Shards(store, [folder + name for name in names], path, folder)
