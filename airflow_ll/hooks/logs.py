"""The logs of training jobs in CloudWatch Logs: every line once, in order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_ll.hooks.failures import is_not_found, is_transient

if TYPE_CHECKING:
    from airflow_ll.hooks.linear_learner import LinearLearnerHook

__all__ = ["GROUP", "JobLogs", "LogEvent", "find_streams", "in_order"]

GROUP = "/aws/sagemaker/TrainingJobs"
_PAGES_A_LOOK = 100  # a million lines; a job that writes as fast as they are read must not hold up the wait


class LogEvent(NamedTuple):
    """A line of a job's log.

    :param time: seconds since the epoch.
    :param stream: the log stream, one an instance.
    """

    time: float
    stream: str
    message: str


class JobLogs:
    """What one training job has written since the last reading.

    :param instance_count: how many streams the job has, one for each instance.
    """

    def __init__(self, hook: LinearLearnerHook, job_name: str, *, instance_count: int = 1) -> None:
        self._hook, self._job_name, self._instance_count = hook, job_name, instance_count
        self._tokens: dict[str, str | None] = {}
        self._readable = True

    def new_events(self) -> list[LogEvent]:
        """Return the lines since the last call; those of several instances in the order of their times.

        A log that cannot be read never fails the job: without permission it stays silent after one warning.
        """
        if not self._readable:
            return []
        events: list[LogEvent] = []
        try:
            if len(self._tokens) < self._instance_count:
                for stream in find_streams(self._hook, self._job_name, self._instance_count):
                    self._tokens.setdefault(stream, None)
            for stream in self._tokens:
                self._read(stream, events)
        except Exception as error:
            if not is_transient(error):
                self._readable = False
                self._hook.log.warning("The log of %s cannot be read: %s", self._job_name, error)
        return in_order(events)  # what was read before a failure is not read again

    def _read(self, stream: str, events: list[LogEvent]) -> None:
        for _ in range(_PAGES_A_LOOK):
            token = self._tokens[stream]
            position = {"nextToken": token} if token else {}
            answer = self._hook.client("logs").get_log_events(
                logGroupName=GROUP, logStreamName=stream, startFromHead=True, **position
            )
            events += [LogEvent(one["timestamp"] / 1000, stream, one["message"]) for one in answer["events"]]
            self._tokens[stream] = answer["nextForwardToken"]
            if answer["nextForwardToken"] == token or not answer["events"]:
                return


def find_streams(hook: LinearLearnerHook, job_name: str, instance_count: int) -> list[str]:
    """Return the log streams that a job has so far."""
    try:
        answer: dict[str, Any] = hook.client("logs").describe_log_streams(
            logGroupName=GROUP, logStreamNamePrefix=f"{job_name}/", limit=min(50, instance_count)
        )
    except Exception as error:
        if is_not_found(error):  # no job of the account has written anything yet
            return []
        raise
    return [stream["logStreamName"] for stream in answer["logStreams"]]


def in_order(events: list[LogEvent]) -> list[LogEvent]:
    """Return the events by time; a stream's own order stays."""
    return sorted(events, key=lambda event: event.time)
