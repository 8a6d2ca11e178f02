"""The record set operator's sources, splits, objects and events, without a scheduler."""

from __future__ import annotations

import json
import sqlite3
import uuid
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from airflow.providers.common.sql.hooks.sql import DbApiHook
from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowFailException
from scipy import sparse

from airflow_ll.hooks import LinearLearnerHook
from airflow_ll.operators import (
    LinearLearnerRecordSetManifestOperator,
    LinearLearnerRecordSetOperator,
    LinearLearnerRecordSetShardOperator,
)
from airflow_ll.records import FeatureSchema, parse_manifest, read_records
from airflow_ll.requests.names import TaskIdentity
from tests.operators.conftest import BUCKET, connection, location

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from tests.conftest import Runtime

__all__ = ["location"]

FRAME = pd.DataFrame(
    {
        "id": np.arange(300),
        "size": np.arange(300, dtype=np.float32) / 8,
        "colour": ["red", "green", "blue"] * 100,
        "late": np.arange(300) % 2,
    }
)
NUMBERS = FRAME[["size", "id"]].to_numpy(np.float32)
LATE = FRAME["late"].to_numpy(np.float32)


@pytest.fixture(autouse=True)
def aws(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> Runtime:
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", connection(runtime.url))
    runtime.client("s3").create_bucket(Bucket=BUCKET)
    return runtime


def run(operator: Any, run_id: str = "run", map_index: int = -1) -> dict[str, Any]:
    """Run one task."""
    result: dict[str, Any] = operator.execute({"ti": TaskIdentity("sources", run_id, operator.task_id, map_index)})
    return result


def convert(location: str, **settings: Any) -> dict[str, Any]:
    return run(LinearLearnerRecordSetOperator(task_id="rows", data_location=location, **settings))


def rows(result: dict[str, Any]) -> tuple[Any, NDArray[Any] | None]:
    """Return features and labels of a record set, in order."""
    hook = LinearLearnerHook()
    prefix, names = parse_manifest(hook.read(result["s3_data"]))
    parts = [read_records(hook.read(prefix + name)) for name in names]
    if sparse.issparse(parts[0].features):
        return sparse.vstack([part.features for part in parts]).toarray(), None
    features = np.concatenate([part.features for part in parts])
    labels = [part.labels for part in parts if part.labels is not None]
    return features, np.concatenate(labels) if labels else None


def files(folder: Path) -> dict[str, dict[str, Any]]:
    """Write the frame in every format and return the operator's arguments for each."""
    np.save(folder / "matrix.npy", np.column_stack([NUMBERS, LATE]))
    np.savez(folder / "arrays.npz", features=NUMBERS, labels=LATE)
    FRAME.to_csv(folder / "table.csv", index=False)
    FRAME.to_parquet(folder / "table.parquet", index=False)
    (folder / "many").mkdir()
    FRAME[:170].to_parquet(folder / "many" / "0.parquet", index=False)
    FRAME[170:].to_parquet(folder / "many" / "1.parquet", index=False)
    (folder / "many" / "_SUCCESS").write_bytes(b"")
    named = {"columns": ["size", "id"], "label_column": "late"}
    return {
        "matrix.npy": {"label_column": 2},
        "arrays.npz": {},
        "table.csv": named,
        "table.parquet": named,
        "many": named,
    }


@pytest.mark.parametrize("where", ["local", "s3"])
def test_every_kind_of_file_gives_the_same_rows(aws: Runtime, tmp_path: Path, location: str, where: str) -> None:
    for name, settings in files(tmp_path).items():
        source = str(tmp_path / name)
        if where == "s3":
            for path in [one for one in (tmp_path / name, *(tmp_path / name).rglob("*")) if one.is_file()]:
                key = f"{location.partition(BUCKET)[2][1:]}/in/{path.relative_to(tmp_path)}"
                aws.client("s3").upload_file(str(path), BUCKET, key)
            source = f"{location}/in/{name}"
        result = convert(location, features=source, **settings)
        features, labels = rows(result)
        np.testing.assert_array_equal(features, NUMBERS, err_msg=name)
        np.testing.assert_array_equal(labels, LATE, err_msg=name)
        assert convert(location, features=source, **settings) == {**result, "adopted": True}


@pytest.mark.parametrize("argument", ["features", "labels"])
@pytest.mark.parametrize("name", ["empty.parquet", "cut.parquet", "empty.npy", "cut.npy", "bad.npz"])
def test_a_damaged_file_is_named_and_not_tried_again(tmp_path: Path, location: str, name: str, argument: str) -> None:
    whole = tmp_path / f"whole{name[name.index('.') :]}"
    if whole.suffix == ".parquet":
        FRAME[["size"]].to_parquet(whole)
    elif whole.suffix == ".npy":
        np.save(whole, NUMBERS[:, :1])
    else:
        whole.write_bytes(b"PK damaged")
    body = whole.read_bytes()
    (tmp_path / name).write_bytes({"empty": b"", "cut": body[: len(body) // 2], "bad": body}[name.partition(".")[0]])
    rows = {"features": NUMBERS.tolist(), argument: str(tmp_path / name)}
    with pytest.raises(AirflowFailException, match=f"file .*{name} (is damaged|ends .* too early)"):
        convert(location, **rows)


@pytest.mark.parametrize("argument", ["features", "labels"])
def test_what_the_operator_is_handed_is_refused_in_a_sentence(location: str, argument: str) -> None:
    lazy = pl.DataFrame({"a": [1.0]}).lazy()
    for value, message in ((lazy, "LazyFrame has no rows yet"), ([[1, 2], [3]], "row 0 has 2 and row 1 has 1")):
        with pytest.raises(AirflowFailException, match=message):
            convert(location, **{"features": NUMBERS[:2].tolist(), argument: value})


def test_scipys_own_npz_stays_sparse(tmp_path: Path, location: str) -> None:
    matrix = sparse.random(50, 400, density=0.02, format="csr", dtype=np.float32, random_state=1)
    sparse.save_npz(tmp_path / "sparse.npz", matrix)
    features, _ = rows(convert(location, features=str(tmp_path / "sparse.npz")))
    np.testing.assert_array_equal(features, matrix.toarray())


class Database(DbApiHook):
    """SQLite as any database that Airflow knows."""

    conn_name_attr = "database_conn_id"

    def get_conn(self) -> Any:
        connected = sqlite3.connect(":memory:")
        FRAME.to_sql("flights", connected, index=False)
        return connected


def test_a_query_is_a_source(location: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BaseHook, "get_hook", lambda _: Database())
    settings: dict[str, Any] = {
        "sql": "select size, id, late from flights where id < ? order by id",
        "sql_parameters": [100],
        "sql_conn_id": "database",
        "label_column": "late",
    }
    result = convert(location, **settings)
    features, labels = rows(result)
    np.testing.assert_array_equal(features, NUMBERS[:100])
    np.testing.assert_array_equal(labels, LATE[:100])
    assert convert(location, **settings) == {**result, "adopted": True}, "the same bytes are kept"


@pytest.mark.parametrize("label", ["late", 1])
@pytest.mark.parametrize("how", ["columns", "categories", "schema"])
def test_a_label_of_a_query_is_no_feature(
    location: str, monkeypatch: pytest.MonkeyPatch, how: str, label: str | int
) -> None:
    monkeypatch.setattr(BaseHook, "get_hook", lambda _: Database())
    settings: dict[str, dict[str, Any]] = {
        "columns": {"columns": ["size", "late"]},
        "categories": {"columns": ["size", "late"], "categorical_columns": ["size"]},
        "schema": {"schema": FeatureSchema.fit([FRAME[["size", "late"]]]).to_dict()},
    }
    query = {"sql": "select size, late from flights", "sql_conn_id": "database", "label_column": label}
    with pytest.raises(AirflowFailException, match=r"'late' (must be no feature|more than once)"):
        convert(location, **query, **settings[how])


def test_categories_are_encoded_alike_with_the_schema_of_an_earlier_record_set(tmp_path: Path, location: str) -> None:
    FRAME.to_parquet(tmp_path / "all.parquet", index=False)
    FRAME[FRAME["colour"] != "red"].drop(columns="late").to_parquet(tmp_path / "some.parquet", index=False)
    columns = ["size", "colour"]
    first = convert(
        location,
        features=str(tmp_path / "all.parquet"),
        columns=columns,
        label_column="late",
        categorical_columns=["colour"],
    )
    second = convert(location, features=str(tmp_path / "some.parquet"), schema=first)

    assert (first["feature_dim"], second["feature_dim"]) == (4, 4)
    assert second["schema_checksum"] == first["schema_checksum"]
    features, _ = rows(first)
    np.testing.assert_array_equal(rows(second)[0], features[FRAME["colour"] != "red"])
    prefix = first["s3_data"].removesuffix("/.amazon.manifest")
    assert "colour" in json.loads(LinearLearnerHook().read(f"{prefix}.meta/schema.json"))["columns"][1].values()


def test_a_split_gives_one_result_a_channel_and_only_training_rows_are_shuffled(tmp_path: Path, location: str) -> None:
    FRAME.to_csv(tmp_path / "rows.csv", index=False)
    result = convert(
        location,
        features=str(tmp_path / "rows.csv"),
        columns=["id"],
        label_column="late",
        split={"train": "0.8", "validation": "0.2"},
        split_by=["size"],
        shuffle=True,
        seed="3",
    )
    train, validation = (rows(result[channel])[0][:, 0] for channel in ("train", "validation"))
    assert {channel: one["channel"] for channel, one in result.items()} == {
        "train": "train",
        "validation": "validation",
    }
    np.testing.assert_array_equal(np.sort(np.concatenate([train, validation])), FRAME["id"])
    assert list(validation) == sorted(validation)
    assert list(train) != sorted(train)


def test_columns_with_names_are_kept_as_a_schema_though_none_is_categorical(tmp_path: Path, location: str) -> None:
    FRAME.drop(columns="colour").to_parquet(tmp_path / "rows.parquet", index=False)
    first = convert(location, features=str(tmp_path / "rows.parquet"), label_column="late", instance_count=3)
    shuffled = FRAME[["colour", "size", "id"]]
    shuffled.to_csv(tmp_path / "scoring.csv", index=False)
    second = convert(location, features=str(tmp_path / "scoring.csv"), schema=first)

    assert first["shards"] == 3
    assert second["schema_checksum"] == first["schema_checksum"] is not None
    np.testing.assert_array_equal(rows(second)[0], rows(first)[0])


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize("categorical", [[], ["colour"]])
def test_a_label_by_number_is_no_feature_of_the_schema_either(
    tmp_path: Path, location: str, suffix: str, categorical: list[str]
) -> None:
    source = tmp_path / f"rows.{suffix}"
    frame = FRAME[["late", "size", "id", *categorical]]
    frame.to_csv(source, index=False) if suffix == "csv" else frame.to_parquet(source, index=False)
    by_number = convert(location, features=str(source), label_column=0, categorical_columns=categorical)
    by_name = convert(f"{location}/named", features=str(source), label_column="late", categorical_columns=categorical)

    assert by_number["schema_checksum"] == by_name["schema_checksum"]
    prefix = by_number["s3_data"].removesuffix("/.amazon.manifest")
    schema = json.loads(LinearLearnerHook().read(f"{prefix}.meta/schema.json"))
    assert (schema["label_column"], schema["feature_dim"]) == ("late", by_number["feature_dim"])
    again = convert(f"{location}/again", features=str(source), label_column=0, schema=by_number)
    np.testing.assert_array_equal(rows(again)[0], rows(by_name)[0])
    np.testing.assert_array_equal(rows(again)[1], LATE)


def test_a_number_of_shards_gets_equal_shares_though_rows_are_counted_only_at_the_end(
    tmp_path: Path, location: str
) -> None:
    frame = FRAME.assign(size=FRAME["size"].where(FRAME["id"] % 10 != 0))
    frame.to_csv(tmp_path / "rows.csv", index=False)
    result = convert(
        location, features=str(tmp_path / "rows.csv"), columns=["size"], on_invalid="drop", instance_count="4"
    )
    assert (result["num_records"], result["dropped"], result["shards"]) == (270, 30, 4)
    hook = LinearLearnerHook()
    prefix, names = parse_manifest(hook.read(result["s3_data"]))
    assert [len(read_records(hook.read(prefix + name)).features) for name in names] == [67, 67, 67, 69]


def test_the_first_offender_is_named_by_its_row_in_the_source_and_nothing_is_left(
    tmp_path: Path, location: str
) -> None:
    matrix = np.ones((2_000_000, 2), np.float32)
    matrix[1_900_000, 1] = np.inf
    np.save(tmp_path / "rows.npy", matrix)
    with pytest.raises(AirflowFailException, match="row 1900000, column 1"):
        convert(location, features=str(tmp_path / "rows.npy"), target_shard_size=1 << 20)
    assert list(LinearLearnerHook().keys(location)) == []


@pytest.mark.parametrize(
    ("predictor", "error"),
    [
        ({"predictor_type": "binary_classifier"}, "Labels must be 0 or 1"),
        ({"predictor_type": "multiclass_classifier", "num_classes": 2}, "Labels must be integers from 0 to 1"),
        ({"predictor_type": "binary"}, "predictor_type must be one of binary_classifier, multi"),
        ({"predictor_type": "regressor", "label_column": None}, "learns from labels, but the rows have none"),
    ],
)
def test_a_record_set_that_is_complete_is_checked_again_for_another_predictor(
    tmp_path: Path, location: str, predictor: dict[str, Any], error: str
) -> None:
    np.save(tmp_path / "rows.npy", np.column_stack([NUMBERS, FRAME["id"] % 5]))
    settings = {"features": str(tmp_path / "rows.npy"), "label_column": 2}
    convert(location, **settings)
    with pytest.raises(AirflowFailException, match=error):
        convert(location, **settings | predictor)


def test_every_channel_of_a_split_has_rows_or_there_is_no_record_set(tmp_path: Path, location: str) -> None:
    FRAME[["size", "colour"]].to_csv(tmp_path / "rows.csv", index=False)
    split = {"train": ["*"], "validation": ["purple"]}
    with pytest.raises(AirflowFailException, match="must have rows, but validation got none of the 300"):
        convert(location, features=str(tmp_path / "rows.csv"), columns=["size"], split=split, split_by="colour")
    assert list(LinearLearnerHook().keys(location)) == []


def test_rows_are_dropped_for_their_labels_too_and_numbered_as_in_the_source(tmp_path: Path, location: str) -> None:
    table = np.column_stack([NUMBERS, LATE])
    table[:50, 0] = np.inf
    table[70, 2] = np.nan
    table[50, 2] = 7
    np.save(tmp_path / "rows.npy", table)
    settings = {"features": str(tmp_path / "rows.npy"), "label_column": 2, "on_invalid": "drop"}
    result = convert(location, **settings)
    assert (result["num_records"], result["dropped"]) == (249, 51)
    np.testing.assert_array_equal(rows(result)[1], np.delete(table[50:, 2], 20))
    with pytest.raises(AirflowFailException, match=r"1 of 300 are not; the first is 7.0 at row 50\."):
        convert(location, **settings, predictor_type="binary_classifier")


def test_nothing_left_is_told(tmp_path: Path, location: str) -> None:
    np.save(tmp_path / "rows.npy", np.full((3, 2), np.nan))
    with pytest.raises(AirflowFailException, match="no rows to make a record set of: all 3 have a NaN"):
        convert(location, features=str(tmp_path / "rows.npy"), on_invalid="drop")


def test_many_categories_are_sparse_records_and_new_ones_zeros_if_wanted(tmp_path: Path, location: str) -> None:
    FRAME.to_parquet(tmp_path / "all.parquet", index=False)
    FRAME.assign(colour="purple").drop(columns="late").to_parquet(tmp_path / "new.parquet", index=False)
    settings = {"columns": ["size", "colour"], "label_column": "late", "categorical_columns": ["colour"]}
    source = {"features": str(tmp_path / "all.parquet")}
    dense = convert(location, **source, **settings)
    first = convert(location, **source, **settings, sparse="true")
    np.testing.assert_array_equal(rows(first)[0], rows(dense)[0])
    assert first["s3_data"] != dense["s3_data"]

    with pytest.raises(AirflowFailException, match="outside its 3 categories"):
        convert(location, features=str(tmp_path / "new.parquet"), schema=first)
    scored = convert(location, features=str(tmp_path / "new.parquet"), schema=first, unseen="ignore")
    assert scored["schema_checksum"] == first["schema_checksum"]
    assert not rows(scored)[0][:, 1:].any()
    with pytest.raises(AirflowFailException, match="more than 2 categories"):
        convert(f"{location}/few", **source, **settings, max_categories=2)


def test_objects_are_kept_as_asked(aws: Runtime, location: str) -> None:
    plain = convert(location, features=NUMBERS.tolist())
    result = convert(
        location,
        features=NUMBERS.tolist(),
        kms_key_id="alias/rows",
        storage_class="STANDARD_IA",
        tags={"team": "a & b"},
        expected_bucket_owner="123456789012",
    )
    assert not result["adopted"], "complete, but kept in another way"
    assert result["sha256"] == plain["sha256"]
    key = result["s3_data"].partition(f"{BUCKET}/")[2]
    s3 = aws.client("s3")
    head = s3.head_object(Bucket=BUCKET, Key=key)
    assert (head["ServerSideEncryption"], head["SSEKMSKeyId"]) == ("aws:kms", "alias/rows")
    assert head["StorageClass"] == "STANDARD_IA"
    assert s3.get_object_tagging(Bucket=BUCKET, Key=key)["TagSet"] == [{"Key": "team", "Value": "a & b"}]
    with pytest.raises(AirflowFailException, match=r"403|AccessDenied|Forbidden"):
        convert(location, features=[[1.0]], expected_bucket_owner="999999999999")


def test_parts_become_one_record_set_and_parts_of_older_attempts_go(location: str) -> None:
    run_id = uuid.uuid4().hex

    def part(index: int, matrix: NDArray[Any]) -> dict[str, Any]:
        shard = LinearLearnerRecordSetShardOperator(task_id="part", data_location=location, features=matrix.tolist())
        return run(shard, run_id, index)

    def join(parts: list[dict[str, Any]]) -> dict[str, Any]:
        return run(LinearLearnerRecordSetManifestOperator(task_id="join", shards=parts), run_id)

    part(2, NUMBERS[:5])  # of an attempt with more parts
    parts = [part(1, NUMBERS[200:]), part(0, NUMBERS[:200])]
    result = join(parts)
    np.testing.assert_array_equal(rows(result)[0], NUMBERS)
    assert not [key for key in LinearLearnerHook().keys(location) if "00002-" in key]
    assert join(parts) == {**result, "adopted": True}

    changed = part(1, NUMBERS[100:])
    with pytest.raises(AirflowFailException, match="run that task again"):
        join(parts)
    np.testing.assert_array_equal(rows(join([parts[1], changed]))[0], np.concatenate([NUMBERS[:200], NUMBERS[100:]]))
    with pytest.raises(AirflowFailException, match=r"one feature_dim, got 2 of part 00000-.*, 1 of part 00001-"):
        join([parts[1], part(1, NUMBERS[:, :1])])
