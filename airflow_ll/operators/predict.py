"""Ask an endpoint for predictions."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from airflow_ll.hooks.connected import task_identity
from airflow_ll.hooks.failures import clear_failures
from airflow_ll.operators.base import LinearLearnerOperator

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["LinearLearnerPredictOperator"]

_INLINE_PREDICTIONS = 100


class LinearLearnerPredictOperator(LinearLearnerOperator):
    """Send rows to an endpoint and return their predictions, in order.

    Up to 100 predictions are in the result itself; more are written to S3 as JSON Lines.

    :param endpoint_name: the endpoint.
    :param features: path or S3 URI of a ``.npy``, ``.npz``, ``.csv`` or ``.parquet`` file, or a list of rows.
    :param label_column: name or number of a column of ``features`` to leave out.
    :param content_type: how the rows travel: "text/csv", "application/json" or "application/x-recordio-protobuf".
    :param output_path: S3 URI of the folder for more than 100 predictions; SageMaker's default bucket by default.
    """

    template_fields: Sequence[str] = (
        "endpoint_name",
        "features",
        "label_column",
        "output_path",
        *LinearLearnerOperator.template_fields,
    )

    def __init__(
        self,
        *,
        endpoint_name: str,
        features: Any,
        label_column: str | int | None = None,
        content_type: str = "text/csv",
        output_path: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.endpoint_name = endpoint_name
        self.features = features
        self.label_column = label_column
        self.content_type = content_type
        self.output_path = output_path

    @clear_failures
    def execute(self, context: Any) -> dict[str, Any]:
        """Read the rows, ask, return the predictions."""
        from airflow_ll.hooks.predicting import as_rows
        from airflow_ll.hooks.sources import load

        features, _ = load(self.hook, self.features, None, self.label_column)
        predictions = list(as_rows(self.hook.predict(self.endpoint_name, features, content_type=self.content_type)))
        self.log.info("The endpoint %s answered with %d predictions", self.endpoint_name, len(predictions))
        result = {
            "endpoint_name": self.endpoint_name,
            "num_predictions": len(predictions),
            "predictions": predictions[:_INLINE_PREDICTIONS],
        }
        if len(predictions) > _INLINE_PREDICTIONS:
            result["output"] = self._write(context, predictions)
        return result

    def _write(self, context: Any, predictions: list[dict[str, Any]]) -> str:
        from airflow_ll.requests.names import resource_name

        name = resource_name(task_identity(context), "transform")
        uri = f"{self.hook.location(self.output_path, default='predictions')}/{name}.jsonl"
        self.hook.write(uri, "".join(json.dumps(one) + "\n" for one in predictions).encode())
        return uri
