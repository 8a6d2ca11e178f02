"""boto3 sessions whose every client talks to an embedded runtime."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import boto3
import botocore.session

if TYPE_CHECKING:
    from botocore.client import BaseClient

__all__ = ["OWN_CALLS", "airflow_connection", "boto_session"]

OWN_CALLS = "airflow-ll-runtime"
"""What the runtime's calls of itself say in their user agent: no fault rule is about them."""

_KEY_ID, _SECRET = "local", "local"


class _LocalSession(botocore.session.Session):
    """A botocore session that gives every client the same endpoint.

    It also overrides endpoints that the caller gives: the SageMaker SDK passes ``https://sts.REGION.amazonaws.com``
    for its STS clients, which would leave the machine.
    """

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url

    def create_client(self, *args: Any, **kwargs: Any) -> BaseClient:
        """Create a client of the runtime."""
        if len(args) > 5:
            args = (*args[:5], self._url, *args[6:])
        else:
            kwargs["endpoint_url"] = self._url
        client: BaseClient = super().create_client(*args, **kwargs)
        return client


def boto_session(
    url: str, *, region: str = "us-east-1", access_key: str = _KEY_ID, secret_key: str = _SECRET
) -> boto3.Session:
    """Return a boto3 session for the runtime at ``url``: ``boto_session(url).client("sagemaker")``.

    A key is needed only where the runtime asks for signatures.

    It also serves the SageMaker SDK: ``sagemaker.Session(boto_session=boto_session(url))``.
    """
    session = _LocalSession(url)
    return boto3.Session(
        aws_access_key_id=access_key, aws_secret_access_key=secret_key, region_name=region, botocore_session=session
    )


def airflow_connection(
    url: str,
    *,
    region: str = "us-east-1",
    s3_endpoint: str | None = None,
    access_key: str = _KEY_ID,
    secret_key: str = _SECRET,
) -> str:
    """Return the value of ``AIRFLOW_CONN_AWS_DEFAULT`` for the runtime at ``url`` and the S3 beside it, if any."""
    import json

    extra: dict[str, Any] = {"endpoint_url": url, "region_name": region}
    if s3_endpoint:
        extra["service_config"] = {"s3": {"endpoint_url": s3_endpoint}}
    return json.dumps({"conn_type": "aws", "login": access_key, "password": secret_key, "extra": extra})
