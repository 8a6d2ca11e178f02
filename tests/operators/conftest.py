"""One migrated metadata database a test process, the connection to the runtime, and small DAGs to run."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Runtime

RUNS_A_DAG = [
    pytest.mark.airflow,
    pytest.mark.xdist_group("airflow"),
    # of the API server that dag.test() starts in this process
    pytest.mark.filterwarnings("ignore:Using `httpx` with `starlette.testclient`"),
    # of Airflow, about a run of a DAG that was edited
    pytest.mark.filterwarnings("ignore:Multiple rows returned with uselist=False"),
]
BUNDLE = "tests"
BUCKET = "operators"
ROLE = "arn:aws:iam::123456789012:role/learner"


def connection(url: str) -> str:
    """Return an Airflow connection to ``url`` as its environment variable spells it."""
    return json.dumps(
        {
            "conn_type": "aws",
            "login": "testing-key-id",
            "password": "testing-secret",
            "extra": {"region_name": "us-east-1", "endpoint_url": url},
        }
    )


@pytest.fixture(scope="session")
def metadata() -> None:
    """Airflow's metadata database, migrated once."""
    from airflow.utils.db import initdb

    initdb()


@pytest.fixture
def aws(
    runtime: Runtime, metadata: None, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Runtime:
    """The runtime behind the connection ``aws_default``, with an empty bucket."""
    # dag.test() reads the whole folder; ours are made by the tests.
    bundle = {
        "name": BUNDLE,
        "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
        "kwargs": {"path": str(tmp_path_factory.mktemp("dags"))},
    }
    monkeypatch.setenv("AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST", json.dumps([bundle]))
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", connection(runtime.url))
    runtime.client("s3").create_bucket(Bucket=BUCKET)
    return runtime


@pytest.fixture
def dag_id() -> str:
    """A DAG id of this test's own."""
    return f"test_{uuid.uuid4().hex[:8]}"


@pytest.fixture
def location() -> str:
    """A prefix of this test's own."""
    return f"s3://{BUCKET}/{uuid.uuid4().hex[:8]}"


@pytest.fixture
def rows(tmp_path: Path) -> str:
    """A small separable binary problem as an ``.npz`` file with features and labels."""
    random = np.random.default_rng(7)
    features = random.normal(size=(400, 5)).astype(np.float32)
    labels = (features @ np.array([2.0, -1.0, 0.5, 0.0, 1.0]) > 0).astype(np.float32)
    path = tmp_path / "rows.npz"
    np.savez(path, features=features, labels=labels)
    return str(path)


@pytest.fixture
def model_data(aws: Runtime, location: str, tmp_path: Path) -> str:
    """The S3 URI of a small model: a regressor that adds three features."""
    from airflow_ll.artifacts import LinearModel
    from airflow_ll.hooks import LinearLearnerHook

    model = LinearModel(np.ones((3, 1), np.float32), np.zeros(1, np.float32), "regressor", "squared_loss")
    model.save(tmp_path / "model.tar.gz")
    uri = f"{location}/model.tar.gz"
    LinearLearnerHook().write(uri, (tmp_path / "model.tar.gz").read_bytes())
    return uri


class Ran:
    """A finished DAG run."""

    def __init__(self, run: Any) -> None:
        self.run = run
        self.run_id: str = run.run_id
        self.states = {ti.task_id: str(ti.state) for ti in run.get_task_instances()}

    @property
    def state(self) -> str:
        """The run's state."""
        return str(self.run.state)

    def result(self, task_id: str) -> Any:
        """Return what a task returned."""
        return self.run.get_task_instance(task_id).xcom_pull(task_ids=task_id, key="return_value")


def run_dag(dag: Any, **settings: Any) -> Ran:
    """Run a DAG to its end in this process."""
    from airflow.dag_processing.bundles.manager import DagBundlesManager
    from airflow.models.serialized_dag import SerializedDagModel
    from airflow.serialization import serialized_objects
    from airflow.serialization.serialized_objects import LazyDeserializedDAG

    SerializedDAG: Any = getattr(serialized_objects, "SerializedDAG", None)  # Airflow 3.1
    if SerializedDAG is None or not hasattr(SerializedDAG, "bulk_write_to_db"):
        from airflow.serialization.definitions.dag import SerializedDAG

    manager: Any = DagBundlesManager
    manager().sync_bundles_to_db()
    serialized = LazyDeserializedDAG.from_dag(dag)
    SerializedDAG.bulk_write_to_db(BUNDLE, None, [serialized])
    SerializedDagModel.write_dag(serialized, BUNDLE)
    return Ran(dag.test(**settings))


def calls(runtime: Runtime, operation: str, name: str = "") -> list[str]:
    """Return the lines of the access log about an operation on resources with ``name`` in theirs."""
    lines = (runtime.data_dir / "access.log").read_text().splitlines()
    return [line for line in lines if f" {operation} " in line and name in line]
