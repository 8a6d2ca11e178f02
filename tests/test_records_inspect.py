"""``airflow-ll records inspect``: labels of every kind are counted, and none is lost."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.test_records_cli import records, write_shard

if TYPE_CHECKING:
    from pathlib import Path

    from tests.test_records_cli import Command

__all__ = ["records"]


def _inspected(records: Command, path: Path, labels: Any, dtype: str = "float32") -> dict[str, Any]:
    """Return what ``inspect`` says about rows of 40 features, so that some thousand rows are several batches."""
    shard = write_shard(path / "rows", np.ones((len(labels), 40), np.float32), labels, dtype)
    code, output, _ = records("inspect", shard, "--json")
    facts: dict[str, Any] = json.loads(output)
    assert code == 0
    assert sum(facts["labels"].values()) + facts["labels_not_finite"] == len(labels)
    return facts


def test_labels_that_are_not_finite_are_counted_apart(records: Command, tmp_path: Path) -> None:
    facts = _inspected(records, tmp_path, np.full(30_000, np.nan))
    assert (facts["labels_not_finite"], facts["labels"], facts["not_finite"]) == (30_000, {}, 0)
    facts = _inspected(records, tmp_path, np.tile([0, np.inf, 1, -np.inf, np.nan], 6_000))
    assert (facts["labels_not_finite"], facts["labels"]) == (18_000, {"0": 6_000, "1": 6_000})
    assert "\nlabels not finite  18,000\n" in records("inspect", tmp_path / "rows")[1]


def test_label_vectors_that_are_not_finite_are_counted(records: Command, tmp_path: Path) -> None:
    shard = write_shard(tmp_path / "rows", np.ones((2, 3)), np.array([[1, np.nan], [np.inf, np.nan]]))
    assert json.loads(records("inspect", shard, "--json")[1])["labels_not_finite"] == 3


def test_bins_take_no_number_that_is_not_finite(records: Command, tmp_path: Path) -> None:
    facts = _inspected(records, tmp_path, np.append(np.arange(30_000) / 30_000, [np.nan] * 500))
    assert (facts["labels_not_finite"], len(facts["labels"])) == (500, 10)


def test_labels_that_six_digits_do_not_tell_apart_keep_a_line_each(records: Command, tmp_path: Path) -> None:
    labels = np.repeat([1_000_001, 1_000_002, 1_000_003], 10)
    assert _inspected(records, tmp_path, labels)["labels"] == {"1000001": 10, "1000002": 10, "1000003": 10}


@pytest.mark.parametrize("first", [1e6, 1e15, 2.0**52])
def test_bins_that_six_digits_do_not_tell_apart_keep_a_line_each(
    records: Command, tmp_path: Path, first: float
) -> None:
    facts = _inspected(records, tmp_path, first + np.arange(3_000), "preserve")
    assert len(facts["labels"]) == 10


def test_bins_reach_over_all_numbers_that_there_are(records: Command, tmp_path: Path) -> None:
    facts = _inspected(records, tmp_path, np.linspace(-1, 1, 100) * 1.7e308, "preserve")
    assert list(facts["labels"].values()) == [10] * 10


def test_unlabelled_shards_beside_labelled_ones_are_told(records: Command, tmp_path: Path) -> None:
    write_shard(tmp_path / "matrix_0.pbr", np.ones((10, 4)))
    write_shard(tmp_path / "matrix_1.pbr", np.ones((10, 4)), np.ones(10))
    code, output, errors = records("inspect", tmp_path)
    assert (code, output) == (2, "")
    assert errors == (
        "airflow-ll: Row 10 has 4 feature(s) and 1 label(s), but the rows before have 4 and 0: the shards are not of "
        "one record set, inspect them one by one.\n"
    )
