"""The flights' table, features, split and quality check."""

from __future__ import annotations

import sys
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler

from airflow_ll.exceptions import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[2] / "dags"))

from flights import data, features, quality

NOT_KNOWN_AT_DEPARTURE = ("arr_time", "arr_delay", "air_time")


@pytest.fixture(scope="module")
def november() -> pd.DataFrame:
    return data.load([11])


def matrix(flights: pd.DataFrame, scheduled: pd.DataFrame) -> NDArray[np.float32]:
    return features.feature_matrix(flights, scheduled)


def keys(flights: pd.DataFrame) -> set[tuple[str, ...]]:
    return set(map(tuple, data.flight_keys(flights).to_numpy()))


def test_a_month_of_flights_is_a_full_float32_matrix(november: pd.DataFrame) -> None:
    flights = data.arrived(november)
    X = matrix(flights, november)
    assert X.shape == (26971, len(features.COLUMNS)) == (26971, 148)
    assert X.dtype == np.float32
    assert np.isfinite(X).all()
    assert len(set(features.COLUMNS)) == len(features.COLUMNS)


def test_each_group_of_categories_has_exactly_one_one(november: pd.DataFrame) -> None:
    X = matrix(data.arrived(november), november)
    for group in ("weekday_", "origin_", "carrier_", "dest_"):
        positions = [at for at, name in enumerate(features.COLUMNS) if name.startswith(group)]
        np.testing.assert_array_equal(X[:, positions].sum(axis=1), 1)


def test_features_are_a_function_of_what_is_known_at_departure(november: pd.DataFrame) -> None:
    flights = data.arrived(november)
    blind = flights.assign(**dict.fromkeys(NOT_KNOWN_AT_DEPARTURE, 0))
    np.testing.assert_array_equal(
        matrix(blind, november.drop(columns=list(NOT_KNOWN_AT_DEPARTURE))), matrix(flights, november)
    )


def test_a_flight_has_the_same_row_in_its_day_its_month_and_any_order(november: pd.DataFrame) -> None:
    whole = matrix(november_departed := data.departed(november), november)
    day = data.load_day(date(2013, 11, 15))
    backwards = data.departed(day).iloc[::-1]
    np.testing.assert_array_equal(matrix(backwards, day)[::-1], whole[(november_departed["day"] == 15).to_numpy()])


def test_a_feature_never_looks_at_later_weather(november: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    flights = data.arrived(november)
    flights = flights[flights["day"] == 15]
    before = matrix(flights, november)
    weather = data.read_weather()
    monkeypatch.setattr(features, "read_weather", lambda: weather[weather["time_hour"] <= flights["time_hour"].max()])
    np.testing.assert_array_equal(matrix(flights, november), before)


def test_block_time_is_the_scheduled_time_between_time_zones() -> None:
    day = data.load_day(date(2013, 11, 15))
    X = pd.DataFrame(matrix(data.departed(day), day), columns=list(features.COLUMNS))
    block = X.groupby(data.departed(day)["dest"].to_numpy())["block_hours"].median()
    assert block["BOS"] == pytest.approx(1.2, abs=0.3)
    assert block["LAX"] == pytest.approx(6.2, abs=0.5)
    assert block["SJU"] == pytest.approx(3.8, abs=0.5)
    assert block["HNL"] == pytest.approx(11.2, abs=0.7)


def test_the_split_is_nine_to_one_stable_and_disjoint() -> None:
    train, validation = data.train_validation_split(data.arrived(data.load([1])), seed=1)
    more_train, more_validation = data.train_validation_split(data.arrived(data.load([1, 2])), seed=2)
    assert len(validation) / (len(train) + len(validation)) == pytest.approx(0.1, abs=0.01)
    assert not keys(train) & keys(validation)
    assert keys(train) <= keys(more_train)
    assert keys(validation) <= keys(more_validation)


def test_the_shuffle_is_a_function_of_the_seed() -> None:
    flights = data.arrived(data.load([1]))
    orders = [data.train_validation_split(flights, seed=seed)[0].index.to_list() for seed in (1, 1, 2)]
    assert orders[0] == orders[1] != orders[2]
    assert orders[0] != sorted(orders[0])


def test_keys_name_each_flight_once(november: pd.DataFrame) -> None:
    named = data.flight_keys(november)
    assert list(named) == ["date", "carrier", "flight", "origin", "dest", "tailnum", "sched_dep_time"]
    assert not named.duplicated().any()
    assert named.iloc[0].to_dict() == {
        "date": "2013-11-01",
        "carrier": "B6",
        "flight": "745",
        "origin": "JFK",
        "dest": "PSE",
        "tailnum": "N568JB",
        "sched_dep_time": "23:59",
    }


@pytest.mark.parametrize(
    ("run", "scored"),
    [
        (datetime(2026, 12, 1, 5, tzinfo=UTC), date(2013, 12, 1)),
        (date(2028, 2, 29), date(2013, 2, 28)),
        (date(2013, 7, 4), date(2013, 7, 4)),
    ],
)
def test_a_run_scores_its_own_day_of_2013(run: date, scored: date) -> None:
    assert data.same_day_of_2013(run) == scored


@pytest.mark.parametrize("months", [[], [0], [1, 13]])
def test_other_months_are_refused(months: list[int]) -> None:
    with pytest.raises(DataError, match="months 1 to 12 of 2013"):
        data.load(months)


def test_another_year_is_refused() -> None:
    with pytest.raises(DataError, match="2014-01-01"):
        data.load_day(date(2014, 1, 1))


def test_a_month_that_was_trained_on_cannot_judge() -> None:
    data.check_held_out(11, [9, 10])
    with pytest.raises(DataError, match=r"got 10 in \[9, 10\]"):
        data.check_held_out(10, [10, 9])


def test_a_linear_model_separates_the_held_out_month(november: pd.DataFrame) -> None:
    """Two months of training rows suffice to be far above the majority class."""
    scheduled = data.load([9, 10])
    train, _ = data.train_validation_split(data.arrived(scheduled), seed=0)
    scaler = StandardScaler().fit(X := matrix(train, scheduled))
    model = LogisticRegression(max_iter=200).fit(scaler.transform(X), data.is_late(train))
    flights = data.arrived(november)
    scores = model.predict_proba(scaler.transform(matrix(flights, november)))[:, 1]
    found = quality.measure(
        [{"score": score, "predicted_label": int(score >= 0.5)} for score in scores], data.is_late(flights).to_numpy()
    )
    assert found["majority_accuracy"] == pytest.approx(0.819, abs=0.001)
    assert found["auc"] > 0.87
    assert found["accuracy"] > 0.89


def test_auc_agrees_with_scikit_learn_on_ties() -> None:
    generator = np.random.default_rng(0)
    scores = generator.integers(0, 20, 500) / 20
    labels = (generator.random(500) < scores).astype(np.float32)
    assert quality.roc_auc(scores, labels) == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)


def test_auc_needs_both_labels() -> None:
    with pytest.raises(DataError, match="both labels"):
        quality.roc_auc(np.array([0.1, 0.2]), np.zeros(2, np.float32))


def test_a_missing_prediction_is_refused() -> None:
    with pytest.raises(DataError, match=r"2 flights .* got 1"):
        quality.measure([{"score": 0.1, "predicted_label": 0}], np.array([0, 1], np.float32))


def test_each_fault_of_a_weak_model_is_one_sentence() -> None:
    weak = {"auc": 0.5, "accuracy": 0.8, "majority_accuracy": 0.82}
    assert len(quality.faults(weak, min_auc=0.86, min_accuracy=0.9)) == 3
    good = {"auc": 0.89, "accuracy": 0.91, "majority_accuracy": 0.82}
    assert quality.faults(good, min_auc=0.86, min_accuracy=0.9) == []
