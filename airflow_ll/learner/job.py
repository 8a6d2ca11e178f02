"""One training job: epochs over all models, selection, calibration, the final model and its scores."""

from __future__ import annotations

import dataclasses
import json
import math
import time
from typing import TYPE_CHECKING

import numpy as np

from airflow_ll.artifacts.model import LinearModel
from airflow_ll.exceptions import DataError, LinearLearnerError
from airflow_ll.learner.blocks import Stopped, spans
from airflow_ll.learner.calibration import calibrate
from airflow_ll.learner.channels import Memory
from airflow_ll.learner.evaluation import Evaluation
from airflow_ll.learner.job_log import IteratorCounts, JobLog
from airflow_ll.learner.kernels import Work, load_kernels
from airflow_ll.learner.metrics import channel_margins, final_scores, gathered, is_loss
from airflow_ll.learner.rows import Batches
from airflow_ll.learner.scaling import Scaler, fit_scaler, scaler_rows
from airflow_ll.learner.selection import EarlyStopping, best_criterion
from airflow_ll.learner.settings import RowWeights, Settings
from airflow_ll.learner.threads import thread_count
from airflow_ll.learner.training import ParallelModels

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import TextIO

    from numpy.typing import NDArray

    from airflow_ll.learner.channels import Channel
    from airflow_ll.learner.checkpoints import Checkpoints
    from airflow_ll.learner.kernels import Kernels

    Array = NDArray[np.float32]
    PerModel = NDArray[np.float64]

__all__ = ["TrainingJob"]

_BYTES_A_VALUE = 8  # of a sparse row: the number and its place


class TrainingJob:
    """Trains on the channels and keeps the best model.

    Parameters
    ----------
    settings : Settings
        The resolved hyperparameters.
    channels : Mapping[str, Channel]
        ``train`` and, if given, ``validation`` and ``test``.
    log : JobLog
        Where the service's lines go.
    metrics_file : TextIO
        Receives one JSON object a line: the models, every model's every epoch, and the result.
    seed : int
        Of the first weights.
    stop : callable
        Returns True when the job is to end now with the best model so far.
    checkpoints : Checkpoints, optional
        Where an earlier, interrupted run of this job is gone on from, and the state after every epoch is kept.
    memory : Memory, optional
        What is left of the job's budget after the channels were read: normalised rows are kept in it.
    """

    def __init__(
        self,
        settings: Settings,
        channels: Mapping[str, Channel],
        log: JobLog,
        metrics_file: TextIO,
        seed: int,
        stop: Callable[[], bool],
        checkpoints: Checkpoints | None = None,
        memory: Memory | None = None,
    ) -> None:
        self._started = time.time()
        self._settings, self._channels, self._log, self._stop = settings, channels, log, stop
        self._metrics_file, self._checkpoints = metrics_file, checkpoints
        memory = Memory() if memory is None else memory
        train, batch = channels["train"], int(settings.hyperparameters.mini_batch_size)
        if batch > len(train):
            raise DataError(
                f"The mini_batch_size {batch} is larger than the {len(train)} records of channel 'train'. "
                f"Please set mini_batch_size to at most {len(train)} and try again."
            )
        self._weights = RowWeights.of(settings, train.labels)
        self._objective = self._weights.objective(settings.loss)
        rows = scaler_rows(len(train), batch, int(settings.hyperparameters.num_point_for_scaler))
        self._scaler = _fit(settings, train, rows)
        self._counts = IteratorCounts(len(train), batch, rows)
        # Dense products are BLAS's, which is fast by itself and has threads of its own.
        self._threads = thread_count() if train.sparse else 1
        self._kernels, self._engine = _load_kernels(settings, train, self._threads) if train.sparse else (None, "")
        self._models = ParallelModels(settings, train.feature_dim, seed, threads=self._threads, kernels=self._kernels)
        self._batches = self._normalise(train, batch, self._normalised_targets, memory)
        self._evaluation = self._prepare_evaluation(memory)
        self._stopping = EarlyStopping(
            int(settings.hyperparameters.early_stopping_patience),
            float(settings.hyperparameters.early_stopping_tolerance),
        )
        self._best_weights: Array | None = None
        self._history: list[PerModel] = []  # of every epoch: (train, validation, criterion) by model
        self._durations: list[float] = []

    def run(self) -> LinearModel:
        """Train, choose, calibrate and score; return the model of raw features.

        Raises
        ------
        LinearLearnerError
            No model's objective is a finite number.
        """
        self._announce()
        self._resume()
        for epoch in range(self._epochs_run, self._last_epoch()):
            try:
                finished = self._run_epoch(epoch)
            except Stopped:
                self._log.info(f"The job was asked to stop in epoch {epoch}.")
                break
            if finished:
                break
        return self._finalise()

    def _normalised_targets(self, labels: Array) -> Array:
        return self._settings.loss.targets(self._scaler.normalise_labels(labels))

    def _prepare_evaluation(self, memory: Memory) -> Evaluation | None:
        channel, settings = self._channels.get("validation"), self._settings
        if channel is None:
            return None
        size = min(int(settings.hyperparameters.mini_batch_size), len(channel))
        batches = self._normalise(channel, size, settings.loss.targets, memory)
        return Evaluation(settings, batches, self._scaler, self._stop, threads=self._threads)

    def _normalise(self, channel: Channel, size: int, targets: Callable[[Array], Array], memory: Memory) -> Batches:
        return Batches(channel, self._scaler, size, targets, self._weights, memory, self._kernels)

    # Epochs.

    def _announce(self) -> None:
        self._log.info("Scaler algorithm parameters\n " + type(self._scaler).__name__)
        self._log.info(f"Scaling model computed with parameters:\n {_describe(self._settings, self._scaler)}")
        if self._engine:
            self._log.info(f"{self._engine} Threads: {self._threads}.")
        self._log.metrics(self._counts.metrics(), Meta="init_train_data_iter")
        for index, candidate in enumerate(self._settings.candidates):
            self._record(kind="model", model=index, **dataclasses.asdict(candidate))
        self._log.flush()

    def _run_epoch(self, epoch: int) -> bool:
        """Train one epoch and judge it; return whether it was the last."""
        started, log, hp = time.time(), self._log, self._settings.hyperparameters
        with np.errstate(all="ignore"):  # a model of the grid may diverge; it is never the best then
            losses = self._models.train_epoch(self._batches, self._stop)
        self._counts.finish_epoch()
        self._log_models("train", epoch, losses)
        with np.errstate(all="ignore"):
            name, values, validated = self._judge(epoch, losses)
        improved = self._observe(epoch, np.stack([losses, losses if validated is None else validated, values]))
        log.criterion(epoch, name, best_criterion(values, maximised=name.startswith("sampled_")))
        if improved:
            log.info(f"Epoch {epoch}: Loss improved. Updating best model")
            self._best_weights = self._models.weights.copy()
        log.info(f"Saving model for epoch: {epoch}")
        self._save()
        over = self._stopping.is_over(epoch)
        if over:
            log.stopped_early()
        else:
            log.progress(epoch + 1, int(hp.epochs))
        log.metrics(self._counts.metrics(), since=started, epoch=epoch, Meta="training_data_iter")
        self._durations.append((time.time() - started) * 1000)
        log.throughput(len(self._channels["train"]) / max(1e-9, time.time() - started))
        log.flush()
        return over

    def _observe(self, epoch: int, values: PerModel) -> bool:
        """Keep an epoch's (train, validation, criterion) of every model; return whether it is the best so far."""
        self._history.append(values)
        for model, (train, validation, criterion) in enumerate(values.T):
            extra = {"validation_objective": validation} if "validation" in self._channels else {}
            self._record(kind="epoch", epoch=epoch, model=model, train_objective=train, **extra, criterion=criterion)
        return self._stopping.observe(epoch, values[2])

    @property
    def _epochs_run(self) -> int:
        return len(self._history)

    def _last_epoch(self) -> int:
        """Return the number of epochs that there can be from here: no more, when the checkpoint's was the last."""
        over = bool(self._history) and self._stopping.is_over(self._epochs_run - 1)
        return self._epochs_run if over else int(self._settings.hyperparameters.epochs)

    def _save(self) -> None:
        if self._checkpoints is None:
            return
        best = {} if self._best_weights is None else {"best_weights": self._best_weights}
        self._checkpoints.save({"history": np.stack(self._history), **best, **self._models.state()})

    def _resume(self) -> None:
        """Go on from the checkpoint, if there is one of this job; the epochs in it count as if they were run here."""
        if self._checkpoints is None:
            return
        state, why = self._checkpoints.load()
        if state is not None and len(state["history"]) > int(self._settings.hyperparameters.epochs):
            state, why = None, "The checkpoint has more epochs than the job: training from the beginning."
        self._log.info(why)
        if state is None:
            return
        self._models.restore(state)
        self._best_weights = state.get("best_weights")
        for epoch, values in enumerate(state["history"]):
            self._counts.finish_epoch()
            self._observe(epoch, values)

    def _judge(self, epoch: int, losses: PerModel) -> tuple[str, PerModel, PerModel | None]:
        """Return the criterion's name, its value for every model (to be minimised) and the validation objectives."""
        settings = self._settings
        if self._evaluation is None:
            return self._objective, losses, None
        if not (settings.binary and settings.criterion.calibrates):
            objectives = self._evaluation.objective(self._models.weights)
            self._log_models("validation", epoch, objectives)
            return self._objective, objectives, objectives
        labels = self._channels["validation"].labels
        labels = labels[: self._calibration_rows(len(labels))]
        scores = np.empty((len(labels), len(settings.candidates)), np.float32)
        objectives = self._evaluation.objective(self._models.weights, keep=scores)
        self._log_models("validation", epoch, objectives)
        return f"sampled_{settings.criterion.name}", self._calibrated(scores, labels), objectives

    def _calibrated(self, scores: Array, labels: Array) -> PerModel:
        values = np.full(scores.shape[1], np.nan)
        for model in np.flatnonzero(np.isfinite(scores).all(axis=0)):
            if self._stop():
                raise Stopped
            column = np.ascontiguousarray(scores[:, model])
            values[model] = -calibrate(column, labels, self._settings.criterion).value
        return values

    def _calibration_rows(self, rows: int) -> int:
        wanted = self._settings.hyperparameters.num_calibration_samples
        return rows if wanted == "auto" else min(rows, int(wanted))

    def _log_models(self, split: str, epoch: int, values: PerModel) -> None:
        for model, value in enumerate(values.tolist()):
            self._log.metrics({f"{split}_{self._objective}": value}, epoch=epoch, model=model)
        self._log.quality(split, self._objective, float(values[0]), loss=True, epoch=epoch)

    # The result.

    def _finalise(self) -> LinearModel:
        started = time.time()
        weights, index = self._best_weights, self._stopping.best_model
        if weights is None:
            if self._epochs_run:
                raise LinearLearnerError(
                    "Training diverged: no model has a finite objective. Please lower learning_rate and try again."
                )
            weights, index = self._models.weights, 0  # stopped before the first epoch ended
        split = "validation" if "validation" in self._channels else "train"
        model, margins = self._final_model(weights, index, split)
        self._log_scores(model, split, margins)
        candidate = self._settings.candidates[index]
        self._log.info(f"Best model found for hyperparameters: {candidate.to_json()}")
        if "test" in self._channels:
            self._log_scores(model, "test", channel_margins(model, self._channels["test"], self._stop))
        else:
            self._log.info("Test data is not provided.")
        self._record(
            kind="result",
            best_epoch=self._stopping.best_epoch,
            best_model=index,
            epochs=self._epochs_run,
            threshold=model.threshold,
            **dataclasses.asdict(candidate),
        )
        self._log_times(started)
        return model

    def _final_model(self, weights: Array, index: int, split: str) -> tuple[LinearModel, Iterable[Array]]:
        """Return the raw-space model with its threshold, and its margins on the channel it was calibrated on."""
        settings, channel = self._settings, self._channels[split]
        count = len(settings.candidates)
        raw, bias = self._scaler.fold(weights[:, index::count])
        if not (np.isfinite(raw).all() and np.isfinite(bias).all()):
            raise LinearLearnerError(
                "Training diverged: the best model has weights beyond float32. Please lower learning_rate, or scale "
                "features and labels, and try again."
            )
        model = LinearModel(
            raw,
            bias,
            settings.predictor_type,
            settings.loss_name,
            metrics_params=self._metrics_params(0.5),
            bias_lr_mult=settings.bias_lr_mult,
            node_counter=count + self._epochs_run,
        )
        margins: Iterable[Array] = channel_margins(model, channel, self._stop)
        if settings.binary:
            together = gathered(margins, len(channel))
            margins = (together[span] for span in spans(len(together)))
            sample = self._calibration_rows(len(together))
            scores = model.decide(together[:sample]).scores
            threshold = calibrate(scores, channel.labels[:sample], settings.criterion).threshold
            model = dataclasses.replace(model, threshold=threshold, metrics_params=self._metrics_params(threshold))
        return model, margins

    def _metrics_params(self, threshold: float) -> dict[str, object]:
        hp, name = self._settings.hyperparameters, self._settings.loss_name
        by_class = self._weights.by_class
        return {
            "quantile": hp.quantile if name == "quantile_loss" else None,
            "huber_delta": hp.huber_delta if name == "huber_loss" else None,
            "margin": hp.margin if name == "hinge_loss" else None,
            "loss_insensitivity": hp.loss_insensitivity if name.startswith("eps_") else None,
            "eps_insensitive_loss_type": name if name.startswith("eps_") else None,
            "accuracy_top_k": hp.accuracy_top_k,
            "f_beta": None if self._settings.predictor_type == "regressor" else hp.f_beta,
            "positive_example_weight_mult": self._weights.positive,
            "class_weights": by_class.tolist() if self._settings.multiclass and by_class is not None else None,
            "threshold": threshold,
        }

    def _log_scores(self, model: LinearModel, split: str, margins: Iterable[Array]) -> None:
        labels = self._channels[split].labels
        scores, rows = final_scores(self._settings, self._weights, model, margins, labels)
        if rows < len(labels):
            self._log.info(f"The scores of the {split} channel are those of its first {rows} records.")
        for name, value in scores:
            self._log.score(split, name, value)
        for name, value in scores:
            self._log.quality(split, name, value, loss=is_loss(name))
            self._record(kind="score", split=split, name=name, value=value)

    def _log_times(self, finalising_since: float) -> None:
        now = time.time()
        self._log.metrics(
            {
                "epochs": int(self._settings.hyperparameters.epochs),
                **({"update.time": self._durations} if self._durations else {}),  # type: ignore[dict-item]
                "finalize.time": (now - finalising_since) * 1000,
                "totaltime": (now - self._started) * 1000,
            },
            since=self._started,
        )
        self._log.flush()

    def _record(self, **entry: object) -> None:
        numbers = {name: _jsonable(value) for name, value in entry.items()}
        self._metrics_file.write(json.dumps(numbers) + "\n")
        self._metrics_file.flush()


def _fit(settings: Settings, train: Channel, rows: int) -> Scaler:
    return fit_scaler(
        train.blocks(),
        rows,
        normalize_data=settings.normalize_data,
        unbias_data=settings.unbias_data,
        normalize_label=settings.normalize_label,
        unbias_label=settings.unbias_label,
    )


def _load_kernels(settings: Settings, train: Channel, threads: int) -> tuple[Kernels | None, str]:
    hp, values = settings.hyperparameters, train.nbytes // _BYTES_A_VALUE
    columns, batches = settings.classes * len(settings.candidates), len(train) // int(hp.mini_batch_size)
    surely = min(int(hp.epochs), int(hp.early_stopping_patience) + 2)  # training does not stop earlier
    return load_kernels(Work(values, train.feature_dim, columns, batches, surely, threads))


def _describe(settings: Settings, scaler: Scaler) -> str:
    """Write the statistics as the service prints MXNet's arrays."""
    statistics = {
        "stdev_label": np.array([scaler.label_stdev], np.float32) if settings.normalize_label else None,
        "stdev_weight": scaler.stdev if settings.normalize_data else None,
        "mean_label": np.array([scaler.label_mean], np.float32) if settings.unbias_label else None,
        "mean_weight": scaler.mean if settings.unbias_data else None,
    }
    shown = (
        f"'{name}': " + ("None" if values is None else f"\n{values}\n<NDArray {len(values)} @cpu(0)>")
        for name, values in statistics.items()
    )
    return "{" + ", ".join(shown) + "}"


def _jsonable(value: object) -> object:
    """Return a value that JSON has; a number that it has not becomes null."""
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    return value
