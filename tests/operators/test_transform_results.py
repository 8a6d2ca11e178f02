"""A transform job's outputs are one table, joined to the keys of its inputs."""

from __future__ import annotations

import csv
import gzip
import io
from typing import TYPE_CHECKING

import pytest
from airflow.sdk import DAG

from airflow_ll.exceptions import DataError, RequestError
from airflow_ll.hooks import LinearLearnerHook
from airflow_ll.hooks.transform_results import Predicted, write_predictions
from airflow_ll.operators import LinearLearnerRecordSetOperator, LinearLearnerTransformOperator
from tests.operators.conftest import ROLE, RUNS_A_DAG, run_dag

if TYPE_CHECKING:
    from tests.conftest import Runtime

pytestmark = RUNS_A_DAG

ROWS = [[float(row), 1.0, 0.5] for row in range(5)]
SUMS = [sum(row) for row in ROWS]


def table(uri: str) -> list[dict[str, str]]:
    """Return the rows of a CSV file."""
    return list(csv.DictReader(io.StringIO(LinearLearnerHook().read(uri).decode())))


@pytest.mark.parametrize("deferrable", [False, True], ids=["sync", "deferrable"])
def test_csv_with_keys_that_the_model_does_not_see(
    aws: Runtime, dag_id: str, location: str, model_data: str, *, deferrable: bool
) -> None:
    hook = LinearLearnerHook()
    for part in (0, 1):
        lines = [f"k{row},{row}.0,1.0,0.5" for row in range(part * 3, 3 + part * 2)]
        hook.write(f"{location}/in/part-{part}.csv", ("\n".join(lines) + "\n").encode())
    with DAG(dag_id) as dag:
        LinearLearnerTransformOperator(
            task_id="transform",
            data=f"{location}/in/",
            role=ROLE,
            model_data=model_data,
            output_path=f"{location}/out",
            predictions="csv",
            key_columns=[0],
            job_options={"input_filter": "$[1:]"},
            poll_interval=1,
            deferrable=deferrable,
        )
    ran = run_dag(dag)

    assert ran.state == "success", ran.states
    told = ran.result("transform")
    assert told["num_predictions"] == 5
    rows = table(told["predictions"])
    assert [(row["row"], row["key_0"]) for row in rows] == [(str(row), f"k{row}") for row in range(5)]
    assert [float(row["score"]) for row in rows] == pytest.approx(SUMS)


def test_a_record_set_with_keys_from_a_file(aws: Runtime, dag_id: str, location: str, model_data: str) -> None:
    import pyarrow
    import pyarrow.ipc
    import pyarrow.parquet

    keys = pyarrow.table({"flight": [f"UA{row}" for row in range(5)], "day": list(range(5))})
    sink = io.BytesIO()
    pyarrow.parquet.write_table(keys, sink)
    hook = LinearLearnerHook()
    hook.write(f"{location}/keys.parquet", sink.getvalue())
    with DAG(dag_id) as dag:
        records = LinearLearnerRecordSetOperator(
            task_id="upload", features=ROWS, data_location=location, instance_count=2
        )
        LinearLearnerTransformOperator(
            task_id="transform",
            records=records.output,
            role=ROLE,
            model_data=model_data,
            output_path=f"{location}/out",
            predictions="arrow",
            keys=f"{location}/keys.parquet",
            poll_interval=1,
        )
    ran = run_dag(dag)

    assert ran.state == "success", ran.states
    read = pyarrow.ipc.open_file(hook.read(ran.result("transform")["predictions"])).read_all().to_pydict()
    assert (read["row"], read["flight"], read["day"]) == (list(range(5)), [f"UA{row}" for row in range(5)], [*range(5)])
    assert read["score"] == pytest.approx(SUMS)
    # One output for each shard: neither the manifest nor the facts beside the record set were taken for rows.
    outputs = sorted(key.rpartition("/")[2] for key in hook.keys(f"{location}/out") if key.endswith(".out"))
    assert outputs == ["matrix_0.pbr.out", "matrix_1.pbr.out"]


LINES = """
{"predicted_label": 1, "score": 0.75}
{"predicted_label": 0, "score": 0.25}
"""
DOCUMENT = '{"predictions": [{"score": 0.75, "predicted_label": 1}, {"score": 0.25, "predicted_label": 0}]}'
JOINED = """
{"features": [1], "SageMakerOutput": {"score": 0.75, "predicted_label": 1.0}}
{"features": [2], "SageMakerOutput": {"score": 0.25, "predicted_label": 0.0}}
"""
ANSWERS = {
    "lines": ("application/jsonlines", LINES.encode()),
    "documents": ("application/json", DOCUMENT.encode()),
    "joined": ("application/jsonlines", JOINED.encode()),
}


@pytest.mark.parametrize("form", ANSWERS)
def test_every_form_of_the_outputs(aws: Runtime, location: str, form: str) -> None:
    accept, body = ANSWERS[form]
    hook = LinearLearnerHook()
    hook.write(f"{location}/in.csv.out", body)
    hook.write(f"{location}/in.csv", gzip.compress(b'"a,b",1\nc,2\n'))
    predicted = Predicted([f"{location}/in.csv"], [f"{location}/in.csv.out"], accept, compressed=True)

    assert write_predictions(hook, predicted, f"{location}/all.csv", key_columns=[0]) == 2
    assert table(f"{location}/all.csv") == [
        {"row": "0", "key_0": "a,b", "predicted_label": "1", "score": "0.75"},
        {"row": "1", "key_0": "c", "predicted_label": "0", "score": "0.25"},
    ]


def test_several_classes_and_recordio(aws: Runtime, location: str) -> None:
    import numpy as np
    import pyarrow.parquet

    from airflow_ll.artifacts import Predictions
    from airflow_ll.learner.payloads import RECORDIO, encode_response

    hook = LinearLearnerHook()
    answers = Predictions(np.array([[0.25, 0.75], [0.5, 0.5]], np.float32), np.array([1, 0]))
    hook.write(f"{location}/in.out", encode_response(answers, RECORDIO)[0])
    predicted = Predicted([f"{location}/in"], [f"{location}/in.out"], RECORDIO)
    for kind in ("parquet", "csv"):
        write_predictions(hook, predicted, f"{location}/all.{kind}")

    read = pyarrow.parquet.read_table(io.BytesIO(hook.read(f"{location}/all.parquet"))).to_pydict()
    assert (read["predicted_label"], read["score"]) == ([1, 0], [[0.25, 0.75], [0.5, 0.5]])
    assert table(f"{location}/all.csv")[0]["score"] == "[0.25, 0.75]"


def test_rows_and_predictions_that_do_not_match_are_an_error(aws: Runtime, location: str) -> None:
    hook = LinearLearnerHook()
    hook.write(f"{location}/in", b"a,1\nb,2\n")
    hook.write(f"{location}/in.out", b'{"score": 0.5}\n')
    hook.write(f"{location}/bad.out", b"<html>\n")
    predicted = Predicted([f"{location}/in"], [f"{location}/in.out"], "application/jsonlines")
    bad = Predicted([f"{location}/in"], [f"{location}/bad.out"], "application/jsonlines")

    with pytest.raises(DataError, match="got more rows than 1 predictions"):
        write_predictions(hook, predicted, f"{location}/all.csv", key_columns=[0])
    with pytest.raises(DataError, match=r"key_columns must be columns of .* got \[7\], and row 0 has 2"):
        write_predictions(hook, predicted, f"{location}/all.csv", key_columns=[7])
    with pytest.raises(DataError, match="must have LinearLearner's predictions as JSON, got '<html>"):
        write_predictions(hook, bad, f"{location}/all.csv")
    with pytest.raises(RequestError, match="got both"):
        write_predictions(hook, predicted, f"{location}/all.csv", key_columns=[0], keys=f"{location}/k.csv")
    with pytest.raises(RequestError, match=r"\.csv, \.arrow, \.parquet"):
        write_predictions(hook, predicted, f"{location}/all.xlsx")
    assert [key for key in hook.keys(location) if "all" in key] == [], "nothing half-written"
