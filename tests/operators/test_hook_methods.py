"""Every capability from Python code: in a task exactly once, and outside of tasks under explicit names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from airflow.sdk import DAG, task, timezone

from airflow_ll.exceptions import RequestError
from airflow_ll.hooks import LinearLearnerHook
from tests.operators.conftest import ROLE, RUNS_A_DAG, calls, run_dag

if TYPE_CHECKING:
    from tests.conftest import Runtime

pytestmark = RUNS_A_DAG

QUICK = {"predictor_type": "regressor", "epochs": 1, "num_models": 1}


def retraining(dag_id: str, location: str) -> Any:
    """Return a DAG whose one task does the whole sequence."""
    with DAG(dag_id) as dag:

        @task
        def whole() -> dict[str, Any]:
            hook = LinearLearnerHook()
            rows = np.eye(4, dtype=np.float32)
            records = hook.upload_record_set(rows, rows.sum(axis=1), data_location=f"{location}/rows").record_set
            jobs = [
                hook.train(
                    role=ROLE, hyperparameters=QUICK | {"wd": wd}, records=records, output_path=location, label=label
                )
                for label, wd in (("small", 0.0), ("large", 0.1))
            ]
            names = [job["TrainingJobName"] for job in jobs]
            model = hook.create_model(training_job_name=names[0])
            served = hook.deploy(model)
            scores = hook.predict(served["EndpointName"], rows).scores.tolist()
            transformed = hook.transform(
                model_name=model,
                data=records.s3_data,
                data_type="ManifestFile",
                content_type="application/x-recordio-protobuf",
                split_type="RecordIO",
                output_path=f"{location}/scores",
            )
            compiled = hook.compile_model(
                training_job_name=names[0], target_instance_family="ml_c5", output_path=location
            )
            return {
                "jobs": names,
                "epochs": hook.attach(names[1]).spec.hyperparameters.epochs,
                "rows": len(hook.training_job_analytics(names[0])),
                "scores": scores,
                "transform": transformed["TransformJobStatus"],
                "compilation": compiled["CompilationJobStatus"],
                "deleted": hook.delete_endpoint(served["EndpointName"]),
                "again": hook.delete_endpoint(served["EndpointName"]),
            }

        whole()
    return dag


def test_the_whole_sequence_in_one_task_and_a_rerun_adopts_the_jobs(aws: Runtime, dag_id: str, location: str) -> None:
    moment = timezone.utcnow()
    first = run_dag(retraining(dag_id, location), logical_date=moment, run_after=moment)
    again = run_dag(retraining(dag_id, location), logical_date=moment, run_after=moment)

    assert (first.state, again.state) == ("success", "success")
    told = first.result("whole")
    assert (told["epochs"], told["transform"], told["compilation"]) == (1, "Completed", "COMPLETED")
    assert len(set(told["jobs"])) == 2
    assert len(told["scores"]) == 4
    assert told["rows"] > 0
    assert [one.split("/")[0] for one in told["deleted"]] == ["endpoint", "endpoint-config", "model"]
    assert told["again"] == []
    assert again.result("whole")["jobs"] == told["jobs"]
    assert len(calls(aws, "CreateTrainingJob", dag_id.replace("_", "-"))) == 2


def test_outside_of_a_task_a_name_is_needed(aws: Runtime, dag_id: str, location: str) -> None:
    hook, name = LinearLearnerHook(), dag_id.replace("_", "-")
    rows = np.eye(4, dtype=np.float32)
    records = hook.upload_record_set(rows, rows.sum(axis=1), data_location=f"{location}/rows").record_set
    settings: dict[str, Any] = {
        "role": ROLE,
        "hyperparameters": QUICK,
        "records": records.to_dict(),
        "output_path": location,
    }
    with pytest.raises(RequestError, match="Outside of a task a training job needs an explicit name"):
        hook.train(**settings)
    first, second = (hook.train(name=name, **settings) for _ in range(2))

    assert (first["TrainingJobName"], second["TrainingJobName"]) == (name, name)
    assert len(calls(aws, "CreateTrainingJob", name)) == 1
    with pytest.raises(RequestError, match="TrainingJobSpec has no volume"):
        hook.train(name=f"{name}-2", job_options={"volume": 3}, **settings)
