"""``@task.linear_learner_record_set`` and ``_shard``: the rows of a function become a record set, or a part of one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import (
    DecoratedOperator,
    context_merge,
    determine_kwargs,
    task_decorator_factory,
)

from airflow_ll.hooks.failures import clear_failures
from airflow_ll.operators.record_set import LinearLearnerRecordSetOperator, RecordSetTask
from airflow_ll.operators.record_set_parts import LinearLearnerRecordSetShardOperator

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from airflow.providers.common.compat.sdk import TaskDecorator

__all__ = ["linear_learner_record_set_shard_task", "linear_learner_record_set_task"]

_OUTPUTS = {"multiple_outputs": True}  # which Airflow would infer from the function's own result
_PAIR = 2  # features and labels
_NOT_TEMPLATED = {"features", "labels", "sql", "sql_conn_id", "sql_parameters"}  # the function returns the rows


def _template_fields(operator: type[RecordSetTask]) -> tuple[str, ...]:
    own = (field for field in operator.template_fields if field not in _NOT_TEMPLATED)
    return (*DecoratedOperator.template_fields, *own)


class _DecoratedTask(DecoratedOperator, RecordSetTask):
    """Upload what the function returns or yields: ``(features, labels)``, or features alone."""

    template_fields_renderers: ClassVar[dict[str, str]] = {**DecoratedOperator.template_fields_renderers}

    def __init__(
        self,
        *,
        python_callable: Callable[..., Any],
        op_args: Collection[Any] | None = None,
        op_kwargs: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(python_callable=python_callable, op_args=op_args, op_kwargs=op_kwargs, **kwargs)

    @clear_failures
    def execute(self, context: Any) -> dict[str, Any]:
        """Call the function, check and upload its rows."""
        from airflow_ll.exceptions import DataError
        from airflow_ll.hooks.row_sources import data_source

        context_merge(context, self.op_kwargs)
        kwargs = determine_kwargs(self.python_callable, self.op_args, context)
        returned = self.python_callable(*self.op_args, **kwargs)
        if isinstance(returned, tuple) and len(returned) != _PAIR:
            raise DataError(
                f"The function must return features, or features and labels, but returns a tuple of {len(returned)}."
            )
        features, labels = returned if isinstance(returned, tuple) else (returned, None)
        return self.convert(context, data_source(self.hook, features, self.file_format), labels)


class _RecordSetDecoratedOperator(_DecoratedTask, LinearLearnerRecordSetOperator):
    custom_operator_name = "@task.linear_learner_record_set"
    template_fields: Sequence[str] = _template_fields(LinearLearnerRecordSetOperator)


class _ShardDecoratedOperator(_DecoratedTask, LinearLearnerRecordSetShardOperator):
    custom_operator_name = "@task.linear_learner_record_set_shard"
    template_fields: Sequence[str] = _template_fields(LinearLearnerRecordSetShardOperator)


def linear_learner_record_set_task(python_callable: Callable[..., Any] | None = None, **kwargs: Any) -> TaskDecorator:
    """Make a function a task that uploads its rows as a record set.

    :param python_callable: returns ``(features, labels)`` or features: arrays, data frames or a file name; or yields
        them batch by batch, so that memory is bounded by one batch.
    :param kwargs: the arguments of :class:`airflow_ll.operators.LinearLearnerRecordSetOperator`.
    """
    return task_decorator_factory(
        python_callable=python_callable, decorated_operator_class=_RecordSetDecoratedOperator, **_OUTPUTS | kwargs
    )


def linear_learner_record_set_shard_task(
    python_callable: Callable[..., Any] | None = None, **kwargs: Any
) -> TaskDecorator:
    """Make a function, mapped over parts, a task that uploads its rows as one part of a record set.

    :param python_callable: what :func:`linear_learner_record_set_task` takes.
    :param kwargs: the arguments of :class:`airflow_ll.operators.LinearLearnerRecordSetShardOperator`.
    """
    return task_decorator_factory(
        python_callable=python_callable, decorated_operator_class=_ShardDecoratedOperator, **_OUTPUTS | kwargs
    )
