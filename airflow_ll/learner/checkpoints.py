"""Checkpoints: the whole state of training after an epoch, one file, so that an interrupted job goes on exactly."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    State = Mapping[str, NDArray[Any]]

__all__ = ["CHECKPOINT_NAME", "Checkpoints", "describe_job"]

CHECKPOINT_NAME = "linear-learner.npz"

_LAYOUT = 2  # of the state; another one is not read
_IDENTITY, _NAMES = "job", "names"  # besides the state: whose it is, and the names of what is in it
_CHUNK = 2**20
_MAY_GROW = "epochs"  # a job may go on with more of them than it began with


class Checkpoints:
    """The checkpoint in a folder that outlives the container, ``/opt/ml/checkpoints`` on SageMaker.

    Parameters
    ----------
    folder : Path
        Where the service keeps in step with ``CheckpointConfig.S3Uri``.
    job : str
        What `describe_job` says: the checkpoint of another job, or of the same one on other data, is not used.
    """

    def __init__(self, folder: Path, job: str) -> None:
        self._path, self._job = folder / CHECKPOINT_NAME, job

    def save(self, state: State) -> None:
        """Replace the checkpoint; whoever is killed in the middle leaves the one before.

        Parameters
        ----------
        state : Mapping[str, ndarray]
            Numbers only: neither writing nor reading uses pickle.
        """
        partial = self._path.with_name(f".{CHECKPOINT_NAME}.partial")
        with partial.open("wb") as stream:
            head = {_IDENTITY: np.array(self._job), _NAMES: np.array(sorted(state))}
            np.savez(stream, allow_pickle=False, **head, **state)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(self._path)
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def load(self) -> tuple[dict[str, NDArray[Any]] | None, str]:
        """Return the state to go on from, or None, and a sentence for the log that says why."""
        try:
            with self._path.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
                # All checksums first: numpy follows a damaged header, and reads less than there is.
                if damaged := archive.zip.testzip():
                    raise zipfile.BadZipFile(f"{damaged} is damaged")
                if str(archive[_IDENTITY]) != self._job:
                    return None, "The checkpoint is of another job or of other data: training from the beginning."
                # By their names: a damaged directory at the end of the file may leave some out.
                state = {name: archive[name] for name in archive[_NAMES].tolist()}
        except FileNotFoundError:
            return None, "There is no checkpoint yet: training from the beginning."
        except (OSError, ValueError, KeyError, EOFError, RuntimeError, zipfile.BadZipFile) as error:
            # zipfile tells of methods and versions that it does not know, and of encryption, by RuntimeError.
            return None, f"The checkpoint is not readable ({error}): training from the beginning."
        return state, "The checkpoint is of this job: training goes on from it."


def describe_job(
    hyperparameters: Mapping[str, str],
    channels: Mapping[str, Sequence[Path]],
    rows: Mapping[str, bytes] | None = None,
) -> str:
    """Return a digest of what decides a job's numbers: hyperparameters and the bytes of the data, not their names.

    Parameters
    ----------
    hyperparameters : Mapping[str, str]
        As given, also the service's private ones.
    channels : Mapping[str, Sequence[Path]]
        The files of every channel in the order in which they are read.
    rows : Mapping[str, bytes], optional
        A digest of all rows of the channels that came through pipes, of which there are no files.
    """
    given = {name: value for name, value in hyperparameters.items() if name != _MAY_GROW}
    digest = hashlib.sha256()
    sizes = {name: [path.stat().st_size for path in paths] for name, paths in channels.items()}
    digest.update(json.dumps([_LAYOUT, given, sizes], sort_keys=True).encode())
    for path in itertools.chain.from_iterable(channels.values()):
        with path.open("rb") as stream:
            while chunk := stream.read(_CHUNK):
                digest.update(chunk)
    for name, of_rows in sorted((rows or {}).items()):
        digest.update(name.encode() + of_rows)
    return digest.hexdigest()
