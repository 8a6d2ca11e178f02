"""The hook: every call to AWS goes through it."""

from __future__ import annotations

from functools import cached_property
from threading import Lock
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow.providers.amazon.aws.hooks.base_aws import AwsBaseHook
from airflow.providers.amazon.aws.utils.connection_wrapper import AwsConnectionWrapper
from airflow.providers.common.compat.sdk import AirflowNotFoundException
from botocore.config import Config
from botocore.exceptions import ClientError

from airflow_ll.exceptions import RequestError
from airflow_ll.hooks.capabilities import Capabilities
from airflow_ll.hooks.failures import is_not_found
from airflow_ll.hooks.patience import PATIENT_ATTEMPTS, wait_out
from airflow_ll.hooks.resources import ENDPOINT_CONFIG, MODEL, RECORD_SET, Resource

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["LinearLearnerHook", "split_s3_uri"]

_PATIENT = Config(retries={"mode": "standard", "max_attempts": PATIENT_ATTEMPTS})
# A signal handler has seconds to live.
_IMPATIENT = Config(connect_timeout=2, read_timeout=2, retries={"mode": "standard", "max_attempts": 2})


class LinearLearnerHook(Capabilities, AwsBaseHook):
    """Talk to SageMaker, S3 and CloudWatch Logs with one Airflow connection.

    Region, ``verify``, ``endpoint_url`` and the botocore configuration reach the client of every service.

    :param aws_conn_id: the Airflow connection; None takes boto3's own default credentials.
    :param region_name: the region, when it is not the connection's.
    :param verify: whether to verify TLS certificates, or the path of a CA bundle.
    :param botocore_config: settings of ``botocore.config.Config``.
    """

    def __init__(
        self,
        aws_conn_id: str | None = AwsBaseHook.default_conn_name,
        region_name: str | None = None,
        verify: bool | str | None = None,
        botocore_config: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(
            aws_conn_id=aws_conn_id,
            region_name=region_name,
            verify=verify,
            client_type="sagemaker",
            config=botocore_config,
        )
        self._clients: dict[str, Any] = {}
        self._making = Lock()

    @classmethod
    async def aconnect(cls, **settings: Any) -> LinearLearnerHook:
        """Return a hook that has read its connection, for use in an event loop: only its calls to AWS block."""
        hook = cls(**settings)
        connection = None
        if hook.aws_conn_id:
            try:
                connection = await cls.aget_connection(hook.aws_conn_id)
            except AirflowNotFoundException:
                hook.log.warning("There is no Airflow connection %r: taking boto3's defaults", hook.aws_conn_id)
            except ImportError:  # Airflow 3.1 outside of its processes: the base class can read it there
                return hook
        # What the base class would do at the first use, by a call that an event loop must not make.
        hook.conn_config = AwsConnectionWrapper(
            conn=connection, region_name=hook._region_name, botocore_config=hook._config, verify=hook._verify
        )
        return hook

    @property
    def endpoint_url(self) -> str | None:
        """Where the connection finds SageMaker; None for AWS itself."""
        return self.conn_config.get_service_endpoint_url("sagemaker")

    @cached_property
    def _session(self) -> Any:
        return self.get_session(region_name=self.region_name)

    def client(self, service: str) -> Any:
        """Return the boto3 client of ``service`` (cached)."""
        with self._making:  # a session makes one client at a time
            if service not in self._clients:
                self._clients[service] = self._new_client(service, _PATIENT.merge(self.config))
                self._clients[service].meta.events.register("needs-retry", wait_out)
            return self._clients[service]

    def _new_client(self, service: str, config: Config) -> Any:
        return self._session.client(
            service,
            endpoint_url=self.conn_config.get_service_endpoint_url(service),
            config=config,
            verify=self.verify,
        )

    @cached_property
    def impatient_sagemaker(self) -> Any:
        """A SageMaker client that gives up within seconds, for use while the process is being killed."""
        return self._new_client("sagemaker", self.config.merge(_IMPATIENT))

    # -- resources ---------------------------------------------------------------------------------

    def describe(self, resource: Resource, name: str) -> dict[str, Any] | None:
        """Return the description of a resource, or None when there is none of this name.

        A record set, which is not SageMaker's, is there with its manifest, and its description is empty.
        """
        if resource is RECORD_SET:
            from airflow_ll.hooks.storage import object_exists

            return {} if object_exists(self, name) else None
        try:
            answer = self._call(resource, "describe", **{resource.name_member: name})
        except ClientError as error:
            if is_not_found(error):
                return None
            raise
        answer.pop("ResponseMetadata", None)
        return answer

    def create(self, resource: Resource, request: Mapping[str, Any]) -> str:
        """Create a resource and return its ARN."""
        return resource.arn(self._call(resource, "create", **request))

    def stop(self, resource: Resource, name: str, *, impatient: bool = False) -> bool:
        """Ask a job to stop; return False when it had ended or does not exist."""
        client = self.impatient_sagemaker if impatient else self.client("sagemaker")
        try:
            getattr(client, resource.operation("stop"))(**{resource.name_member: name})
        except ClientError as error:
            if error.response["Error"]["Code"] in {"ValidationException", "ResourceNotFound"}:
                return False
            raise
        return True

    def delete(self, resource: Resource, name: str) -> bool:
        """Delete a resource; return False when there was none of this name."""
        try:
            self._call(resource, "delete", **{resource.name_member: name})
        except ClientError as error:
            if is_not_found(error):
                return False
            raise
        return True

    def tags(self, arn: str) -> list[dict[str, str]]:
        """Return all tags of a resource."""
        pages = self.client("sagemaker").get_paginator("list_tags").paginate(ResourceArn=arn)
        return [tag for page in pages for tag in page.get("Tags", [])]

    def names_containing(self, resource: Resource, text: str) -> Iterator[tuple[str, str]]:
        """Yield the name and ARN of every resource with ``text`` in its name."""
        for page in self.pages(resource, NameContains=text):
            for summary in page[resource.summaries]:
                yield summary[resource.name_member], resource.arn(summary)

    def pages(self, resource: Resource, **filters: Any) -> Iterator[dict[str, Any]]:
        """Yield the answers of a List operation, as large as the API makes them."""
        paginator = self.client("sagemaker").get_paginator(f"{resource.operation('list')}s")
        yield from paginator.paginate(PaginationConfig={"PageSize": 100}, **filters)

    def _call(self, resource: Resource, verb: str, **request: Any) -> dict[str, Any]:
        answer: dict[str, Any] = getattr(self.client("sagemaker"), resource.operation(verb))(**request)
        return answer

    def endpoint_resources(self, endpoint_config_name: str) -> list[tuple[Resource, str]]:
        """Return what an endpoint config stands for: itself and the models of its variants."""
        config = self.describe(ENDPOINT_CONFIG, endpoint_config_name)
        if config is None:
            return []
        models = dict.fromkeys(variant["ModelName"] for variant in config["ProductionVariants"])
        return [(ENDPOINT_CONFIG, endpoint_config_name), *((MODEL, name) for name in models)]

    # -- identity and storage ----------------------------------------------------------------------

    @property
    def region(self) -> str:
        """The region that the clients use."""
        return str(self.client("sagemaker").meta.region_name)

    def role_arn(self, role: str) -> str:
        """Return the ARN of an IAM role given by name or ARN."""
        if role.startswith("arn:"):
            return role
        return str(self.client("iam").get_role(RoleName=role.rsplit("/", 1)[-1])["Role"]["Arn"])

    def default_bucket(self) -> str:
        """Return SageMaker's default bucket of account and region, creating it when it is not there."""
        account = self.client("sts").get_caller_identity()["Account"]
        bucket = f"sagemaker-{self.region}-{account}"
        s3 = self.client("s3")
        try:
            s3.head_bucket(Bucket=bucket)
        except ClientError as error:
            if not is_not_found(error):
                raise
            elsewhere = self.region != "us-east-1"  # the one region that must not be named
            where = {"CreateBucketConfiguration": {"LocationConstraint": self.region}} if elsewhere else {}
            s3.create_bucket(Bucket=bucket, **where)
            self.log.info("Created the default bucket %s", bucket)
        return bucket

    def location(self, uri: str | None, *, default: str) -> str:
        """Return ``uri`` without a trailing slash after checking its bucket, or ``default`` in the default bucket."""
        if not uri:
            return f"s3://{self.default_bucket()}/{default}"
        bucket, key = split_s3_uri(uri)
        self.require_bucket(bucket)
        return f"s3://{bucket}/{key}".rstrip("/")

    def require_bucket(self, bucket: str) -> None:
        """Raise one clear sentence when a bucket does not exist; a bucket that we may not look at counts as there.

        :raises RequestError: naming the bucket and the connection.
        """
        try:
            self.client("s3").head_bucket(Bucket=bucket)
        except ClientError as error:
            if is_not_found(error):
                raise RequestError(
                    f"The S3 bucket {bucket!r} does not exist at {self.client('s3').meta.endpoint_url} (the Airflow "
                    f"connection {self.aws_conn_id!r}): create it, or correct the S3 URI or the connection."
                ) from None
            if error.response["ResponseMetadata"]["HTTPStatusCode"] != 403:
                raise

    def keys(self, uri: str) -> Iterator[str]:
        """Yield the keys of all objects under a prefix."""
        bucket, prefix = split_s3_uri(uri)
        pages = self.client("s3").get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        for page in pages:
            for item in page.get("Contents", []):
                yield item["Key"]

    def read(self, uri: str) -> bytes:
        """Return the bytes of one object."""
        bucket, key = split_s3_uri(uri)
        body: bytes = self.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
        return body

    def write(self, uri: str, body: bytes) -> None:
        """Write one object."""
        bucket, key = split_s3_uri(uri)
        self.client("s3").put_object(Bucket=bucket, Key=key, Body=body)

    # -- faces -------------------------------------------------------------------------------------

    def console_url(self, resource: Resource, name: str, page: str = "resource") -> str | None:
        """Return a page of the AWS console: see :func:`airflow_ll.hooks.console.console_url`."""
        from airflow_ll.hooks.console import console_url

        return console_url(self.client("sagemaker"), resource, name, page)

    def default_tags(self, tags: Mapping[str, str] | Sequence[Mapping[str, str]] | None) -> list[dict[str, str]]:
        """Return tags in the API's form, given as a mapping or in that form already."""
        if not tags:
            return []
        if hasattr(tags, "items"):
            return [{"Key": str(key), "Value": str(value)} for key, value in tags.items()]
        return [dict(tag) for tag in tags]


def split_s3_uri(uri: str) -> tuple[str, str]:
    """Return bucket and key of an S3 URI.

    :raises RequestError: it is not one.
    """
    parts = urlsplit(uri)
    if parts.scheme != "s3" or not parts.netloc:
        raise RequestError(f"An S3 URI such as s3://bucket/prefix is needed, got {uri!r}.")
    return parts.netloc, uri.split(parts.netloc, 1)[1].lstrip("/")
