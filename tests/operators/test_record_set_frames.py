"""Frames have named columns wherever they come from: schemas, parts and categories go by these names."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from airflow.sdk.exceptions import AirflowFailException

from airflow_ll.decorators.record_set import linear_learner_record_set_task
from airflow_ll.hooks import LinearLearnerHook
from airflow_ll.operators import LinearLearnerRecordSetManifestOperator, LinearLearnerRecordSetShardOperator
from airflow_ll.records import FeatureSchema
from airflow_ll.records.schema import Column
from tests.operators.conftest import BUCKET, location
from tests.operators.test_record_set_sources import FRAME, LATE, NUMBERS, aws, convert, rows, run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

__all__ = ["aws", "location"]

ROWS = FRAME[["late", "size", "id"]]


def frames() -> Iterator[Any]:
    """Yield the rows as two frames whose columns have another order."""
    yield ROWS[:100]
    yield ROWS[100:][["id", "late", "size"]]


@pytest.mark.parametrize(
    "source", [lambda: ROWS, lambda: pl.from_pandas(ROWS), frames], ids=["pandas", "polars", "two"]
)
def test_frames_are_kept_with_their_schema(location: str, source: Callable[[], Any]) -> None:
    first = convert(location, features=source(), label_column=0)
    np.testing.assert_array_equal(rows(first)[0], NUMBERS)
    np.testing.assert_array_equal(rows(first)[1], LATE)
    assert first["schema_checksum"]
    scored = convert(f"{location}/scored", features=FRAME[["colour", "id", "size"]], schema=first)
    np.testing.assert_array_equal(rows(scored)[0], NUMBERS)


def test_parts_fit_together_or_are_refused(location: str) -> None:
    run_id = uuid.uuid4().hex

    def part(index: int, frame: Any) -> dict[str, Any]:
        operator = LinearLearnerRecordSetShardOperator(
            task_id="part", data_location=location, features=frame, label_column="late"
        )
        return run(operator, run_id, index)

    def join(*parts: Any) -> dict[str, Any]:
        return run(LinearLearnerRecordSetManifestOperator(task_id="join", shards=parts), run_id)

    first, second = part(0, ROWS[:100]), part(1, ROWS[100:])
    np.testing.assert_array_equal(rows(join(second, first))[0], NUMBERS)
    with pytest.raises(AirflowFailException, match=r"given once, got 00000-.* more than once"):
        join(first, second, first)
    with pytest.raises(AirflowFailException, match="result of a shard task, got None"):
        join(first, None)
    with pytest.raises(AirflowFailException, match="must have one schema_checksum"):
        join(first, part(1, ROWS[100:][["id", "late", "size"]]))


@pytest.mark.parametrize("kind", ["pandas", "polars", "arrow", "dict"])
@pytest.mark.parametrize("argument", [{"categorical_columns": ["a"]}, {"split": {"train": 1.0}, "split_by": ["a"]}])
def test_lists_are_no_categories_and_no_keys(location: str, kind: str, argument: dict[str, Any]) -> None:
    values: dict[str, Any] = {"a": [[1], [2]], "b": [1, 2]}
    make: dict[str, Callable[[dict[str, Any]], Any]] = {
        "pandas": ROWS.__class__, "polars": pl.DataFrame, "arrow": pa.table,
        "dict": lambda columns: {"a": np.array([[1], [2], None], object)[:2], "b": columns["b"]},
    }  # fmt: skip
    with pytest.raises(AirflowFailException, match="column 'a' must have single values to be a category or a key"):
        convert(location, features=make[kind](values), **argument)


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ({"channel": "../x"}, r"channel must have 1 to 64 letters, digits, .* but is '\.\./x'"),
        ({"distribution": "Halves"}, "distribution must be one of"),
        ({"split_by": "text"}, "channel must have 1 to 64 .* but is 'a/b'"),
        ({"split_by": "id"}, "at most 20 channels, as a training job has, but there are more: 0, 1"),
        ({"split": {"training": 0.5, "test": 0.5}, "shuffle": True}, "the split has training, test: name one train"),
        ({"split": {"train": "most"}}, "share of the rows, or a list of values, for every channel, got 'most'"),
        ({"target_shard_size": "64 MB"}, "target_shard_size must be an integer, got '64 MB'"),
        ({"instance_count": "two"}, "instance_count must be an integer, got 'two'"),
        ({"seed": None}, "seed must be an integer, got None"),
        ({"schema": f"s3://{BUCKET}/nothing/schema.json"}, "There is no feature schema 's3://.*': only record sets"),
        ({"labels": f"s3://{BUCKET}/nothing.npy"}, "There is no file 's3://.*/nothing.npy': correct the path"),
    ],
)
def test_what_cannot_become_a_record_set_is_refused_before_an_upload(
    location: str, argument: dict[str, Any], message: str
) -> None:
    frame = FRAME[["size", "id"]].assign(text="a/b") if argument.get("split_by") == "text" else FRAME[["size", "id"]]
    with pytest.raises(AirflowFailException, match=message):
        convert(location, features=frame, **argument)
    assert not list(LinearLearnerHook().keys(location))


def test_a_file_of_labels_has_one_column(tmp_path: Path, location: str) -> None:
    np.save(tmp_path / "labels.npy", np.zeros((150, 2)))
    with pytest.raises(
        AirflowFailException, match=r"must have one column, but '.*labels.npy' has the shape \(150, 2\)"
    ):
        convert(location, features=NUMBERS.tolist(), labels=str(tmp_path / "labels.npy"))


def test_a_schema_with_another_label_is_another_record_set(tmp_path: Path, location: str) -> None:
    FRAME[["size", "id", "late"]].to_parquet(tmp_path / "rows.parquet", index=False)
    labels = {}
    for label in ("late", "id"):
        schema = FeatureSchema((Column("size"),), label_column=label)
        result = convert(location, features=str(tmp_path / "rows.parquet"), schema=schema.to_dict())
        assert not result["adopted"]
        labels[label] = rows(result)[1]
    np.testing.assert_array_equal(labels["late"], LATE)
    np.testing.assert_array_equal(labels["id"], FRAME["id"])


def test_a_function_returns_features_or_a_pair(location: str) -> None:
    make: Any = linear_learner_record_set_task(lambda: (NUMBERS, LATE, LATE), task_id="triple", data_location=location)
    operator = make().operator
    with pytest.raises(AirflowFailException, match="features and labels, but returns a tuple of 3"):
        run(operator)
