"""Ask an endpoint for predictions, and hold them to what they must be."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_ll.exceptions import RequestError
from airflow_ll.hooks.connected import task_identity
from airflow_ll.hooks.failures import clear_failures
from airflow_ll.hooks.settings import specify
from airflow_ll.lineage import Lineage
from airflow_ll.operators.base import LinearLearnerOperator

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["LinearLearnerPredictOperator"]

_INLINE_PREDICTIONS = 100


class LinearLearnerPredictOperator(LinearLearnerOperator):
    """Send rows to an endpoint and return their predictions, in order.

    Up to 100 predictions are in the result itself; more are written to S3 as JSON Lines.

    :param endpoint_name: the endpoint.
    :param features: path or S3 URI of a ``.npy``, ``.npz``, ``.csv`` or ``.parquet`` file, or a list of rows; or
    :param records: the result of a record set task.
    :param label_column: name or number of a column of ``features`` to leave out; the true labels.
    :param content_type: how the rows travel: "text/csv", "application/json", "application/jsonlines" or
        "application/x-recordio-protobuf".
    :param accept: how the answers travel; one of these.
    :param target_variant: the variant to ask, instead of one by weight.
    :param expectations: fields of :class:`airflow_ll.hooks.expectations.Expectations`: the task fails, without retries,
        when the predictions are not as expected.
    :param output_path: S3 URI of the folder for more than 100 predictions; SageMaker's default bucket by default.
    """

    template_fields: Sequence[str] = (
        "endpoint_name",
        "features",
        "records",
        "label_column",
        "target_variant",
        "expectations",
        "output_path",
        *LinearLearnerOperator.template_fields,
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"expectations": "json", "records": "json"}

    def __init__(
        self,
        *,
        endpoint_name: str,
        features: Any = None,
        records: Mapping[str, Any] | None = None,
        label_column: str | int | None = None,
        content_type: str = "text/csv",
        accept: str = "application/json",
        target_variant: str | None = None,
        expectations: Mapping[str, Any] | None = None,
        output_path: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.endpoint_name = endpoint_name
        self.features = features
        self.records = records
        self.label_column = label_column
        self.content_type = content_type
        self.accept = accept
        self.target_variant = target_variant
        self.expectations = expectations
        self.output_path = output_path

    @clear_failures
    def execute(self, context: Any) -> dict[str, Any]:
        """Read the rows, ask, return the predictions."""
        from airflow_ll.hooks.expectations import Expectations, check
        from airflow_ll.hooks.predicting import as_rows

        expected = specify(Expectations, **(self.expectations or {}))
        features, labels = self._rows()
        answers = self.hook.predict(
            self.endpoint_name,
            features,
            content_type=self.content_type,
            accept=self.accept,
            target_variant=self.target_variant,
        )
        predictions = list(as_rows(answers))
        self.log.info("The endpoint %s answered with %d predictions", self.endpoint_name, len(predictions))
        result: dict[str, Any] = {
            "endpoint_name": self.endpoint_name,
            "num_predictions": len(predictions),
            "predictions": predictions[:_INLINE_PREDICTIONS],
            "measured": check(expected, answers, labels),
        }
        if len(predictions) > _INLINE_PREDICTIONS:
            result["output"] = self._write(context, predictions)
        source: Any = self.records["s3_data"] if self.records else self.features
        uri = source if isinstance(source, str) and source.startswith("s3://") else None
        self.lineage = Lineage(read=[uri], written=[result.get("output")], rows=len(predictions))
        return self.tell(context, result)

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:
        """Return what OpenLineage's listener asks for; the endpoint is among what was read."""
        caller = self.hook.client("sts").get_caller_identity()  # not asked for unless somebody listens
        place = f"arn:{caller['Arn'].split(':')[1]}:sagemaker:{self.hook.region}:{caller['Account']}"
        read = [*self.lineage.read, f"{place}:endpoint/{self.endpoint_name}"]
        self.lineage = Lineage(read, self.lineage.written, self.lineage.rows)
        return super().get_openlineage_facets_on_complete(task_instance)

    def _rows(self) -> tuple[Any, Any]:
        if (self.features is None) == (self.records is None):
            got = "none" if self.features is None else "both"
            raise RequestError(f"A prediction needs either features or records, got {got}.")
        if self.records is not None:
            from airflow_ll.hooks.reading import read_record_set
            from airflow_ll.records import RecordSet

            return read_record_set(self.hook, RecordSet.from_dict(self.records))
        from airflow_ll.hooks.sources import load

        return load(self.hook, self.features, None, self.label_column)

    def _write(self, context: Any, predictions: list[dict[str, Any]]) -> str:
        from airflow_ll.requests.names import resource_name

        name = resource_name(task_identity(context), "transform", base_name=self.base_job_name)
        uri = f"{self.hook.location(self.output_path, default='predictions')}/{name}.jsonl"
        self.hook.write(uri, "".join(json.dumps(one) + "\n" for one in predictions).encode())
        return uri
