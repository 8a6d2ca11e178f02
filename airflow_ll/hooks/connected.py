"""What operators and sensors have in common: the connection, and who they are."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_ll.hooks.linear_learner import LinearLearnerHook
    from airflow_ll.requests.names import TaskIdentity

__all__ = ["Connected", "task_identity"]


class Connected:
    """A part with a connection; the hook, and with it every AWS client, is imported when it is first used."""

    aws_conn_id: str | None
    region_name: str | None
    verify: bool | str | None
    botocore_config: dict[str, Any] | None

    @property
    def connection_settings(self) -> dict[str, Any]:
        """The arguments of the hook and of every trigger."""
        return {
            "aws_conn_id": self.aws_conn_id,
            "region_name": self.region_name,
            "verify": self.verify,
            "botocore_config": self.botocore_config,
        }

    @cached_property
    def hook(self) -> LinearLearnerHook:
        """The hook of this connection."""
        from airflow_ll.hooks.linear_learner import LinearLearnerHook

        return LinearLearnerHook(**self.connection_settings)


def task_identity(context: Mapping[str, Any]) -> TaskIdentity:
    """Return the identity of the running task instance."""
    from airflow_ll.requests.names import TaskIdentity

    ti = context["ti"]
    return TaskIdentity(ti.dag_id, ti.run_id, ti.task_id, -1 if ti.map_index is None else ti.map_index)
