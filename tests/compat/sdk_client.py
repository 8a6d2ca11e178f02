"""What a user of the SageMaker Python SDK 2.x does with a ``LinearLearner``; runs in the environment .venvs/sdk.

``python -m tests.compat.sdk_client URL REPORT PREDICTOR_TYPE INSTANCES [--hurry]`` goes through the whole estimator
against the runtime at ``URL`` and writes what came out as JSON. The SDK and what it sends are not touched. With
``--hurry`` its sleeps between two looks at a job, 5 to 30 seconds each, are cut short: ``time.sleep`` of this process
is replaced.
"""

from __future__ import annotations

import contextlib
import functools
import io
import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import sagemaker
from sagemaker import LinearLearner
from sagemaker.amazon.common import read_records, write_numpy_to_dense_tensor
from sagemaker.deserializers import CSVDeserializer, JSONDeserializer
from sagemaker.s3 import S3Downloader, S3Uploader
from sagemaker.serializers import CSVSerializer, JSONSerializer
from sagemaker.tuner import CategoricalParameter, ContinuousParameter, HyperparameterTuner, IntegerParameter

from airflow_ll.local import boto_session

ROLE = "arn:aws:iam::123456789012:role/service-role/SageMakerRole"
FEATURES = 6
CLASSES = 4
LONGEST_SLEEP = 0.5

SETTINGS: dict[str, dict[str, Any]] = {
    "binary_classifier": {"binary_classifier_model_selection_criteria": "f1"},
    "regressor": {"loss": "absolute_loss"},
    "multiclass_classifier": {"num_classes": CLASSES},
}


def rows(predictor_type: str, count: int, seed: int) -> tuple[Any, Any]:
    """Return ``(count, FEATURES)`` float32 features and labels that a linear model can learn."""
    random = np.random.default_rng(seed)
    features = random.normal(size=(count, FEATURES)).astype(np.float32)
    weights = np.random.default_rng(0).normal(size=(FEATURES, CLASSES))
    scores = features @ weights
    if predictor_type == "multiclass_classifier":
        return features, scores.argmax(axis=1).astype(np.float32)
    if predictor_type == "binary_classifier":
        return features, (scores[:, 0] > 0).astype(np.float32)
    return features, (3 * scores[:, 0] + 1).astype(np.float32)


class Client:
    """One user with one estimator."""

    def __init__(self, url: str, predictor_type: str, instances: int) -> None:
        self.predictor_type, self.instances = predictor_type, instances
        self.session = sagemaker.Session(boto_session=boto_session(url))
        self.bucket = self.session.default_bucket()
        self.api = self.session.sagemaker_client
        self.train, self.labels = rows(predictor_type, 600, seed=1)
        self.features, self.truth = rows(predictor_type, 40, seed=2)
        self.report: dict[str, Any] = {"bucket": self.bucket, "sdk": sagemaker.__version__, "deleted": []}

    def estimator(self, **settings: Any) -> Any:
        """Return a new estimator."""
        return LinearLearner(
            role=ROLE,
            instance_count=self.instances,
            instance_type="ml.m5.large",
            predictor_type=self.predictor_type,
            sagemaker_session=self.session,
            **SETTINGS[self.predictor_type] | {"epochs": 15, "num_models": 4, "learning_rate": 0.05} | settings,
        )

    def fit(self) -> None:
        """record_set and fit with logs, then what the job says about itself."""
        self.fitted = self.estimator(tags=[{"Key": "team", "Value": "compat"}])
        self.channels = [
            self.fitted.record_set(self.train, self.labels),
            self.fitted.record_set(*rows(self.predictor_type, 200, seed=3), channel="validation"),
        ]
        with contextlib.redirect_stdout(io.StringIO()) as log:
            self.fitted.fit(self.channels, mini_batch_size=50, logs=True)
        self.report["logs"] = log.getvalue()[-200_000:]
        self.job = self.fitted.latest_training_job.name
        described = self.fitted.latest_training_job.describe()
        self.report |= {"status": described["TrainingJobStatus"], "model_data": self.fitted.model_data}

    def training_job_analytics(self) -> None:
        """The job's metrics as a data frame."""
        frame = self.fitted.training_job_analytics.dataframe()
        self.report["analytics"] = {name: list(part["value"]) for name, part in frame.groupby("metric_name")}

    def attach(self, purpose: str) -> Any:
        """Return another estimator of the job, whose models and jobs have names of their own.

        The SDK's names end with the millisecond, which two threads can share.
        """
        estimator = LinearLearner.attach(self.job, sagemaker_session=self.session)
        estimator.base_job_name = f"{self.job[-12:]}-{purpose}"
        return estimator

    def compare_attached(self) -> None:
        """What an estimator from nothing but the job's name knows."""
        self.attached = self.attach("endpoint")
        self.report["attached"] = {
            "hyperparameters": [self.attached.hyperparameters(), self.fitted.hyperparameters()],
            "model_data": self.attached.model_data,
            "tags": self.attached.tags,
            "instance_count": self.attached.instance_count,
        }

    def deploy(self) -> None:
        """An endpoint of the attached estimator, asked in all formats."""
        self.predictor = self.attached.deploy(initial_instance_count=1, instance_type="ml.m5.large")
        self.report["predicted"] = self.answers(self.predictor)

    def answers(self, predictor: Any) -> dict[str, Any]:
        """Return the scores that an endpoint gives as RecordIO, CSV and JSON, and its labels."""
        records = predictor.predict(self.features)
        labels = [r.label["predicted_label"].float32_tensor.values[0] for r in records if "predicted_label" in r.label]
        name, common = predictor.endpoint_name, {"sagemaker_session": self.session}
        csv = sagemaker.predictor.Predictor(name, serializer=CSVSerializer(), deserializer=CSVDeserializer(), **common)
        as_json = sagemaker.predictor.Predictor(
            name, serializer=JSONSerializer(), deserializer=JSONDeserializer(), **common
        )
        instances = {"instances": [{"features": row} for row in self.features.tolist()]}
        return {
            "recordio": [list(record.label["score"].float32_tensor.values) for record in records],
            "labels": labels,
            "csv": csv.predict(self.features),
            "json": as_json.predict(instances)["predictions"],
        }

    def update_endpoint(self) -> None:
        """The same endpoint on more instances of another type."""
        self.predictor.update_endpoint(initial_instance_count=2, instance_type="ml.m5.xlarge")
        described = self.api.describe_endpoint(EndpointName=self.predictor.endpoint_name)
        self.report["updated"] = {
            "status": described["EndpointStatus"],
            "instances": described["ProductionVariants"][0]["CurrentInstanceCount"],
            "scores": self.answers(self.predictor)["recordio"],
        }

    def transform_records(self) -> None:
        """Batch transform of a RecordIO object."""
        stream = io.BytesIO()
        write_numpy_to_dense_tensor(stream, self.features)
        written = self._transformed(stream.getvalue(), "application/x-recordio-protobuf", "RecordIO", "None")
        records = read_records(io.BytesIO(written))
        self.report["transformed_records"] = [list(r.label["score"].float32_tensor.values) for r in records]

    def transform_csv(self) -> None:
        """Batch transform of a CSV object."""
        csv = "\n".join(",".join(map(str, row)) for row in self.features.tolist())
        self.report["transformed_csv"] = self._transformed(csv.encode(), "text/csv", "Line", "Line").decode().split()

    def _transformed(self, body: bytes, content_type: str, split: str, assemble: str) -> bytes:
        source = f"s3://{self.bucket}/batch/{self.job}/{split}/"
        S3Uploader.upload_bytes(body, f"{source}rows", sagemaker_session=self.session)
        transformer = self.attach(split.lower()).transformer(
            1, "ml.m5.large", strategy="MultiRecord", assemble_with=assemble, accept=content_type
        )
        transformer.transform(source, content_type=content_type, split_type=split, wait=True, logs=True)
        transformer.delete_model()
        (written,) = S3Downloader.list(transformer.output_path, sagemaker_session=self.session)
        return bytes(S3Downloader.read_bytes(written, sagemaker_session=self.session))

    def compile_model(self) -> None:
        """A compiled model behind an endpoint of its own."""
        estimator = self.attach("compiled")
        model = estimator.compile_model(
            target_instance_family="ml_c5",
            input_shape={"data": [1, FEATURES]},
            output_path=f"s3://{self.bucket}/compiled/{self.job}",
            framework="mxnet",
            framework_version="1.8",
        )
        self.report["compiled"] = {"model_data": model.model_data, "image": model.image_uri}
        predictor = estimator.deploy(1, "ml.c5.large", use_compiled_model=True)
        self.report["compiled"] |= self.answers(predictor)
        self._delete(predictor)

    def tuner(self) -> None:
        """A tuning job with each kind of range, its best job, and one that is stopped.

        The SDK's names of tuning jobs end with the minute, so that two in a minute, also of two clients, need names of
        their own.
        """
        ranges = {
            "wd": ContinuousParameter(1e-6, 1e-2, scaling_type="Logarithmic"),
            "mini_batch_size": IntegerParameter(20, 100),
            "use_bias": CategoricalParameter(["true", "false"]),
        }
        settings: dict[str, Any] = {
            "objective_metric_name": "validation:objective_loss",
            "hyperparameter_ranges": ranges,
        }
        settings |= {"objective_type": "Minimize", "max_parallel_jobs": 2}
        own = self.job[-12:]
        tuner = HyperparameterTuner(
            self.estimator(epochs=3), max_jobs=3, base_tuning_job_name=f"done-{own}", **settings
        )
        tuner.fit(self.channels)
        tuner.wait()
        frame = tuner.analytics().dataframe()
        best = tuner.best_estimator()
        self.report["tuned"] = {
            "status": tuner.describe()["HyperParameterTuningJobStatus"],
            "jobs": frame["TrainingJobName"].tolist(),
            "objectives": frame["FinalObjectiveValue"].tolist(),
            "statuses": frame["TrainingJobStatus"].tolist(),
            "best": tuner.best_training_job(),
            "best_model": best.model_data,
        }
        endless = self.estimator(epochs=100_000, early_stopping_patience=100_000)
        stopped = HyperparameterTuner(endless, max_jobs=20, base_tuning_job_name=f"ended-{own}", **settings)
        stopped.fit(self.channels, wait=False)
        stopped.stop_tuning_job()
        self.report["tuned"]["stopped"] = self._until_ended(stopped.describe, "HyperParameterTuningJobStatus")

    def stop(self) -> None:
        """A job that would train for hours, stopped."""
        endless = self.estimator(epochs=1_000_000, early_stopping_patience=1_000_000)
        endless.fit(self.channels, mini_batch_size=10, wait=False)
        endless.latest_training_job.stop()
        self.report["stopped"] = self._until_ended(endless.latest_training_job.describe, "TrainingJobStatus")

    def _until_ended(self, describe: Any, member: str) -> Any:
        deadline = time.monotonic() + 120
        while (status := describe()[member]) in ("InProgress", "Stopping") and time.monotonic() < deadline:
            time.sleep(0.5)
        return status

    def delete(self) -> None:
        """Everything that is paid by the hour goes."""
        self._delete(self.predictor)

    def _delete(self, predictor: Any) -> None:
        predictor.delete_model()
        predictor.delete_endpoint(delete_endpoint_config=True)
        self.report["deleted"].append(predictor.endpoint_name)


def _nap(sleep: Any, seconds: float) -> None:
    sleep(min(seconds, LONGEST_SLEEP))


AT_ONCE = (
    ("training_job_analytics",),
    ("compare_attached", "deploy", "update_endpoint", "delete"),
    ("transform_records",),
    ("transform_csv",),
    ("compile_model",),
    ("tuner",),
    ("stop",),
)
"""What follows the training; the SDK mostly sleeps."""


def main(url: str, report: str, predictor_type: str, instances: str, *options: str) -> None:
    """Take all steps and write down what came out."""
    if "--hurry" in options:
        time.sleep = functools.partial(_nap, time.sleep)
    client = Client(url, predictor_type, int(instances))
    seconds = client.report["seconds"] = {}

    def take(steps: tuple[str, ...]) -> None:
        for step in steps:
            started = time.monotonic()
            getattr(client, step)()
            seconds[step] = round(time.monotonic() - started, 1)

    take(("fit",))
    with ThreadPoolExecutor(len(AT_ONCE)) as pool:
        list(pool.map(take, AT_ONCE))
    Path(report).write_text(json.dumps(client.report | {"truth": client.truth.tolist()}))


if __name__ == "__main__":
    main(*sys.argv[1:])
