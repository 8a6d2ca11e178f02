"""What the runtime knows of a run: its training jobs, their logs, the endpoints that are left."""

from __future__ import annotations

from typing import Any

from airflow_ll.local import boto_session
from airflow_ll.requests.names import TaskIdentity
from demo.identity import DAG_ID

__all__ = ["RunResources"]

LOG_GROUP = "/aws/sagemaker/TrainingJobs"
LAST_LINES = 200


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

    def training_log(self) -> list[str]:
        """Return all that the newest training job has logged so far."""
        lines: list[str] = []
        for where in self._log_streams():
            where |= {"startFromHead": True}
            while (page := self._logs.get_log_events(**where))["nextForwardToken"] != where.get("nextToken"):
                lines += (event["message"] for event in page["events"])
                where["nextToken"] = page["nextForwardToken"]
        return lines

    def training_log_end(self) -> list[str]:
        """Return the last lines of the newest training job, some epochs' worth."""
        pages = [self._logs.get_log_events(**where, limit=LAST_LINES) for where in self._log_streams()]
        return [event["message"] for page in pages for event in page["events"]]

    def _log_streams(self) -> list[dict[str, Any]]:
        jobs = self.training_jobs()
        if not jobs:
            return []
        found = self._logs.describe_log_streams(logGroupName=LOG_GROUP, logStreamNamePrefix=f"{jobs[0]}/")
        return [{"logGroupName": LOG_GROUP, "logStreamName": one["logStreamName"]} for one in found["logStreams"]]
