"""Split rows into channels such as train, validation and test, by a rule that looks at one row at a time.

So the split is the same whatever the size of the batches, and a split by hash whatever the order of the rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from airflow_ll.exceptions import DataError
from airflow_ll.records.columns import text
from airflow_ll.records.hashes import key_hashes, row_hashes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from airflow_ll.records.batches import Batch

#: The channel value that takes all rows that no other channel takes.
OTHERS = "*"


@dataclass(frozen=True)
class Split:
    """A rule that gives each row a channel: made by ``by_fraction``, ``by_hash`` or ``by_column``.

    Attributes
    ----------
    kind
        What the rule looks at: the row's number, its keys, or one column.
    fractions
        Of "fraction" and "hash": each channel's share; they sum to 1.
    seed
        Of "fraction" and "hash": another seed is another split.
    key_columns
        What ``read_batches`` must keep as keys.
    values
        Of "column": the values of each channel; ``("*",)`` is all others. Empty: the column holds the channels' names.
    """

    kind: Literal["fraction", "hash", "column"]
    fractions: tuple[tuple[str, float], ...] = ()
    seed: int = 0
    key_columns: tuple[str, ...] = ()
    values: tuple[tuple[str, tuple[str, ...]], ...] = ()

    @classmethod
    def by_fraction(cls, fractions: Mapping[str, float], *, seed: int = 0) -> Split:
        """Give each channel its share of the rows, chosen by the seed and the row's number.

        Raises
        ------
        DataError
            The shares are not positive or do not sum to 1.
        """
        return cls("fraction", _checked_fractions(fractions), check_seed(seed))

    @classmethod
    def by_hash(cls, fractions: Mapping[str, float], key_columns: Sequence[str], *, seed: int = 0) -> Split:
        """Give each channel its share of the keys: rows of one key stay together, today and in later files.

        Raises
        ------
        DataError
            The shares are not positive or do not sum to 1, or there are no key columns.
        """
        if not key_columns or isinstance(key_columns, str):
            raise DataError(f"A split by hash needs a list of one key column or more, but has {key_columns!r}.")
        return cls("hash", _checked_fractions(fractions), check_seed(seed), tuple(key_columns))

    @classmethod
    def by_column(cls, column: str, channels: Mapping[str, Sequence[Any]] | None = None) -> Split:
        """Go by the values of ``column``: those of each channel, ``"*"`` for all others; None: they are the channels.

        Raises
        ------
        DataError
            A value is in two channels.
        """
        values = tuple((name, tuple(text(one) or "" for one in chosen)) for name, chosen in (channels or {}).items())
        every = [value for _, chosen in values for value in chosen]
        if len(set(every)) < len(every):
            twice = next(value for value in every if every.count(value) > 1)
            raise DataError(f"A value of the column {column!r} must have one channel, but {twice!r} has more.")
        return cls("column", key_columns=(column,), values=values)

    @property
    def channels(self) -> tuple[str, ...]:
        """The channels' names as far as the rule knows them."""
        return tuple(name for name, _ in (*self.fractions, *self.values))

    def to_dict(self) -> dict[str, Any]:
        """Return the rule as JSON."""
        return {
            "kind": self.kind,
            "fractions": dict(self.fractions),
            "seed": self.seed,
            "key_columns": list(self.key_columns),
            "values": {name: list(chosen) for name, chosen in self.values},
        }

    @classmethod
    def from_dict(cls, rule: Mapping[str, Any]) -> Split:
        """Return the rule that ``to_dict`` described.

        Raises
        ------
        DataError
            It is no rule.
        """
        try:
            if rule["kind"] == "fraction":
                return cls.by_fraction(rule["fractions"], seed=rule["seed"])
            if rule["kind"] == "hash":
                return cls.by_hash(rule["fractions"], rule["key_columns"], seed=rule["seed"])
            (column,) = rule["key_columns"]
            return cls.by_column(column, rule["values"])
        except (KeyError, TypeError, AttributeError) as error:
            raise DataError(f"This is no rule of a split: {error!r} is wrong or missing.") from error


def split_rows(batch: Batch, split: Split) -> dict[str, Batch]:
    """Return the rows of ``batch`` by channel, in order; channels without rows in this batch are left out.

    Raises
    ------
    DataError
        The batch lacks a key column, or a row's value has no channel.
    """
    names, channels = _by_column(batch, split) if split.kind == "column" else _by_share(batch, split)
    parts = {name: np.flatnonzero(channels == index) for index, name in enumerate(names)}
    return {name: batch.take(rows) for name, rows in parts.items() if len(rows)}


def _by_share(batch: Batch, split: Split) -> tuple[list[str], NDArray[np.int64]]:
    """Return the channels, and which of them each row has (n,): where its hash falls between the shares' bounds."""
    if split.kind == "fraction":
        hashes = row_hashes(batch.rows, split.seed)
    else:
        hashes = key_hashes([_key(batch, name) for name in split.key_columns], split.seed)
    names, shares = zip(*split.fractions, strict=True)
    # The upper 53 bits are exact as a float; the last bound is left out, so that no row falls beyond it.
    uniform = (hashes >> np.uint64(11)).astype(np.float64) / (1 << 53)
    return list(names), np.searchsorted(np.cumsum(shares)[:-1], uniform, side="right")


def _by_column(batch: Batch, split: Split) -> tuple[list[str], NDArray[np.int64]]:
    (name,) = split.key_columns
    key = _key(batch, name)
    names = list(split.channels) or sorted(key.texts)
    wanted = split.values or tuple((one, (one,)) for one in names)
    places = {value: index for index, (_, values) in enumerate(wanted) for value in values}
    others = places.get(OTHERS, -1)
    channels = np.array([*(places.get(one, others) for one in key.texts), others], np.int64)[key.codes]
    if (channels < 0).any():
        row = int(np.argmax(channels < 0))
        value = "null" if key.codes[row] < 0 else repr(key.texts[int(key.codes[row])])
        raise DataError(
            f"The column {name!r} has {value} at row {int(batch.rows[row])}, which has no channel: name it in one, or "
            f"give one channel {OTHERS!r} for all other values."
        )
    return names, channels


def _key(batch: Batch, name: str) -> Any:
    if name not in batch.keys:
        raise DataError(f"The split needs the column {name!r} of each row: read batches with key_columns={name!r}.")
    return batch.keys[name]


def _checked_fractions(fractions: Mapping[str, float]) -> tuple[tuple[str, float], ...]:
    shares = {name: float(share) for name, share in fractions.items()}
    if not shares or not all(share > 0 for share in shares.values()) or abs(sum(shares.values()) - 1) > 1e-9:
        raise DataError(f"The channels' shares must be above 0 and sum to 1, but are {dict(fractions)}.")
    return tuple(shares.items())


def check_seed(seed: int) -> int:
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 1 << 64:
        raise DataError(f"seed must be an integer from 0 to 2^64 - 1, but is {seed!r}.")
    return seed
