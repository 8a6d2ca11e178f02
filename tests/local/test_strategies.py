"""Search spaces are bijective where they say so; strategies stay inside, repeat themselves, and find minima."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_ll.local.search_space import Categorical, Numeric, SearchSpace
from airflow_ll.local.strategies import Tried, propose

SPACE = SearchSpace.of(
    {
        "ContinuousParameterRanges": [
            {"Name": "learning_rate", "MinValue": "1e-5", "MaxValue": "1", "ScalingType": "Logarithmic"},
            {"Name": "wd", "MinValue": "1e-7", "MaxValue": "1"},
        ],
        "IntegerParameterRanges": [{"Name": "mini_batch_size", "MinValue": "100", "MaxValue": "5000"}],
        "CategoricalParameterRanges": [{"Name": "use_bias", "Values": ["True", "False"]}],
    }
)


@pytest.mark.parametrize("scaling", ["Auto", "Linear", "Logarithmic", "ReverseLogarithmic"])
@given(st.floats(0, 1))
def test_a_range_keeps_to_its_ends_and_comes_back(scaling: str, unit: float) -> None:
    one = Numeric("x", 0.001, 0.999, scaling)

    value = one.decode(np.array([unit]))

    assert 0.001 <= float(value) <= 0.999
    assert one.encode(value)[0] == pytest.approx(unit, abs=1e-6)


@pytest.mark.parametrize(
    ("one", "middle"),
    [
        (Numeric("x", 1, 9, "Linear"), 5),
        (Numeric("x", 0.01, 1, "Logarithmic"), 0.1),
        (Numeric("x", 0, 0.99, "ReverseLogarithmic"), 0.9),
        (Numeric("x", 0.01, 1), 0.1),
        (Numeric("x", 0.5, 1.5), 1),
        (Numeric("x", 100, 5000, integer=True), 2550),
        (Numeric("x", 3, 3), 3),
    ],
)
def test_the_scaling_decides_what_lies_in_the_middle(one: Numeric, middle: float) -> None:
    assert float(one.decode(np.array([0.5]))) == pytest.approx(middle)


def test_whole_numbers_are_written_whole() -> None:
    assert Numeric("x", 1, 9, "Linear", integer=True).decode(np.array([0.52])) == "5"


def test_a_space_has_its_size_and_comes_back() -> None:
    values = {"learning_rate": "0.01", "mini_batch_size": "2550", "use_bias": "False", "wd": "0.001"}

    found = SPACE.decode(SPACE.encode(values))

    assert found.keys() == values.keys()
    assert (found["use_bias"], found["mini_batch_size"]) == ("False", "2550")
    assert float(found["learning_rate"]) == pytest.approx(0.01)
    assert float(found["wd"]) == pytest.approx(0.001)
    assert math.isinf(SPACE.size)
    assert SPACE.dimensions == 5
    assert SearchSpace([Numeric("x", 1, 9, integer=True), Categorical("y", ("a", "b"))]).size == 18


def test_the_grid_is_every_combination_once() -> None:
    space = SearchSpace([Categorical("x", ("1", "2")), Categorical("y", ("a", "b", "c"))])
    tried: list[Tried] = []

    while (values := propose("Grid", space, tried, seed=0)) is not None:
        tried.append(Tried(values))

    assert [(one.values["x"], one.values["y"]) for one in tried] == [
        ("1", "a"),
        ("1", "b"),
        ("1", "c"),
        ("2", "a"),
        ("2", "b"),
        ("2", "c"),
    ]


@pytest.mark.parametrize("strategy", ["Random", "Bayesian"])
def test_a_small_space_is_tried_without_repetition(strategy: str) -> None:
    space = SearchSpace([Numeric("x", 1, 3, integer=True), Categorical("y", ("a", "b"))])
    tried: list[Tried] = []

    while (values := propose(strategy, space, tried, seed=4)) is not None:
        tried.append(Tried(values, objective=float(values["x"])))

    assert len(tried) == 6
    assert len({tuple(one.values.items()) for one in tried}) == 6


@pytest.mark.parametrize("strategy", ["Random", "Bayesian"])
def test_a_seed_repeats_the_search_and_another_does_not(strategy: str) -> None:
    def search(seed: int) -> list[Tried]:
        tried: list[Tried] = []
        for number in range(12):
            values = propose(strategy, SPACE, tried, seed)
            assert values is not None
            running = number % 3 == 2
            tried.append(Tried(values, None if running else abs(math.log10(float(values["wd"])) + 3)))
        return tried

    assert search(1) == search(1)
    assert search(1) != search(2)


def objective(values: dict[str, str]) -> float:
    """A bowl whose minimum, 0, is at learning_rate 0.01, wd 1e-4, with bias."""
    distance = (math.log10(float(values["learning_rate"])) + 2) ** 2 + (math.log10(float(values["wd"])) + 4) ** 2
    return distance + (values["use_bias"] == "False")


def best_of(strategy: str, seed: int, jobs: int) -> float:
    tried: list[Tried] = []
    for _ in range(jobs):
        values = propose(strategy, SPACE, tried, seed)
        assert values is not None
        tried.append(Tried(values, objective(values)))
    return min(one.objective for one in tried if one.objective is not None)


def test_the_gaussian_process_finds_what_chance_does_not() -> None:
    seeds = range(5)

    bayesian = np.median([best_of("Bayesian", seed, 25) for seed in seeds])
    random = np.median([best_of("Random", seed, 25) for seed in seeds])

    assert bayesian < 0.1
    assert bayesian < random / 3


def test_jobs_that_still_run_are_not_tried_again_nearby() -> None:
    tried = [Tried(values, objective(values)) for values in _searched(12)]

    proposals: list[dict[str, str]] = []
    for _ in range(4):
        values = propose("Bayesian", SPACE, [*tried, *(Tried(one) for one in proposals)], seed=0)
        assert values is not None
        proposals.append(values)

    points = np.array([SPACE.encode(one) for one in proposals])
    distances = [np.linalg.norm(a - b) for index, a in enumerate(points) for b in points[index + 1 :]]
    assert min(distances) > 0.01


def _searched(jobs: int) -> list[dict[str, str]]:
    tried: list[Tried] = []
    found = []
    for _ in range(jobs):
        values = propose("Bayesian", SPACE, tried, seed=0)
        assert values is not None
        tried.append(Tried(values, objective(values)))
        found.append(values)
    return found
