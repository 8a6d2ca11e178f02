"""Take everything of a run out of service."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from airflow_ll.exceptions import RequestError
from airflow_ll.hooks.connected import task_identity
from airflow_ll.hooks.failures import clear_failures
from airflow_ll.operators.base import LinearLearnerOperator

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["LinearLearnerTeardownOperator"]


class LinearLearnerTeardownOperator(LinearLearnerOperator):
    """Delete the endpoints, endpoint configs and models that this DAG run has created, in this order.

    They are found by the run's hash in their names and by their tags, so it does not matter how far the tasks before
    have come. Deleting what is gone is a success.

    Use it as ``teardown.as_teardown(setups=training)``: Airflow runs a teardown only when one of its setups has
    succeeded, so the setup is the task before the deployment, not the deployment, which may fail half-way.

    :param scope: "run", or "group": only what tasks of this task's own task group have created, and in a mapped task
        group only those of the same map index, since the others may still be at work.
    :param endpoint_name: also this endpoint of the DAG, whichever run created it, with its endpoint config and models.
    :param delete_artifacts: whether to delete also what its training and compilation jobs have written to S3.
    """

    template_fields: Sequence[str] = ("endpoint_name", *LinearLearnerOperator.template_fields)

    def __init__(
        self,
        *,
        scope: Literal["run", "group"] = "run",
        endpoint_name: str | None = None,
        delete_artifacts: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if scope not in ("run", "group"):
            raise RequestError(f"scope must be 'run' or 'group', got {scope!r}.")
        self.scope = scope
        self.endpoint_name = endpoint_name
        self.delete_artifacts = delete_artifacts

    @clear_failures
    def execute(self, context: Any) -> dict[str, Any]:
        """Find what was put into service, delete it, return what there was."""
        from airflow_ll.hooks.endpoints import delete_service, service_of_endpoint, service_of_run

        identity, tasks = task_identity(context), self._tasks()
        parts = list(service_of_run(self.hook, identity, tasks))
        # A template of a task that never came so far renders as an empty string or as the word None.
        if self.endpoint_name and self.endpoint_name != "None":
            parts += service_of_endpoint(self.hook, identity, self.endpoint_name)
        deleted = delete_service(self.hook, parts)
        if self.delete_artifacts:
            from airflow_ll.hooks.leftovers import delete_artifacts

            deleted += delete_artifacts(self.hook, identity, tasks)
        return {"deleted": deleted}

    def _tasks(self) -> list[str] | None:
        group = self.task_group if self.scope == "group" else None
        return None if group is None else [task.task_id for task in group.iter_tasks()]
