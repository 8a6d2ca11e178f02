"""STS, IAM, CloudWatch and Application Auto Scaling by moto, behind the same port; SageMaker's metrics are kept by us.

moto takes seconds to import and keeps its state in memory, so it is loaded by the first call that needs it and
then told the metrics of the jobs so far, which live in the store.
"""

from __future__ import annotations

import datetime as dt
import functools
import os
import threading
import warnings
from typing import TYPE_CHECKING, Any

from botocore.config import Config

from airflow_ll.extras import require
from airflow_ll.local.clients import OWN_CALLS
from airflow_ll.local.endpoint_metrics import EndpointMetrics

if TYPE_CHECKING:
    from collections.abc import Callable

    import boto3

    from airflow_ll.local.store import EndpointMetric, MetricPoint, Store

__all__ = ["MOTO_SERVICES", "CloudWatch"]

MOTO_SERVICES = frozenset({"sts", "iam", "monitoring", "application-autoscaling"})

_NAMESPACE = "/aws/sagemaker/TrainingJobs"
_ENDPOINT_NAMESPACE = "AWS/SageMaker"
_BATCH = 500


class CloudWatch:
    """moto's application, and the training metrics in it."""

    def __init__(self, store: Store, session: Callable[[], boto3.Session]) -> None:
        self._store, self._session = store, session
        self._loading, self._publishing = threading.Lock(), threading.Lock()
        self._app: Any = None
        self._published = self._published_endpoints = 0
        self.endpoints = EndpointMetrics(store)

    def app(self) -> Any:
        """Return the ASGI application that answers for :data:`MOTO_SERVICES`, loading it the first time."""
        with self._loading:
            if self._app is None:
                self._app = _load()
        return self._app

    @property
    def client(self) -> Any:
        """A boto3 client of CloudWatch for the runtime itself, which loads moto."""
        self.app()
        return self._client

    def publish_all(self) -> None:
        """Put the metrics of jobs and endpoints so far into CloudWatch, once each."""
        self.app()
        with self._publishing:
            while points := self._store.metrics_after(self._published, _BATCH):
                self._publish(points)
                self._published = points[-1].number
            self.endpoints.flush()
            while metrics := self._store.endpoint_metrics_after(self._published_endpoints, _BATCH):
                self._publish_endpoints(metrics)
                self._published_endpoints = metrics[-1].number

    def job_ended(self) -> None:
        """Publish the metrics of a job that just ended, if anybody uses CloudWatch here."""
        if self._app is not None:
            self.publish_all()

    @functools.cached_property
    def _client(self) -> Any:
        config = Config(user_agent_extra=OWN_CALLS)
        return self._session().client("cloudwatch", config=config)

    def _publish(self, points: list[MetricPoint]) -> None:
        self._client.put_metric_data(
            Namespace=_NAMESPACE,
            MetricData=[
                {
                    "MetricName": point.name,
                    "Dimensions": [{"Name": "TrainingJobName", "Value": point.job}],
                    "Timestamp": dt.datetime.fromtimestamp(point.timestamp, dt.UTC),
                    "Value": point.value,
                }
                for point in points
            ],
        )

    def _publish_endpoints(self, metrics: list[EndpointMetric]) -> None:
        self._client.put_metric_data(
            Namespace=_ENDPOINT_NAMESPACE,
            MetricData=[
                {
                    "MetricName": metric.name,
                    "Dimensions": [
                        {"Name": "EndpointName", "Value": metric.endpoint},
                        {"Name": "VariantName", "Value": metric.variant},
                    ],
                    "Timestamp": dt.datetime.fromtimestamp(metric.timestamp, dt.UTC),
                    "StatisticValues": {
                        "SampleCount": metric.samples,
                        "Sum": metric.total,
                        "Minimum": metric.minimum,
                        "Maximum": metric.maximum,
                    },
                    "Unit": metric.unit,
                }
                for metric in metrics
            ],
        )


def _load() -> Callable[..., Any]:
    os.environ.setdefault("MOTO_DISABLE_GLOBAL_CORS", "true")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        moto = require("moto.moto_server.werkzeug_app", extra="local", purpose="The embedded runtime")
        a2wsgi = require("a2wsgi", extra="local", purpose="The embedded runtime")
    wsgi = moto.DomainDispatcherApplication(moto.create_backend_app)
    app: Callable[..., Any] = a2wsgi.WSGIMiddleware(wsgi, workers=4)
    return app
