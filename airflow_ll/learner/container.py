"""The training half of SageMaker's container contract: a tree in, a model or a reason for failure out."""

from __future__ import annotations

import hashlib
import signal
import threading
import traceback
from typing import TYPE_CHECKING

from airflow_ll.artifacts.archive import MODEL_NAME
from airflow_ll.exceptions import DataError, HyperparameterError, LinearLearnerError, MissingExtraError
from airflow_ll.learner.channels import Memory, read_channel
from airflow_ll.learner.checkpoints import Checkpoints, describe_job
from airflow_ll.learner.configuration import CHANNELS, Configuration, read_configuration
from airflow_ll.learner.files import channel_files
from airflow_ll.learner.initialization import SERVICE_SEED
from airflow_ll.learner.job import TrainingJob
from airflow_ll.learner.job_log import JobLog
from airflow_ll.learner.settings import resolve
from airflow_ll.learner.threads import taking_turns

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from airflow_ll.learner.channels import Channel

__all__ = ["ALGORITHM_ERROR", "CUSTOMER_ERROR", "PLATFORM_ERROR", "SUCCESS", "train"]

SUCCESS, ALGORITHM_ERROR, CUSTOMER_ERROR, PLATFORM_ERROR = 0, 1, 2, 3
_PREFIXES = {ALGORITHM_ERROR: "Algorithm Error", CUSTOMER_ERROR: "Customer Error", PLATFORM_ERROR: "Platform Error"}
_OTHER_TENSORS = (
    "The records of channel '{name}' have {kinds} tensors, which are read as float32 here. Amazon documents that "
    "LinearLearner takes Float32 tensors only: on SageMaker the job may fail."
)
_MAX_FAILURE = 1024  # the service cuts FailureReason there


def train(root: Path, seed: int = SERVICE_SEED) -> int:
    """Run one training job.

    Parameters
    ----------
    root : Path
        The container's tree, ``/opt/ml`` on SageMaker: ``input/config/*.json`` and ``input/data/<channel>/`` are read;
        ``model/model_algo-1``, ``output/data/metrics.jsonl`` and, on failure, ``output/failure`` are written. When
        there is a folder ``checkpoints``, the state after each epoch is kept there and a run goes on from it.
    seed : int
        Of the first weights; the default is what the service begins with. The same seed, data, machine and number of
        threads give the same model, byte for byte.

    Returns
    -------
    int
        0, or 1, 2 or 3 when the fault is the algorithm's, the customer's or the platform's.
    """
    output = root / "output"
    try:
        (output / "data").mkdir(parents=True, exist_ok=True)
        (root / "model").mkdir(parents=True, exist_ok=True)
        for old in (output / "failure", root / "model" / MODEL_NAME):  # of an earlier run: this one has its own end
            old.unlink(missing_ok=True)
        configuration = read_configuration(root)
        _run(root, configuration, seed)
    except _StoppedBeforeTraining:
        return SUCCESS
    except (DataError, HyperparameterError, MissingExtraError) as error:
        return _fail(output, CUSTOMER_ERROR, _sentence(error))
    except MemoryError:
        return _fail(output, CUSTOMER_ERROR, "Out of memory. Please use a larger instance type and try again.")
    except LinearLearnerError as error:
        return _fail(output, ALGORITHM_ERROR, _sentence(error))
    except (OSError, ValueError) as error:
        traceback.print_exc()
        return _fail(output, PLATFORM_ERROR, f"{type(error).__name__}: {error}")
    except Exception as error:  # the process's edge: whatever it is, the service must be told
        traceback.print_exc()
        return _fail(output, ALGORITHM_ERROR, f"Internal error. {type(error).__name__}: {error}")
    return SUCCESS


def _run(root: Path, configuration: Configuration, seed: int) -> None:
    log = JobLog(configuration.host)
    log.plain("Docker entrypoint called with argument(s): train")
    log.plain("Running default environment configuration script")
    configuration.announce(log)
    hyperparameters = configuration.hyperparameters()
    log.info(f"Random seed: {seed}")
    log.info("Using default worker.")
    checkpointing = (root / "checkpoints").is_dir()
    log.info(f"Checkpoint loading and saving are {'enabled' if checkpointing else 'disabled'}.")
    log.info("Create Store: local")
    log.flush()
    with _Termination() as termination, taking_turns():
        memory = Memory()
        # Files are compared by their bytes, which are there to be read again; of pipes the rows are.
        digests = {name: hashlib.sha256() for name in configuration.pipes} if checkpointing else {}
        channels = dict(_read_channels(root, configuration, memory, digests, log))
        settings = resolve(hyperparameters, tuned=configuration.tuned)
        with (root / "output" / "data" / "metrics.jsonl").open("w") as metrics_file:
            checkpoints = _checkpoints(root, configuration, digests) if checkpointing else None
            job = TrainingJob(settings, channels, log, metrics_file, seed, termination.requested, checkpoints, memory)
            termination.hold()
            model = job.run()
        model.save(root / "model" / MODEL_NAME)


def _read_channels(
    root: Path, configuration: Configuration, memory: Memory, digests: Mapping[str, hashlib._Hash], log: JobLog
) -> Iterator[tuple[str, Channel]]:
    hyperparameters, width = configuration.hyperparameters(), None
    for name in (name for name in CHANNELS if name in configuration.content_types):
        folder = root / "input" / "data" / name
        pipe, kind = name in configuration.pipes, configuration.content_types[name]
        if pipe:
            log.info(f"The channel '{name}' is in pipe input mode under {folder}.")
        channel = read_channel(folder, name, kind, hyperparameters, width, memory, digests.get(name), pipe=pipe)
        if others := sorted(channel.kinds - {"float32"}):
            log.warning(_OTHER_TENSORS.format(name=name, kinds=" and ".join(others)))
        width = channel.feature_dim
        yield name, channel


def _checkpoints(root: Path, configuration: Configuration, digests: Mapping[str, hashlib._Hash]) -> Checkpoints:
    files = {name: channel_files(root / "input" / "data" / name) for name in configuration.content_types}
    rows = {name: digest.digest() for name, digest in digests.items()}
    return Checkpoints(root / "checkpoints", describe_job(configuration.given, files, rows))


class _StoppedBeforeTraining(BaseException):
    """SIGTERM came while there was nothing to save."""


class _Termination:
    """SIGTERM as a request: at once while data is read, after the current batch once training has begun."""

    def __init__(self) -> None:
        self._event, self._holding = threading.Event(), False

    def __enter__(self) -> _Termination:
        self._in_main_thread = threading.current_thread() is threading.main_thread()
        if self._in_main_thread:
            self._before = signal.signal(signal.SIGTERM, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        if self._in_main_thread:
            signal.signal(signal.SIGTERM, self._before)

    def hold(self) -> None:
        """From now on let training end by itself."""
        self._holding = True

    def requested(self) -> bool:
        return self._event.is_set()

    def _handle(self, *_: object) -> None:
        self._event.set()
        if not self._holding:
            raise _StoppedBeforeTraining


def _sentence(error: LinearLearnerError) -> str:
    return " ".join(str(error).split("\n"))


def _fail(output: Path, code: int, reason: str) -> int:
    text = f"{_PREFIXES[code]}: {reason}"[:_MAX_FAILURE]
    JobLog("algo-1").error(text)
    output.mkdir(parents=True, exist_ok=True)
    (output / "failure").write_text(text + "\n")
    return code
