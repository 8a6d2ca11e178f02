"""Reading a channel's files or pipes in blocks, with errors that name the file and the record."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from itertools import chain, count, islice
from typing import TYPE_CHECKING

import numpy as np

from airflow_ll.exceptions import DataError
from airflow_ll.learner.blocks import Block, regroup
from airflow_ll.learner.csv_lines import parse_csv
from airflow_ll.learner.finite import check_finite
from airflow_ll.learner.payloads import CSV, RECORDIO
from airflow_ll.records import check_labels, iter_records
from airflow_ll.records.sources import is_hidden

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path
    from typing import Any

    from numpy.typing import NDArray

    from airflow_ll.hyperparameters import LinearLearnerHyperparameters

    Rows = tuple[Any, NDArray[Any] | None]  # features, (n, d), and labels, (n,)

__all__ = ["ChannelFiles", "ChannelPipe", "channel_files"]

_BLOCK_BYTES = 4 << 20
_SUPPORTED = (RECORDIO, CSV)
_PIPE_SECONDS = 60
_PIPE_POLL = 0.01


def channel_files(directory: Path) -> list[Path]:
    """Return a channel's files in the order in which they are read, that of their keys on S3, which a pipe has, too.

    Hidden ones, as the manifest, are left out: those that begin with ``.`` or ``_``, and what is in such folders.

    Raises
    ------
    DataError
        One is a link to nothing.
    """
    # Not by the paths themselves, whose folders are compared one by one: on S3 "a-b/x" comes before "a/b".
    paths = sorted(directory.rglob("*"), key=lambda path: path.relative_to(directory).as_posix())
    found = [path for path in paths if not is_hidden(path.relative_to(directory))]
    for path in found:
        if path.is_symlink() and not path.exists():
            raise DataError(
                f"The file {path.relative_to(directory)} of channel '{directory.name}' is a link to nothing."
            )
    return [path for path in found if path.is_file()]


@dataclass(frozen=True)
class ChannelFiles:
    """A channel's directory as an iterable of blocks, read anew each time, in the order of the files' names.

    A block has whole mini-batches, and about 4 MiB unless one mini-batch is larger.

    Attributes
    ----------
    directory : Path
        Where the files are, also in folders.
    channel : str
        The channel's name.
    content_type : str or None
        As in ``inputdataconfig.json``; RecordIO-protobuf when there is none.
    hp : LinearLearnerHyperparameters
        Whose ``feature_dim``, ``predictor_type``, ``num_classes`` and ``mini_batch_size`` the rows must suit.
    feature_dim : int or None
        Of the train channel, if known.
    kinds : set of str
        The dtypes of the tensors that were read so far.
    """

    directory: Path
    channel: str
    content_type: str | None
    hp: LinearLearnerHyperparameters
    feature_dim: int | None = None
    kinds: set[str] = field(default_factory=set)

    def __iter__(self) -> Iterator[Block]:
        """Read and check.

        Raises
        ------
        DataError
            The channel is empty, unreadable or unsuitable; the message names the file and the record.
        """
        paths = channel_files(self.directory)
        full = [path for path in paths if path.stat().st_size]
        found = next((rows.shape[1] for path in full for rows, _ in self._read(path, 1)), None)
        if found is None:
            raise DataError(f"The channel '{self.channel}' is empty: it has {len(paths)} file(s) and no records.")
        width = self._width(found)
        rows = self._block_rows(width)
        names = {path: str(path.relative_to(self.directory)) for path in full}
        yield from regroup(
            (block for path in full for block in self._checked(self._read(path, rows), names[path], width)), rows
        )

    def _width(self, found: int) -> int:
        return self.feature_dim or found if self.hp.feature_dim == "auto" else int(self.hp.feature_dim)

    def _block_rows(self, width: int) -> int:
        batch = int(self.hp.mini_batch_size)
        return batch * max(1, _BLOCK_BYTES // (4 * width * batch))

    def _checked(self, read: Iterable[Rows], name: str, width: int) -> Iterator[Block]:
        where, start = f"{name} of channel '{self.channel}'", 0
        for given, labels in read:
            with np.errstate(over="ignore"):  # a number beyond float32 is refused as infinite
                features = given.astype(np.float32, copy=False)
            if features.shape[1] != width:
                raise DataError(
                    f"The feature dimension of the records in {where} is {features.shape[1]}, but {width} is expected "
                    f"(feature_dim {self.hp.feature_dim}). Please fix feature_dim or the data and try again."
                )
            if labels is None or labels.ndim != 1:
                raise DataError(
                    f"The records in {where} have no label, or more than one: LinearLearner is supervised and needs "
                    "one label a record."
                )
            check_finite(labels[:, np.newaxis], where, "the label", start)
            check_finite(features, where, start=start)
            self._check_labels(labels, where, start)
            self.kinds.update((given.dtype.name, labels.dtype.name))
            yield Block(features, labels.astype(np.float32, copy=False))
            start += len(labels)

    def _read(self, path: Path, rows: int) -> Iterator[Rows]:
        """Yield features, (n, d), and labels, (n,), of at most ``rows`` rows at a time."""
        kind = _content_type(self.channel, self.content_type)
        try:
            if kind == CSV:
                yield from _read_csv(path, rows)
            else:
                yield from ((batch.features, batch.labels) for batch in iter_records(path, rows))
        except ValueError as error:
            raise DataError(
                f"Unable to read data channel '{self.channel}'. Requested content-type is '{kind}'. Please verify the "
                f"data matches the requested content-type. (caused by {type(error).__name__} in {path.name}: {error})"
            ) from error

    def _check_labels(self, labels: NDArray[Any], where: str, start: int) -> None:
        try:
            check_labels(labels, len(labels), self.hp.predictor_type, int(self.hp.num_classes), first_row=start)
        except DataError as error:
            raise DataError(f"Unable to train on {where}. {error}") from error


@dataclass(frozen=True)
class ChannelPipe(ChannelFiles):
    """A channel in Pipe mode: each iteration over it reads the next of the pipes ``<directory>_0``, ``_1``, ...

    The service makes a pipe when the one before was opened, and sends all of the channel's files through it.
    """

    passes: Iterator[int] = field(default_factory=count)

    def __iter__(self) -> Iterator[Block]:
        """Read and check; errors as of `ChannelFiles`, and OSError when there is no pipe."""
        path = self.directory.with_name(f"{self.directory.name}_{next(self.passes)}")
        _await(path)
        read = self._read(path, int(self.hp.mini_batch_size))
        first = next(read, None)
        if first is None:
            raise DataError(f"The channel '{self.channel}' is empty: no records came through {path.name}.")
        width = self._width(first[0].shape[1])
        yield from regroup(self._checked(chain([first], read), path.name, width), self._block_rows(width))


def _await(path: Path) -> None:
    deadline = time.monotonic() + _PIPE_SECONDS
    while not path.exists():
        if time.monotonic() > deadline:
            raise OSError(f"There is no pipe {path} after {_PIPE_SECONDS} seconds")
        time.sleep(_PIPE_POLL)


def _content_type(channel: str, given: str | None) -> str:
    kind, *parameters = (part.strip().lower() for part in (given or RECORDIO).split(";"))
    if kind not in _SUPPORTED:
        raise DataError(
            f"Content type '{given}' of channel '{channel}' is not supported. Use one of {', '.join(_SUPPORTED)}."
        )
    for parameter in parameters:
        name, _, value = (part.strip() for part in parameter.partition("="))
        if name == "label_size" and value != "1":
            raise DataError(
                f"The label_size of channel '{channel}' must be 1, but its content type is '{given}'. LinearLearner "
                "takes one label a row, in the first column."
            )
    return kind


def _read_csv(path: Path, rows: int) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    start = 0
    with path.open(encoding="utf-8-sig") as lines:
        while chunk := list(islice(lines, rows)):
            filled = [line for line in chunk if not line.isspace()]
            if filled:
                table = parse_csv(filled, start)
                if table.shape[1] < 2:
                    raise ValueError("a row must have the label and at least one feature")
                yield np.ascontiguousarray(table[:, 1:]), np.ascontiguousarray(table[:, 0])
            start += len(filled)
