"""A schema encodes the rows to score as it encoded the rows to train on."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_ll.exceptions import DataError
from airflow_ll.records import Column, FeatureSchema, fit_schema, read_batches, read_tables

if TYPE_CHECKING:
    from pathlib import Path

FRAME = pd.DataFrame(
    {
        "carrier": ["UA", "AA", None, "UA"],
        "distance": [1.5, 2.0, 3.0, np.nan],
        "month": [10, 9, 9, 1],
        "late": [0, 1, 0, 1],
    }
)
SCHEMA = FeatureSchema.fit([FRAME], categorical=["carrier", "month"], label_column="late")
ENCODED = [[0, 1, 0, 1.5, 0, 1, 0], [1, 0, 0, 2, 0, 0, 1], [0, 0, 1, 3, 0, 0, 1], [0, 1, 0, np.nan, 1, 0, 0]]


def test_categories_are_one_hot_in_the_order_of_their_text_with_null_last() -> None:
    assert SCHEMA.feature_names == (
        "carrier=AA", "carrier=UA", "carrier is null", "distance", "month=1", "month=10", "month=9",
    )  # fmt: skip
    assert SCHEMA.feature_dim == 7
    encoded = SCHEMA.encode(FRAME)
    assert encoded.dtype == np.float32
    assert np.array_equal(encoded, np.array(ENCODED), equal_nan=True)


def test_text_columns_are_categorical_unless_told() -> None:
    schema = FeatureSchema.fit([FRAME], label_column="late")
    assert schema.categorical == ("carrier",)
    for frame in (
        pa.Table.from_pandas(FRAME),
        FRAME.astype({"carrier": object}),
        FRAME.astype({"carrier": "category"}),
    ):
        assert FeatureSchema.fit([frame], label_column="late") == schema


def _csv() -> Any:
    return read_tables(io.BytesIO(FRAME.to_csv(index=False).encode()), format="csv", categorical=SCHEMA.categorical)


def _parquet() -> Any:
    stream = io.BytesIO()
    FRAME.to_parquet(stream, row_group_size=2)
    return read_tables(io.BytesIO(stream.getvalue()), format="parquet", batch_rows=3)


@pytest.mark.parametrize(
    "tables",
    [
        _csv,
        _parquet,
        lambda: [pa.Table.from_pandas(FRAME)],
        lambda: [pa.Table.from_pandas(FRAME.astype({"carrier": "category", "month": "category"}))],
        lambda: [FRAME.astype({"carrier": object, "month": "float64"})],
        lambda: [FRAME.convert_dtypes()],
        lambda: [FRAME.iloc[::-1]],
        lambda: [FRAME.iloc[:1], FRAME.iloc[1:]],
        lambda: [{name: FRAME[name].to_numpy() for name in FRAME}],
    ],
)
def test_the_schema_does_not_depend_on_the_kind_of_source_its_order_or_its_batches(tables: Any) -> None:
    schema = FeatureSchema.fit(tables(), categorical=["carrier", "month"], label_column="late")
    assert schema == SCHEMA
    assert schema.checksum == SCHEMA.checksum
    encoded = np.concatenate([SCHEMA.encode(table) for table in tables()])
    assert np.array_equal(np.sort(encoded, axis=0), np.sort(np.array(ENCODED), axis=0), equal_nan=True)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_fitting_a_source_equals_fitting_all_its_tables(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"rows.{suffix}"
    frame = pd.concat([FRAME, FRAME.assign(carrier="ZZ", month=4)] * 3)
    frame.to_csv(path, index=False) if suffix == "csv" else frame.to_parquet(path, row_group_size=4)
    for options in ({"categorical": ["month", "carrier"]}, {"exclude": ["month"]}, {"columns": ["distance"]}):
        known: Any = {"label_column": "late", "unseen": "ignore", **options}
        tables = read_tables(path, categorical=known.get("categorical", ()))
        assert fit_schema(lambda: path, **known) == FeatureSchema.fit(tables, **known)
    with pytest.raises(DataError, match="more than 2 categories"):
        fit_schema(lambda: path, max_categories=2)


def test_json_round_trip_and_checksum() -> None:
    again = FeatureSchema.from_json(SCHEMA.to_json())
    assert again == SCHEMA
    assert json.loads(SCHEMA.to_json())["checksum"] == again.checksum
    # Pinned: a schema that was stored once must be read for ever.
    assert SCHEMA.checksum == "b532a02928d9a5b13375501a6ef31c32deb6c1e145a955dcc7dd15d24142b981"


def test_batches_encoded_by_a_schema_have_its_label_only_when_the_source_has_it() -> None:
    (train,) = read_batches(FRAME, schema=SCHEMA)
    (score,) = read_batches(FRAME.drop(columns="late"), schema=SCHEMA)
    assert train.labels is not None
    assert np.array_equal(train.labels, FRAME["late"])
    assert score.labels is None
    assert np.array_equal(train.features, score.features, equal_nan=True)
    with pytest.raises(DataError, match="no column 'late'"):
        list(read_batches(FRAME.drop(columns="late"), schema=SCHEMA, label_column="late"))


def test_the_columns_of_a_scored_source_may_have_any_order_and_others_beside_them() -> None:
    mixed = FRAME[["month", "late", "distance", "carrier"]].assign(other="x")
    assert np.array_equal(SCHEMA.encode(mixed), SCHEMA.encode(FRAME), equal_nan=True)


def test_an_unseen_category_is_an_error_or_zeros() -> None:
    frame = FRAME.assign(carrier=["UA", "ZZ", "ZZ", "AA"])
    with pytest.raises(DataError, match=r"'carrier' has 2 value.s. outside its 3 categories; .* 'ZZ'"):
        SCHEMA.encode(frame)
    ignoring = FeatureSchema(SCHEMA.columns, SCHEMA.label_column, unseen="ignore")
    assert ignoring.encode(frame)[:, :3].tolist() == [[0, 1, 0], [0, 0, 0], [0, 0, 0], [1, 0, 0]]
    assert ignoring.checksum == SCHEMA.checksum


def test_null_is_unseen_when_the_schema_never_saw_it() -> None:
    schema = FeatureSchema.fit([FRAME.dropna()], label_column="late")
    with pytest.raises(DataError, match="the first is null"):
        schema.encode(FRAME)


@pytest.mark.parametrize("unseen", ["error", "ignore"])
def test_sparse_features_equal_dense_ones(unseen: Any) -> None:
    schema = FeatureSchema(SCHEMA.columns, unseen=unseen)
    frame = FRAME if unseen == "error" else FRAME.assign(month=[1, 99, 9, 98])
    sparse = schema.encode(frame, sparse=True)
    assert sparse.has_canonical_format
    assert np.array_equal(sparse.toarray(), schema.encode(frame), equal_nan=True)
    (batch,) = read_batches(frame, schema=schema, sparse=True)
    assert (batch.features != sparse).nnz == int(np.isnan(frame["distance"]).sum())


@given(st.lists(st.one_of(st.none(), st.text(max_size=5)), min_size=1, max_size=40))
def test_every_row_has_exactly_the_category_it_had(values: list[str | None]) -> None:
    frame = {"c": np.array(values, object)}
    schema = FeatureSchema.fit([frame], categorical=["c"])
    encoded = FeatureSchema.from_json(schema.to_json()).encode(frame)
    assert (encoded.sum(axis=1) == 1).all()
    assert [schema.columns[0].categories[place] for place in encoded.argmax(axis=1)] == values


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"checksum": "0"}, "checksum does not fit"),
        ({"version": 2}, "version 1, but has 2"),
        ({"columns": [{"name": "x"}]}, "no feature schema: KeyError"),
        ({"columns": []}, "at least one column"),
        ({"columns": [{"name": "x", "dtype": "text"}]}, "number or category, but is 'text'"),
        ({"columns": [{"name": "x", "dtype": "category"}]}, "if and only if"),
        ({"columns": [{"name": "x", "dtype": "category", "categories": ["a", "a"]}]}, "must differ"),
        ({"columns": [{"name": "x", "dtype": "category", "categories": [1]}]}, "must be text"),
        ({"columns": [{"name": "x", "dtype": "number"}] * 2}, "'x' more than once"),
        ({"unseen": "drop"}, "unseen must be"),
    ],
)
def test_a_stored_schema_is_not_trusted(change: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        FeatureSchema.from_dict(SCHEMA.to_dict() | change)
    with pytest.raises(DataError, match="not JSON"):
        FeatureSchema.from_json(b"\xff")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"label_column": "z"}, "no column 'z'"),
        ({"columns": ["z"]}, "no column 'z'"),
        ({"categorical": ["late"], "label_column": "late"}, "'late' is no feature column"),
        ({"max_categories": 2}, "'carrier' has more than 2 categories"),
    ],
)
def test_what_cannot_be_fitted_is_told_in_a_sentence(options: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        FeatureSchema.fit([FRAME], **options)
    with pytest.raises(DataError, match="no rows to fit"):
        FeatureSchema.fit([])


def test_numbers_beyond_float32_become_infinities_for_the_checks_to_find() -> None:
    schema = FeatureSchema((Column("x"),))
    assert schema.encode({"x": [1e300, -1e300]}).tolist() == [[np.inf], [-np.inf]]
