"""STS, IAM and CloudWatch by moto, mounted behind the same port; training metrics are kept by us.

moto takes seconds to import and keeps its state in memory, so it is loaded by the first call that needs it and
then told the metrics of the jobs so far, which live in the store.
"""

from __future__ import annotations

import datetime as dt
import os
import threading
import warnings
from typing import TYPE_CHECKING, Any

from botocore.config import Config

from airflow_ll.extras import require
from airflow_ll.local.clients import boto_session

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_ll.local.store import Store

__all__ = ["MOTO_SERVICES", "PUBLISHER", "CloudWatch"]

MOTO_SERVICES = frozenset({"sts", "iam", "monitoring"})

PUBLISHER = "airflow-ll-metrics"
"""What our own calls of CloudWatch say in their user agent: they must not wait for themselves."""

_NAMESPACE = "/aws/sagemaker/TrainingJobs"
_BATCH = 500


class CloudWatch:
    """moto's application, and the training metrics in it."""

    def __init__(self, store: Store, url: str, region: str) -> None:
        self._store, self._url, self._region = store, url, region
        self._loading, self._publishing = threading.Lock(), threading.Lock()
        self._app: Any = None
        self._published: set[str] = set()

    def app(self) -> Any:
        """Return the ASGI application that answers for :data:`MOTO_SERVICES`, loading it the first time."""
        with self._loading:
            if self._app is None:
                self._app = _load()
        return self._app

    def publish_all(self) -> None:
        """Put the metrics of all ended jobs into CloudWatch, once each."""
        with self._publishing:
            for (job,) in self._store.rows("SELECT DISTINCT job FROM metric"):
                if job not in self._published:
                    self._publish(job)
                    self._published.add(job)

    def job_ended(self) -> None:
        """Publish the metrics of a job that just ended, if anybody uses CloudWatch here."""
        if self._app is not None:
            self.publish_all()

    def _publish(self, job: str) -> None:
        client = boto_session(self._url, region=self._region).client(
            "cloudwatch", config=Config(user_agent_extra=PUBLISHER)
        )
        points = self._store.metrics(job)
        for start in range(0, len(points), _BATCH):
            client.put_metric_data(
                Namespace=_NAMESPACE,
                MetricData=[
                    {
                        "MetricName": name,
                        "Dimensions": [{"Name": "TrainingJobName", "Value": job}],
                        "Timestamp": dt.datetime.fromtimestamp(timestamp, dt.UTC),
                        "Value": value,
                    }
                    for name, value, timestamp in points[start : start + _BATCH]
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
