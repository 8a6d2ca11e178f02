"""STS, IAM, CloudWatch and Application Auto Scaling by moto, behind the same port; SageMaker's metrics are kept by us.

moto takes seconds to import and keeps its state in memory, so it is loaded by the first call that needs it, told
what earlier runs were asked to change (:mod:`airflow_ll.local.memory`), and then the metrics of the jobs so far, which
live in the store.
"""

from __future__ import annotations

import datetime as dt
import functools
import threading
from typing import TYPE_CHECKING, Any

from botocore.config import Config

from airflow_ll.local.clients import OWN_CALLS
from airflow_ll.local.endpoint_metrics import EndpointMetrics
from airflow_ll.local.memory import Memory

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
    """moto, and the training metrics in it."""

    def __init__(self, store: Store, session: Callable[[], boto3.Session]) -> None:
        self._store, self._session = store, session
        self._publishing = threading.Lock()
        self.memory = Memory(store)
        self._published = self._published_endpoints = 0
        self.endpoints = EndpointMetrics(store)

    @property
    def client(self) -> Any:
        """A boto3 client of CloudWatch for the runtime itself, which loads moto."""
        self.memory.app()
        return self._client

    def publish_all(self) -> None:
        """Put the metrics of jobs and endpoints so far into CloudWatch, once each."""
        self.memory.app()
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
        if self.memory.loaded:
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
