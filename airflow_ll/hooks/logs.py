"""A job's log in CloudWatch Logs: every line once, in order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_ll.hooks.failures import is_not_found, is_transient

if TYPE_CHECKING:
    from airflow_ll.hooks.linear_learner import LinearLearnerHook

__all__ = ["JobLogs"]

_GROUP = "/aws/sagemaker/TrainingJobs"


class JobLogs:
    """What a training job has written since the last reading.

    :param instance_count: how many streams the job has, one for each instance.
    """

    def __init__(self, hook: LinearLearnerHook, job_name: str, *, instance_count: int = 1) -> None:
        self._hook, self._job_name, self._instance_count = hook, job_name, instance_count
        self._tokens: dict[str, str | None] = {}
        self._readable = True

    def new_lines(self) -> list[str]:
        """Return the lines since the last call; those of several instances in the order of their times.

        A log that cannot be read never fails the job: without permission it stays silent after one warning.
        """
        if not self._readable:
            return []
        try:
            if len(self._tokens) < self._instance_count:
                self._find_streams()
            events = [
                (event["timestamp"], stream, event["message"])
                for stream in self._tokens
                for event in self._read(stream)
            ]
        except Exception as error:
            if not (is_not_found(error) or is_transient(error)):
                self._readable = False
                self._hook.log.warning("The log of %s cannot be read: %s", self._job_name, error)
            return []
        events.sort(key=lambda event: event[0])  # stable: a stream's own order stays
        return [self._line(stream, message) for _, stream, message in events]

    def _find_streams(self) -> None:
        answer = self._hook.client("logs").describe_log_streams(
            logGroupName=_GROUP, logStreamNamePrefix=f"{self._job_name}/", limit=min(50, self._instance_count)
        )
        for stream in answer["logStreams"]:
            self._tokens.setdefault(stream["logStreamName"], None)

    def _read(self, stream: str) -> list[dict[str, Any]]:
        events: list[dict[str, Any]] = []
        while True:
            token = self._tokens[stream]
            position = {"nextToken": token} if token else {}
            answer = self._hook.client("logs").get_log_events(
                logGroupName=_GROUP, logStreamName=stream, startFromHead=True, **position
            )
            events += answer["events"]
            self._tokens[stream] = answer["nextForwardToken"]
            if answer["nextForwardToken"] == token or not answer["events"]:
                return events

    def _line(self, stream: str, message: str) -> str:
        if self._instance_count == 1:
            return message
        return f"[{stream.rsplit('/', 1)[-1].rsplit('-', 1)[0]}] {message}"
