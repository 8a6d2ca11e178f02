"""``@task.linear_learner_record_set``, links, and what the provider tells Airflow."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from airflow.models.asset import AssetEvent
from airflow.sdk import DAG, Asset, task
from airflow.utils.session import create_session
from sqlalchemy import select

from airflow_ll.hooks import LinearLearnerHook
from airflow_ll.hooks.resources import COMPILATION_JOB, ENDPOINT, TRAINING_JOB, TRANSFORM_JOB, TUNING_JOB
from airflow_ll.links import TrainingJobLink
from airflow_ll.operators import LinearLearnerTrainingOperator
from airflow_ll.provider_info import get_provider_info
from airflow_ll.records import read_records
from tests.operators.conftest import ROLE, RUNS_A_DAG, connection, run_dag

if TYPE_CHECKING:
    from tests.conftest import Runtime

pytestmark = RUNS_A_DAG


def test_what_a_function_returns_becomes_a_record_set(aws: Runtime, dag_id: str, location: str) -> None:
    with DAG(dag_id) as dag:

        @task.linear_learner_record_set(data_location=location, channel="validation", instance_count=2)
        def rows(count: int) -> Any:
            return np.ones((count, 3)), np.arange(count)

        @task.linear_learner_record_set(data_location=location)
        def features_alone() -> Any:
            return np.zeros((2, 2))

        rows(7)
        features_alone()
    ran = run_dag(dag)

    assert ran.state == "success"
    result = ran.result("rows")
    assert (result["channel"], result["num_records"], result["shards"]) == ("validation", 7, 2)
    hook = LinearLearnerHook()
    second = read_records(hook.read(result["s3_data"].replace(".amazon.manifest", "matrix_1.pbr")))
    np.testing.assert_array_equal(second.labels, [3, 4, 5, 6])
    alone = ran.result("features_alone")["s3_data"].replace(".amazon.manifest", "matrix_000000.pbr")
    assert read_records(hook.read(alone)).labels is None


def test_a_function_may_yield_batches_and_the_asset_event_says_what_came_of_them(
    aws: Runtime, dag_id: str, location: str
) -> None:
    rows = Asset(f"rows_{dag_id}")
    with DAG(dag_id) as dag:

        @task.linear_learner_record_set(data_location=location, outlets=[rows])
        def batches() -> Any:
            for first in range(0, 30, 10):
                yield np.arange(first, first + 10.0).reshape(10, 1), np.ones(10)

        batches()
    ran = run_dag(dag)

    assert ran.state == "success"
    result = ran.result("batches")
    features = read_records(
        LinearLearnerHook().read(result["s3_data"].replace(".amazon.manifest", "matrix_000000.pbr"))
    )
    np.testing.assert_array_equal(features.features[:, 0], np.arange(30))
    with create_session() as session:
        event = session.scalars(select(AssetEvent).where(AssetEvent.source_dag_id == dag_id)).one()
        assert event.extra == {
            "rows": 30,
            "columns": 1,
            "bytes": result["bytes"],
            "schema_checksum": None,
            "record_sets": {"train": result["s3_data"]},
        }


def test_mapped_tasks_have_record_sets_and_jobs_of_their_own(aws: Runtime, dag_id: str, location: str) -> None:
    with DAG(dag_id) as dag:

        @task.linear_learner_record_set(data_location=location)
        def rows() -> Any:
            return np.eye(40, 3), np.arange(40) % 2

        LinearLearnerTrainingOperator.partial(
            task_id="train",
            role=ROLE,
            records=rows(),
            output_path=location,
            poll_interval=1,
        ).expand(hyperparameters=[{"predictor_type": "regressor", "epochs": epochs} for epochs in (1, 2)])
    ran = run_dag(dag)

    assert ran.state == "success"
    names = {
        ran.run.get_task_instance("train", map_index=index).xcom_pull(
            task_ids="train", key="return_value", map_indexes=index
        )["training_job_name"]
        for index in (0, 1)
    }
    assert len(names) == 2


@pytest.mark.parametrize(
    ("resource", "page"),
    [
        (TRAINING_JOB, "jobs"),
        (TRANSFORM_JOB, "transform-jobs"),
        (ENDPOINT, "endpoints"),
        (TUNING_JOB, "hyper-tuning-jobs"),
        (COMPILATION_JOB, "compilation-jobs"),
    ],
)
def test_links_lead_to_the_console_of_the_region(resource: Any, page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", "aws://key:secret-key@?region_name=eu-west-1")
    assert LinearLearnerHook().console_url(resource, "name") == (
        f"https://eu-west-1.console.aws.amazon.com/sagemaker/home?region=eu-west-1#/{page}/name"
    )
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", connection("http://127.0.0.1:9"))
    assert LinearLearnerHook().console_url(resource, "name") is None, "the console does not know what runs elsewhere"


def test_logs_and_metrics_have_pages_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", "aws://key:secret-key@?region_name=eu-west-1")
    hook = LinearLearnerHook()
    home = "https://eu-west-1.console.aws.amazon.com/cloudwatch/home?region=eu-west-1"
    assert hook.console_url(TRAINING_JOB, "job", "logs") == (
        f"{home}#logsV2:log-groups/log-group/$252Faws$252Fsagemaker$252FTrainingJobs$253FlogStreamNameFilter=job$252F"
    )
    assert hook.console_url(TRAINING_JOB, "job", "metrics") == (
        f"{home}#metricsV2:query=%7B%2Faws%2Fsagemaker%2FTrainingJobs%2CTrainingJobName%7D%20job"
    )
    assert hook.console_url(ENDPOINT, "endpoint", "metrics") is None


def test_a_link_of_a_task_that_created_nothing_is_empty() -> None:
    with DAG("linked"):
        operator = LinearLearnerTrainingOperator(
            task_id="train", role=ROLE, records={}, hyperparameters={"predictor_type": "regressor"}
        )
    assert TrainingJobLink().get_link(operator, ti_key=None) == ""


def test_everything_that_the_provider_names_exists() -> None:
    info = get_provider_info()
    modules = [
        module
        for part in ("operators", "sensors", "hooks", "triggers")
        for entry in info[part]
        for module in entry["python-modules"]
    ]
    names = [*info["extra-links"], *(one["class-name"] for one in info["task-decorators"])]

    for module in modules:
        assert import_module(module).__all__
    for name in names:
        module, _, member = name.rpartition(".")
        assert getattr(import_module(module), member)
