"""What the runtime's rooms share: where it is, its memory, its processes, its clients."""

from __future__ import annotations

import functools
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_ll.local.clients import OWN_CALLS
from airflow_ll.local.timers import Timers

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import boto3
    from mypy_boto3_s3 import S3Client

    from airflow_ll.local.cloudwatch import CloudWatch
    from airflow_ll.local.faults import Faults
    from airflow_ll.local.hosting import Hosting
    from airflow_ll.local.jobs import JobPool
    from airflow_ll.local.logs import Logs
    from airflow_ll.local.processes import Processes
    from airflow_ll.local.speed import Speed
    from airflow_ll.local.store import Store
    from airflow_ll.local.tuning import Tuning

__all__ = ["Runtime"]


@dataclass
class Runtime:
    """One running runtime, as its operations see it."""

    data_dir: Path
    url: str
    region: str
    account_id: str
    store: Store
    logs: Logs
    processes: Processes
    jobs: JobPool
    cloudwatch: CloudWatch
    session: Callable[[], boto3.Session]  # for the runtime's calls of itself
    faults: Faults
    speed: Speed
    s3_endpoint: str | None = None
    closing: threading.Event = field(default_factory=threading.Event)
    timers: Timers = field(default_factory=Timers)
    hosting: Hosting = field(init=False)
    tuning: Tuning = field(init=False)

    def arn(self, kind: str, name: str) -> str:
        """Return the ARN of a SageMaker resource."""
        return f"arn:aws:sagemaker:{self.region}:{self.account_id}:{kind}/{name.lower()}"

    @functools.cached_property
    def s3(self) -> S3Client:
        """A client of the S3 that jobs read and write: our own, or another one with the environment's credentials."""
        import boto3
        from botocore.config import Config

        config = Config(
            retries={"max_attempts": 2},
            max_pool_connections=32,
            s3={"addressing_style": "path"},
            user_agent_extra=OWN_CALLS,
        )
        if self.s3_endpoint is None:
            return self.session().client("s3", config=config)
        return boto3.Session(region_name=self.region).client("s3", endpoint_url=self.s3_endpoint, config=config)
