"""What the operators share: the connection, adoption, waiting, killing, links."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, BaseOperator, conf

from airflow_ll.exceptions import JobFailedError, JobTimeoutError
from airflow_ll.hooks.connected import Connected, task_identity
from airflow_ll.hooks.failures import clear_failures
from airflow_ll.hooks.settings import DEFAULT_MAX_RUN
from airflow_ll.hooks.waiting import DEFAULT_POLL_INTERVAL, outcome, timeout_message, wait_until_ended
from airflow_ll.lineage import Lineage
from airflow_ll.operators.attempts import is_superseded

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from airflow_ll.hooks.ensuring import Ensured
    from airflow_ll.hooks.resources import Resource
    from airflow_ll.links import _ConsoleLink
    from airflow_ll.requests.adoption import IfExists
    from airflow_ll.requests.names import TaskIdentity
    from airflow_ll.triggers.base import LinearLearnerTrigger

__all__ = ["PROVISIONING_SECONDS", "LinearLearnerJobOperator", "LinearLearnerOperator", "OnKill", "iso_times"]

OnKill = Literal["stop", "leave"]

PROVISIONING_SECONDS = 3600.0  # SageMaker's own limits count from the start of the work
_TRIGGERER_SECONDS = 300.0
_ASKING_SECONDS = 2.0  # of the five that Airflow gives a killed task


class LinearLearnerOperator(Connected, BaseOperator):
    """An operator with an AWS connection.

    :param aws_conn_id: the Airflow connection; None takes boto3's own default credentials.
    :param region_name: the region, when it is not the connection's.
    :param verify: whether to verify TLS certificates, or the path of a CA bundle.
    :param botocore_config: settings of ``botocore.config.Config``.
    :param base_job_name: the readable part of the names of what the task creates, instead of DAG and task; give it
        another value only in a new run, as attempts find each other's resources by name.
    :param multiple_outputs: whether each key of the result is an XCom of its own, so that another task can take
        ``training.output["model_data"]``.
    """

    template_fields: Sequence[str] = ("aws_conn_id", "region_name", "base_job_name")
    ui_color: str = "#e9e4f5"

    def __init__(
        self,
        *,
        aws_conn_id: str | None = "aws_default",
        region_name: str | None = None,
        verify: bool | str | None = None,
        botocore_config: dict[str, Any] | None = None,
        base_job_name: str | None = None,
        multiple_outputs: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(multiple_outputs=multiple_outputs, **kwargs)
        self.aws_conn_id = aws_conn_id
        self.region_name = region_name
        self.verify = verify
        self.botocore_config = botocore_config
        self.base_job_name = base_job_name
        self.lineage = Lineage()

    def tell(self, context: Any, result: dict[str, Any]) -> dict[str, Any]:
        """Return the result, after telling the task's assets about it."""
        if self.outlets:
            from airflow_ll.assets import resource_events

            resource_events(context, self.outlets, result)
        return result

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:
        """Return what OpenLineage's listener asks for when the task has ended."""
        return self.lineage.facets()

    def ensure(
        self,
        resource: Resource,
        identity: TaskIdentity,
        build: Callable[[str], dict[str, Any]],
        *,
        name: str | None = None,
        if_exists: IfExists = "adopt",
    ) -> Ensured:
        """Adopt what an earlier attempt of this task created, or create it."""
        from airflow_ll.hooks.ensuring import ensure

        return ensure(
            self.hook,
            resource,
            identity,
            build,
            name=name or None,
            if_exists=if_exists,
            before_create=lambda taken: self.before_create(resource, taken),
            base_name=self.base_job_name or None,
        )

    def before_create(self, resource: Resource, name: str) -> None:
        """Note what is about to exist under ``name``."""


class LinearLearnerJobOperator(LinearLearnerOperator):
    """An operator whose resource takes its time: a job, or an endpoint that comes into service.

    :param wait_for_completion: whether the task ends with the resource, or as soon as it was asked for.
    :param deferrable: whether to wait in the triggerer; the default is Airflow's ``operators.default_deferrable``.
    :param poll_interval: the longest pause between two looks, in seconds; the first ones are shorter.
    :param wait_timeout: seconds to wait; the default follows the job's own time limit.
    :param on_kill: "stop" ends the paid resource with the task, "leave" lets it go on.
    :param if_exists: what to do about a completed resource of the same request: "adopt", "new_generation" or "fail".
    """

    resource: ClassVar[Resource]
    operator_extra_links: Collection[_ConsoleLink] = ()

    def __init__(
        self,
        *,
        wait_for_completion: bool = True,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poll_interval: float = DEFAULT_POLL_INTERVAL,
        wait_timeout: float | None = None,
        on_kill: OnKill = "stop",
        if_exists: IfExists = "adopt",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.wait_for_completion = wait_for_completion
        self.deferrable = deferrable
        self.poll_interval = poll_interval
        self.wait_timeout = wait_timeout
        self.stop_on_kill = on_kill == "stop"
        self.if_exists = if_exists
        self.facts: dict[str, Any] = {}  # what the result needs beside the description
        self.console_urls: dict[str, str] = {}
        self._at_work: str | None = None
        self._killed = False
        self._attempt: Any = None

    # What a capability says about itself.

    def submit(self, context: Mapping[str, Any]) -> Ensured:
        """Create or adopt the resource."""
        raise NotImplementedError

    def result(self, description: dict[str, Any], *, adopted: bool) -> dict[str, Any]:
        """Return flat JSON from the last description."""
        raise NotImplementedError

    def trigger(self, name: str, **settings: Any) -> LinearLearnerTrigger:
        """Return the trigger that waits for the resource."""
        raise NotImplementedError

    def default_wait_timeout(self) -> float:
        """Return the seconds after which a resource without a StoppingCondition must have ended."""
        return DEFAULT_MAX_RUN

    def after_look(self, name: str) -> Callable[[], None] | None:
        """Return what to do after each look of a waiting task."""
        return None

    def falls_back(self, description: Mapping[str, Any]) -> bool:
        """Whether, after this end, the next submission asks for something else that may be had."""
        return False

    # The sequence.

    @clear_failures
    def execute(self, context: Any) -> dict[str, Any]:
        """Ensure the resource, wait for it, return the result."""
        self._attempt = context["ti"]
        return self._follow(context, self.submit(context), renewed=False)

    @clear_failures
    def execute_complete(self, context: Any, event: dict[str, Any]) -> dict[str, Any]:
        """Go on after the trigger's event."""
        name, self.facts = event["name"], event["facts"]
        self._attempt = context["ti"]
        self._prepare_kill(name)
        self._store_links(context, name)
        if event["status"] == "error":
            raise (AirflowException if event["retryable"] else AirflowFailException)(event["message"])
        description = self._describe(name)
        if event["status"] == "timeout" and self.resource.is_running(description):
            self._give_up(name)
            raise JobTimeoutError(timeout_message(self.resource, name, event["timeout"]))
        return self._settle(context, name, description, event["adopted"], renewed=event["renewed"])

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Any) -> Any:
        """Go on after the triggerer; a deferral that took too long stops what the task pays for."""
        try:
            return super().resume_execution(next_method, next_kwargs, context)
        except AirflowException as error:
            if type(error).__name__ == "TaskDeferralTimeout":  # its module is not the same in all Airflows
                self._give_up_newest(context)
            raise

    @clear_failures
    def _give_up_newest(self, context: Any) -> None:
        description = self.newest(task_identity(context))
        if description is not None:
            self._give_up(description[self.resource.name_member])

    def newest(self, identity: TaskIdentity) -> dict[str, Any] | None:
        """Return the description of what this task works on, None when there is nothing yet."""
        from airflow_ll.hooks.ensuring import newest

        explicit = getattr(self, self.resource.argument, None)
        return newest(self.hook, self.resource, identity, explicit, self.base_job_name or None)

    def _follow(self, context: Any, job: Ensured, *, renewed: bool) -> dict[str, Any]:
        self._store_links(context, job.name)
        if not self.wait_for_completion:
            return self.tell(context, self.result(self._describe(job.name), adopted=job.adopted))
        description = self._describe(job.name)  # what has ended already need not be waited for
        if self.resource.is_running(description):
            timeout = self._timeout(description)
            if self.deferrable:
                self._defer(job, timeout, renewed=renewed)
            description = self._wait(job.name, timeout)
        return self._settle(context, job.name, description, job.adopted, renewed=renewed)

    def _settle(
        self, context: Any, name: str, description: dict[str, Any], adopted: bool, *, renewed: bool
    ) -> dict[str, Any]:
        if self._killed:
            raise AirflowException(f"The task was killed, and with it the {self.resource.title} {name!r}.")
        if adopted and not renewed and self._was_being_stopped(description):
            self.log.info("The adopted %s %s was being stopped; once more", self.resource.title, name)
            return self._follow(context, self.submit(context), renewed=True)
        if self.falls_back(description):
            return self._follow(context, self.submit(context), renewed=renewed)
        return self.tell(context, self.result(outcome(self.resource, name, description), adopted=adopted))

    def _was_being_stopped(self, description: dict[str, Any]) -> bool:
        """Whether an earlier attempt's kill reached the job only after this attempt had adopted it."""
        by_hand = description.get("SecondaryStatus", "Stopped") == "Stopped"
        return self.resource.status(description) in self.resource.stopped and by_hand

    def _store_links(self, context: Any, name: str) -> None:
        self.console_urls = {
            link.name: link.store(context, self.hook, self.resource, name) for link in self.operator_extra_links
        }

    def _describe(self, name: str) -> dict[str, Any]:
        description = self.hook.describe(self.resource, name)
        if description is None:
            raise JobFailedError(f"The {self.resource.title} {name!r} does not exist any more: somebody deleted it.")
        return description

    def _wait(self, name: str, timeout: float) -> dict[str, Any]:
        try:
            return wait_until_ended(
                self.hook,
                self.resource,
                name,
                timeout=timeout,
                poll_interval=self.poll_interval,
                after_look=self.after_look(name),
            )
        except JobTimeoutError:
            self._give_up(name)
            raise

    def _defer(self, job: Ensured, timeout: float, *, renewed: bool) -> None:
        if self.execution_timeout is not None:  # which Airflow does not count while a task is deferred
            timeout = min(timeout, self.execution_timeout.total_seconds())
        trigger = self.trigger(
            job.name,
            **self.connection_settings,
            poll_interval=self.poll_interval,
            deadline=time.time() + timeout,
            stop_on_kill=self.stop_on_kill,
            carry={"adopted": job.adopted, "renewed": renewed, "facts": self.facts, "timeout": timeout},
        )
        # The trigger keeps the deadline; Airflow's own comes later and ends the wait when no triggerer is left.
        airflow_timeout = timedelta(seconds=timeout + _TRIGGERER_SECONDS)
        self.defer(trigger=trigger, method_name="execute_complete", timeout=airflow_timeout)

    def _timeout(self, description: Mapping[str, Any]) -> float:
        """Return the seconds to wait: as told, or by the job's own limits."""
        if self.wait_timeout is not None:
            return self.wait_timeout
        limits = description.get("StoppingCondition", {})
        seconds = limits.get("MaxWaitTimeInSeconds") or limits.get("MaxRuntimeInSeconds")
        return float(seconds) + PROVISIONING_SECONDS if seconds else self.default_wait_timeout()

    # Killing.

    def before_create(self, resource: Resource, name: str) -> None:
        """Be ready to stop the resource before it exists."""
        if resource is self.resource:
            self._prepare_kill(name)

    def _prepare_kill(self, name: str) -> None:
        self._at_work = name
        if self.stop_on_kill:
            self.hook.impatient_sagemaker  # noqa: B018 - a signal handler has no time to build a client

    def on_kill(self) -> None:
        """Stop the paid resource, unless another attempt has it, in a signal handler that has seconds to live."""
        self._killed = True
        if self._at_work and self.stop_on_kill:
            if is_superseded(self._attempt, _ASKING_SECONDS):
                self.log.info("The %s %s goes on: another attempt follows", self.resource.title, self._at_work)
                return
            self.log.info("Stopping the %s %s: its task was killed", self.resource.title, self._at_work)
            self._stop(self._at_work)

    def _give_up(self, name: str) -> None:
        if self.stop_on_kill:
            self.log.info("Stopping the %s %s: it took too long", self.resource.title, name)
            self._stop(name)

    def stop_paid(self, name: str) -> None:
        """Ask AWS to end what costs money."""
        self.hook.stop(self.resource, name, impatient=True)

    def _stop(self, name: str) -> None:
        try:
            self.stop_paid(name)
        except Exception as error:
            self.log.warning("The %s %s could not be stopped: %s", self.resource.title, name, error)


def iso_times(description: Mapping[str, Any], **keys: str) -> dict[str, str]:
    """Return the times of a description in ISO form: result key = member; absent members are left out."""
    times = {key: description.get(member) for key, member in keys.items()}
    return {key: value.isoformat() for key, value in times.items() if isinstance(value, datetime)}
