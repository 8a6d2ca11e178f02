"""A model in one call: which tasks there are, in which order, and that they run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from airflow.sdk import DAG, task, task_group

from airflow_ll.exceptions import HyperparameterError, RequestError
from airflow_ll.groups import linear_learner_model, metric_faults
from airflow_ll.operators import LinearLearnerRecordSetOperator, LinearLearnerTeardownOperator
from airflow_ll.requests.names import TaskIdentity, resource_name
from tests.operators.conftest import ROLE, RUNS_A_DAG, aws, dag_id, location, metadata, rows, run_dag

if TYPE_CHECKING:
    from tests.conftest import Runtime

__all__ = ["aws", "dag_id", "location", "metadata", "rows"]

PARAMETERS = {"epochs": 3, "num_models": 2, "mini_batch_size": 40}
SERVICE = ("endpoint", "endpoint-config", "model")
RECORDS = {"s3_data": "s3://b/train/", "num_records": 400, "feature_dim": 5, "s3_data_type": "S3Prefix"}


def model(group_id: str = "churn", **settings: Any) -> Any:
    return linear_learner_model(
        group_id,
        **{"role": ROLE, "predictor_type": "binary_classifier", "records": RECORDS, "hyperparameters": PARAMETERS}
        | settings,
    )


class TestRuns:
    pytestmark = RUNS_A_DAG

    def test_a_model_serves_and_scores_and_nothing_stays(
        self, aws: Runtime, dag_id: str, location: str, rows: str
    ) -> None:
        with DAG(dag_id) as dag:
            records = LinearLearnerRecordSetOperator(task_id="rows", features=rows, data_location=location).output
            model(
                records=records,
                endpoint=True,
                features=[[1.0] * 5, [-1.0] * 5],
                score=records,
                at_most={"train:objective_loss:final": 10.0},
                training={"output_path": f"{location}/models"},
                transform={"output_path": f"{location}/scored"},
            )

        ran = run_dag(dag)

        assert set(ran.states.values()) == {"success"}, ran.states
        assert [one["predicted_label"] for one in ran.result("churn.predict")["predictions"]] == [1, 0]
        assert len(ran.result("churn.transform")["outputs"]) == 1
        assert len(ran.result("churn.teardown")["deleted"]) == 3

    def test_a_model_that_is_not_good_enough_goes_nowhere(
        self, aws: Runtime, dag_id: str, location: str, rows: str
    ) -> None:
        with DAG(dag_id) as dag:
            records = LinearLearnerRecordSetOperator(task_id="rows", features=rows, data_location=location).output
            model(
                records=records,
                endpoint=True,
                at_most={"train:objective_loss:final": 0.0},
                training={"output_path": f"{location}/models"},
            )

        ran = run_dag(dag)

        assert ran.state == "failed"
        assert ran.states["churn.train"] == ran.states["churn.teardown"] == "success"
        assert ran.states["churn.check"] == "failed"
        assert ran.states["churn.deploy"] == "upstream_failed"
        assert aws.client("sagemaker").list_models(NameContains=dag_id.replace("_", "-"))["Models"] == []

    def test_a_mapped_group_makes_a_model_of_each_segment(
        self, aws: Runtime, dag_id: str, location: str, rows: str
    ) -> None:
        with DAG(dag_id) as dag:
            records = LinearLearnerRecordSetOperator.partial(task_id="rows", features=rows).expand(
                data_location=[f"{location}/north", f"{location}/south"]
            )

            @task
            def segments(records: Any) -> list[dict[str, Any]]:
                settings = [{"learning_rate": 0.05, "most": 10.0}, {"learning_rate": 0.1, "most": 9.0}]
                return [{"records": one, **more} for one, more in zip(records, settings, strict=True)]

            @task_group
            def segment(records: Any, learning_rate: Any, most: Any) -> None:
                model(
                    records=records,
                    hyperparameters={**PARAMETERS, "learning_rate": learning_rate},
                    endpoint=True,
                    features=[[1.0] * 5],
                    at_most={"train:objective_loss:final": most},
                    training={"output_path": f"{location}/models"},
                )

            segment.expand_kwargs(segments(records.output))

        ran = run_dag(dag)

        states = {(ti.task_id, ti.map_index): str(ti.state) for ti in ran.run.get_task_instances()}
        assert set(states.values()) == {"success"}, states
        assert {index for task_id, index in states if task_id == "segment.churn.train"} == {0, 1}
        sagemaker = aws.client("sagemaker")
        index_of: dict[str, int] = {}
        for index in (0, 1):
            job = resource_name(TaskIdentity(dag_id, ran.run_id, "segment.churn.train", index), "training")
            description = sagemaker.describe_training_job(TrainingJobName=job)
            assert description["TrainingJobStatus"] == "Completed"
            assert float(description["HyperParameters"]["learning_rate"]) == [0.05, 0.1][index]
            deployment = TaskIdentity(dag_id, ran.run_id, "segment.churn.deploy", index)
            index_of |= {f"{kind}/{resource_name(deployment, kind)}": index for kind in SERVICE}
        for index in (0, 1):
            teardown = ran.run.get_task_instance("segment.churn.teardown", map_index=index)
            deleted = teardown.xcom_pull(task_ids="segment.churn.teardown", map_indexes=index)["deleted"]
            assert [index_of[name] for name in deleted] == [index] * len(SERVICE), "the others may still be at work"


def test_only_what_was_asked_for_is_there(dag_id: str) -> None:
    with DAG(dag_id) as dag:
        alone = model()
        lasting = model("lasting", endpoint="churn", features=[[1.0] * 5], aws_conn_id="other")
        scored = model("scored", score=RECORDS, at_least={"train:accuracy": 0.5})
    assert set(dag.task_ids) == {
        "churn.train",
        *(f"lasting.{name}" for name in ("train", "deploy", "predict")),
        *(f"scored.{name}" for name in ("train", "check", "transform", "teardown", "finished")),
    }
    assert lasting.deploy.endpoint_name == "churn"
    assert [one.aws_conn_id for one in (lasting.train, lasting.deploy, lasting.predict)] == ["other"] * 3
    assert dag.get_task("scored.transform").upstream_task_ids == {"scored.train", "scored.check"}
    assert dag.get_task("scored.teardown").is_teardown
    assert scored.teardown._tasks() == [
        f"scored.{name}" for name in ("train", "check", "transform", "teardown", "finished")
    ]
    assert alone.teardown is None
    assert scored.deploy is None
    with pytest.raises(RequestError, match="there is no endpoint_name"):
        _ = scored.endpoint_name


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"features": [[1.0]]}, "features needs endpoint=True"),
        ({"deployment": {"initial_instance_count": 2}}, "deployment needs endpoint=True"),
        ({"transform": {"instance_count": 2}}, "transform needs score"),
    ],
)
def test_options_of_what_was_not_asked_for_are_refused(dag_id: str, settings: dict[str, Any], message: str) -> None:
    with DAG(dag_id), pytest.raises(RequestError, match=message):
        model(**settings)


def test_a_teardown_of_a_run_or_a_group_of_nothing_else(dag_id: str) -> None:
    with DAG(dag_id):
        assert LinearLearnerTeardownOperator(task_id="all")._tasks() is None
        with pytest.raises(RequestError, match="'run' or 'group', got 'dag'"):
            LinearLearnerTeardownOperator(task_id="teardown", scope="dag")  # type: ignore[arg-type]


def test_wrong_hyperparameters_are_refused_when_the_dag_is_parsed(dag_id: str) -> None:
    with DAG(dag_id), pytest.raises(HyperparameterError, match="epoch"):
        model(hyperparameters={"epochs": 0})


def test_metrics_out_of_bounds_or_missing_are_told() -> None:
    metrics = {"validation:accuracy": 0.8, "validation:loss": 0.5, "validation:nan": float("nan")}
    assert metric_faults(metrics, {"validation:accuracy": 0.8}, {"validation:loss": 0.5}) == []
    faults = metric_faults(metrics, {"validation:accuracy": 0.9, "validation:nan": 0.1}, {"validation:f1": 0.3})
    assert faults == [
        "validation:accuracy must be at least 0.9, got 0.8.",
        "validation:nan must be at least 0.1, got nan.",
        "There is no final metric 'validation:f1': the job has validation:accuracy, validation:loss, validation:nan.",
    ]
