"""How SageMaker's API names the resources this provider works with, and which of their states mean what."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "COMPILATION_JOB",
    "ENDPOINT",
    "ENDPOINT_CONFIG",
    "MODEL",
    "RECORD_SET",
    "TRAINING_JOB",
    "TRANSFORM_JOB",
    "TUNING_JOB",
    "Resource",
]

_JOB_RUNNING = frozenset({"InProgress", "Stopping"})


@dataclass(frozen=True)
class Resource:
    """One kind of SageMaker resource.

    :param kind: the word of our deterministic names, e.g. ``training``.
    :param title: the words of our messages, e.g. ``training job``.
    :param member: the stem of the API's members: ``TrainingJob`` gives ``TrainingJobName``, ``TrainingJobArn``, ...
    :param argument: our argument and result key for its name.
    :param running: the states that will change by themselves.
    :param good: the states that are a success; a resource without states has none.
    :param stopped: the states that somebody's stop leads to.
    :param stoppable: whether the API has a Stop operation for it.
    """

    kind: str
    title: str
    member: str
    argument: str
    running: frozenset[str] = frozenset()
    good: frozenset[str] = frozenset()
    stopped: frozenset[str] = frozenset()
    stoppable: bool = False

    @property
    def name_member(self) -> str:
        """The API's member for the name."""
        return f"{self.member}Name"

    @property
    def summaries(self) -> str:
        """The member of a List answer that holds the resources."""
        return f"{self.member}Summaries" if self.stoppable else f"{self.member}s"

    def operation(self, verb: str) -> str:
        """Return the boto3 method of ``verb`` (``describe``, ``create``, ...)."""
        words: str = re.sub("(?<!^)(?=[A-Z])", "_", self.member).lower()
        return f"{verb}_{words}"

    def arn(self, description: Mapping[str, Any]) -> str:
        """Return the ARN from a description or from the answer to a Create."""
        return str(description[f"{self.member}Arn"])

    def status(self, description: Mapping[str, Any]) -> str:
        """Return the state; a resource without states is complete as soon as it exists."""
        return str(description.get(f"{self.member}Status", "Completed"))

    def is_running(self, description: Mapping[str, Any]) -> bool:
        """Whether the state will still change by itself."""
        return self.status(description) in self.running

    def is_good(self, description: Mapping[str, Any]) -> bool:
        """Whether the state is a success."""
        return self.status(description) in self.good


TRAINING_JOB = Resource(
    kind="training",
    title="training job",
    member="TrainingJob",
    argument="training_job_name",
    running=_JOB_RUNNING,
    good=frozenset({"Completed"}),
    stopped=frozenset({"Stopped"}),
    stoppable=True,
)
TRANSFORM_JOB = Resource(
    kind="transform",
    title="transform job",
    member="TransformJob",
    argument="transform_job_name",
    running=_JOB_RUNNING,
    good=frozenset({"Completed"}),
    stopped=frozenset({"Stopped"}),
    stoppable=True,
)
TUNING_JOB = Resource(
    kind="tuning",
    title="tuning job",
    member="HyperParameterTuningJob",
    argument="tuning_job_name",
    running=_JOB_RUNNING | {"Deleting"},
    good=frozenset({"Completed"}),
    stopped=frozenset({"Stopped"}),
    stoppable=True,
)
COMPILATION_JOB = Resource(
    kind="compilation",
    title="compilation job",
    member="CompilationJob",
    argument="compilation_job_name",
    running=frozenset({"STARTING", "INPROGRESS", "STOPPING"}),
    good=frozenset({"COMPLETED"}),
    stopped=frozenset({"STOPPED"}),
    stoppable=True,
)
MODEL = Resource(kind="model", title="model", member="Model", argument="model_name")
ENDPOINT_CONFIG = Resource(
    kind="endpoint-config", title="endpoint config", member="EndpointConfig", argument="endpoint_config_name"
)
ENDPOINT = Resource(
    kind="endpoint",
    title="endpoint",
    member="Endpoint",
    argument="endpoint_name",
    running=frozenset({"Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting"}),
    good=frozenset({"InService"}),
)
# Not of SageMaker's API: its name is the URI of its manifest, and it has no states.
RECORD_SET = Resource(kind="record-set", title="record set", member="RecordSet", argument="s3_data")
