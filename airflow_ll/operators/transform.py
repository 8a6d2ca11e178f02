"""Score a data set in a batch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from airflow_ll.exceptions import RequestError
from airflow_ll.hooks.connected import task_identity
from airflow_ll.hooks.resources import TRANSFORM_JOB
from airflow_ll.hooks.settings import specify
from airflow_ll.lineage import Lineage
from airflow_ll.links import TransformJobLink, TransformJobLogsLink
from airflow_ll.operators.base import LinearLearnerJobOperator, iso_times
from airflow_ll.operators.model import ModelArguments

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from airflow_ll.hooks.ensuring import Ensured
    from airflow_ll.triggers.transform import LinearLearnerTransformTrigger

__all__ = ["LinearLearnerTransformOperator"]

_MAX_WAIT_SECONDS = 5 * 24 * 3600  # a transform job has no StoppingCondition; SageMaker ends it after five days


class LinearLearnerTransformOperator(LinearLearnerJobOperator, ModelArguments):
    """Run a batch transform job over a record set or over files in S3.

    A record set is read by its manifest as RecordIO-protobuf; each shard has one output object, whose lines are JSON.

    :param records: result of a record set task.
    :param data: S3 URI of the input instead: a prefix, or a manifest with ``data_type="ManifestFile"``.
    :param training_job_name: a finished training job, for the artifact and what goes with it, its tags included; or
    :param model_name: the model; or
    :param model_data: S3 URI of ``model.tar.gz`` to make a model of, with ``role``.
    :param environment: environment variables of the job.
    :param output_path: S3 URI of the output; by default a folder of the job's name in SageMaker's default bucket.
    :param transform_job_name: an explicit name, usable once; by default it follows from the task and its run.
    :param data_type: "S3Prefix" or "ManifestFile", of ``data``.
    :param content_type: of ``data``; "text/csv" by default.
    :param split_type: how an object becomes rows: "Line" by default for ``data``.
    :param accept: the output's form.
    :param assemble_with: "Line" puts a line feed between answers.
    :param instance_type: type of the instances.
    :param instance_count: number of instances.
    :param strategy: "MultiRecord" or "SingleRecord".
    :param max_payload: MB of one request.
    :param predictions: "csv", "arrow" or "parquet": write all predictions as one table beside the outputs, with
        ``row``, the keys, ``predicted_label`` (of classifiers) and ``score``.
    :param key_columns: numbers of the columns of CSV inputs that are keys in that table (``key_0``, ...); keep them
        from the model with ``job_options={"input_filter": "$[1:]"}``.
    :param keys: S3 URI of a CSV file with a header, or of a Parquet file, with the keys of the rows, in order.
    :param job_options: further fields of :class:`airflow_ll.requests.transforms.TransformJobSpec`, e.g.
        ``input_filter``, ``join_source``, ``output_kms_key``, ``max_concurrent_transforms``.
    """

    resource = TRANSFORM_JOB
    operator_extra_links = (TransformJobLink(), TransformJobLogsLink())
    template_fields: Sequence[str] = (
        "records",
        "data",
        "output_path",
        "transform_job_name",
        "instance_type",
        "instance_count",
        "key_columns",
        "keys",
        "job_options",
        *ModelArguments.template_fields,
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"records": "json"}

    def __init__(
        self,
        *,
        records: Any = None,
        data: str | None = None,
        output_path: str | None = None,
        transform_job_name: str | None = None,
        data_type: str = "S3Prefix",
        content_type: str = "text/csv",
        split_type: str = "Line",
        accept: str = "application/jsonlines",
        assemble_with: str = "Line",
        instance_type: str = "ml.m5.xlarge",
        instance_count: int = 1,
        strategy: str | None = "MultiRecord",
        max_payload: int | None = None,
        predictions: str | None = None,
        key_columns: Sequence[int] = (),
        keys: str | None = None,
        job_options: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.records = records
        self.data = data
        self.output_path = output_path
        self.transform_job_name = transform_job_name
        self.data_type = data_type
        self.content_type = content_type
        self.split_type = split_type
        self.accept = accept
        self.assemble_with = assemble_with
        self.instance_type = instance_type
        self.instance_count = instance_count
        self.strategy = strategy
        self.max_payload = max_payload
        self.predictions = predictions
        self.key_columns = key_columns
        self.keys = keys
        self.job_options = job_options

    def submit(self, context: Mapping[str, Any]) -> Ensured:
        """Create the transform job and the model it needs, or adopt those of an earlier attempt."""
        identity = task_identity(context)
        source = self._source()
        self._check_output()
        self._check_table()
        settings = {
            **source,
            "model_name": self.use_model(identity),
            "accept": self.accept,
            "assemble_with": self.assemble_with,
            "instance_type": self.instance_type,
            "instance_count": int(self.instance_count),
            "strategy": self.strategy,
            "max_payload": self.max_payload,
            "environment": dict(self.environment or {}),
            "tags": self.own_tags(),
            **(self.job_options or {}),
        }

        def build(name: str) -> dict[str, Any]:
            from airflow_ll.requests import TransformJobSpec, transform_job

            output = self.hook.location(self.output_path, default=name)
            return transform_job(specify(TransformJobSpec, transform_job_name=name, output_path=output, **settings))

        return self.ensure(TRANSFORM_JOB, identity, build, name=self.transform_job_name, if_exists=self.if_exists)

    def _source(self) -> dict[str, Any]:
        if (self.records is None) == (self.data is None):
            raise RequestError(
                "A transform job needs either records or data, got " + ("both." if self.data else "none.")
            )
        if self.records is None:
            return {
                "data": self.data,
                "data_type": self.data_type,
                "content_type": self.content_type,
                "split_type": self.split_type,
            }
        return {
            "data": self.records["s3_data"],
            "data_type": self.records.get("s3_data_type", "ManifestFile"),
            "content_type": "application/x-recordio-protobuf",
            "split_type": "RecordIO",
        }

    def _check_output(self) -> None:
        """Refuse a missing bucket before a model is created for nothing."""
        if self.output_path:
            self.hook.location(self.output_path, default="")

    def result(self, description: dict[str, Any], *, adopted: bool) -> dict[str, Any]:
        """Return what later tasks need to know of the job."""
        output_path = description["TransformOutput"]["S3OutputPath"]
        complete = self.resource.is_good(description)
        pairs = dict(self._pairs(description, output_path)) if complete else {}
        table = self._table(description, pairs) if self.predictions and complete else {}
        source = description["TransformInput"]["DataSource"]["S3DataSource"]["S3Uri"]
        here = description["TransformJobArn"].rpartition(":")[0]
        self.lineage = Lineage(
            read=[source, f"{here}:model/{description['ModelName']}"],
            written=[output_path, table.get("predictions")],
            rows=table.get("num_predictions"),
        )
        return {
            "transform_job_name": description["TransformJobName"],
            "transform_job_arn": description["TransformJobArn"],
            "status": description["TransformJobStatus"],
            "model_name": description["ModelName"],
            "output_path": output_path,
            "outputs": sorted(pairs.values()),
            **table,
            **iso_times(
                description,
                creation_time="CreationTime",
                transform_start_time="TransformStartTime",
                transform_end_time="TransformEndTime",
            ),
            "adopted": adopted,
        }

    def _check_table(self) -> None:
        if self.predictions not in (None, "csv", "arrow", "parquet"):
            raise RequestError(f"predictions must be 'csv', 'arrow' or 'parquet', got {self.predictions!r}.")
        if (self.key_columns or self.keys) and not self.predictions:
            raise RequestError("Keys are for a table of predictions: give predictions, such as 'csv'.")

    def _table(self, description: dict[str, Any], pairs: Mapping[str, str]) -> dict[str, Any]:
        """Write the table of all predictions."""
        from airflow_ll.hooks.transform_results import Predicted, write_predictions

        predicted = Predicted(
            inputs=list(pairs),
            outputs=list(pairs.values()),
            accept=description["TransformOutput"].get("Accept"),
            compressed=description["TransformInput"].get("CompressionType") == "Gzip",
        )
        folder = description["TransformOutput"]["S3OutputPath"].rstrip("/")
        uri = f"{folder}/{description['TransformJobName']}.{self.predictions}"
        columns = [int(one) for one in self.key_columns]
        rows = write_predictions(self.hook, predicted, uri, key_columns=columns, keys=self.keys)
        return {"predictions": uri, "num_predictions": rows}

    def _pairs(self, description: dict[str, Any], output_path: str) -> Iterator[tuple[str, str]]:
        """Yield the URIs of the job's own inputs, in order, and of their outputs; others may share the prefix."""
        bucket = output_path.split("/", 3)[2]
        root = output_path.rstrip("/") + "/"
        there = {f"s3://{bucket}/{key}" for key in self.hook.keys(root)}
        for uri, name in self._inputs(description):
            if f"{root}{name}.out" in there:
                yield uri, f"{root}{name}.out"

    def _inputs(self, description: dict[str, Any]) -> Iterator[tuple[str, str]]:
        """Yield the inputs' URIs, and their keys below what was asked for, which is what outputs are named after."""
        source = description["TransformInput"]["DataSource"]["S3DataSource"]
        uri = source["S3Uri"]
        if source["S3DataType"] == "ManifestFile":
            from airflow_ll.records import parse_manifest

            prefix, names = parse_manifest(self.hook.read(uri))
            yield from ((f"{prefix}{name}", name) for name in names)
            return
        bucket, _, prefix = uri.removeprefix("s3://").partition("/")
        folder = prefix[: prefix.rfind("/") + 1]
        for key in self.hook.keys(uri):
            yield f"s3://{bucket}/{key}", key[len(folder) :]

    def trigger(self, name: str, **settings: Any) -> LinearLearnerTransformTrigger:
        """Return the trigger that waits for the job."""
        from airflow_ll.triggers.transform import LinearLearnerTransformTrigger

        return LinearLearnerTransformTrigger(name, **settings)

    def default_wait_timeout(self) -> float:
        """Return SageMaker's own limit."""
        return _MAX_WAIT_SECONDS
