"""Splits, shards and shuffles: no row is lost or doubled, and the size of the batches changes nothing."""

from __future__ import annotations

import io
from collections import defaultdict
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_ll.exceptions import DataError
from airflow_ll.records import (
    Batch,
    ShardPlan,
    Split,
    encode_records,
    read_batches,
    shard_bounds,
    shuffle_rows,
    split_rows,
    write_records,
)
from airflow_ll.records.columns import Factor
from airflow_ll.records.hashes import key_hashes, row_hashes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SHARES = {"train": 0.7, "validation": 0.2, "test": 0.1}
GOLDEN, NULL = 0x9E3779B97F4A7C15, 0x5851F42D4C957F2D
rows_count = st.integers(1, 300)
batch_size = st.integers(1, 80)
seeds = st.integers(0, 2**64 - 1)
few = settings(max_examples=30, deadline=None)  # each example encodes or opens files by the hundred


def batches(rows: int, size: int, *, sparse: bool = False, **columns: Any) -> Iterator[Batch]:
    """Read a source of ``rows`` rows whose first feature is the row's number, ``size`` rows at a time."""
    features = np.arange(rows * 3, dtype=np.float32).reshape(rows, 3)
    if sparse:
        return read_batches(sp.csr_matrix(features * (features % 2)), labels=np.arange(rows), batch_rows=size)
    table = {"x": features[:, 0], "z": features[:, 1], "y": np.arange(rows) % 2, **columns}
    keys = [name for name in table if name not in "xzy"]
    return read_batches(table, label_column="y", key_columns=keys, batch_rows=size)


def mixed(value: int) -> int:
    """Return SplitMix64's next number, in plain Python."""
    value = (value + GOLDEN) % 2**64
    value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    value = (value ^ value >> 27) * 0x94D049BB133111EB % 2**64
    return value ^ value >> 31


def fnv(text: bytes) -> int:
    """Return the 64-bit FNV-1a hash, in plain Python."""
    value = 0xCBF29CE484222325
    for one in text:
        value = (value ^ one) * 0x100000001B3 % 2**64
    return value


def channels(parts: Iterator[Batch], split: Split) -> dict[str, list[int]]:
    """Return the row numbers of each channel."""
    found: dict[str, list[int]] = defaultdict(list)
    for batch in parts:
        for name, part in split_rows(batch, split).items():
            found[name] += part.rows.tolist()
            assert np.array_equal(part.features[:, 0], part.rows * 3)
            assert part.labels is not None
            assert np.array_equal(part.labels, part.rows % 2)
    return found


class TestSplits:
    """One row, one channel."""

    @given(rows_count, batch_size, seeds)
    def test_fractions_partition_the_rows_whatever_the_batch_size(self, rows: int, size: int, seed: int) -> None:
        split = Split.by_fraction(SHARES, seed=seed)
        found = channels(batches(rows, size), split)
        assert sorted(chain.from_iterable(found.values())) == list(range(rows))
        assert found == channels(batches(rows, rows), split)

    @given(rows_count, batch_size, seeds, st.randoms(use_true_random=False))
    def test_hashes_keep_a_key_together_whatever_the_order_and_batch_size(
        self, rows: int, size: int, seed: int, order: Any
    ) -> None:
        split = Split.by_hash(SHARES, ["id", "day"], seed=seed)
        ids, days = [f"flight {row // 3}" for row in range(rows)], [row // 3 % 7 for row in range(rows)]
        found = channels(batches(rows, size, id=ids, day=days), split)
        where = {ids[row]: name for name, chosen in found.items() for row in chosen}
        assert sorted(chain.from_iterable(found.values())) == list(range(rows))
        assert all(where[ids[row]] == name for name, chosen in found.items() for row in chosen)
        shuffled = list(range(rows))
        order.shuffle(shuffled)
        again = channels(batches(rows, rows, id=[ids[i] for i in shuffled], day=[days[i] for i in shuffled]), split)
        assert all(where[ids[shuffled[row]]] == name for name, chosen in again.items() for row in chosen)

    @pytest.mark.parametrize("split", [Split.by_fraction(SHARES, seed=1), Split.by_hash(SHARES, ["id"], seed=1)])
    def test_shares_are_about_as_asked(self, split: Split) -> None:
        found = channels(batches(20_000, 1000, id=np.arange(20_000)), split)
        for name, share in SHARES.items():
            assert abs(len(found[name]) / 20_000 - share) < 0.01  # three standard deviations

    def test_a_column_names_the_channel_itself_or_by_its_values(self) -> None:
        months = [1, 2, 11, 12, None, 2]
        rule = Split.by_column("month", {"train": [1, 2.0], "test": ["11"], "rest": ["*"]})
        assert channels(batches(6, 4, month=months), rule) == {"train": [0, 1, 5], "test": [2], "rest": [3, 4]}
        assert channels(batches(2, 1, part=["a", "b"]), Split.by_column("part")) == {"a": [0], "b": [1]}

    def test_a_value_without_a_channel_is_told_with_its_row(self) -> None:
        with pytest.raises(DataError, match=r"'month' has '3' at row 2, which has no channel"):
            channels(batches(3, 1, month=[1, 1, 3]), Split.by_column("month", {"train": [1]}))

    @pytest.mark.parametrize(
        "split",
        [
            Split.by_fraction(SHARES, seed=3),
            Split.by_hash(SHARES, ["a", "b"], seed=3),
            Split.by_column("a", {"train": [1, "x"], "test": ["*"]}),
            Split.by_column("a"),
        ],
    )
    def test_rules_are_json(self, split: Split) -> None:
        assert Split.from_dict(split.to_dict()) == split
        assert set(split.channels) <= {"train", "validation", "test"}

    @pytest.mark.parametrize(
        ("make", "message"),
        [
            (lambda: Split.by_fraction({"train": 0.7}), "sum to 1"),
            (lambda: Split.by_fraction({"train": 1.2, "test": -0.2}), "above 0"),
            (lambda: Split.by_fraction({}), "above 0"),
            (lambda: Split.by_fraction(SHARES, seed=-1), "seed"),
            (lambda: Split.by_hash(SHARES, []), "one key column or more"),
            (lambda: Split.from_dict({"kind": "hash"}), "no rule of a split: KeyError"),
            (lambda: Split.by_column("m", {"a": [1], "b": ["1"]}), "'1' has more"),
        ],
    )
    def test_rules_that_cannot_hold_are_refused(self, make: Any, message: str) -> None:
        with pytest.raises(DataError, match=message):
            make()

    def test_a_batch_without_the_keys_is_refused(self) -> None:
        with pytest.raises(DataError, match="read batches with key_columns"):
            channels(batches(3, 3), Split.by_hash(SHARES, ["id"]))

    def test_the_hashes_never_change(self) -> None:
        """A row that was in the training channel last year must not be in the test channel today."""
        rows = [0, 1, 2**40]
        assert row_hashes(np.array(rows), 5).tolist() == [mixed(row * GOLDEN + mixed(5)) for row in rows]
        texts = ("", "AA", "München")
        key = Factor(np.array([0, 1, 2, -1]), texts)
        expected = [*(mixed(mixed(5) * GOLDEN + fnv(text.encode())) for text in texts), mixed(mixed(5) * GOLDEN + NULL)]
        assert key_hashes([key], 5).tolist() == expected

    def test_keys_of_any_length_hash_alike_in_any_company(self) -> None:
        texts = ("", "a", "b" * 4096, "c" * 100)
        together = key_hashes([Factor(np.arange(4), texts)], 0)
        apart = [int(key_hashes([Factor(np.array([0]), (text,))], 0)[0]) for text in texts]
        assert together.tolist() == apart
        with pytest.raises(DataError, match="at most 4096 bytes"):
            key_hashes([Factor(np.array([0]), ("d" * 4097,))], 0)


def shards(assigned: Iterator[tuple[int, Batch]]) -> list[bytes]:
    """Return the bytes of each shard."""
    streams: dict[int, io.BytesIO] = {}
    for number, batch in assigned:
        assert number in (len(streams), len(streams) - 1)
        assert len(batch)
        write_records(streams.setdefault(number, io.BytesIO()), batch.features, batch.labels)
    return [stream.getvalue() for stream in streams.values()]


def whole(rows: int, *, sparse: bool = False) -> bytes:
    """Return all rows as one shard."""
    (batch,) = batches(rows, rows, sparse=sparse)
    return encode_records(batch.features, batch.labels)


class TestShards:
    """The rows in order, cut."""

    @few
    @given(rows_count, batch_size, st.integers(1, 5000), st.booleans())
    def test_shards_by_size_are_the_rows_in_order_whatever_the_batch_size(
        self, rows: int, size: int, target: int, sparse: bool
    ) -> None:
        plan = ShardPlan(target_bytes=target)
        found = shards(plan.assign(batches(rows, size, sparse=sparse)))
        assert b"".join(found) == whole(rows, sparse=sparse)
        assert found == shards(plan.assign(batches(rows, rows, sparse=sparse)))
        if not sparse and target >= len(whole(1)):
            assert max(map(len, found)) <= target
            assert min(map(len, found[:-1]), default=target) > target - len(whole(1))

    @few
    @given(rows_count, batch_size, st.integers(1, 9), st.booleans())
    def test_shards_by_count_follow_the_bounds_whether_the_rows_were_counted_or_not(
        self, rows: int, size: int, count: int, told: bool
    ) -> None:
        plan = ShardPlan(count=count)
        if rows < count:
            with pytest.raises(DataError, match="cannot fill"):
                shards(plan.assign(batches(rows, size), rows if told else None))
            return
        found = shards(plan.assign(batches(rows, size), rows if told else None))
        row = len(whole(1))
        assert [len(one) // row for one in found] == [end - first for first, end in shard_bounds(rows, count)]
        assert b"".join(found) == whole(rows)

    @pytest.mark.parametrize(("told", "message"), [(99, "more rows than the 99"), (101, "fewer than the 101")])
    def test_a_wrong_count_of_rows_is_told(self, told: int, message: str) -> None:
        with pytest.raises(DataError, match=message):
            shards(ShardPlan(count=2).assign(batches(100, 30), told))

    def test_sparse_shards_are_near_their_target(self) -> None:
        rows, columns = np.repeat(np.arange(3000), 50), np.random.default_rng(1).integers(0, 100_000, 150_000)
        matrix = sp.csr_matrix((np.ones(150_000, np.float32), (rows, columns)), shape=(3000, 100_000))
        found = shards(ShardPlan(target_bytes=50_000).assign(read_batches((matrix, np.ones(3000)))))
        assert all(45_000 < len(one) < 55_000 for one in found[:-1])

    @pytest.mark.parametrize("options", [{"target_bytes": 0}, {"count": 0}])
    def test_plans_that_no_rows_fit_are_refused(self, options: dict[str, int]) -> None:
        with pytest.raises(DataError, match="at least 1"):
            ShardPlan(**options)


class TestShuffles:
    """One order a seed."""

    @few
    @given(rows_count, batch_size, seeds, st.integers(1000, 20_000), st.booleans())
    def test_the_order_depends_on_rows_and_seed_alone(
        self, rows: int, size: int, seed: int, memory: int, sparse: bool
    ) -> None:
        inside = shuffle_rows(batches(rows, rows, sparse=sparse), seed=seed)
        through_files = shuffle_rows(
            batches(rows, size, sparse=sparse), seed=seed, memory_bytes=memory, batch_rows=size
        )
        shuffled, again = list(inside), list(through_files)
        order = np.concatenate([one.rows for one in shuffled])
        assert sorted(order.tolist()) == list(range(rows))
        assert order.tolist() == np.concatenate([one.rows for one in again]).tolist()
        expected, found = io.BytesIO(), io.BytesIO()
        for stream, parts in ((expected, shuffled), (found, again)):
            for part in parts:
                write_records(stream, part.features, part.labels)
        assert expected.getvalue() == found.getvalue()
        assert len(found.getvalue()) == len(whole(rows, sparse=sparse))

    def test_features_and_labels_move_together_and_seeds_differ(self) -> None:
        first, second = (list(shuffle_rows(batches(1000, 99), seed=seed, memory_bytes=9000)) for seed in (1, 2))
        for part in first:
            assert np.array_equal(part.features[:, 0], part.rows * 3)
            assert part.labels is not None
            assert np.array_equal(part.labels, part.rows % 2)
        assert first[0].rows.tolist() != second[0].rows.tolist()

    def test_the_order_is_independent_of_a_split_by_the_same_seed(self) -> None:
        split = Split.by_fraction({"train": 0.5, "test": 0.5}, seed=4)
        train = (split_rows(batch, split)["train"] for batch in batches(4000, 500))
        order = np.concatenate([one.rows for one in shuffle_rows(train, seed=4)])
        places = np.argsort(np.argsort(order))
        assert abs(np.corrcoef(places, row_hashes(order, 4).astype(float))[0, 1]) < 0.1

    @pytest.mark.parametrize("finished", [True, False])
    def test_nothing_stays_on_disk(self, tmp_path: Path, finished: bool) -> None:
        rows = shuffle_rows(batches(1000, 100), seed=1, memory_bytes=3000, directory=tmp_path)
        next(rows)
        assert list(tmp_path.rglob("*/0")) or any(one.is_file() for one in tmp_path.rglob("*"))
        if finished:
            assert sum(map(len, rows)) > 0
        else:
            rows.close()  # type: ignore[attr-defined]
        assert list(tmp_path.iterdir()) == []

    def test_no_rows_stay_no_rows(self) -> None:
        assert list(shuffle_rows([], seed=1)) == []
