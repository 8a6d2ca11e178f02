"""Serving endpoints: deployments of variants, each a serving process, and invocations of them."""

from __future__ import annotations

import logging
import random
import shutil
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_ll.local.errors import ModelInvocationError, RuntimeValidationError
from airflow_ll.local.jobs import JobPool
from airflow_ll.local.resources import ENDPOINT
from airflow_ll.local.s3_data import CustomerDataError
from airflow_ll.local.serving import ContainerError, ServingProcess, fetch_model
from airflow_ll.local.speed import NoCapacityError, provision

if TYPE_CHECKING:
    from pathlib import Path

    from airflow_ll.local.jobs import JobHandle
    from airflow_ll.local.runtime import Runtime

__all__ = ["Hosting"]

_log = logging.getLogger(__name__)

_RECOVERY_SECONDS = 60
_WORKERS = 2


class _Variant:
    """One production variant that is being served; a process that died is started again."""

    def __init__(self, runtime: Runtime, endpoint: str, root: Path, plan: dict[str, Any]) -> None:
        self.name: str = plan["VariantName"]
        self.weight: float = plan["InitialVariantWeight"]
        self._runtime, self._root = runtime, root
        self._group, self._stream = f"/aws/sagemaker/Endpoints/{endpoint}", f"{self.name}/{root.parent.name}"
        self._lock = threading.Lock()
        self._stopped = False
        fetch_model(runtime, plan["ModelData"], root)
        self._process = self._start()

    def _start(self) -> ServingProcess:
        return ServingProcess(
            self._runtime, self._root, lambda lines: self._runtime.logs.write(self._group, self._stream, lines)
        )

    def invoke(self, body: bytes, headers: dict[str, str]) -> tuple[int, bytes, str]:
        """Score a request."""
        with self._lock:
            if not self._process.alive and not self._stopped:
                self._process = self._start()
            process = self._process
        return process.invoke(body, headers)

    def stop(self) -> None:
        """End the serving process."""
        with self._lock:
            self._stopped = True
        self._process.stop()


@dataclass(frozen=True)
class _Deployment:
    """The variants that serve an endpoint."""

    root: Path
    variants: list[_Variant]

    def choose(self, target: str | None) -> _Variant:
        """Return the variant that a request goes to, by name or by weight."""
        if target is None:
            weights = [variant.weight for variant in self.variants]
            return random.choices(self.variants, weights if any(weights) else None)[0]  # noqa: S311
        for variant in self.variants:
            if variant.name == target:
                return variant
        raise RuntimeValidationError(f"Could not find variant {target} of the endpoint.")

    def stop(self) -> None:
        """End all serving processes and forget their files."""
        for variant in self.variants:
            variant.stop()
        shutil.rmtree(self.root, ignore_errors=True)


class Hosting:
    """All endpoints of a runtime."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._pool = JobPool(_WORKERS)
        self._changed = threading.Condition()
        self._live: dict[str, _Deployment] = {}

    def recover(self) -> None:
        """Serve again what an earlier runtime served, and go on with what it had begun."""
        wanted = []
        for endpoint in self._runtime.store.with_status(ENDPOINT.key, "Creating", "InService", "Updating"):
            plans = [endpoint[member] for member in ("_Deployment", "_Pending") if endpoint.get(member)]
            wanted += [(endpoint["EndpointName"], plan["Id"]) for plan in plans]
        for tree in (self._runtime.data_dir / "endpoints").glob("*/*"):
            if (tree.parent.name, tree.name) not in wanted:
                shutil.rmtree(tree, ignore_errors=True)
        for name, plan_id in wanted:
            self.deploy(name, plan_id)

    def close(self) -> None:
        """Let those go who wait for an endpoint to come back: the runtime is closing."""
        with self._changed:
            self._changed.notify_all()

    def deploy(self, name: str, plan_id: str) -> None:
        """Start the variants of an endpoint's plan in the background."""
        self._pool.submit(f"{name}#{plan_id}", lambda handle: self._deploy(name, plan_id, handle))

    def remove(self, name: str) -> None:
        """Stop serving an endpoint."""
        with self._changed:
            deployment = self._live.pop(name, None)
        if deployment is not None:
            threading.Thread(target=deployment.stop, daemon=True).start()

    def invoke(self, request: dict[str, Any]) -> dict[str, Any]:
        """Answer InvokeEndpoint."""
        name = request["EndpointName"]
        variant = self._deployment(name).choose(request.get("TargetVariant"))
        headers = {"Content-Type": request.get("ContentType", ""), "Accept": request.get("Accept", "")}
        if "CustomAttributes" in request:
            headers["X-Amzn-SageMaker-Custom-Attributes"] = request["CustomAttributes"]
        try:
            given = {key: value for key, value in headers.items() if value}
            status, body, content_type = variant.invoke(request.get("Body", b""), given)
        except ContainerError as error:
            status, body, content_type = 500, str(error).encode(), "text/plain"
        if status != 200:
            raise self._model_error(name, status, body)
        return {"Body": body, "ContentType": content_type, "InvokedProductionVariant": variant.name}

    def _deployment(self, name: str) -> _Deployment:
        """Return what serves an endpoint; right after a restart, wait until it is served again."""

        def settled() -> bool:
            if name in self._live:
                return True
            if self._runtime.closing.is_set():
                return True
            endpoint = self._runtime.store.get(ENDPOINT.key, name)
            return endpoint is None or endpoint["EndpointStatus"] not in ("InService", "Updating")

        with self._changed:
            self._changed.wait_for(settled, _RECOVERY_SECONDS)
            if name in self._live:
                return self._live[name]
        account = self._runtime.account_id
        raise RuntimeValidationError(f"Endpoint {name} of account {account} not found.")

    def _model_error(self, name: str, status: int, body: bytes) -> ModelInvocationError:
        region, account = self._runtime.region, self._runtime.account_id
        group = f"/aws/sagemaker/Endpoints/{name}"
        text = body.decode("utf-8", "replace")
        side = "client" if status < 500 else "server"
        return ModelInvocationError(
            f'Received {side} error ({status}) from primary with message "{text}". See https://{region}.console.aws.'
            f"amazon.com/cloudwatch/home?region={region}#logEventViewer:group={group} in account {account} "
            "for more information.",
            OriginalStatusCode=status,
            OriginalMessage=text,
            LogStreamArn=f"arn:aws:logs:{region}:{account}:log-group:{group}",
        )

    def _deploy(self, name: str, plan_id: str, handle: JobHandle) -> None:
        handle.check()
        endpoint = self._runtime.store.get(ENDPOINT.key, name) or {}
        plans = [endpoint.get("_Pending"), endpoint.get("_Deployment")]
        plan = next((one for one in plans if one is not None and one["Id"] == plan_id), None)
        if plan is None:
            return  # deleted or replaced meanwhile
        root = self._runtime.data_dir / "endpoints" / name / plan_id
        variants: list[_Variant] = []
        reason = ""
        try:
            if plan == endpoint.get("_Pending"):  # what served before a restart serves again at once
                provision(self._runtime, handle, ENDPOINT.key, name, endpoint["EndpointStatus"])
            for variant in plan["Variants"]:
                variants.append(_Variant(self._runtime, name, root / variant["VariantName"], variant))
        except NoCapacityError as error:
            reason = str(error)
        except InterruptedError:
            return  # the runtime is closing: the next one deploys again
        except ContainerError as error:
            reason = f"The primary container for production variant {variant['VariantName']} {error} for this endpoint."
        except CustomerDataError as error:
            reason = f"Failed to download model data for production variant {variant['VariantName']}: {error}"
        except Exception as error:
            _log.exception("endpoint %s", name)
            reason = f"InternalServerError: {error}"
        self._settle(name, plan, _Deployment(root, variants), reason)

    def _settle(self, name: str, plan: dict[str, Any], deployment: _Deployment, reason: str) -> None:
        """Make a deployment the one that serves, or undo it because of ``reason``."""
        if self._runtime.closing.is_set():
            return

        def change(endpoint: dict[str, Any]) -> bool:
            if plan["Id"] not in [(endpoint.get(member) or {}).get("Id") for member in ("_Pending", "_Deployment")]:
                return False
            _finish(endpoint, plan, reason)
            return True

        with self._changed:
            saved = self._runtime.store.update(ENDPOINT.key, name, ENDPOINT.status_member, change)
            retired: _Deployment | None = deployment
            if saved is not None and not reason:
                retired = self._live.get(name)
                self._live[name] = deployment
            self._changed.notify_all()
        if retired is not None:
            retired.stop()


def _finish(endpoint: dict[str, Any], plan: dict[str, Any], reason: str) -> None:
    """Note the outcome of deploying ``plan`` in an endpoint; a failed update leaves the old plan in service."""
    was_pending = (endpoint.get("_Pending") or {}).get("Id") == plan["Id"]
    if was_pending:
        endpoint["_Pending"] = None
    if reason:
        still_serves = was_pending and endpoint.get("_Deployment") is not None
        endpoint |= {"EndpointStatus": "InService" if still_serves else "Failed", "FailureReason": reason}
        return
    if endpoint.get("_Pending") is None:
        endpoint["EndpointStatus"] = "InService"
    endpoint |= {"_Deployment": plan, "EndpointConfigName": plan["EndpointConfigName"]}
    endpoint["ProductionVariants"] = [_summary(variant) for variant in plan["Variants"]]


def _summary(variant: dict[str, Any]) -> dict[str, Any]:
    weight, count = variant["InitialVariantWeight"], variant.get("InitialInstanceCount")
    serverless = variant.get("ServerlessConfig")
    return {
        "VariantName": variant["VariantName"],
        "DeployedImages": [{"SpecifiedImage": variant["Image"], "ResolvedImage": variant["Image"]}],
        "CurrentWeight": weight,
        "DesiredWeight": weight,
        "CurrentInstanceCount": count if serverless is None else 0,
        "DesiredInstanceCount": count,
        "CurrentServerlessConfig": serverless,
    }
