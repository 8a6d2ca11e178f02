"""Features of a flight: what is known at the moment it leaves the gate, as one row of float32.

A linear model sees curves only when a feature bends. The departure delay therefore comes as hinges
``max(0, delay - knot)``: flat while the schedule's slack absorbs the delay, steep around 15 minutes, flat
again where a flight is late beyond doubt. How much a delay near zero matters depends on how much time in
the air there is to make it up: hence its products with the block time, the scheduled speed and the origin.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from flights.data import read_time_zones, read_weather

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

__all__ = ["COLUMNS", "feature_matrix"]

# The vocabularies are fixed, so a day, a month and the whole year have the same columns: whoever flies at
# least every other day of the year has a column of its own; the others (a carrier and 16
# airports) share one, since a column of a handful of ones only teaches noise.
ORIGINS = ("EWR", "JFK", "LGA")
CARRIERS = ("9E", "AA", "AS", "B6", "DL", "EV", "F9", "FL", "HA", "MQ", "UA", "US", "VX", "WN", "YV")
DESTINATIONS = tuple(
    """ABQ ACK ALB ATL AUS AVL BDL BGR BHM BNA BOS BQN BTV BUF BUR BWI CAK CHS CLE CLT CMH CVG DAY DCA DEN DFW DSM
    DTW EGE FLL GRR GSO GSP HNL HOU IAD IAH IND JAX LAS LAX LGB MCI MCO MDW MEM MHT MIA MKE MSN MSP MSY MVY OAK OKC
    OMA ORD ORF PBI PDX PHL PHX PIT PSE PVD PWM RDU RIC ROC RSW SAN SAT SAV SDF SEA SFO SJC SJU SLC SMF SNA SRQ STL
    STT SYR TPA TUL TYS XNA""".split()  # noqa: SIM905 - as a list of literals it would fill a page
)
OTHER = "other"
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
# Each weather column with its value where an airport has reported nothing yet.
WEATHER = {
    "temp": 55.0,
    "dewp": 42.0,
    "humid": 62.0,
    "wind_speed": 10.0,
    "wind_gust": 10.0,
    "precip": 0.0,
    "pressure": 1018.0,
    "visib": 10.0,
}
DELAY_KNOTS = (-5, 0, 5, 10, 15, 20, 30, 60)
DELAY_RANGE = (-30, 240)
NEAR_DELAY_RANGE = (-15, 30)
HOUR_KNOTS = (8, 12, 16, 20)
NEW_YORK_TIME_ZONE = -5
PUERTO_RICO_TIME_ZONE = -4  # the airports that airports.csv lacks: BQN, PSE, SJU and, next to them, STT

COLUMNS = (
    "delay",
    *(f"delay_over_{knot}" for knot in DELAY_KNOTS),
    "near_delay_x_block",
    "near_delay_x_speed",
    *(f"near_delay_x_{origin}" for origin in ORIGINS),
    "block_hours",
    "distance",
    "sqrt_distance",
    "speed",
    "departures_in_hour",
    "hour",
    *(f"hour_over_{knot}" for knot in HOUR_KNOTS),
    *WEATHER,
    *(f"weekday_{day}" for day in WEEKDAYS),
    *(f"origin_{code}" for code in ORIGINS),
    *(f"carrier_{code}" for code in (*CARRIERS, OTHER)),
    *(f"dest_{code}" for code in (*DESTINATIONS, OTHER)),
)
"""The names of the features, in the order of the matrix."""


def feature_matrix(flights: pd.DataFrame, scheduled: pd.DataFrame) -> NDArray[np.float32]:
    """Build the features of ``flights``.

    A row depends on the schedule and the weather of its own day only: the same flight has the same row
    whether a day or a year is asked for.

    Parameters
    ----------
    flights
        n flights that departed, in any order.
    scheduled
        All scheduled flights of the same days (the airports' load), cancelled ones too.

    Returns
    -------
    float32 (n, len(COLUMNS)), without NaN, in the order of ``flights``.
    """
    import numpy as np

    columns = _delay(flights) | _schedule(flights, scheduled) | _weather(flights) | _categories(flights)
    matrix = np.empty((len(flights), len(COLUMNS)), dtype=np.float32)
    for position, name in enumerate(COLUMNS):
        matrix[:, position] = columns[name]
    return matrix


def _delay(flights: pd.DataFrame) -> dict[str, pd.Series[float]]:
    delay = flights["dep_delay"].clip(*DELAY_RANGE)
    near = delay.clip(*NEAR_DELAY_RANGE)
    block = _block_hours(flights)
    return (
        {"delay": delay}
        | {f"delay_over_{knot}": _hinge(delay, knot) for knot in DELAY_KNOTS}
        | {"near_delay_x_block": near * block, "near_delay_x_speed": near * flights["distance"] / block / 1000}
        | {f"near_delay_x_{origin}": near * (flights["origin"] == origin) for origin in ORIGINS}
    )


def _schedule(flights: pd.DataFrame, scheduled: pd.DataFrame) -> dict[str, pd.Series[float]]:
    block = _block_hours(flights)
    hour = flights["hour"] + flights["minute"] / 60
    slot = ["month", "day", "hour", "origin"]
    departures = scheduled.groupby(slot).size().rename("departures")
    return {
        "block_hours": block,
        "distance": flights["distance"] / 1000,
        "sqrt_distance": flights["distance"] ** 0.5,
        "speed": flights["distance"] / block / 1000,
        "departures_in_hour": flights[slot].join(departures, on=slot)["departures"],
        "hour": hour,
        **{f"hour_over_{knot}": _hinge(hour, knot) for knot in HOUR_KNOTS},
    }


def _block_hours(flights: pd.DataFrame) -> pd.Series[float]:
    """Scheduled hours from gate to gate; the schedule is in the local times of both airports."""
    zone = flights["dest"].map(read_time_zones()).fillna(PUERTO_RICO_TIME_ZONE)
    local = _minutes(flights["sched_arr_time"]) - _minutes(flights["sched_dep_time"])
    return (local - 60 * (zone - NEW_YORK_TIME_ZONE)) % (24 * 60) / 60


def _minutes(clock: pd.Series[int]) -> pd.Series[int]:
    return clock // 100 * 60 + clock % 100


def _hinge(values: pd.Series[float], knot: float) -> pd.Series[float]:
    return (values - knot).clip(lower=0)


def _weather(flights: pd.DataFrame) -> dict[str, pd.Series[float]]:
    """Take the latest observation at the origin up to the scheduled hour (never a later one)."""
    import pandas as pd

    weather = read_weather().sort_values("time_hour", kind="stable")
    weather["wind_gust"] = weather["wind_gust"].fillna(weather["wind_speed"])  # reported only when it blows
    names = list(WEATHER)
    weather[names] = weather.groupby("origin")[names].ffill()
    slots = flights[["origin", "time_hour"]].rename_axis("row").reset_index().sort_values("time_hour", kind="stable")
    for table in (weather, slots):
        table["time_hour"] = pd.to_datetime(table["time_hour"])
    joined = pd.merge_asof(slots, weather[["origin", "time_hour", *names]], on="time_hour", by="origin")
    observed = joined.set_index("row")[names].fillna(WEATHER).loc[flights.index]
    return {name: observed[name] for name in names}


def _categories(flights: pd.DataFrame) -> dict[str, pd.Series[bool]]:
    import pandas as pd

    weekday = pd.to_datetime(flights[["year", "month", "day"]]).dt.day_of_week.map(lambda day: WEEKDAYS[day])
    return (
        _one_hot("weekday", weekday, WEEKDAYS)
        | _one_hot("origin", flights["origin"], ORIGINS)
        | _one_hot("carrier", flights["carrier"], CARRIERS)
        | _one_hot("dest", flights["dest"], DESTINATIONS)
    )


def _one_hot(group: str, values: pd.Series[str], vocabulary: Sequence[str]) -> dict[str, pd.Series[bool]]:
    return {f"{group}_{value}": values == value for value in vocabulary} | {
        f"{group}_{OTHER}": ~values.isin(list(vocabulary))
    }
