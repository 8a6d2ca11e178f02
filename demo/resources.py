"""What the runtime knows of a run: its training jobs, their logs, the endpoints that are left."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_ll.local import boto_session
from airflow_ll.requests.names import TaskIdentity
from demo.identity import DAG_ID

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["RunResources"]

LOG_GROUP = "/aws/sagemaker/TrainingJobs"


class RunResources:
    """Everything that one DAG run has on the runtime; the names of a run share its hash."""

    def __init__(self, url: str, run_id: str) -> None:
        session = boto_session(url)
        self._sagemaker: Any = session.client("sagemaker")
        self._logs: Any = session.client("logs")
        self._hash = TaskIdentity(DAG_ID, run_id, "train").run_hash

    def training_jobs(self) -> list[str]:
        """Return the names of the run's training jobs, the newest first."""
        found = self._sagemaker.list_training_jobs(
            NameContains=self._hash, SortBy="CreationTime", SortOrder="Descending"
        )
        return [job["TrainingJobName"] for job in found["TrainingJobSummaries"]]

    def endpoints(self) -> list[str]:
        """Return the names of the run's endpoints that still exist."""
        found = self._sagemaker.list_endpoints(NameContains=self._hash)
        return [endpoint["EndpointName"] for endpoint in found["Endpoints"]]

    def _log_lines(self, name: str) -> Iterator[str]:
        """Yield what the job has logged so far."""
        streams = self._logs.describe_log_streams(logGroupName=LOG_GROUP, logStreamNamePrefix=f"{name}/")["logStreams"]
        for stream in streams:
            yield from self._stream_lines(stream["logStreamName"])

    def _stream_lines(self, stream: str) -> Iterator[str]:
        token: dict[str, str] = {}
        while True:
            page = self._logs.get_log_events(logGroupName=LOG_GROUP, logStreamName=stream, startFromHead=True, **token)
            yield from (event["message"] for event in page["events"])
            if not page["events"] or page["nextForwardToken"] == token.get("nextToken"):
                return
            token = {"nextToken": page["nextForwardToken"]}

    def training_log(self) -> list[str]:
        """Return what the newest training job has logged so far."""
        jobs = self.training_jobs()
        return list(self._log_lines(jobs[0])) if jobs else []
