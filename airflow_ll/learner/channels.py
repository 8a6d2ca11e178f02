"""Reading a data channel from the container's tree, with errors that name the file and the record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from airflow_ll.exceptions import DataError, LinearLearnerError
from airflow_ll.extras import require
from airflow_ll.learner.payloads import CSV, RECORDIO
from airflow_ll.records import check_labels, read_records

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from numpy.typing import NDArray

    from airflow_ll.hyperparameters import LinearLearnerHyperparameters

__all__ = ["Channel", "channel_files", "read_channel"]

_SUPPORTED = (RECORDIO, CSV)


@dataclass(frozen=True)
class Channel:
    """All rows of a channel, in the order of the files' names and of the records in them.

    Attributes
    ----------
    name : str
        ``train``, ``validation`` or ``test``.
    features : ndarray of float32 or scipy CSR of float32
        (n, d).
    labels : ndarray of float32
        (n,).
    """

    name: str
    features: Any
    labels: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.labels)


def channel_files(directory: Path) -> list[Path]:
    """Return a channel's files in the order in which they are read; hidden ones, as the manifest, are left out."""
    return [path for path in sorted(directory.rglob("*")) if path.is_file() and not _is_hidden(path, directory)]


def read_channel(
    directory: Path, name: str, content_type: str | None, hp: LinearLearnerHyperparameters, width: int | None = None
) -> Channel:
    """Read and check a channel.

    Parameters
    ----------
    directory : Path
        Where the channel's files are, also in folders; names that start with a dot or an underscore are left out.
    name : str
        The channel.
    content_type : str or None
        As in ``inputdataconfig.json``; RecordIO-protobuf when there is none.
    hp : LinearLearnerHyperparameters
        Whose ``feature_dim``, ``predictor_type`` and ``num_classes`` the rows must suit.
    width : int, optional
        The number of features of the train channel.

    Raises
    ------
    DataError
        The channel is empty, unreadable or unsuitable; the message names the file and the record.
    """
    kind = _content_type(name, content_type)
    paths = channel_files(directory)
    expected = width if hp.feature_dim == "auto" else int(hp.feature_dim)
    features: list[Any] = []
    labels: list[NDArray[np.float32]] = []
    for path in paths:
        where = f"{path.relative_to(directory)} of channel '{name}'"
        if path.stat().st_size == 0:
            continue
        rows, row_labels = _read_file(path, name, kind)
        _check_values(rows, row_labels, where)
        expected = rows.shape[1] if expected is None else expected
        if rows.shape[1] != expected:
            raise DataError(
                f"The feature dimension of the records in {where} is {rows.shape[1]}, but {expected} is expected "
                f"(feature_dim {hp.feature_dim}). Please fix feature_dim or the data and try again."
            )
        try:
            check_labels(row_labels, len(row_labels), hp.predictor_type, int(hp.num_classes))
        except DataError as error:
            raise DataError(f"Unable to train on {where}. {error}") from error
        features.append(rows)
        labels.append(row_labels)
    if not features:
        raise DataError(f"The channel '{name}' is empty: it has {len(paths)} file(s) and no records.")
    return Channel(name, _stack(features), np.concatenate(labels))


def _content_type(name: str, given: str | None) -> str:
    kind = (given or RECORDIO).split(";")[0].strip().lower()
    if kind not in _SUPPORTED:
        raise DataError(
            f"Content type '{given}' of channel '{name}' is not supported. Use one of {', '.join(_SUPPORTED)}."
        )
    return kind


def _is_hidden(path: Path, directory: Path) -> bool:
    return any(part.startswith((".", "_")) for part in path.relative_to(directory).parts)


def _read_file(path: Path, channel: str, kind: str) -> tuple[Any, NDArray[np.float32]]:
    """Return the features, (n, d), and labels, (n,), of one file."""
    try:
        if kind == CSV:
            table = np.loadtxt(path, delimiter=",", dtype=np.float32, ndmin=2, comments=None)
            if table.shape[1] < 2:
                raise ValueError("a row must have the label and at least one feature")
            return np.ascontiguousarray(table[:, 1:]), np.ascontiguousarray(table[:, 0])
        batch = read_records(path)
    except (ValueError, LinearLearnerError) as error:
        raise DataError(
            f"Unable to read data channel '{channel}'. Requested content-type is '{kind}'. Please verify the data "
            f"matches the requested content-type. (caused by {type(error).__name__} in {path.name}: {error})"
        ) from error
    if batch.labels is None or batch.labels.ndim != 1:
        raise DataError(
            f"The records in {path.name} of channel '{channel}' have no label, or more than one: LinearLearner is "
            "supervised and needs one label a record."
        )
    return batch.features.astype(np.float32, copy=False), batch.labels.astype(np.float32, copy=False)


def _check_values(features: Any, labels: NDArray[np.float32], where: str) -> None:
    _check_finite(labels[:, np.newaxis], where, "the label")
    _check_finite(features, where, "feature")


def _check_finite(values: Any, where: str, what: str) -> None:
    data = values.data if hasattr(values, "tocsr") else values
    # NaN and infinities survive a sum; a finite sum of finite extremes proves that there are none.
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(data.sum(dtype=np.float64)):
            return
    record, column = np.argwhere(~np.isfinite(values.toarray() if hasattr(values, "tocsr") else values))[0]
    found = (values.tocsr() if hasattr(values, "tocsr") else values)[record, column]
    kind, short = ("missing (NaN)", "NaN") if np.isnan(found) else ("infinite (Inf)", "Inf")
    place = what if what == "the label" else f"{what} {column}"
    raise DataError(
        f"Unable to read data of {where}. Found {kind} values. Please remove any {kind} values in the input data. "
        f"The first {short} is {place} of record {record}."
    )


def _stack(parts: list[Any]) -> Any:
    if len(parts) == 1:
        return parts[0]
    if any(hasattr(part, "tocsr") for part in parts):
        sparse = require("scipy.sparse", extra="sparse", purpose="Sparse records")
        return sparse.vstack([sparse.csr_matrix(part) for part in parts], format="csr")
    return np.concatenate(parts)
