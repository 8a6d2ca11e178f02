"""What is refused before anything is uploaded."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from airflow_ll.exceptions import DataError
from airflow_ll.records import check_features, check_labels

BAD = [np.nan, np.inf, -np.inf, 1e39]


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("sparse", [False, True])
def test_the_first_invalid_number_is_told_with_row_column_and_count(bad: float, sparse: bool) -> None:
    features: Any = np.zeros((3000, 70))
    features[1234, 56] = features[1234, 60] = features[2999, 0] = bad
    with pytest.raises(DataError, match=r"3 of them in 2 row\(s\) are not; the first is .* at row 1234, column 56"):
        check_features(sp.csr_matrix(features) if sparse else features)


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("sparse", [False, True])
def test_invalid_rows_are_dropped_with_their_count(bad: float, sparse: bool) -> None:
    features: Any = np.arange(12.0).reshape(4, 3)
    features[1, 2] = bad
    checked = check_features(sp.csr_matrix(features) if sparse else features, on_invalid="drop")
    kept = checked.features.toarray() if sparse else checked.features
    assert kept.tolist() == [[0, 1, 2], [6, 7, 8], [9, 10, 11]]
    assert checked.dropped == 1
    assert checked.kept is not None
    assert checked.kept.tolist() == [True, False, True, True]


def test_valid_features_pass_uncopied() -> None:
    features = np.ones((5, 2), np.float32)
    checked = check_features(features)
    assert checked.features is features
    assert (checked.kept, checked.dropped) == (None, 0)


@pytest.mark.parametrize("dtype", ["i8", "u1", "?", "f2", ">f4"])
def test_every_real_dtype_passes(dtype: str) -> None:
    assert check_features(np.ones((2, 2), dtype)).dropped == 0


@pytest.mark.parametrize("shape", [(0, 3), (3, 0)])
def test_empty_features_are_refused(shape: tuple[int, int]) -> None:
    with pytest.raises(DataError, match="at least one row and one column"):
        check_features(np.empty(shape))


def test_nothing_left_after_dropping_is_refused() -> None:
    with pytest.raises(DataError, match=r"All 2 row\(s\)"):
        check_features(np.full((2, 2), np.nan), on_invalid="drop")


def test_a_wrong_on_invalid_is_refused() -> None:
    with pytest.raises(DataError, match="'error' or 'drop', but is 'skip'"):
        check_features(np.ones((1, 1)), on_invalid="skip")  # type: ignore[arg-type]


def test_a_frame_with_missing_values_is_refused_by_place() -> None:
    with pytest.raises(DataError, match="row 1, column 0"):
        check_features(pd.DataFrame({"a": [1, None], "b": [1, 2]}))


@pytest.mark.parametrize(
    ("labels", "predictor_type", "num_classes", "message"),
    [
        (
            [0, 1, 2],
            "binary_classifier",
            None,
            r"0 or 1 for a binary_classifier, but 1 of 3 are not; the first is 2 at row 2",
        ),
        ([0, -1, 1], "binary_classifier", None, "first is -1 at row 1"),
        ([0, 0.5, 1], "binary_classifier", None, "first is 0.5 at row 1"),
        ([0, 1, 3], "multiclass_classifier", 3, "integers from 0 to 2 for a multiclass_classifier, .* 3 at row 2"),
        ([0, 1.5, 2], "multiclass_classifier", 3, "1.5 at row 1"),
        ([-1, 1, 2], "multiclass_classifier", None, "from 0 to num_classes - 1 .* -1 at row 0"),
        ([0, np.nan, 2], "regressor", None, "finite numbers .* nan at row 1"),
        ([0, np.nan, 1], "binary_classifier", None, "nan at row 1"),
        ([0, np.inf, 1], "multiclass_classifier", None, "inf at row 1"),
        ([0, 1e39, 2], None, None, r"1e\+39 at row 1"),
        ([0, 1], None, None, r"3 rows need the shape \(3,\)"),
        ([[0, 1], [1, 0], [1, 1]], None, None, "one label a row"),
    ],
)
def test_labels_that_do_not_suit_the_predictor(
    labels: Any, predictor_type: str | None, num_classes: int | None, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        check_labels(labels, 3, predictor_type, num_classes)


@pytest.mark.parametrize("dtype", ["?", "i1", "u8", "f4", ">f8"])
@pytest.mark.parametrize("predictor_type", ["binary_classifier", "multiclass_classifier", "regressor", None])
def test_suitable_labels_pass(dtype: str, predictor_type: str | None) -> None:
    labels = np.array([0, 1, 1], dtype)
    assert check_labels(labels[:, None], 3, predictor_type, 3).tolist() == [0, 1, 1]


@given(
    rows=st.integers(1, 50),
    columns=st.integers(1, 50),
    data=st.data(),
    dtype=st.sampled_from(["f2", "f4", "f8", ">f8"]),
)
def test_any_single_invalid_number_is_found(rows: int, columns: int, data: st.DataObject, dtype: str) -> None:
    features = np.ones((rows, columns), dtype)
    row, column = data.draw(st.integers(0, rows - 1)), data.draw(st.integers(0, columns - 1))
    features[row, column] = np.nan
    with pytest.raises(DataError, match=f"at row {row}, column {column}:"):
        check_features(features)
