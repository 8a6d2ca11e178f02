"""OpenLineage leads from rows to predictions."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import DAG

from airflow_ll.lineage import Lineage, dataset_name
from airflow_ll.operators import (
    LinearLearnerAnalyticsOperator,
    LinearLearnerModelOperator,
    LinearLearnerPredictOperator,
    LinearLearnerRecordSetOperator,
    LinearLearnerTrainingOperator,
    LinearLearnerTransformOperator,
)
from tests.operators.conftest import ROLE

ROOT = Path(__file__).parents[1]
PLACE = "arn:aws:sagemaker:us-east-1:123456789012"


@pytest.mark.parametrize(
    ("uri", "name"),
    [
        ("s3://bucket/rows/.amazon.manifest", ("s3://bucket", "rows/.amazon.manifest")),
        ("s3://bucket/rows/", ("s3://bucket", "rows")),
        ("s3://bucket", ("s3://bucket", "/")),
        (f"{PLACE}:model/churn", (PLACE, "model/churn")),
    ],
)
def test_a_location_has_a_namespace_and_a_name(uri: str, name: tuple[str, str]) -> None:
    assert dataset_name(uri) == name


def transformed(operator: Any) -> None:
    """Let a transform operator tell of a job."""
    description = {
        "TransformJobName": "t",
        "TransformJobArn": f"{PLACE}:transform-job/t",
        "TransformJobStatus": "InProgress",
        "ModelName": "churn",
        "TransformInput": {"DataSource": {"S3DataSource": {"S3Uri": "s3://b/in", "S3DataType": "S3Prefix"}}},
        "TransformOutput": {"S3OutputPath": "s3://b/out"},
    }
    operator.result(description, adopted=False)


def trained(operator: Any) -> None:
    """Let a training operator tell of a job."""
    description = {
        "TrainingJobName": "j",
        "TrainingJobArn": f"{PLACE}:training-job/j",
        "TrainingJobStatus": "Completed",
        "AlgorithmSpecification": {},
        "ResourceConfig": {},
        "InputDataConfig": [{"DataSource": {"S3DataSource": {"S3Uri": "s3://b/rows/.amazon.manifest"}}}],
        "ModelArtifacts": {"S3ModelArtifacts": "s3://b/j/output/model.tar.gz"},
    }
    operator.result(description, adopted=False)


def test_lineage_leads_from_rows_to_predictions() -> None:
    with DAG("lineage"):
        training: Any = LinearLearnerTrainingOperator(
            task_id="train", role=ROLE, records={}, hyperparameters={"predictor_type": "regressor"}
        )
        transform: Any = LinearLearnerTransformOperator(task_id="transform", data="s3://b/in", model_name="churn")
    trained(training)
    transformed(transform)

    assert training.lineage == Lineage(["s3://b/rows/.amazon.manifest"], ["s3://b/j/output/model.tar.gz"])
    assert transform.lineage == Lineage(["s3://b/in", f"{PLACE}:model/churn"], ["s3://b/out", None])


def test_every_operator_answers_the_listener() -> None:
    with DAG("lineage"):
        operators: list[Any] = [
            LinearLearnerRecordSetOperator(task_id="a", features="s3://b/rows.csv"),
            LinearLearnerModelOperator(task_id="b"),
            LinearLearnerPredictOperator(task_id="c", endpoint_name="e", features=[[1.0]]),
            LinearLearnerAnalyticsOperator(task_id="d", training_job_name="j"),
        ]
    assert all(callable(one.get_openlineage_facets_on_complete) for one in operators)


ASKED = """
from airflow.sdk import DAG
from tests.test_lineage import trained
from airflow_ll.lineage import Lineage
from airflow_ll.operators import LinearLearnerTrainingOperator
with DAG("lineage"):
    operator = LinearLearnerTrainingOperator(
        task_id="train", role="learner", records={}, hyperparameters={"predictor_type": "regressor"}
    )
trained(operator)
from airflow.providers.openlineage.extractors.manager import ExtractorManager
told = operator.get_openlineage_facets_on_complete(None)
print([(one.namespace, one.name) for one in told.inputs], [(one.namespace, one.name) for one in told.outputs])
operator.lineage = Lineage(written=["s3://b/rows"], rows=7)
print(operator.get_openlineage_facets_on_complete(None).outputs[0].outputFacets["outputStatistics"].rowCount)
"""


@pytest.mark.complete
def test_the_real_openlineage_takes_it() -> None:
    python = ROOT / ".venvs" / "openlineage" / "bin" / "python"
    if not python.exists():
        pytest.skip("make .venvs/openlineage/.installed makes its environment")
    asked = subprocess.run(
        [python, "-W", "ignore", "-c", ASKED], cwd=ROOT, env=os.environ, capture_output=True, text=True, check=False
    )
    assert asked.returncode == 0, asked.stderr[-2000:]
    assert asked.stdout.splitlines()[-2:] == [
        "[('s3://b', 'rows/.amazon.manifest')] [('s3://b', 'j/output/model.tar.gz')]",
        "7",
    ]


def test_nothing_of_openlineage_is_imported_before_it_listens() -> None:
    code = "import sys, airflow_ll.lineage; print([one for one in sys.modules if 'openlineage' in one])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
