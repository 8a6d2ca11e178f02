"""What the hook can do for Python code, one method a capability; each is documented where it is done."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from airflow_ll.exceptions import RequestError
from airflow_ll.hooks.resources import TRAINING_JOB

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

    from airflow_ll.artifacts import Predictions
    from airflow_ll.hooks.linear_learner import LinearLearnerHook
    from airflow_ll.hooks.uploading import Upload
    from airflow_ll.requests import AttachedTrainingJob

__all__ = ["Capabilities"]


class Capabilities:
    """The methods that :class:`airflow_ll.hooks.LinearLearnerHook` has for tasks that are Python functions."""

    @property
    def _hook(self) -> LinearLearnerHook:
        return cast("LinearLearnerHook", self)

    def upload_record_set(self, features: ArrayLike, labels: ArrayLike | None = None, **settings: Any) -> Upload:
        """Upload arrays as a record set: see :func:`airflow_ll.hooks.record_sets.upload_record_set`."""
        from airflow_ll.hooks.record_sets import upload_record_set

        return upload_record_set(self._hook, features, labels, **settings)

    def attach(self, training_job_name: str, model_channel_name: str = "model") -> AttachedTrainingJob:
        """Return everything about a training job: see :func:`airflow_ll.requests.attach.attach_training_job`.

        ``training_job(attached.spec)`` asks for the same job again; its environment variables are among the settings.

        :raises RequestError: there is none of this name, or a spec cannot describe it.
        """
        from airflow_ll.requests import attach_training_job
        from airflow_ll.requests.names import user_tags

        description = self._hook.describe(TRAINING_JOB, training_job_name)
        if description is None:
            raise RequestError(f"There is no training job {training_job_name!r} in {self._hook.region}.")
        tags = user_tags(self._hook.tags(TRAINING_JOB.arn(description)))
        return attach_training_job(description, tags, model_channel_name)

    def training_job_analytics(
        self, training_job_name: str, metric_names: Sequence[str] | None = None
    ) -> list[dict[str, Any]]:
        """Return a job's metrics as rows: see :func:`airflow_ll.hooks.analytics.training_job_analytics`."""
        from airflow_ll.hooks.analytics import training_job_analytics

        return training_job_analytics(self._hook, training_job_name, metric_names)

    def predict(self, endpoint_name: str, features: ArrayLike, *, content_type: str = "text/csv") -> Predictions:
        """Return the endpoint's predictions of ``features``, in as many calls as their size needs.

        :param features: array of shape (rows, feature_dim).
        :param content_type: how the rows travel: ``text/csv``, ``application/json`` or
            ``application/x-recordio-protobuf``.
        :return: predictions of all rows, in order.
        """
        from airflow_ll.hooks.predicting import predict

        return predict(self._hook.client("sagemaker-runtime"), endpoint_name, features, content_type)
