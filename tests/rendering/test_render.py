"""What is rendered is what a task sends: the runtime accepts it, and the task adopts it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pendulum
import pytest
from airflow.sdk import DAG, Param, task

from airflow_ll.cli import main
from airflow_ll.exceptions import RequestError
from airflow_ll.operators import (
    LinearLearnerDeployOperator,
    LinearLearnerPredictOperator,
    LinearLearnerRecordSetOperator,
    LinearLearnerTeardownOperator,
    LinearLearnerTrainingOperator,
    LinearLearnerTransformOperator,
)
from airflow_ll.records import encode_records
from airflow_ll.rendering import render
from tests.local import support
from tests.operators.conftest import BUCKET, ROLE, RUNS_A_DAG, calls, run_dag

if TYPE_CHECKING:
    from tests.conftest import Runtime

DAGS = Path(__file__).parents[2] / "dags"
WHEN = datetime(2031, 5, 6, tzinfo=UTC)
RUN_ID = f"manual__{WHEN.isoformat()}"


def training_dag(dag_id: str, location: str, **settings: Any) -> DAG:
    channel = {"s3_data": f"{location}/train/", "num_records": 400, "feature_dim": 5, "s3_data_type": "S3Prefix"}
    with DAG(dag_id, params={"epochs": Param(2, type="integer")}) as dag:
        train: Any = LinearLearnerTrainingOperator(
            task_id="train",
            role=ROLE,
            records=[channel],
            hyperparameters={"predictor_type": "binary_classifier", "epochs": "{{ params.epochs }}", "num_models": 2},
            output_path=f"{location}/models/{{{{ ds }}}}",
            **settings,
        )
        deploy = LinearLearnerDeployOperator(task_id="deploy", role=ROLE, model_data=train.output["model_data"])
        deploy >> LinearLearnerTeardownOperator(task_id="teardown").as_teardown(setups=train)
    return dag


def rendered(dag: DAG, task_id: str, **settings: Any) -> list[dict[str, Any]]:
    when = pendulum.instance(WHEN)
    return render(dag, task_id, run_id=RUN_ID, logical_date=when, **settings).requests


class TestAgainstTheRuntime:
    pytestmark = RUNS_A_DAG

    def test_a_task_adopts_what_was_created_as_rendered(self, aws: Runtime, dag_id: str, location: str) -> None:
        key = f"{location}/train/rows.pbr".removeprefix(f"s3://{BUCKET}/")
        aws.client("s3").put_object(Bucket=BUCKET, Key=key, Body=encode_records(*support.rows()))
        dag = training_dag(dag_id, location)
        (request,) = rendered(dag, "train", conf={"epochs": 3})
        aws.client("sagemaker").create_training_job(**request["request"])
        expected = [one["request"] for one in rendered(dag, "deploy", conf={"epochs": 3})]

        ran = run_dag(dag, run_after=WHEN, logical_date=WHEN, run_conf={"epochs": 3})

        assert ran.run_id == RUN_ID
        assert set(ran.states.values()) == {"success"}
        assert ran.result("train")["adopted"] is True
        assert ran.result("train")["hyperparameters"]["epochs"] == "3"
        assert len(calls(aws, "CreateTrainingJob", request["request"]["TrainingJobName"])) == 1
        model, config, endpoint = expected
        for operation, name in (
            ("CreateModel", model["ModelName"]),
            ("CreateEndpointConfig", config["EndpointConfigName"]),
            ("CreateEndpoint", endpoint["EndpointName"]),
        ):
            assert len(calls(aws, operation, name)) == 1
        assert model["PrimaryContainer"]["ModelDataUrl"] == ran.result("train")["model_data"]


def test_what_the_rows_decide_is_a_placeholder(dag_id: str, location: str) -> None:
    with DAG(dag_id) as dag:
        rows = LinearLearnerRecordSetOperator(task_id="rows", features="s3://nowhere/rows.csv", data_location=location)
        LinearLearnerTrainingOperator(
            task_id="train", role=ROLE, records=rows.output, hyperparameters={"predictor_type": "regressor"}
        )
    (request,) = [one["request"] for one in rendered(dag, "train")]
    shards, manifest = [one["request"] for one in rendered(dag, "rows")]
    source = request["InputDataConfig"][0]["DataSource"]["S3DataSource"]["S3Uri"]
    assert source == f"s3://{manifest['Bucket']}/{manifest['Key']}"
    assert source.startswith(f"{location}/")
    assert source.endswith("/<data>/.amazon.manifest")
    assert shards["Key"].endswith("/<data>/<shard>.pbr")
    assert request["HyperParameters"] == {
        "predictor_type": "regressor",
        "feature_dim": "<feature_dim of the record set>",
        "mini_batch_size": "<depends on the record set>",
    }
    tags = {tag["Key"]: tag["Value"] for tag in request["Tags"]}
    assert tags["airflow-ll:task-id"] == "train"
    assert tags["airflow-ll:fingerprint"] == "<depends on the record set>"
    assert request["OutputDataConfig"]["S3OutputPath"].startswith("s3://sagemaker-us-east-1-123456789012")


def test_a_teardown_deletes_what_the_tasks_before_it_create(dag_id: str, location: str) -> None:
    dag = training_dag(dag_id, location)
    created = [one["request"] for one in rendered(dag, "deploy")]
    deleted = rendered(dag, "teardown")
    assert [one["operation"] for one in deleted] == ["DeleteEndpoint", "DeleteEndpointConfig", "DeleteModel"]
    assert deleted[0]["request"]["EndpointName"] == created[2]["EndpointName"]
    assert deleted[2]["request"]["ModelName"] == created[0]["ModelName"]


def test_reads_and_the_region_on_demand(dag_id: str, location: str) -> None:
    dag = training_dag(dag_id, location, region_name="eu-west-1")
    requests = rendered(dag, "train", reads=True, account_id="210987654321")
    operations = [one["operation"] for one in requests]
    assert operations.index("DescribeTrainingJob") < operations.index("CreateTrainingJob")
    created = requests[operations.index("CreateTrainingJob")]["request"]
    assert ".dkr.ecr.eu-west-1.amazonaws.com" in created["AlgorithmSpecification"]["TrainingImage"]


def test_mapped_tasks_have_an_index(dag_id: str, location: str) -> None:
    with DAG(dag_id) as dag:
        LinearLearnerTransformOperator.partial(task_id="score", model_name="m", output_path=f"{location}/out").expand(
            data=[f"{location}/a/", f"{location}/b/"]
        )
    first, second = (rendered(dag, "score", map_index=index)[0]["request"] for index in (0, 1))
    sources = [one["TransformInput"]["DataSource"]["S3DataSource"]["S3Uri"] for one in (first, second)]
    assert sources == [f"{location}/a/", f"{location}/b/"]
    assert first["TransformJobName"] != second["TransformJobName"]


def test_what_only_aws_or_another_task_knows_is_said(dag_id: str) -> None:
    @task
    def some_rows() -> list[list[float]]:
        raise AssertionError("a rendered task's neighbours never run")

    with DAG(dag_id) as dag:
        LinearLearnerPredictOperator(task_id="literal", endpoint_name="e", features=[[1.0, 2.0]])
        LinearLearnerPredictOperator(task_id="pulled", endpoint_name="e", features=some_rows())
    literal, pulled = (render(dag, task_id) for task_id in ("literal", "pulled"))
    assert [one["operation"] for one in literal.requests] == ["InvokeEndpoint"]
    assert literal.note == "What comes after InvokeEndpoint depends on its answer."
    assert pulled.requests == []
    assert "<some_rows>" in str(pulled.note)
    with pytest.raises(RequestError, match=r"'some_rows' is a .*only what tasks of airflow_ll"):
        render(dag, "some_rows")


@pytest.mark.filterwarnings("ignore:GitWildMatchPattern")  # Airflow's own use of pathspec
class TestCommand:
    def test_it_prints_json(self, capsys: pytest.CaptureFixture[str]) -> None:
        arguments = ["render", "flights_retraining", "train", "--dags", str(DAGS), "--run-id", "r", "--conf"]
        assert main([*arguments, '{"epochs": 7}']) == 0
        (request,) = json.loads(capsys.readouterr().out)
        assert request["operation"] == "CreateTrainingJob"
        assert request["request"]["HyperParameters"]["epochs"] == "7"

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["flights_retraining", "no"], "has no task 'no': its tasks are training_rows, "),
            (["no", "train"], "There is no DAG 'no' at "),
            (["flights_retraining", "train", "--conf", "[1]"], "--conf must be a JSON object, got '[1]'"),
            (["flights_retraining", "train", "--conf", "{"], "--conf must be a JSON object, got '{'"),
        ],
    )
    def test_mistakes_are_one_sentence(
        self, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
    ) -> None:
        assert main(["render", "--dags", str(DAGS), *arguments]) == 2
        assert message in capsys.readouterr().err
